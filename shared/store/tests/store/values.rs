//! Small values: settings, users, pages, plans.

use std::collections::BTreeMap;

use rollcall_core::batch::BatchState;
use rollcall_core::evidence::{Evidence, RequestId, Streak};
use rollcall_core::guard::{GuardKind, PlanNumbers, Trip};
use rollcall_core::ids::{IdKey, ObjectId, RunRef};
use rollcall_core::members::Members;
use rollcall_core::page::{ChangedSighting, NextPage, PageDigest, PagePayload};
use rollcall_core::plan::Plan;
use rollcall_core::proof::{BatchFact, Seal, Sightings, prove};
use rollcall_core::reconcile::Candidate;
use rollcall_core::run::RunMode;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{ChangeKind, LastChange, Reason, SightingOrder, Status, StoredUser};
use rollcall_core::user::GraphUser;
use rollcall_store::{Held, RunTotals, StoredPlan, UserWrite};
use serde_json::json;

use crate::world::START_MS;

pub(crate) fn id(name: &str) -> ObjectId {
    ObjectId::new(name).unwrap()
}

pub(crate) fn settings(tenant: &str) -> TenantSettings {
    serde_json::from_value(json!({
        "id": tenant,
        "directory_id": "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
        "client_id": "6babcaad-604b-40ac-a9d7-9fd97c0b7790",
        "cloud": "global",
        "credential": { "kind": "secret", "env": "SECRET" },
    }))
    .unwrap()
}

/// The same tenant, with longer leases.
pub(crate) fn other_settings(tenant: &str) -> TenantSettings {
    let mut settings = settings(tenant);
    settings.limits.lease_seconds = 61;
    settings
}

pub(crate) fn graph_user(name: &str) -> GraphUser {
    GraphUser {
        id: id(name),
        user_principal_name: Some(format!("{name}@contoso.com")),
        mail: None,
        display_name: None,
        account_enabled: Some(true),
        user_type: Some("Member".into()),
        attributes: BTreeMap::new(),
        in_groups: None,
    }
}

const fn order(page: u32, index: u32) -> SightingOrder {
    SightingOrder {
        generation: 1,
        page,
        index,
    }
}

/// A user as run `run` created him.
pub(crate) fn new_user(run: &RunRef, name: &str) -> StoredUser {
    StoredUser {
        id: id(name),
        status: Status::Active,
        reason: Reason::Present,
        status_run: Some(run.run),
        status_at_ms: START_MS,
        user_principal_name: Some(format!("{name}@contoso.com")),
        mail: Some(format!("{name}@mail.contoso.com")),
        display_name: Some(format!("The {name}")),
        account_enabled: Some(true),
        user_type: Some("Member".into()),
        in_scope: true,
        attributes: BTreeMap::from([("team".into(), "red".into())]),
        version: 1,
        last_change: Some(LastChange {
            run: run.run,
            order: order(1, 0),
            kind: ChangeKind::Created,
            counted_by: (1, 1),
        }),
        decided_version: None,
    }
}

pub(crate) fn created(run: &RunRef, name: &str) -> UserWrite {
    UserWrite {
        before: None,
        after: new_user(run, name),
    }
}

/// The next write of a user, by `run`, with a change.
pub(crate) fn changed(
    run: &RunRef,
    before: &StoredUser,
    change: impl FnOnce(&mut StoredUser),
) -> UserWrite {
    let mut after = before.clone();
    change(&mut after);
    after.version += 1;
    after.last_change = Some(LastChange {
        run: run.run,
        order: order(1, 0),
        kind: ChangeKind::Updated,
        counted_by: (1, 1),
    });
    UserWrite {
        before: Some(before.clone()),
        after,
    }
}

/// The last page, with these users new on it.
pub(crate) fn page_of(names: &[&str]) -> PagePayload {
    PagePayload {
        next: NextPage::END,
        seen: Vec::new(),
        changed: (0..)
            .zip(names)
            .map(|(index, name)| ChangedSighting {
                again: false,
                is_new: false,
                index,
                user: graph_user(name).into(),
            })
            .collect(),
    }
}

/// A page on which nothing was new, with a page to come.
pub(crate) fn page_before_others() -> PagePayload {
    PagePayload {
        next: NextPage::Users("https://graph.example/v1.0/users?$skiptoken=x".into()),
        ..last_page()
    }
}

/// These users as the members of the scope's groups.
pub(crate) fn members_of(run: &RunRef, names: &[&str]) -> Members {
    let listed: Vec<_> = names.iter().map(|name| id(name)).collect();
    let mut members = Members::new();
    members.add(run, &listed);
    members
}

/// The last page, with nothing new on it.
pub(crate) fn last_page() -> PagePayload {
    PagePayload {
        next: NextPage::END,
        seen: vec![7, 8],
        changed: Vec::new(),
    }
}

/// A plan that switches these users off at these versions.
pub(crate) fn plan(run: &RunRef, users: &[(ObjectId, u64)]) -> StoredPlan {
    let payload = PagePayload {
        changed: (0..)
            .zip(users)
            .map(|(index, (id, _))| ChangedSighting {
                again: false,
                is_new: false,
                index,
                user: GraphUser {
                    id: id.clone(),
                    ..graph_user("x")
                }
                .into(),
            })
            .collect(),
        ..last_page()
    };
    let digest = PageDigest::of(&payload.encode().unwrap());
    let batch = BatchFact {
        generation: 1,
        page: 1,
        state: BatchState::Done,
        digest: digest.clone(),
        previous: None,
        sightings: payload.sightings(),
        counted: Some(payload.sightings()),
    };
    let seal = Seal {
        mode: RunMode::Full,
        generation: 1,
        pages: 1,
        sightings: payload.sightings(),
        last_digest: digest.clone(),
        earlier_pages: 0,
    };
    let mut sightings = Sightings::new(users.iter().map(|(id, _)| IdKey::of(run, id)));
    sightings.add_sealed(run, &batch, digest, &payload);
    let proof = prove(run.clone(), seal, &[batch], sightings).unwrap();
    let evidence = (0..)
        .zip(users)
        .map(|(index, (id, version))| {
            let candidate = Candidate {
                id: id.clone(),
                reason: Reason::Disabled,
                order: order(1, index),
                by_groups: false,
            };
            (
                Evidence::from_candidate(&proof, &candidate, &RequestId::default()).unwrap(),
                *version,
            )
        })
        .collect();
    StoredPlan {
        plan: Plan::new(&proof, evidence),
        numbers: PlanNumbers {
            users_seen: 10,
            users_seen_before: Some(11),
            active: 9,
            deactivations: users.len() as u64,
            whole_domain: 1,
            off_in_window: 7,
        },
        totals: totals(),
        canaries: Vec::new(),
    }
}

pub(crate) fn totals() -> RunTotals {
    RunTotals {
        batches: 3,
        users_seen: 42,
        ..RunTotals::default()
    }
}

pub(crate) fn held() -> Held {
    Held {
        trip: Trip {
            guard: GuardKind::Count,
            limit: 500.0,
            value: 501.0,
        },
        plan: "abc".into(),
        deactivations: 501,
    }
}

/// A streak that no run before it counts for.
pub(crate) fn streak(run: u64, runs: u32) -> Streak {
    Streak {
        run,
        runs,
        proven: None,
    }
}
