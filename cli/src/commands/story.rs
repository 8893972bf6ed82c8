//! `explain --from-logs`: the story of runs, from their log lines alone.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rollcall_core::ids::RunRef;

use crate::exit::{Exit, bad_input};
use crate::output::Output;
use crate::story::{self, Story};

/// The largest file that is read, in bytes: some eight hundred thousand lines, which take about five
/// times as much memory.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// Tells of all runs in the file, or of one.
pub(crate) fn run(path: &Path, only: Option<&RunRef>, output: &Output) -> anyhow::Result<Exit> {
    let mut stories = stories(path)?;
    if let Some(only) = only {
        stories = vec![of(stories, path, only)?];
    }
    if output.is_json() {
        output.objects(&stories)?;
    } else {
        for (at, story) in stories.iter().enumerate() {
            let apart = if at == 0 { "" } else { "\n" };
            output.text(format!("{apart}{story}"))?;
        }
    }
    Ok(Exit::Done)
}

/// The one of this run.
///
/// # Errors
/// Bad input, when the file has no line about it.
pub(crate) fn story_of(path: &Path, run: &RunRef) -> anyhow::Result<Story> {
    of(stories(path)?, path, run)
}

fn of(stories: Vec<Story>, path: &Path, run: &RunRef) -> anyhow::Result<Story> {
    let mut stories = stories.into_iter();
    stories.find(|story| story.is_of(run)).ok_or_else(|| {
        let shown = path.display();
        bad_input(format!("{shown} has no log line about run {run}"))
    })
}

fn stories(path: &Path) -> anyhow::Result<Vec<Story>> {
    let shown = path.display();
    let stories = story::tell(&read(path)?)
        .map_err(|bad| bad_input(format!("{shown}: {bad}; export the lines again, whole")))?;
    if stories.is_empty() {
        return Err(bad_input(format!(
            "{shown} has no log line about a run; give the lines of the functions, as `--logs FILE` \
             or CloudWatch keeps them"
        )));
    }
    Ok(stories)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| bad_input(format!("{shown} cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad_input(format!(
            "{shown} has more than {FILE_BYTES_MAX} bytes; give the lines of fewer days"
        )));
    }
    Ok(bytes)
}
