//! `explain --from-logs`: the story of runs, from their log lines alone.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rollcall_core::ids::RunRef;

use crate::exit::{Exit, bad_input};
use crate::output::Output;
use crate::story;

/// The largest file that is read, in bytes: some eight hundred thousand lines, which take about five
/// times as much memory.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// Tells of all runs in the file, or of one.
pub(crate) fn run(path: &Path, only: Option<&RunRef>, output: &Output) -> anyhow::Result<Exit> {
    let shown = path.display();
    let mut stories = story::tell(&read(path)?)
        .map_err(|bad| bad_input(format!("{shown}: {bad}; export the lines again, whole")))?;
    if stories.is_empty() {
        return Err(bad_input(format!(
            "{shown} has no log line about a run; give the lines of the functions, as `--logs FILE` \
             or CloudWatch keeps them"
        )));
    }
    if let Some(only) = only {
        stories.retain(|story| story.is_of(only));
        if stories.is_empty() {
            let problem = format!("{shown} has no log line about run {only}");
            return Err(bad_input(problem));
        }
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
