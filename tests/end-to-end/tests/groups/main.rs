//! A scope of groups, nested ones too: who is in one belongs; who left is asked about by id before he
//! goes; and a group that cannot be read, or reads empty, fails the run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]

mod canaries;
mod lists;
mod people;

use rollcall_core::run::{FailReason, RunMode, RunState};
use rollcall_core::status::{Reason, Status, StoredUser};
use rollcall_end_to_end::{World, object_id};
use rollcall_graph_emulator::{Endpoint, Fault, FaultRule, Matcher, Member, Paging, Population};
use rollcall_store::RunRecord;
use serde_json::{Value, json};
use uuid::Uuid;

const USERS: usize = 40;

/// A tenant of members whose scope is one group. The first users are in it, the next in a group within
/// it, and the last ten in none.
struct Grouped {
    world: World,
    ids: Vec<Uuid>,
    outer: Uuid,
    inner: Uuid,
}

/// Whoever is in the outer group itself.
const OUTER: std::ops::Range<usize> = 0..20;
/// Whoever is in the group within it.
const INNER: std::ops::Range<usize> = 20..30;

impl Grouped {
    /// Before the first run.
    async fn new() -> Self {
        let population = Population {
            guests: 0.0,
            disabled: 0.0,
            ..Population::new("contoso.com", 23, USERS)
        };
        let world = World::start_with(population, &json!({})).await.unwrap();
        world.tenant.set_paging(Paging {
            page_size_max: 10,
            ..world.tenant.paging()
        });
        let (ids, outer, inner) = {
            let mut directory = world.tenant.directory();
            let ids: Vec<_> = directory.users().map(|user| user.id).collect();
            let (outer, inner) = (directory.add_group(), directory.add_group());
            for (group, members) in [(outer, OUTER), (inner, INNER)] {
                for id in &ids[members] {
                    directory.add_member(group, Member::User(*id)).unwrap();
                }
            }
            directory.add_member(outer, Member::Group(inner)).unwrap();
            (ids, outer, inner)
        };
        let grouped = Self {
            world,
            ids,
            outer,
            inner,
        };
        grouped.scope_is(&[outer], json!({})).await;
        grouped
    }

    /// After a first run.
    async fn synced() -> Self {
        let grouped = Self::new().await;
        let run = grouped.sync().await;
        assert_eq!(run.state, RunState::Completed, "{run:?}");
        assert_eq!(run.totals.unwrap().changes.created, 30);
        grouped
    }

    async fn scope_is(&self, groups: &[Uuid], guards: Value) {
        let groups: Vec<_> = groups.iter().map(Uuid::to_string).collect();
        let settings = json!({
            "scope": { "groups": groups },
            "guards": guards,
            // Long enough for as many attempts as an answer may be broken, on a busy machine too.
            "limits": { "graph_retry_seconds_max": 6, "lease_seconds": 2 },
        });
        self.world.put_settings(&settings).await.unwrap();
    }

    async fn sync(&self) -> RunRecord {
        self.world.graph().clear_log();
        self.world.sync().await.unwrap()
    }

    /// A delta run.
    async fn delta(&self) -> RunRecord {
        self.world.graph().clear_log();
        let run = self.world.sync_in(RunMode::Delta).await.unwrap();
        assert_eq!(run.mode, RunMode::Delta, "{run:?}");
        run
    }

    fn requests(&self, endpoint: Endpoint) -> u64 {
        self.world.graph().requests(endpoint)
    }

    fn fault(&self, when: Matcher, fault: Fault) {
        self.world
            .graph()
            .add_fault(FaultRule::forever(when, fault));
    }

    fn leave(&self, group: Uuid, user: Uuid) {
        let mut directory = self.world.tenant.directory();
        directory.remove_member(group, Member::User(user)).unwrap();
    }

    fn join(&self, group: Uuid, user: Uuid) {
        let mut directory = self.world.tenant.directory();
        directory.add_member(group, Member::User(user)).unwrap();
    }

    fn rename(&self, user: Uuid) {
        let name = format!("renamed.{}@contoso.com", user.simple());
        let mut directory = self.world.tenant.directory();
        directory.rename(user, &name, "Renamed").unwrap();
    }

    async fn stored(&self, id: Uuid) -> Option<StoredUser> {
        let users = self.world.users().await.unwrap();
        users.get(&object_id(id).unwrap()).cloned()
    }

    async fn is(&self, id: Uuid, status: Status, reason: Reason) {
        let user = self.stored(id).await.unwrap();
        assert_eq!((user.status, user.reason), (status, reason), "{user:?}");
    }

    /// The run fails for this reason, nobody is switched off, and without the fault the next run works.
    async fn fails(&self, reason: FailReason) -> RunRecord {
        let before = self.world.users().await.unwrap();
        let run = self.sync().await;
        assert_eq!(
            (run.state, run.reason),
            (RunState::Failed, Some(reason)),
            "{run:?}"
        );
        assert_eq!(self.world.users().await.unwrap(), before);
        run
    }
}
