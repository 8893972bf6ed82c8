//! Tests of what is evidence, and what is not.

use super::*;
use crate::delta::{DeltaUser, Removal};
use crate::page::{ChangedSighting, PagePayload, Sighted};
use crate::plan::Plan;
use crate::proof::{Seal, Sightings, prove};
use crate::run::RunMode;
use crate::testing::{candidates_on, chain, id, order, payload_of, run, user};

const RULE: StreakRule = StreakRule {
    run: 7,
    last_proven_run: Some(6),
    confirmed_by: 2,
};

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

fn absence() -> Absence {
    proof(&[payload_of(&["seen"])])
        .absence(&id("gone"))
        .unwrap()
}

fn not_found() -> Answers {
    Answers {
        by_id: told_by_id(Existence::NotFound),
        ..Answers::default()
    }
}

fn request(id: &str) -> RequestId {
    Some(id.to_owned()).into()
}

fn from_candidate(proof: &CompletenessProof, candidate: &Candidate) -> Option<Evidence> {
    Evidence::from_candidate(proof, candidate, &request("page"))
}

fn told_by_id(what: Existence) -> BTreeMap<ObjectId, Told<Existence>> {
    let request = request("by-id");
    BTreeMap::from([(id("gone"), Told { what, request })])
}

fn in_list(by: &str) -> BTreeMap<ObjectId, RequestId> {
    BTreeMap::from([(id("gone"), request(by))])
}

#[test]
fn absence_alone_is_no_evidence() {
    let resolution = resolve(&absence(), &Answers::default(), None, RULE);
    assert_eq!(resolution, Resolution::Unanswered);
}

#[test]
fn found_alive_contradicts_whatever_else_was_said() {
    let answers = Answers {
        alive: in_list("alive"),
        deleted: in_list("bin"),
        ..not_found()
    };
    assert_eq!(
        resolve(&absence(), &answers, None, RULE),
        Resolution::Contradicted(request("alive"))
    );
    let by_id = Answers {
        by_id: told_by_id(Existence::Found),
        deleted: in_list("bin"),
        ..Answers::default()
    };
    assert_eq!(
        resolve(&absence(), &by_id, None, RULE),
        Resolution::Contradicted(request("by-id"))
    );
}

#[test]
fn listed_as_deleted_is_evidence_at_once() {
    let answers = Answers {
        deleted: in_list("bin"),
        ..Answers::default()
    };
    let Resolution::Evident(evidence) = resolve(&absence(), &answers, None, RULE) else {
        panic!("no evidence");
    };
    assert_eq!(evidence.reason(), Reason::Deleted);
    assert_eq!(evidence.detail(), "listed in deletedItems, request bin");
}

#[test]
fn not_found_counts_only_when_the_last_proven_run_said_so_too() {
    let judge = |streak| resolve(&absence(), &not_found(), streak, RULE);
    let streak = |run, runs, proven| Streak { run, runs, proven };
    let first = streak(7, 1, None);
    let awaiting = || Resolution::Awaiting(first, request("by-id"));
    assert_eq!(judge(None), awaiting());
    // Run 5 recorded it, but run 6, the last proven one, saw the user.
    let broken = Some(streak(5, 1, None));
    assert_eq!(judge(broken), awaiting());
    // A run saw the user after run 6 did not, and was never proven.
    assert_eq!(judge(Some(streak(6, 0, None))), awaiting());
    // This very run recorded it, was interrupted, and asks again.
    assert_eq!(judge(Some(first)), awaiting());
    let agreed = judge(Some(streak(6, 1, None)));
    let Resolution::Evident(evidence) = agreed else {
        panic!("no evidence");
    };
    assert_eq!(evidence.reason(), Reason::NotFound);
    let detail = "not found by id in 2 complete runs, request by-id";
    assert_eq!(evidence.detail(), detail);
}

