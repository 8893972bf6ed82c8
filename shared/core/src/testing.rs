//! Small values for the tests of this crate.

use std::collections::BTreeMap;

use crate::batch::BatchState;
use crate::ids::{IdKey, ObjectId, RunRef};
use crate::page::{ChangedSighting, NextPage, PageDigest, PagePayload};
use crate::proof::BatchFact;
use crate::status::SightingOrder;
use crate::user::GraphUser;

pub(crate) fn id(name: &str) -> ObjectId {
    ObjectId::new(name).unwrap()
}

pub(crate) fn run() -> RunRef {
    "t/7".parse().unwrap()
}

pub(crate) fn user(name: &str) -> GraphUser {
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

pub(crate) fn guest(name: &str) -> GraphUser {
    GraphUser {
        user_type: Some("Guest".into()),
        ..user(name)
    }
}

pub(crate) fn order(generation: u32, page: u32, index: u32) -> SightingOrder {
    SightingOrder {
        generation,
        page,
        index,
    }
}

/// Everybody on these pages, as candidates.
pub(crate) fn candidates_on(payloads: &[PagePayload]) -> Vec<IdKey> {
    let changed = payloads.iter().flat_map(|page| &page.changed);
    changed.map(|it| IdKey::of(&run(), it.user.id())).collect()
}

/// A page on which these users are new.
pub(crate) fn payload_of(names: &[&str]) -> PagePayload {
    PagePayload {
        next: NextPage::END,
        seen: Vec::new(),
        changed: (0..)
            .zip(names)
            .map(|(index, name)| ChangedSighting {
                index,
                again: false,
                is_new: false,
                user: user(name).into(),
            })
            .collect(),
    }
}

/// The batches of generation 1 that belong to `payloads`, all done.
pub(crate) fn chain(payloads: &[PagePayload]) -> Vec<BatchFact> {
    let mut previous = None;
    (1..)
        .zip(payloads)
        .map(|(page, payload)| {
            let digest = PageDigest::of(&payload.encode().unwrap());
            BatchFact {
                generation: 1,
                page,
                state: BatchState::Done,
                previous: previous.replace(digest.clone()),
                digest,
                sightings: payload.sightings(),
                counted: Some(payload.sightings()),
            }
        })
        .collect()
}
