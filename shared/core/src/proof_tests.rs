use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::delta::{DeltaUser, Removal};
use crate::page::{ChangedSighting, Sighted};
use crate::testing::{self, payload_of, run};

fn seal(pages: u32, sightings: u64, last: &PageDigest) -> Seal {
    Seal {
        mode: RunMode::Full,
        generation: 1,
        pages,
        sightings,
        last_digest: last.clone(),
        earlier_pages: 0,
    }
}

struct Story {
    seal: Seal,
    batches: Vec<BatchFact>,
    payloads: Vec<PagePayload>,
}

/// Three pages with two users each, all done.
fn whole() -> Story {
    let payloads: Vec<_> = (0..3)
        .map(|page| payload_of(&[&format!("a{page}"), &format!("b{page}")]))
        .collect();
    let batches = testing::chain(&payloads);
    let last = batches.last().unwrap().digest.clone();
    Story {
        seal: seal(3, 6, &last),
        batches,
        payloads,
    }
}

impl Story {
    fn prove(&self) -> Result<CompletenessProof, NotProven> {
        let mut sightings = Sightings::new([IdKey::of(&run(), &testing::id("a"))]);
        for (batch, payload) in self.batches.iter().zip(&self.payloads) {
            let digest = PageDigest::of(&payload.encode().unwrap());
            sightings.add_sealed(&run(), batch, digest, payload);
        }
        prove(run(), self.seal.clone(), &self.batches, sightings)
    }

    fn is_incomplete(&self) -> bool {
        matches!(self.prove(), Err(NotProven::Incomplete(_)))
    }
}

#[test]
fn a_whole_chain_is_proven_and_shows_who_was_not_seen() {
    let proof = whole().prove().unwrap();
    assert_eq!(proof.users_seen(), 6);
    assert_eq!(proof.absence(&ObjectId::new("b2").unwrap()), None);
    let absent = ObjectId::new("nobody").unwrap();
    assert_eq!(proof.absence(&absent).unwrap().id(), &absent);
}

#[test]
fn an_empty_list_of_batches_is_an_error_and_never_nobody() {
    let mut story = whole();
    story.batches.clear();
    story.payloads.clear();
    assert!(story.is_incomplete());
    story.seal.pages = 0;
    story.seal.sightings = 0;
    assert!(story.is_incomplete());
}

#[test]
fn a_missing_page_is_an_error_wherever_it_is() {
    for missing in 0..3 {
        let mut story = whole();
        story.batches.remove(missing);
        story.payloads.remove(missing);
        assert!(story.is_incomplete(), "page {missing}");
    }
}

#[test]
fn a_page_that_is_not_linked_to_the_one_before_is_an_error() {
    for page in 0..3 {
        let mut story = whole();
        story.batches[page].previous = Some(PageDigest::of(b"another"));
        assert!(story.is_incomplete(), "page {page}");
    }
}

#[test]
fn another_last_page_than_the_sealed_one_is_an_error() {
    let mut story = whole();
    story.seal.last_digest = PageDigest::of(b"another");
    assert!(story.is_incomplete());
}

#[test]
fn open_batches_mean_wait_and_a_revoked_one_is_an_error() {
    let mut story = whole();
    story.batches[1].state = BatchState::Leased;
    assert_eq!(story.prove().unwrap_err(), NotProven::Open { open: 1 });
    story.batches[1].state = BatchState::Revoked;
    assert!(story.is_incomplete());
}

#[test]
fn counts_that_differ_are_an_error() {
    let mut by_worker = whole();
    by_worker.batches[0].counted = Some(1);
    assert!(by_worker.is_incomplete());
    let mut by_enumerator = whole();
    by_enumerator.seal.sightings = 7;
    assert!(by_enumerator.is_incomplete());
    let mut not_counted = whole();
    not_counted.batches[2].counted = None;
    assert!(not_counted.is_incomplete());
}

#[test]
fn a_page_with_other_content_than_its_batch_names_is_an_error() {
    let mut story = whole();
    story.payloads[1] = payload_of(&["x", "y"]);
    assert!(story.is_incomplete());
}

#[test]
fn seen_in_an_earlier_generation_is_seen() {
    let story = whole();
    let mut sightings = Sightings::new([]);
    sightings.add_earlier(&run(), 0, 1, &payload_of(&["early"]));
    for (batch, payload) in story.batches.iter().zip(&story.payloads) {
        let digest = PageDigest::of(&payload.encode().unwrap());
        sightings.add_sealed(&run(), batch, digest, payload);
    }
    let seal = Seal {
        earlier_pages: 1,
        ..story.seal.clone()
    };
    let proof = prove(run(), seal, &story.batches, sightings).unwrap();
    assert_eq!(proof.absence(&ObjectId::new("early").unwrap()), None);
    assert_eq!(proof.users_seen(), 7);
}

#[test]
fn a_page_of_an_earlier_generation_that_is_missing_is_no_proof() {
    let story = whole();
    for (read, there) in [(0, 1), (1, 2), (1, 0)] {
        let mut sightings = Sightings::new([]);
        for page in 1..=read {
            sightings.add_earlier(&run(), 0, page, &payload_of(&["early"]));
        }
        for (batch, payload) in story.batches.iter().zip(&story.payloads) {
            let digest = PageDigest::of(&payload.encode().unwrap());
            sightings.add_sealed(&run(), batch, digest, payload);
        }
        let seal = Seal {
            earlier_pages: there,
            ..story.seal.clone()
        };
        let proof = prove(run(), seal, &story.batches, sightings);
        assert!(
            matches!(proof, Err(NotProven::Incomplete(_))),
            "{read} of {there}"
        );
    }
}

