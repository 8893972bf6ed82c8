//! The plan: exactly whom a run would switch off, on what evidence, at which version.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::evidence::Evidence;
use crate::ids::{ObjectId, RunRef};
use crate::proof::CompletenessProof;
use crate::status::Reason;

/// One user to switch off. Only a [`Plan`] gives one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deactivation {
    id: ObjectId,
    reason: Reason,
    detail: String,
    version: u64,
}

impl Deactivation {
    /// Who.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What the evidence was.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The version that was planned: a user who changed since is left alone.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// A plan's name: the SHA-256 of its run and its entries, in hexadecimal. An approval is for this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(String);

impl PlanHash {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a run would switch off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    run: RunRef,
    entries: Vec<Deactivation>,
}

/// A stored plan that is not the one that was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan of run {run} does not match its hash: part of it is missing or changed")]
pub struct PlanMismatch {
    /// Whose plan.
    pub run: RunRef,
}

/// An entry as it is stored. It is apart from [`Deactivation`], so that nothing but a plan whose
/// hash was checked can be read into one.
#[derive(Serialize, Deserialize)]
struct StoredEntry {
    id: ObjectId,
    reason: Reason,
    detail: String,
    version: u64,
}

impl Plan {
    /// From a proof and the evidence for each user, with the version of the directory that it was
    /// judged by. The entries are in the order of their ids, each id once.
    #[must_use]
    pub fn new(proof: &CompletenessProof, evidence: Vec<(Evidence, u64)>) -> Self {
        let mut entries: Vec<_> = evidence
            .into_iter()
            .map(|(evidence, version)| Deactivation {
                id: evidence.id().clone(),
                reason: evidence.reason(),
                detail: evidence.detail().to_owned(),
                version,
            })
            .collect();
        entries.sort();
        entries.dedup_by(|a, b| a.id == b.id);
        Self {
            run: proof.run().clone(),
            entries,
        }
    }

    /// What of an approved plan is carried out: those of its entries for whom there is evidence
    /// anew, each at the version that was planned. It never has anybody else.
    #[must_use]
    pub fn released(&self, anew: &[Evidence]) -> Self {
        let anew: BTreeMap<_, _> = anew.iter().map(|it| (it.id(), it.detail())).collect();
        let again = |entry: &Deactivation| {
            let detail = (*anew.get(&entry.id)?).to_owned();
            let entry = entry.clone();
            Some(Deactivation { detail, ..entry })
        };
        Self {
            run: self.run.clone(),
            entries: self.entries.iter().filter_map(again).collect(),
        }
    }

    /// The entries as bytes, for storing; no bytes for a plan without entries.
    ///
    /// # Errors
    /// The serializer's, which a plan never causes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        if self.entries.is_empty() {
            return Ok(Vec::new());
        }
        let entries: Vec<_> = self
            .entries
            .iter()
            .map(|entry| StoredEntry {
                id: entry.id.clone(),
                reason: entry.reason,
                detail: entry.detail.clone(),
                version: entry.version,
            })
            .collect();
        serde_json::to_vec(&entries)
    }

    /// A plan that was stored, if it is whole.
    ///
    /// # Errors
    /// [`PlanMismatch`] when the bytes are not those of the plan with this hash.
    pub fn decode(run: RunRef, bytes: &[u8], hash: &str) -> Result<Self, PlanMismatch> {
        // Bytes that got lost give an empty plan too, but not one with this hash.
        let bytes = if bytes.is_empty() { b"[]" } else { bytes };
        let Ok(entries) = serde_json::from_slice::<Vec<StoredEntry>>(bytes) else {
            return Err(PlanMismatch { run });
        };
        let entries = entries
            .into_iter()
            .map(|entry| Deactivation {
                id: entry.id,
                reason: entry.reason,
                detail: entry.detail,
                version: entry.version,
            })
            .collect();
        let plan = Self { run, entries };
        if plan.hash().as_str() == hash {
            Ok(plan)
        } else {
            Err(PlanMismatch { run: plan.run })
        }
    }

    /// Whom, in the order of their ids.
    #[must_use]
    pub fn entries(&self) -> &[Deactivation] {
        &self.entries
    }

    /// Its name.
    #[must_use]
    pub fn hash(&self) -> PlanHash {
        let mut hasher = Sha256::new();
        hasher.update(self.run.to_string());
        for entry in &self.entries {
            for field in [entry.id.as_str(), entry.reason.name(), &entry.detail] {
                hasher.update((field.len() as u64).to_be_bytes());
                hasher.update(field);
            }
            hasher.update(entry.version.to_be_bytes());
        }
        PlanHash(
            hasher
                .finalize()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, run};

    fn plan() -> Plan {
        Plan {
            run: run(),
            entries: vec![Deactivation {
                id: id("a"),
                reason: Reason::Deleted,
                detail: "listed in deletedItems".into(),
                version: 3,
            }],
        }
    }

    #[test]
    fn a_stored_plan_is_read_back_only_whole_and_unchanged() {
        let (plan, bytes) = (plan(), plan().encode().unwrap());
        let hash = plan.hash();
        assert_eq!(Plan::decode(run(), &bytes, hash.as_str()), Ok(plan));
        assert!(Plan::decode(run(), b"[]", hash.as_str()).is_err());
        assert!(Plan::decode(run(), b"", hash.as_str()).is_err());
        assert!(Plan::decode(run(), &bytes[1..], hash.as_str()).is_err());
        let other_run = "t/8".parse().unwrap();
        assert!(Plan::decode(other_run, &bytes, hash.as_str()).is_err());
    }

    #[test]
    fn another_version_is_another_plan() {
        let mut other = plan();
        other.entries[0].version = 4;
        assert_ne!(other.hash(), plan().hash());
    }
}
