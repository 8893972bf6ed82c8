//! Processes that are started, waited for no longer than a bound, and ended if they take longer.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

/// How often a process is looked at, in milliseconds: short beside the shortest of them.
const LOOK_MS: u64 = 20;

/// Runs `command` with its output in `log` (and `log` with `.err`). `None` when it took longer than
/// `seconds_max`, and was ended.
pub(super) fn run(
    command: &mut Command,
    log: &Path,
    seconds_max: u64,
) -> Result<Option<ExitStatus>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = |path: &Path| {
        File::create(path).with_context(|| format!("{} cannot be written", path.display()))
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(file(log)?)
        .stderr(file(&log.with_extension("err"))?)
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    wait(child, seconds_max).with_context(|| format!("{program} cannot be waited for"))
}

fn wait(mut child: Child, seconds_max: u64) -> Result<Option<ExitStatus>> {
    for _ in 0..seconds_max * 1_000 / LOOK_MS {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(Duration::from_millis(LOOK_MS));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
