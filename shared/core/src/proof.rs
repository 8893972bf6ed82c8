//! The completeness proof: the only thing from which absence can be concluded.
//!
//! A [`CompletenessProof`] is made by [`prove`] alone, from the run's seal, its batch items and its
//! pages. A list that is missing, empty, cut off or does not add up gives an error, never "nobody".

use std::collections::{HashMap, HashSet};

use crate::batch::BatchState;
use crate::ids::{IdKey, ObjectId, RunRef};
use crate::page::{PageDigest, PagePayload};
use crate::run::RunMode;
use crate::status::SightingOrder;

/// What the enumerator wrote with the last page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// How the run learnt what changed: only a full one shows who is absent.
    pub mode: RunMode,
    /// The generation that reached its end.
    pub generation: u32,
    /// How many pages it has.
    pub pages: u32,
    /// How many users stood on them, repeats included.
    pub sightings: u64,
    /// The digest of the last page.
    pub last_digest: PageDigest,
    /// How many pages the generations before it have.
    pub earlier_pages: u32,
}

/// A batch item, as far as the proof needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFact {
    /// Its generation.
    pub generation: u32,
    /// Its page.
    pub page: u32,
    /// Where it stands.
    pub state: BatchState,
    /// The digest of its page.
    pub digest: PageDigest,
    /// The digest of the page before; `None` for page 1.
    pub previous: Option<PageDigest>,
    /// How many users the enumerator counted on the page.
    pub sightings: u64,
    /// How many users the worker counted; `None` until it is done.
    pub counted: Option<u64>,
}

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// Not a fault: some batches are still being worked on.
    #[error("{open} batches are still open")]
    Open {
        /// How many.
        open: u64,
    },
    /// Something is missing or does not add up. The run cannot be completed.
    #[error("{0}")]
    Incomplete(String),
}

/// Checks the batch items of the sealed generation, before any page is read.
///
/// # Errors
/// [`NotProven::Open`] while batches are open, [`NotProven::Incomplete`] when one is missing, not
/// linked to the one before, revoked, or counts other users than were enumerated.
pub fn check_batches(seal: &Seal, batches: &[BatchFact]) -> Result<(), NotProven> {
    let incomplete = |text: String| Err(NotProven::Incomplete(text));
    if seal.pages == 0 || batches.len() as u64 != u64::from(seal.pages) {
        return incomplete(format!(
            "{} batch items where {} pages were sealed",
            batches.len(),
            seal.pages
        ));
    }
    let mut previous: Option<&PageDigest> = None;
    for (expected_page, batch) in (1u32..).zip(batches) {
        if batch.generation != seal.generation || batch.page != expected_page {
            return incomplete(format!(
                "batch {}/{} stands where {}/{expected_page} should",
                batch.generation, batch.page, seal.generation
            ));
        }
        if batch.previous.as_ref() != previous {
            return incomplete(format!(
                "page {expected_page} is not linked to the one before"
            ));
        }
        if batch.state == BatchState::Revoked {
            return incomplete(format!("batch {expected_page} is revoked"));
        }
        previous = Some(&batch.digest);
    }
    if previous != Some(&seal.last_digest) {
        return incomplete("the last page is not the one that was sealed".into());
    }
    let open = batches
        .iter()
        .filter(|b| b.state != BatchState::Done)
        .count() as u64;
    if open > 0 {
        return Err(NotProven::Open { open });
    }
    if let Some(batch) = batches.iter().find(|b| b.counted != Some(b.sightings)) {
        return incomplete(format!(
            "the worker of batch {} counted {:?} users, the enumerator {}",
            batch.page, batch.counted, batch.sightings
        ));
    }
    let total: u64 = batches.iter().map(|b| b.sightings).sum();
    if total != seal.sightings {
        return incomplete(format!(
            "the batches have {total} users, {} were enumerated",
            seal.sightings
        ));
    }
    Ok(())
}

/// The last word on a candidate, or on somebody who was told to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LastSighting {
    order: SightingOrder,
    is_removal: bool,
}

/// Who was seen, collected page by page: 8 bytes each. Seen in any generation is seen. The last word is kept
/// about the candidates and those who were told to be removed alone, for nobody asks about others.
#[derive(Debug)]
pub struct Sightings {
    keys: Vec<u64>,
    candidates: HashSet<IdKey>,
    last: HashMap<IdKey, LastSighting>,
    earlier_pages: u32,
    sealed: Vec<PageDigest>,
    sealed_count: u64,
}

impl Sightings {
    /// None yet; pages are added in their order. Whoever is to be a candidate for switching off by them has to
    /// be named: one who is not has no last sighting, and without it there is no evidence.
    #[must_use]
    pub fn new(candidates: impl IntoIterator<Item = IdKey>) -> Self {
        Self {
            keys: Vec::new(),
            candidates: candidates.into_iter().collect(),
            last: HashMap::new(),
            earlier_pages: 0,
            sealed: Vec::new(),
            sealed_count: 0,
        }
    }

