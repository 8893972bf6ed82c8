//! Answers about somebody's groups that name none, for anybody: what an application is told that may not
//! look into them.

use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_core::status::{Reason, Status};
use rollcall_graph_emulator::{Endpoint, Matcher, Member};
use rollcall_store::RunRecord;
use serde_json::json;
use uuid::Uuid;

use crate::{Grouped, INNER, OUTER};

/// One who left the group by its list is asked about; from that moment on no answer names a group.
async fn with_hidden_groups(mode: RunMode) -> (Grouped, Uuid, RunRecord) {
    let grouped = Grouped::synced().await;
    let leaver = grouped.ids[3];
    grouped.leave(grouped.outer, leaver);
    grouped.rename(leaver);
    let (outer, inner) = (grouped.outer, grouped.inner);
    let ids = grouped.ids.clone();
    let question = Matcher::endpoint(Endpoint::Batch);
    let graph = grouped.world.graph();
    graph.before(&grouped.world.tenant, question, move |directory| {
        for (group, members) in [(outer, OUTER), (inner, INNER)] {
            for id in &ids[members] {
                directory.remove_member(group, Member::User(*id)).unwrap();
            }
        }
    });
    let run = match mode {
        RunMode::Full => grouped.sync().await,
        RunMode::Delta => grouped.delta().await,
    };
    (grouped, leaver, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_which_no_answer_names_a_group_fails_and_switches_nobody_off() {
    for mode in [RunMode::Full, RunMode::Delta] {
        let (grouped, leaver, run) = with_hidden_groups(mode).await;
        let ended = (run.state, run.reason);
        let expected = (RunState::Failed, Some(FailReason::GroupUnavailable));
        assert_eq!(ended, expected, "{run:?}");
        let detail = run.detail.unwrap();
        assert!(detail.contains("GroupMember.Read.All"), "{detail}");
        grouped.is(leaver, Status::Active, Reason::Present).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_whose_groups_have_nobody_who_is_on_fails_the_run_by_name() {
    let grouped = Grouped::synced().await;
    let other = grouped.world.tenant.directory().add_group();
    let disabled = grouped.ids[35];
    grouped.join(other, disabled);
    {
        let mut directory = grouped.world.tenant.directory();
        directory
            .set_account_enabled(disabled, Some(false))
            .unwrap();
    }
    grouped.scope_is(&[other], json!({})).await;
    let run = grouped.sync().await;
    let ended = (run.state, run.reason);
    let expected = (RunState::Failed, Some(FailReason::GroupUnavailable));
    assert_eq!(ended, expected, "{run:?}");
    let detail = run.detail.unwrap();
    assert!(
        detail.contains("29 others are in none of the scope's groups"),
        "{detail}"
    );
    assert_eq!(grouped.world.active().await.unwrap(), 30);
}
