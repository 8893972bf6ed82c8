use super::*;
use crate::process::Used;
use crate::writes::Written;

fn ran(peak_kib: u64, off: u64) -> Ran {
    let function = FunctionUsed {
        used: Used {
            cpu_ms: 1_000,
            peak_kib,
        },
        invocations: 1_001,
        messages: 501,
        billed_ms: 2_500,
    };
    Ran {
        state: "COMPLETED".to_owned(),
        why: None,
        wall_ms: 0,
        enumerator: function,
        worker: function,
        finalizer: function,
        aws_cpu_ms: 1_500,
        read_units: 0.0,
        write_units: 0.0,
        changed: 0,
        off,
    }
}

fn row(users: usize, who: &str, what: &str, wall_ms: u64) -> Row {
    Row {
        users,
        delay_ms: 0,
        who: who.to_owned(),
        what: what.to_owned(),
        wall_ms,
        cpu_ms: 0,
        peak_kib: 0,
        requests: 1_000,
        ran: (who == OURS).then(|| ran(10_240, 0)),
        written: None,
    }
}

#[test]
fn thousands_are_set_apart() {
    assert_eq!(grouped(7), "7");
    assert_eq!(grouped(1_000), "1,000");
    assert_eq!(grouped(1_234_567), "1,234,567");
}

#[test]
fn a_tenant_under_a_memory_limit_stands_in_every_table_beside_its_own_floor_and_says_so() {
    let results = Results {
        rows: vec![
            row(1_000, DOWNLOAD, "reads all", 10),
            row(1_000, OURS, UNCHANGED, 90),
        ],
        held_to: vec![
            (256, row(1_000_000, DOWNLOAD, "reads all", 6_000)),
            (256, row(1_000_000, OURS, UNCHANGED, 45_000)),
        ],
        ..Results::default()
    };
    let page = tables(&results);
    assert!(page.contains("ran under a memory limit"));
    let held = page
        .lines()
        .filter(|line| line.contains("unchanged, held to 256 MiB"));
    let held: Vec<_> = held.collect();
    // Side by side, the functions, what one user takes, dollars.
    assert_eq!(held.len(), 4, "{held:?}");
    assert!(held.iter().all(|line| line.starts_with("| 1,000,000 | ")));
    assert!(held[0].contains("| 45.00 | 7.50 |"), "{}", held[0]);
    assert!(
        held[1].contains("| 1,503 | 3,003 | 7.50 | 1.50 s |"),
        "{}",
        held[1]
    );
    assert!(page.contains("| 1,000,000 | bare loop, download | reads all | 6.00 | 1.00 |"));
    // Dollars are of the largest tenant alone.
    assert!(!page.contains("| 1,000 | 0 | unchanged |"));
}

#[test]
fn bare_writes_and_a_first_sync_have_the_share_of_what_stands_for_aws() {
    let bare = Row {
        written: Some(Written {
            items: 2_000,
            wall_ms: 1_000,
            aws_cpu_ms: 950,
        }),
        ..row(1_000, WRITER, FIRST, 1_000)
    };
    let results = Results {
        writes: vec![row(1_000, OURS, FIRST, 2_000), bare],
        ..Results::default()
    };
    let wanted = "| 1,000 | 1.00 | 0.95 s | 95 % | 2.00 | 1.50 s | 75 % | 50 % |";
    assert!(writes(&results).contains(wanted), "{}", writes(&results));
}

#[test]
fn a_plan_has_bytes_of_each_of_its_users_as_it_is_made_and_as_it_is_carried_out() {
    let of = |users: usize, what: &str, peak_kib: u64, off: u64| Row {
        ran: Some(ran(peak_kib, off)),
        ..row(users, OURS, what, 1)
    };
    let mut results = Results {
        rows: vec![
            of(1_000, GONE_APPROVED, 1_000, 24),
            of(10_000, UNCHANGED, 2_000, 0),
            of(10_000, GONE_HELD, 2_512, 0),
            of(10_000, GONE_APPROVED, 3_000, 1_024),
        ],
        ..Results::default()
    };
    let told = plan(&results);
    let wanted = "A plan of 1,024 users took the finalizer 512 bytes of each while it was made, and 2048 while";
    assert!(told.starts_with(wanted), "{told}");
    // One tenant alone has nothing to compare a plan with.
    results.rows.remove(0);
    assert_eq!(plan(&results), "");
}

#[test]
fn the_headline_is_of_the_slowest_graph_with_what_it_comes_to_at_the_services_pace() {
    let slow = Row {
        delay_ms: 200,
        ..row(1_000_000, OURS, UNCHANGED, 1)
    };
    let results = Results {
        rows: vec![row(1_000_000, OURS, UNCHANGED, 1), slow],
        ..Results::default()
    };
    let page = tables(&results);
    // 7.5 s are billed, 1,503 messages and 3,003 invocations; and 1,000 answers that come 0.1 and 2.8 s later.
    let wanted = "costs **0.0025 dollars** for a million users where Graph answers after 200 ms. By the formula it \
                  would be 0.0031 with a page at 0.3 s and 0.0211 at 3 s";
    assert!(page.contains(wanted), "{page}");
}
