//! The catalogue of Graph's faults, row by row, over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

use rollcall_end_to_end::catalogue::{prove, rows, table};

async fn row(number: u8) {
    let row = rows().into_iter().find(|row| row.number == number).unwrap();
    let mode = row.mode();
    let variants: Vec<_> = row.passing.into_iter().chain(row.lasting).collect();
    let mut wrong = Vec::new();
    // Each in a world of its own, and all at once: most of their time is waiting.
    let proofs: Vec<_> = variants
        .into_iter()
        .map(|variant| tokio::spawn(async move { prove(mode, &variant).await }))
        .collect();
    for proof in proofs {
        if let Err(problem) = proof.await.unwrap() {
            wrong.push(problem.to_string());
        }
    }
    assert!(wrong.is_empty(), "row {number}: {wrong:#?}");
}

macro_rules! row {
    ($name:ident, $number:literal) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            row($number).await;
        }
    };
}

row!(throttling_is_waited_out_or_fails_the_run, 1);
row!(server_errors_are_waited_out_or_fail_the_run, 2);
row!(a_page_token_that_dies_is_renewed_or_fails_the_run, 3);
row!(a_body_that_is_cut_off_is_no_page, 4);
row!(a_body_with_an_error_in_it_is_no_page, 5);
row!(a_body_without_value_is_no_page, 6);
row!(an_empty_page_with_a_next_link_is_followed, 7);
row!(a_next_link_that_repeats_fails_the_run, 8);
row!(a_list_that_lacks_somebody_switches_nobody_off, 9);
row!(a_user_who_stands_there_twice_is_one, 10);
row!(account_enabled_without_a_value_changes_nothing, 11);
row!(a_bearer_that_expires_is_renewed_once, 12);
row!(a_claims_challenge_is_answered_once, 13);
row!(a_denial_fails_the_run, 14);
row!(a_lost_delta_token_makes_a_full_run, 15);
row!(what_a_delta_does_not_tell_stays, 16);
row!(another_host_gets_no_bearer, 17);
row!(a_404_of_one_run_switches_nobody_off, 18);
row!(
    a_token_service_that_is_busy_says_nothing_about_the_credential,
    19
);
row!(a_refused_credential_fails_the_run_at_once, 20);
row!(a_connection_that_breaks_or_hangs_is_tried_again, 21);
row!(a_tenant_that_had_users_does_not_become_empty, 22);

#[test]
fn the_table_in_the_documentation_is_that_of_the_catalogue() {
    let documented = include_str!("../README.md");
    assert!(
        documented.contains(&table()),
        "print it by `cargo run -p rollcall-end-to-end --example faults`, and put it into README.md"
    );
}
