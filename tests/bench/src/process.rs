//! Processes: what one has used so far, by the kernel's own books, and talking to one in lines.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Linux counts processor time for `/proc` in hundredths of a second, whatever the kernel's own clock.
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
const MS_PER_TICK: u64 = 10;
/// Where user and system time stand in `/proc/PID/stat`, counted from behind the name, which may hold
/// blanks.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Processor time of all its threads, in its own code and in the kernel for it, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory that it ever had in RAM, in kibibytes.
    pub peak_kib: u64,
}

impl Used {
    /// What two processes of one part used: their times add up, and the larger one counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms + other.cpu_ms,
            peak_kib: self.peak_kib.max(other.peak_kib),
        }
    }
}

/// What a process has used. It must not have ended.
///
/// # Errors
/// When there is no such process, or no `/proc`.
pub fn used(pid: u32) -> anyhow::Result<Used> {
    let read = |name: &str| {
        let path = PathBuf::from(format!("/proc/{pid}/{name}"));
        std::fs::read_to_string(&path)
            .with_context(|| format!("{}: the bench needs Linux's /proc", path.display()))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    let fields: Vec<&str> = match stat.rsplit_once(')') {
        Some((_, rest)) => rest.split_whitespace().collect(),
        None => bail!("/proc/{pid}/stat is in no form that is known here"),
    };
    let ticks = |index: usize| -> anyhow::Result<u64> {
        let field = fields.get(index).context("/proc/PID/stat is too short")?;
        Ok(field.parse()?)
    };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next());
    Ok(Used {
        cpu_ms: (ticks(USER_TIME)? + ticks(SYSTEM_TIME)?) * MS_PER_TICK,
        peak_kib: peak.context("/proc/PID/status has no VmHWM")?.parse()?,
    })
}

/// What the kernel holds a process to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// At most so many bytes of data (`RLIMIT_DATA`).
    pub bytes_max: Option<u64>,
    /// One processor of the machine.
    pub processor: Option<usize>,
}

impl Held {
    /// A program that is held so: by `taskset` and `prlimit` of util-linux, for only a program of its own can set
    /// either, or unsafe code.
    #[must_use]
    pub fn command(self, program: &Path) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(processor) = self.processor {
            let processor = processor.to_string().into();
            words.extend(["taskset".into(), "--cpu-list".into(), processor]);
        }
        if let Some(bytes) = self.bytes_max {
            words.extend(["prlimit".into(), format!("--data={bytes}").into()]);
        }
        words.push(program.into());
        let mut command = Command::new(words.remove(0));
        command.args(words);
        command
    }
}

/// A process that says one JSON object a line, and may be asked for more. It ends when its input does,
/// or when this is dropped.
#[derive(Debug)]
pub struct Talker {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Talker {
    /// Starts one.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        let input = child.stdin.take().context("it has no input")?;
        let output = child.stdout.take().context("it has no output")?;
        Ok(Self {
            child,
            input,
            lines: BufReader::new(output).lines(),
            name: name.to_owned(),
        })
    }

    /// The next line that it says, if it says one within so many milliseconds.
    ///
    /// # Errors
    /// When it ends or says something else than JSON.
    pub async fn hear(&mut self, ms_max: u64) -> anyhow::Result<Option<Value>> {
        let line = tokio::time::timeout(Duration::from_millis(ms_max), self.lines.next_line());
        let Ok(line) = line.await else {
            return Ok(None);
        };
        let line = line?.with_context(|| format!("{} ended without a word", self.name))?;
        let said = serde_json::from_str(&line);
        said.map(Some)
            .with_context(|| format!("{} said {line:?}", self.name))
    }

    /// Says a line, and hears the answer.
    ///
    /// # Errors
    /// As [`Talker::hear`], or no answer within so many milliseconds, or one that is an error.
    pub async fn ask(&mut self, line: &str, ms_max: u64) -> anyhow::Result<Value> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = self.hear(ms_max).await?;
        let answer = answer.with_context(|| format!("{} says nothing to {line:?}", self.name))?;
        match answer.get("error") {
            Some(error) => bail!("{} says to {line:?}: {error}", self.name),
            None => Ok(answer),
        }
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// As [`used`].
    pub fn used(&self) -> anyhow::Result<Used> {
        used(self.child.id().context("it has ended")?)
    }

    /// Lets it end, and ends it if it does not.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn end(self, ms_max: u64) -> anyhow::Result<()> {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        let ended = tokio::time::timeout(Duration::from_millis(ms_max), child.wait()).await;
        if ended.is_err() {
            child.kill().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_held_to_its_processor_and_then_to_its_size() {
        let held = Held {
            bytes_max: Some(7),
            processor: Some(1),
        };
        let command = format!("{:?}", held.command(Path::new("/a")).as_std());
        let wanted = r#""taskset" "--cpu-list" "1" "prlimit" "--data=7" "/a""#;
        assert_eq!(command, wanted);
        let free = Held::default().command(Path::new("/a"));
        assert_eq!(format!("{:?}", free.as_std()), r#""/a""#);
    }

    #[test]
    fn this_process_has_a_size_and_two_parts_have_the_larger_one() {
        let own = used(std::process::id()).unwrap();
        assert!(own.peak_kib > 100);
        let both = own.and(Used {
            cpu_ms: 7,
            peak_kib: 1,
        });
        assert_eq!((both.cpu_ms, both.peak_kib), (own.cpu_ms + 7, own.peak_kib));
    }
}