#[test]
fn a_repeated_user_is_seen_once_and_his_last_sighting_is_known() {
    let payloads = [payload_of(&["a", "b"]), payload_of(&["c", "a"])];
    let batches = testing::chain(&payloads);
    let story = Story {
        seal: seal(2, 4, &batches[1].digest),
        batches,
        payloads: payloads.to_vec(),
    };
    let proof = story.prove().unwrap();
    assert_eq!(proof.users_seen(), 3);
    let last = proof.last_sighting(&testing::id("a")).unwrap();
    assert_eq!(last, testing::order(1, 2, 1));
    // Who is no candidate has none, and takes no memory.
    assert_eq!(proof.last_sighting(&testing::id("b")), None);
}

#[test]
fn who_is_told_to_be_removed_is_neither_seen_nor_absent_and_who_is_told_of_again_is_there() {
    let story = |removals: &[bool]| {
        let told = |removed: &bool| PagePayload {
            changed: vec![ChangedSighting {
                index: 0,
                again: false,
                is_new: false,
                user: Sighted::Part(DeltaUser {
                    removed: removed.then_some(Removal::Bin),
                    ..DeltaUser::new(testing::id("a"))
                }),
            }],
            ..payload_of(&[])
        };
        let payloads: Vec<_> = removals.iter().map(told).collect();
        let batches = testing::chain(&payloads);
        let mut sightings = Sightings::new([]);
        for (batch, payload) in batches.iter().zip(&payloads) {
            sightings.add_sealed(&run(), batch, batch.digest.clone(), payload);
        }
        let (pages, seen) = (batches.len(), batches.iter().map(|it| it.sightings).sum());
        let last = &batches.last().unwrap().digest;
        let seal = seal(u32::try_from(pages).unwrap(), seen, last);
        let proof = prove(run(), seal, &batches, sightings).unwrap();
        let a = testing::id("a");
        (
            proof.saw(&a),
            proof.is_removed(&a),
            proof.absence(&a).is_some(),
        )
    };
    assert_eq!(story(&[true]), (false, true, false));
    assert_eq!(story(&[false, true]), (true, true, false));
    assert_eq!(story(&[true, false]), (true, false, false));
}

/// What can happen to a list of batches and pages.
#[derive(Debug, Clone)]
enum Damage {
    Drop(usize),
    Double(usize),
    Swap(usize, usize),
    CutFrom(usize),
    OtherPage(usize),
    OtherState(usize, BatchState),
    CountedOffBy(usize, u64),
    SealedOffBy(u64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0usize..8;
    let open_or_revoked = prop_oneof![
        Just(BatchState::Pending),
        Just(BatchState::Leased),
        Just(BatchState::Revoked)
    ];
    prop_oneof![
        at.clone().prop_map(Damage::Drop),
        at.clone().prop_map(Damage::Double),
        (at.clone(), at.clone()).prop_map(|(a, b)| Damage::Swap(a, b)),
        at.clone().prop_map(Damage::CutFrom),
        at.clone().prop_map(Damage::OtherPage),
        (at.clone(), open_or_revoked).prop_map(|(a, state)| Damage::OtherState(a, state)),
        (at, 1u64..9).prop_map(|(a, by)| Damage::CountedOffBy(a, by)),
        (1u64..9).prop_map(Damage::SealedOffBy),
    ]
}

impl Damage {
    /// Does it; `false` if it would change nothing.
    fn happen(&self, story: &mut Story) -> bool {
        let pages = story.batches.len();
        let at = |index: usize| index % pages;
        match *self {
            Self::Drop(index) => {
                story.batches.remove(at(index));
                story.payloads.remove(at(index));
            }
            Self::Double(index) => {
                let index = at(index);
                story.batches.insert(index, story.batches[index].clone());
                story.payloads.insert(index, story.payloads[index].clone());
            }
            Self::Swap(a, b) if at(a) == at(b) => return false,
            Self::Swap(a, b) => {
                story.batches.swap(at(a), at(b));
                story.payloads.swap(at(a), at(b));
            }
            Self::CutFrom(index) => {
                story.batches.truncate(at(index));
                story.payloads.truncate(at(index));
            }
            Self::OtherPage(index) => story.payloads[at(index)] = payload_of(&["x"]),
            Self::OtherState(index, state) => story.batches[at(index)].state = state,
            Self::CountedOffBy(index, by) => {
                let batch = &mut story.batches[at(index)];
                batch.counted = batch.counted.map(|counted| counted + by);
            }
            Self::SealedOffBy(by) => story.seal.sightings += by,
        }
        true
    }
}

proptest! {
    #[test]
    fn no_damaged_list_is_ever_proven(sizes in vec(1usize..5, 1..8), damage in damage()) {
        let payloads: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(page, size)| {
                let names: Vec<_> = (0..*size).map(|user| format!("u{page}-{user}")).collect();
                payload_of(&names.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let batches = testing::chain(&payloads);
        let last = batches.last().unwrap().digest.clone();
        let users = sizes.iter().sum::<usize>() as u64;
        let pages = u32::try_from(sizes.len()).unwrap();
        let mut story = Story { seal: seal(pages, users, &last), batches, payloads };
        prop_assert!(story.prove().is_ok());
        if damage.happen(&mut story) {
            prop_assert!(story.prove().is_err(), "{damage:?}");
        }
    }
}

#[test]
fn nobody_is_absent_from_a_delta() {
    let mut story = whole();
    story.seal.mode = RunMode::Delta;
    let proof = story.prove().unwrap();
    assert_eq!(proof.users_seen(), 6);
    let silent = ObjectId::new("nobody").unwrap();
    assert_eq!(proof.absence(&silent), None);
    assert!(!proof.saw(&silent));
}
