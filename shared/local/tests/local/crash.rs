//! Killed at any moment, the process leaves everything that DynamoDB had answered, whole.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_local::LocalError;

use crate::{create_table, exists, put_all, start, until};

const DIR: &str = "ROLLCALL_CRASH_TEST_DIR";
/// The test below, by the name that its program knows it by.
const TEST: &str = "crash::a_killed_process_leaves_all_that_was_answered_and_nothing_half_done";
const ROUNDS: u64 = 5;
/// How many items go into one transaction.
const WIDTH: u64 = 20;

/// Writes numbered transactions for ever and notes each that was answered.
async fn write_until_killed(dir: &Path) {
    let aws = start(Some(&dir.join("data"))).await.unwrap();
    if answered(dir) == 0 {
        create_table(aws.dynamodb()).await;
    }
    for number in answered(dir) + 1.. {
        put_all(aws.dynamodb(), &ids(number)).await;
        // Renamed into place, so that the reader never sees half a number.
        std::fs::write(dir.join("next"), number.to_string()).unwrap();
        std::fs::rename(dir.join("next"), dir.join("answered")).unwrap();
    }
}

/// The test is two processes: it starts itself again as the writer, and kills that.
#[tokio::test]
async fn a_killed_process_leaves_all_that_was_answered_and_nothing_half_done() {
    if let Ok(dir) = std::env::var(DIR) {
        return write_until_killed(Path::new(&dir)).await;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let data = dir.join("data");
    let ambient = Ambient::system();
    for round in 0..ROUNDS {
        let before = answered(dir);
        let mut writer = Writer::start(dir);
        until("the writer writes", async || answered(dir) > before + 3).await;
        if round == 0 {
            let error = start(Some(&data)).await.unwrap_err();
            assert!(matches!(error, LocalError::DirInUse { .. }), "{error}");
        }
        tokio::time::sleep(Duration::from_millis(ambient.random_up_to(40))).await;
        writer.kill();

        let last = answered(dir);
        let aws = start(Some(&data)).await.unwrap();
        for number in 1..=last {
            for id in ids(number) {
                assert!(exists(aws.dynamodb(), &id).await, "{id} of {last} is lost");
            }
        }
        // The one under way was answered or not; it must be there as a whole or not at all.
        let mut there = Vec::new();
        for id in ids(last + 1) {
            there.push(exists(aws.dynamodb(), &id).await);
        }
        assert!(there.iter().all(|one| *one == there[0]), "{there:?}");
        aws.shutdown().await;
    }
}

fn ids(number: u64) -> Vec<String> {
    (0..WIDTH).map(|part| format!("{number}-{part}")).collect()
}

fn answered(dir: &Path) -> u64 {
    let text = std::fs::read_to_string(dir.join("answered"));
    text.map_or(0, |text| text.parse().unwrap())
}

struct Writer(Child);

impl Writer {
    fn start(dir: &Path) -> Self {
        let writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST])
            .env(DIR, dir)
            // Loopback must not go through a proxy, whatever the machine is set up for.
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("http_proxy", "http://127.0.0.1:9")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(writer)
    }

    /// SIGKILL, on Unix.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
