//! Tests of who left the groups, and of what a worker and the enumerator make of membership.

use crate::delta::{DeltaUser, Removal};
use crate::evidence::{Evidence, Leaver, Membership, RequestId, Resolution, Told};
use crate::page::{ChangedSighting, PagePayload, Sighted};
use crate::proof::{CompletenessProof, Seal, Sightings, prove};
use crate::reconcile::{Candidate, SightingContext, is_unchanged};
use crate::run::RunMode;
use crate::scope::Scope;
use crate::settings::Guid;
use crate::status::{Reason, Status, StoredUser};
use crate::testing::{candidates_on, chain, id, order, payload_of, run, user};
use crate::user::{AttributeMap, GraphUser};

fn proof(payloads: &[PagePayload]) -> CompletenessProof {
    let batches = chain(payloads);
    let seal = Seal {
        mode: RunMode::Full,
        generation: 1,
        pages: u32::try_from(payloads.len()).unwrap(),
        sightings: payloads.iter().map(PagePayload::sightings).sum(),
        last_digest: batches.last().unwrap().digest.clone(),
        earlier_pages: 0,
    };
    let mut sightings = Sightings::new(candidates_on(payloads));
    for (batch, payload) in batches.iter().zip(payloads) {
        sightings.add_sealed(&run(), batch, batch.digest.clone(), payload);
    }
    prove(run(), seal, &batches, sightings).unwrap()
}

fn request(id: &str) -> RequestId {
    Some(id.to_owned()).into()
}

fn candidate(page: u32) -> Candidate {
    Candidate {
        id: id("a"),
        reason: Reason::OutOfScope,
        order: order(1, page, 0),
        by_groups: true,
    }
}

fn leaver(proof: &CompletenessProof, candidate: &Candidate) -> Option<Leaver> {
    Leaver::of(proof, candidate, &request("page"))
}

// The August incident, o365-moodle#2048, gitea#4402: not to be in a list was taken for having left.
#[test]
fn not_to_be_in_a_list_of_members_is_no_evidence_but_a_question() {
    let proof = proof(&[payload_of(&["a"])]);
    let page = request("page");
    assert_eq!(Evidence::from_candidate(&proof, &candidate(1), &page), None);
    let leaver = leaver(&proof, &candidate(1)).unwrap();
    let told = |what| {
        leaver.resolve(Some(&Told {
            what,
            request: request("by-id"),
        }))
    };
    assert_eq!(
        told(Membership::In),
        Resolution::Contradicted(request("by-id"))
    );
    assert_eq!(told(Membership::NoUser), Resolution::Unanswered);
    assert_eq!(leaver.resolve(None), Resolution::Unanswered);
    let Resolution::Evident(evidence) = told(Membership::Out) else {
        panic!("no evidence");
    };
    assert_eq!(
        (evidence.id(), evidence.reason()),
        (&id("a"), Reason::OutOfScope)
    );
    assert_eq!(
        evidence.detail(),
        "seen at 1/1/0, request page; in none of the scope's groups by id, request by-id"
    );
}

#[test]
fn a_leaver_is_one_by_his_last_sighting_and_for_the_groups_alone() {
    let twice = proof(&[payload_of(&["a"]), payload_of(&["a"])]);
    assert_eq!(leaver(&twice, &candidate(1)), None);
    assert!(leaver(&twice, &candidate(2)).is_some());
    for other in [
        Candidate {
            by_groups: false,
            ..candidate(2)
        },
        Candidate {
            reason: Reason::Disabled,
            ..candidate(2)
        },
    ] {
        assert_eq!(leaver(&twice, &other), None, "{other:?}");
    }
    // Whoever is told to be removed is judged by that.
    let removed = Sighted::Part(DeltaUser {
        removed: Some(Removal::Bin),
        ..DeltaUser::new(id("a"))
    });
    let removal = PagePayload {
        changed: vec![ChangedSighting {
            index: 0,
            again: false,
            is_new: false,
            user: removed,
        }],
        ..payload_of(&[])
    };
    assert_eq!(leaver(&proof(&[removal]), &candidate(1)), None);
}

