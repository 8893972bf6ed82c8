//! The copy of the workspace that the bugs are planted in, and its build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::catalogue::{Bug, planted};
use super::child;

/// What is left out of the copy: what is built, and the history.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// How long the build may take, in seconds. Optimised, from nothing, on two slow cores it is a
/// quarter of an hour.
const BUILD_SECONDS_MAX: u64 = 3_600;

/// How much of the compiler's words is repeated when the build fails, in lines: the first error.
const ERROR_LINES_MAX: usize = 40;

/// The package, under a name that leaves the caller's own program where it is.
const PACKAGE: &str = "simulation-seeded";
const MANIFEST: &str = "tests/simulation/Cargo.toml";
const LOCK: &str = "Cargo.lock";
const WORKSPACE: &str = "Cargo.toml";

/// Where the copy, its program and the logs are.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) logs: PathBuf,
}

/// Copies the sources, plants the bugs and builds, all below the target directory of the program
/// that runs, so that nothing which is the same is built again.
pub(super) fn build(sources: &Path, bugs: &[Bug]) -> Result<Program> {
    let (target, profile) = target()?;
    let home = target.join("seeded-bugs");
    let (copy, logs) = (home.join("source"), home.join("logs"));
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    plant(sources, &copy, bugs)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--offline", "--quiet", "--bin", PACKAGE])
        .args(selection(profile))
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&copy);
    let log = logs.join("build.out");
    match child::run(&mut command, &log, BUILD_SECONDS_MAX)? {
        Some(status) if status.success() => {}
        Some(_) => bail!(
            "the copy with the bugs does not build:\n{}\nsee {} and {}",
            first_error(&log.with_extension("err")),
            copy.display(),
            log.with_extension("err").display()
        ),
        None => {
            bail!("the build took longer than {BUILD_SECONDS_MAX} s; build on a faster machine")
        }
    }
    let name = format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX);
    Ok(Program {
        path: target.join(profile).join(name),
        logs,
    })
}

/// For which packages the features of dependencies are chosen: as when those that are there were built.
/// In the development profile that was for `cargo test`, of the whole workspace.
fn selection(profile: &str) -> &'static [&'static str] {
    if profile == "release" {
        &["--release", "--package", PACKAGE]
    } else {
        &["--workspace"]
    }
}

/// The target directory and the profile of the program that runs.
fn target() -> Result<(PathBuf, &'static str)> {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let program = std::env::current_exe().context("the running program cannot be found")?;
    let folder = program.parent().unwrap_or(Path::new(""));
    ensure!(
        folder.ends_with(profile),
        "{} is not in a folder {profile}; run it by `cargo run -p simulation`",
        program.display()
    );
    let target = folder.parent().unwrap_or(folder);
    Ok((target.to_owned(), profile))
}

/// Makes `copy` what `sources` is, with the bugs. A file that is right already is not touched, so
/// that cargo builds only what changed.
fn plant(sources: &Path, copy: &Path, bugs: &[Bug]) -> Result<()> {
    let mut files = BTreeMap::new();
    collect(sources, Path::new(""), &mut files)?;
    for bug in bugs {
        if let Some(file) = bug.files().find(|file| !files.contains_key(*file)) {
            bail!("bug {}: there is no file {file}", bug.name);
        }
    }
    for (name, path) in &files {
        let before = fs::read(path).with_context(|| path.display().to_string())?;
        let after = match String::from_utf8(before) {
            Ok(text) => adapted(bugs, name, text)?.into_bytes(),
            Err(no_text) => no_text.into_bytes(),
        };
        let to = copy.join(name);
        if fs::read(&to).is_ok_and(|there| there == after) {
            continue;
        }
        let told = || format!("{} cannot be written", to.display());
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).with_context(told)?;
        }
        fs::write(&to, after).with_context(told)?;
    }
    let wanted: BTreeSet<_> = files.into_keys().collect();
    let mut there = BTreeMap::new();
    collect(copy, Path::new(""), &mut there)?;
    for (_, path) in there.iter().filter(|(name, _)| !wanted.contains(*name)) {
        fs::remove_file(path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// All files below `folder` by their name from there, with `/`.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let here = root.join(folder);
    let told = || here.display().to_string();
    for entry in fs::read_dir(&here).with_context(told)? {
        let entry = entry.with_context(told)?;
        let name = entry.file_name();
        let below = folder.join(&name);
        if LEFT_OUT.iter().any(|it| *it == name) {
            continue;
        }
        if entry.file_type().with_context(told)?.is_dir() {
            collect(root, &below, files)?;
        } else {
            let parts: Vec<_> = below.iter().map(|it| it.to_string_lossy()).collect();
            files.insert(parts.join("/"), entry.path());
        }
    }
    Ok(())
}

fn adapted(bugs: &[Bug], name: &str, text: String) -> Result<String> {
    match name {
        WORKSPACE => versioned(&text),
        MANIFEST => renamed(&text),
        // Cargo brings the rest in order by itself.
        LOCK => Ok(text.replace(
            "name = \"simulation\"\n",
            &format!("name = \"{PACKAGE}\"\n"),
        )),
        _ => planted(bugs, name, &text),
    }
}

/// The workspace's manifest with another version. Cargo tells packages of the same version at the same
/// place in their workspaces apart by nothing that the shared target directory keeps.
pub(super) fn versioned(manifest: &str) -> Result<String> {
    let version = "\nversion = \"0.1.0\"\n";
    ensure!(
        manifest.matches(version).count() == 1,
        "{WORKSPACE}: the line {version:?} is not there once; adapt `versioned`"
    );
    Ok(manifest.replace(version, "\nversion = \"0.1.0-seeded\"\n"))
}

/// The manifest with another package name, and so another program; the library keeps its name, which
/// the program's source uses.
pub(super) fn renamed(manifest: &str) -> Result<String> {
    let (package, library) = ("name = \"simulation\"\n", "[lib]\n");
    let once = |text| manifest.matches(text).count() == 1;
    ensure!(
        once(package) && once(library),
        "{MANIFEST}: the line {package:?} or {library:?} is not there once; adapt `renamed`"
    );
    Ok(manifest
        .replace(package, &format!("name = \"{PACKAGE}\"\n"))
        .replace(library, "[lib]\nname = \"simulation\"\n"))
}

fn first_error(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let from_error = text.lines().skip_while(|line| !line.starts_with("error"));
    let lines: Vec<_> = from_error.take(ERROR_LINES_MAX).collect();
    lines.join("\n")
}