    /// Adds a page of an earlier generation. It can show that somebody is there; where it is missing,
    /// whoever stood on it alone would seem absent.
    pub fn add_earlier(&mut self, run: &RunRef, generation: u32, page: u32, payload: &PagePayload) {
        self.earlier_pages += 1;
        self.collect(run, generation, page, payload);
    }

    /// Adds the next page of the sealed generation, in the order of its pages.
    pub fn add_sealed(
        &mut self,
        run: &RunRef,
        batch: &BatchFact,
        digest: PageDigest,
        payload: &PagePayload,
    ) {
        self.sealed.push(digest);
        self.sealed_count += payload.sightings();
        self.collect(run, batch.generation, batch.page, payload);
    }

    fn collect(&mut self, run: &RunRef, generation: u32, page: u32, payload: &PagePayload) {
        self.keys.extend_from_slice(&payload.seen);
        for sighting in &payload.changed {
            let key = IdKey::of(run, sighting.user.id());
            let sighted = LastSighting {
                order: SightingOrder {
                    generation,
                    page,
                    index: sighting.index,
                },
                is_removal: sighting.user.is_removal(),
            };
            if !sighted.is_removal {
                self.keys.push(key.seen_key());
            }
            let has_the_say = sighted.is_removal
                || self.candidates.contains(&key)
                || self.last.contains_key(&key);
            if has_the_say {
                let last = self.last.entry(key).or_insert(sighted);
                *last = (*last).max(sighted);
            }
        }
    }
}

/// Proof that the enumeration of a run is whole. Nothing but [`prove`] makes one.
#[derive(Debug)]
pub struct CompletenessProof {
    run: RunRef,
    seal: Seal,
    keys: Vec<u64>,
    last: HashMap<IdKey, LastSighting>,
}

/// Proves that the run's enumeration is whole.
///
/// # Errors
/// As [`check_batches`]; and [`NotProven::Incomplete`] when the pages read are not the pages of the
/// batches, or hold other counts, or are not all pages of the earlier generations.
pub fn prove(
    run: RunRef,
    seal: Seal,
    batches: &[BatchFact],
    sightings: Sightings,
) -> Result<CompletenessProof, NotProven> {
    check_batches(&seal, batches)?;
    if sightings.earlier_pages != seal.earlier_pages {
        return Err(NotProven::Incomplete(format!(
            "{} pages of earlier generations were read, there are {}",
            sightings.earlier_pages, seal.earlier_pages
        )));
    }
    let same_pages = sightings.sealed.len() == batches.len()
        && sightings
            .sealed
            .iter()
            .zip(batches)
            .all(|(digest, batch)| *digest == batch.digest);
    if !same_pages {
        return Err(NotProven::Incomplete(format!(
            "{} pages read are not those of the {} batches",
            sightings.sealed.len(),
            batches.len()
        )));
    }
    if sightings.sealed_count != seal.sightings {
        return Err(NotProven::Incomplete(format!(
            "the pages hold {} users, {} were enumerated",
            sightings.sealed_count, seal.sightings
        )));
    }
    let mut keys = sightings.keys;
    keys.sort_unstable();
    keys.dedup();
    Ok(CompletenessProof {
        run,
        seal,
        keys,
        last: sightings.last,
    })
}

/// Somebody whom a complete enumeration did not show. Only a proof gives one; it is a question to
/// ask by id, not evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Absence {
    id: ObjectId,
}

impl Absence {
    /// Who.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.id
    }
}

impl CompletenessProof {
    /// The run that it is about.
    #[must_use]
    pub fn run(&self) -> &RunRef {
        &self.run
    }

    /// What was sealed.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// How many different users were seen, in any generation.
    #[must_use]
    pub fn users_seen(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether the run saw the user, in any generation. Who was told to be removed was not seen.
    #[must_use]
    pub fn saw(&self, id: &ObjectId) -> bool {
        let key = IdKey::of(&self.run, id).seen_key();
        self.keys.binary_search(&key).is_ok()
    }

    /// `None` if the run saw the user, in any generation, or was told that he is removed: there is
    /// a word on him. And always `None` in a delta run, which tells of those who changed alone.
    #[must_use]
    pub fn absence(&self, id: &ObjectId) -> Option<Absence> {
        if self.seal.mode != RunMode::Full {
            return None;
        }
        let is_told = self.last.contains_key(&IdKey::of(&self.run, id));
        (!is_told && !self.saw(id)).then(|| Absence { id: id.clone() })
    }

    /// The last sighting of a candidate, or of somebody who was told to be removed.
    #[must_use]
    pub fn last_sighting(&self, id: &ObjectId) -> Option<SightingOrder> {
        self.last_of(id).map(|last| last.order)
    }

    /// Whether the last word on the user is that he is removed.
    #[must_use]
    pub fn is_removed(&self, id: &ObjectId) -> bool {
        self.last_of(id).is_some_and(|last| last.is_removal)
    }

    fn last_of(&self, id: &ObjectId) -> Option<LastSighting> {
        self.last.get(&IdKey::of(&self.run, id)).copied()
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