#[test]
fn a_run_that_was_never_proven_neither_counts_nor_breaks_a_streak() {
    // Run 6 was proven; run 7 found the same, and was held. Run 8 counts from run 6.
    let rule = |run| StreakRule { run, ..RULE };
    let by_six = Streak {
        run: 6,
        runs: 1,
        proven: None,
    };
    let by_seven = rule(7).extend(Some(by_six));
    assert_eq!(by_seven.runs, 2);
    assert_eq!(rule(8).extend(Some(by_seven)).runs, 2);
    // Run 7 saw the user, and was held: run 8 begins anew.
    assert_eq!(rule(8).extend(Some(rule(7).reset())).runs, 1);
}

#[test]
fn a_candidate_that_is_not_the_last_sighting_of_its_id_is_dropped() {
    let proof = proof(&[payload_of(&["a", "b"]), payload_of(&["a"])]);
    let candidate = |name: &str, page, index| Candidate {
        id: id(name),
        reason: Reason::Disabled,
        order: order(1, page, index),
        by_groups: false,
    };
    let evidence = from_candidate(&proof, &candidate("b", 1, 1)).unwrap();
    assert_eq!(evidence.detail(), "seen at 1/1/1, request page");
    assert!(from_candidate(&proof, &candidate("a", 1, 0)).is_none());
    assert!(from_candidate(&proof, &candidate("a", 2, 0)).is_some());
    assert!(from_candidate(&proof, &candidate("never", 1, 0)).is_none());
}

fn told(name: &str, removed: Option<Removal>) -> Sighted {
    Sighted::Part(DeltaUser {
        removed,
        ..DeltaUser::new(id(name))
    })
}

fn page_of(users: Vec<Sighted>) -> PagePayload {
    let changed = (0..).zip(users).map(|(index, user)| ChangedSighting {
        index,
        again: false,
        is_new: false,
        user,
    });
    PagePayload {
        changed: changed.collect(),
        ..payload_of(&[])
    }
}

#[test]
fn that_somebody_is_deleted_takes_a_page_whose_last_word_it_is() {
    let removed = || told("a", Some(Removal::Bin));
    let candidate = |page| Candidate {
        id: id("a"),
        reason: Reason::Deleted,
        order: order(1, page, 0),
        by_groups: false,
    };
    let gone = proof(&[page_of(vec![told("a", None)]), page_of(vec![removed()])]);
    let evidence = from_candidate(&gone, &candidate(2)).unwrap();
    assert_eq!(evidence.reason(), Reason::Deleted);
    assert!(from_candidate(&gone, &candidate(1)).is_none());
    let back = proof(&[page_of(vec![removed()]), page_of(vec![told("a", None)])]);
    assert!(from_candidate(&back, &candidate(1)).is_none());
    assert!(from_candidate(&back, &candidate(2)).is_none());
    // Whoever is removed is neither seen nor absent: there is a word on him.
    let proof = proof(&[page_of(vec![removed()])]);
    assert!(!proof.saw(&id("a")) && proof.absence(&id("a")).is_none());
    assert_eq!(proof.users_seen(), 0);
    let disabled = Candidate {
        reason: Reason::Disabled,
        ..candidate(1)
    };
    assert!(from_candidate(&proof, &disabled).is_none());
}

#[test]
fn a_candidate_never_carries_a_cause_that_takes_a_look_up() {
    let proof = proof(&[payload_of(&["a"])]);
    for reason in [
        Reason::Deleted,
        Reason::NotFound,
        Reason::Present,
        Reason::Manual,
    ] {
        let candidate = Candidate {
            id: id("a"),
            reason,
            order: order(1, 1, 0),
            by_groups: false,
        };
        assert!(from_candidate(&proof, &candidate).is_none());
    }
}

/// An approved plan with one entry, `gone`, for this reason.
fn approved(reason: Reason) -> Plan {
    let evidence = Evidence {
        id: id("gone"),
        reason,
        detail: "seen before".into(),
    };
    Plan::new(&proof(&[payload_of(&["seen"])]), vec![(evidence, 3)])
}

