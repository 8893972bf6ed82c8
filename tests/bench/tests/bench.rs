//! The bench on a small tenant: its figures are of runs that did what they should.
#![cfg(target_os = "linux")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rollcall_ambient::Ambient;
use rollcall_bench::cases::{Bench, FIRST, OURS, Row, UNCHANGED, WRITER, measure_writes};
use rollcall_bench::contest::{Outcome, floor};
use rollcall_bench::emulated::{Emulated, Size};
use rollcall_bench::process::Held;
use rollcall_bench::stack::{Binaries, Stack};
use tempfile::TempDir;

const SIZE: Size = Size {
    users: 200,
    page: 50,
    delay_ms: 0,
};

fn bench() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall-bench"))
}

fn binaries() -> Binaries {
    Binaries {
        enumerator: env!("CARGO_BIN_EXE_bench-enumerator").into(),
        worker: env!("CARGO_BIN_EXE_bench-worker").into(),
        finalizer: env!("CARGO_BIN_EXE_bench-finalizer").into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_a_tenant_is_measured_and_every_function_took_part() {
    let readers = [floor(bench(), "download"), floor(bench(), "parse")];
    let binaries = binaries();
    let cases = Bench {
        program: bench(),
        binaries: &binaries,
        readers: &readers,
        held: Held::default(),
        short: false,
        times: 1,
    };
    let mut rows: Vec<Row> = Vec::new();
    let take = |row| {
        rows.push(row);
        Ok(())
    };
    cases.measure(SIZE, take).await.unwrap();
    let ours: Vec<_> = rows.iter().filter(|row| row.who == OURS).collect();
    let what: Vec<_> = ours.iter().map(|row| row.what.as_str()).collect();
    let wanted = [
        "first sync",
        "unchanged",
        "1 % changed",
        "10 % gone, held",
        "10 % gone, approved",
    ];
    assert_eq!(what, wanted);
    let ran: Vec<_> = ours.iter().map(|row| row.ran.as_ref().unwrap()).collect();
    assert_eq!(ran[0].changed, 200);
    assert_eq!(ran[0].worker.messages, 4);
    assert_eq!((ran[1].changed, ran[1].worker.messages), (0, 0));
    assert_eq!(ran[2].changed, 2);
    assert_eq!((ran[3].off, ran[4].off), (0, 20));
    assert!(ran[0].write_units > 200.0 && ran[4].write_units > 20.0);
    // The pages, a login and what the system asks besides.
    let floor = rows.iter().find(|row| row.who != OURS).unwrap();
    assert_eq!(floor.requests, 5);
    assert!(ours[1].requests > floor.requests);
    let idle = ran.iter().flat_map(|it| it.functions());
    let idle = idle.filter(|(_, it)| it.used.peak_kib < 1_000);
    assert_eq!(idle.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_is_measured_on_a_warm_emulator_and_the_median_is_told_once() {
    let folder = TempDir::new().unwrap();
    let (counted, count) = (folder.path().join("counted"), folder.path().join("count"));
    let script = format!(
        "#!/bin/sh\necho >> '{}'\nexec '{}' \"$@\"\n",
        count.display(),
        bench().display()
    );
    std::fs::write(&counted, script).unwrap();
    std::fs::set_permissions(&counted, Permissions::from_mode(0o755)).unwrap();
    let (readers, binaries) = ([floor(&counted, "download")], binaries());
    let cases = Bench {
        program: bench(),
        binaries: &binaries,
        readers: &readers,
        held: Held::default(),
        short: true,
        times: 3,
    };
    let mut rows: Vec<Row> = Vec::new();
    let take = |row| {
        rows.push(row);
        Ok(())
    };
    cases.measure(SIZE, take).await.unwrap();
    let what: Vec<_> = rows.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(what, ["reads all", FIRST, UNCHANGED]);
    assert_eq!(
        std::fs::read_to_string(&count).unwrap().lines().count(),
        1 + 3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bare_writes_are_every_user_with_his_image_and_what_the_run_left_besides() {
    let emulated = Emulated::start(bench(), SIZE).await.unwrap();
    let stack = Stack::start(&emulated.access, binaries()).await.unwrap();
    let (ran, _) = stack.sync().await.unwrap();
    assert_eq!(ran.changed, 200);
    let (written, used) = stack.write_again(bench()).await.unwrap();
    // Four batches, their pages, the run, its settings, its plan, the head and the tenant.
    let besides = written.items - 2 * 200;
    assert!((10..30).contains(&besides), "{besides}");
    assert!(used.peak_kib > 1_000);
    assert!(written.aws_cpu_ms > 0);
    emulated.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_is_measured_beside_its_bare_writes_with_everybody_on_one_processor() {
    let mut rows: Vec<Row> = Vec::new();
    let take = |row| {
        rows.push(row);
        Ok(())
    };
    let others = Held {
        bytes_max: None,
        processor: Some(0),
    };
    measure_writes(bench(), &binaries(), SIZE, others, take)
        .await
        .unwrap();
    let who: Vec<_> = rows.iter().map(|row| row.who.as_str()).collect();
    assert_eq!(who, [OURS, WRITER]);
    assert!(rows.iter().all(|row| row.wall_ms > 0));
    // The tables show it of both.
    assert!(rows.iter().all(|row| row.aws_cpu_ms().is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_ends_early_costs_whoever_believes_it_and_not_us() {
    let mut emulated = Emulated::start(bench(), SIZE).await.unwrap();
    let enabled = emulated.enabled().await.unwrap();
    let stack = Stack::start(&emulated.access, binaries()).await.unwrap();
    assert_eq!(stack.sync().await.unwrap().0.state, "COMPLETED");
    assert_eq!(stack.on().await.unwrap().len(), enabled.len());

    let rule = "users page 3 always: next-link missing";
    emulated.play(rule).await.unwrap();
    let (naive, ambient) = (floor(bench(), "parse"), Ambient::system());
    let read = naive.read(&emulated.access, true, 30_000, &ambient);
    let Outcome::Gave { ids, .. } = read.await.unwrap().outcome else {
        panic!("the bare loop does not see it");
    };
    assert!(ids.len() < enabled.len() - 40);

    let (ran, _) = stack.sync().await.unwrap();
    assert!(emulated.requests().await.unwrap().faulted > 1);
    let on = stack.on().await.unwrap();
    assert!(enabled.iter().all(|id| on.contains(id)), "{}", ran.state);
    emulated.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_held_to_too_small_a_size_ends_the_bench() {
    let emulated = Emulated::start(bench(), SIZE).await.unwrap();
    let mut stack = Stack::start(&emulated.access, binaries()).await.unwrap();
    stack.hold(Held {
        bytes_max: Some(1 << 20),
        processor: None,
    });
    assert!(stack.sync().await.is_err());
}

/// The script in a place where it can keep nothing: past its checks it ends at once.
fn script(
    on_one_processor: bool,
    argument: Option<&str>,
) -> std::io::Result<(Option<i32>, String)> {
    let mut command = match on_one_processor {
        true => Command::new("taskset"),
        false => Command::new("bash"),
    };
    if on_one_processor {
        command.args(["--cpu-list", "0", "bash"]);
    }
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/run");
    command.arg(run).args(argument);
    let output = command.env("XDG_CACHE_HOME", "/dev/null").output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), said))
}

#[test]
fn the_script_refuses_an_argument_that_it_does_not_know_and_a_machine_that_is_too_small() {
    let (code, said) = script(false, Some("--thousand")).unwrap();
    assert_eq!(
        (code, said.trim()),
        (Some(2), "usage: tests/bench/run [--million]")
    );
    let (code, said) = script(true, None).unwrap();
    assert_eq!(code, Some(1));
    assert!(said.starts_with("tests/bench/run: needs "), "{said}");
}
