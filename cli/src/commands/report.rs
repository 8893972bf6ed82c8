//! `run report`: a page about one run, into a file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rollcall_core::ids::TenantId;
use serde::Serialize;
use tempfile::{Builder, NamedTempFile};

use super::run::record;
use super::story::story_of;
use crate::args::ReportOptions;
use crate::exit::bad_input;
use crate::local::Stack;
use crate::output::Output;
use crate::report::{Facts, Fate, page};

/// What was written where.
#[derive(Debug, Serialize)]
struct Reported {
    report: PathBuf,
    tenant: TenantId,
    run: u64,
    state: &'static str,
    /// How many users the plan has, and how many of them are off or wait.
    deactivated: usize,
    held: usize,
    bytes: usize,
}

/// Writes the page of a run. What is wrong with the files is found before anything is read.
pub(super) async fn report(
    stack: &Stack,
    options: &ReportOptions,
    output: &Output,
) -> anyhow::Result<()> {
    let path = &options.out;
    let file = beside(path)?;
    let story = match &options.from_logs {
        Some(lines) => Some(story_of(lines, &options.run)?),
        None => None,
    };
    let store = stack.store();
    let record = record(store, &options.run).await?;
    let now_ms = stack.ambient().now_ms();
    let facts = Facts::load(store, record, options.names, story, now_ms).await?;
    let page = page(&facts);
    put(file, &page, path)?;
    let reported = Reported {
        report: path.clone(),
        tenant: options.run.tenant.clone(),
        run: options.run.run,
        state: facts.state(),
        deactivated: facts.count(Fate::SwitchedOff),
        held: facts.count(Fate::Waits),
        bytes: page.len(),
    };
    if output.is_json() {
        output.object(&reported)?;
    } else {
        let path = path.display();
        output.text(format!("The report of {} is in {path}.", options.run))?;
    }
    Ok(())
}

/// A file beside the one that is to be: it becomes that one at once, or nothing is changed.
fn beside(path: &Path) -> anyhow::Result<NamedTempFile> {
    let shown = path.display();
    // What is there and no file is a folder, a device or a pipe: nothing to put another one in place of.
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return Err(bad_input(format!(
            "{shown} is there and is no file; give the name of a file to --out"
        )));
    }
    if path.file_name().is_none() {
        return Err(bad_input(format!(
            "{shown} names no file; give one to --out"
        )));
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
    builder.prefix(".rollcall-report-").suffix(".html");
    readable_as_usual(&mut builder);
    builder
        .tempfile_in(folder)
        .map_err(|error| unwritable(path, &error))
}

/// As the process makes any file, and not for its user alone: a report is to be shown.
#[cfg(unix)]
fn readable_as_usual(builder: &mut Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt as _;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn readable_as_usual(_: &mut Builder<'_, '_>) {}

fn put(mut file: NamedTempFile, page: &str, path: &Path) -> anyhow::Result<()> {
    let written = file
        .write_all(page.as_bytes())
        .and_then(|()| file.as_file().sync_all());
    written.map_err(|error| unwritable(path, &error))?;
    file.persist(path)
        .map_err(|error| unwritable(path, &error.error))?;
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let shown = path.display();
    bad_input(format!(
        "{shown} cannot be written: {error}; give a file in a folder that is there and can be written to"
    ))
}