fn alive(user: GraphUser) -> BTreeMap<ObjectId, Told<GraphUser>> {
    let request = request("anew");
    let what = user;
    BTreeMap::from([(id("gone"), Told { what, request })])
}

fn disabled() -> GraphUser {
    GraphUser {
        account_enabled: Some(false),
        ..user("gone")
    }
}

/// What is carried out of an approved plan after these answers.
fn carried_out(reason: Reason, answers: &AnswersAnew) -> Option<String> {
    let plan = approved(reason);
    let scope = Scope::default();
    let evidence: Vec<_> = plan
        .entries()
        .iter()
        .filter_map(|entry| stands(entry, answers, &scope))
        .collect();
    let released = plan.released(&evidence);
    let entry = released.entries().first()?;
    assert_eq!((entry.reason(), entry.version()), (reason, 3));
    Some(entry.detail().to_owned())
}

#[test]
fn an_approval_without_answers_carries_out_nothing() {
    for reason in [
        Reason::Disabled,
        Reason::Deleted,
        Reason::NotFound,
        Reason::OutOfScope,
    ] {
        let nothing = AnswersAnew::default();
        assert_eq!(carried_out(reason, &nothing), None, "{reason}");
    }
}

#[test]
fn whoever_is_enabled_in_scope_or_alive_again_stays_although_the_plan_was_approved() {
    let there = AnswersAnew {
        alive: alive(user("gone")),
        // As a replica that lags may say beside it.
        deleted: in_list("bin"),
        by_id: told_by_id(Existence::NotFound),
    };
    for reason in [
        Reason::Disabled,
        Reason::Deleted,
        Reason::NotFound,
        Reason::OutOfScope,
    ] {
        assert_eq!(carried_out(reason, &there), None, "{reason}");
    }
    let restored = AnswersAnew {
        deleted: in_list("bin"),
        by_id: told_by_id(Existence::Found),
        ..AnswersAnew::default()
    };
    assert_eq!(carried_out(Reason::Deleted, &restored), None);
    assert_eq!(carried_out(Reason::NotFound, &restored), None);
}

#[test]
fn a_null_is_no_evidence_when_a_plan_is_released() {
    let unknown = |user| AnswersAnew {
        alive: alive(user),
        ..AnswersAnew::default()
    };
    let no_state = GraphUser {
        account_enabled: None,
        ..user("gone")
    };
    assert_eq!(carried_out(Reason::Disabled, &unknown(no_state)), None);
    let no_type = GraphUser {
        user_type: None,
        ..user("gone")
    };
    assert_eq!(carried_out(Reason::OutOfScope, &unknown(no_type)), None);
}

#[test]
fn evidence_anew_is_told_beside_the_one_that_was_approved() {
    let is_alive = |user| AnswersAnew {
        alive: alive(user),
        ..AnswersAnew::default()
    };
    let bin = AnswersAnew {
        deleted: in_list("bin"),
        ..AnswersAnew::default()
    };
    let no_more = AnswersAnew {
        by_id: told_by_id(Existence::NotFound),
        ..AnswersAnew::default()
    };
    let guest = is_alive(crate::testing::guest("gone"));
    for (reason, answers, anew) in [
        (
            Reason::Disabled,
            &is_alive(disabled()),
            "disabled, request anew",
        ),
        (Reason::OutOfScope, &guest, "out of scope, request anew"),
        (Reason::Deleted, &bin, "listed in deletedItems, request bin"),
        (Reason::Deleted, &no_more, "not found by id, request by-id"),
        (Reason::NotFound, &no_more, "not found by id, request by-id"),
    ] {
        let expected = format!("seen before; when approved: {anew}");
        assert_eq!(carried_out(reason, answers), Some(expected), "{reason}");
    }
}