fn grouped() -> Scope {
    let group = "6babcaad-604b-40ac-a9d7-9fd97c0b779f".to_owned();
    let group = Guid::try_from(group).unwrap();
    Scope {
        groups: vec![id(group.as_str())],
        ..Scope::default()
    }
}

fn with(in_groups: Option<bool>) -> GraphUser {
    GraphUser {
        in_groups,
        ..user("a")
    }
}

fn stored(scope: &Scope) -> StoredUser {
    let mut stored = context(scope)
        .decide(&with(Some(true)), None)
        .write
        .unwrap();
    stored.last_change = None;
    stored
}

fn context(scope: &Scope) -> SightingContext<'_> {
    SightingContext {
        run: 7,
        order: order(1, 1, 0),
        scope,
        now_ms: 1_000,
    }
}

#[test]
fn who_joined_or_left_a_group_is_never_unchanged() {
    let scope = grouped();
    let on = stored(&scope);
    let off = StoredUser {
        status: Status::Inactive,
        reason: Reason::OutOfScope,
        in_scope: false,
        ..on.clone()
    };
    let unchanged = |in_groups, stored: Option<&StoredUser>| {
        let standing = stored.map(StoredUser::standing);
        is_unchanged(&with(in_groups), &scope, standing.as_ref())
    };
    assert!(unchanged(Some(true), Some(&on)) && unchanged(Some(false), Some(&off)));
    assert!(!unchanged(Some(false), Some(&on)) && !unchanged(Some(true), Some(&off)));
    assert!(unchanged(Some(false), None) && !unchanged(Some(true), None));
    for before in [Some(&on), Some(&off), None] {
        assert!(!unchanged(None, before));
    }
}

#[test]
fn a_worker_marks_whom_the_groups_alone_put_out_and_writes_nothing_of_it() {
    let scope = grouped();
    let on = stored(&scope);
    let decision = context(&scope).decide(&with(Some(false)), Some(&on));
    assert_eq!(decision.write, None);
    assert_eq!(decision.candidate, Some(candidate(1)));
    let guest = GraphUser {
        user_type: Some("Guest".into()),
        ..with(Some(false))
    };
    let decision = context(&scope).decide(&guest, Some(&on));
    assert!(!decision.candidate.unwrap().by_groups);
    let unknown = context(&scope).decide(&with(None), Some(&on));
    assert!(unknown.unknown && unknown.candidate.is_none() && unknown.write.is_none());
}

#[test]
fn a_part_carries_membership_and_the_last_word_on_it_stands() {
    let mut part = DeltaUser::of(&with(Some(true)), &AttributeMap::new());
    assert_eq!(part.in_groups, Some(true));
    let silent = DeltaUser::new(id("a"));
    part.then(silent.clone());
    assert_eq!(part.in_groups, Some(true));
    part.then(DeltaUser {
        in_groups: Some(false),
        ..silent
    });
    let whole = part.whole(None, &AttributeMap::new());
    assert_eq!(whole.in_groups, Some(false));
}

#[test]
fn without_groups_a_user_and_a_candidate_are_written_as_ever() {
    let written = serde_json::to_string(&user("a")).unwrap();
    assert_eq!(
        written,
        r#"{"i":"a","u":"a@contoso.com","e":true,"t":"Member"}"#
    );
    let plain = Candidate {
        by_groups: false,
        ..candidate(1)
    };
    let written = serde_json::to_string(&plain).unwrap();
    assert!(!written.contains("by_groups"), "{written}");
    assert_eq!(serde_json::from_str::<Candidate>(&written).unwrap(), plain);
    let part = serde_json::to_string(&DeltaUser::new(id("a"))).unwrap();
    assert_eq!(part, r#"{"i":"a"}"#);
}
