//! The finalizer's own view of the directory: who is on, who of them was not seen, and how many there
//! are of each domain.

use std::collections::BTreeMap;

use rollcall_core::evidence::Evidence;
use rollcall_core::ids::{IdKey, ObjectId};
use rollcall_core::members::Members;
use rollcall_core::plan::Plan;
use rollcall_core::proof::{Absence, CompletenessProof};
use rollcall_core::run::RunMode;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{ChangeKind, Reason, Status};
use rollcall_store::{StoreError, UserStanding};

use crate::app::App;
use crate::confirm::CANARIES_MAX;

/// How many are remembered of those who were seen, so that some of them are in no plan; and of those of
/// whom nothing was told, so that some of them are there: a plan that waits may have many who are not.
const WITNESSES_MAX: usize = 100;

/// The finalizer's own view of the directory.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) active: u64,
    /// ACTIVE before this run, and seen by it.
    pub(crate) known_seen: u64,
    /// ACTIVE before this run.
    pub(crate) known: u64,
    pub(crate) absences: Vec<Absence>,
    pub(crate) canaries: Vec<ObjectId>,
    /// Some who are on and of whom a delta run tells nothing.
    pub(crate) untold: Vec<ObjectId>,
    /// Some who are on and whom the lists of the scope's groups have.
    pub(crate) listed: Vec<ObjectId>,
    /// Some who are there by this run and by no person, for questions that come later.
    witnesses: Vec<ObjectId>,
    /// How many are ACTIVE of each domain of login names.
    domains: BTreeMap<String, u64>,
}

impl View {
    fn add(
        &mut self,
        (proof, members): (&CompletenessProof, Option<&Members>),
        user: UserStanding,
    ) {
        if user.standing.status != Status::Active {
            return;
        }
        self.active += 1;
        if !user.domain.is_empty() {
            *self.domains.entry(user.domain).or_default() += 1;
        }
        if let Some(members) = members
            && self.listed.len() < CANARIES_MAX
            && members.have(IdKey::of(proof.run(), &user.id))
        {
            self.listed.push(user.id.clone());
        }
        let run = proof.run().run;
        let is_new = matches!(
            user.last_change,
            Some((by, ChangeKind::Created | ChangeKind::Reactivated)) if by == run
        );
        let is_seen = proof.saw(&user.id);
        let is_manual = user.standing.reason == Reason::Manual;
        if is_seen && !is_manual && self.witnesses.len() < WITNESSES_MAX {
            self.witnesses.push(user.id.clone());
        }
        let is_untold = proof.seal().mode == RunMode::Delta && !is_seen;
        let is_told = proof.is_removed(&user.id);
        if is_untold && !is_told && !is_manual && self.untold.len() < WITNESSES_MAX {
            self.untold.push(user.id.clone());
        }
        self.known += u64::from(!is_new);
        self.known_seen += u64::from(!is_new && is_seen);
        match proof.absence(&user.id) {
            // A person's word stands, seen or not.
            Some(_) if user.standing.reason == Reason::Manual => {}
            Some(absence) => self.absences.push(absence),
            None if self.canaries.len() < CANARIES_MAX
                && is_seen
                && !proof.is_removed(&user.id) =>
            {
                self.canaries.push(user.id.clone());
            }
            None => {}
        }
    }

    /// Whom to ask about beside the users of this plan when it is approved: none of them is in it.
    pub(crate) fn canaries_of(&self, plan: &Plan) -> Vec<ObjectId> {
        let entries = plan.entries();
        let stays = |id: &&ObjectId| entries.binary_search_by(|it| it.id().cmp(id)).is_err();
        let seen = self.witnesses.iter().filter(stays).take(CANARIES_MAX);
        let seen: Vec<_> = seen.cloned().collect();
        if seen.is_empty() {
            return self.untold.iter().filter(stays).cloned().collect();
        }
        seen
    }

    /// How many of the leavers are everybody of their domain; of several such domains the largest.
    pub(crate) fn whole_domain(&self, leavers: &BTreeMap<String, u64>) -> u64 {
        let is_whole = |(domain, users): &(&String, &u64)| {
            // A domain that the stream does not know yet has nobody who stays.
            self.domains.get(*domain).is_none_or(|on| *users >= on)
        };
        let whole = leavers.iter().filter(is_whole);
        whole.map(|(_, users)| *users).max().unwrap_or_default()
    }
}

impl App {
    /// A delta run has nobody to look for; it needs to know how many are active only if its plan is
    /// too large to pass without, who is on and in the groups only if somebody left them: then
    /// `members` are given; and who is there beside those whom it was told to be removed.
    pub(crate) async fn view(
        &self,
        proof: &CompletenessProof,
        members: Option<&Members>,
        (candidates, leavers): (&[Evidence], usize),
        settings: &TenantSettings,
    ) -> Result<View, StoreError> {
        let mut view = View::default();
        let count = (candidates.len() + leavers) as u64;
        let is_small = count <= settings.guards.exempt_max;
        let removes = candidates.iter().any(|it| it.reason() == Reason::Deleted);
        if proof.seal().mode == RunMode::Delta && is_small && members.is_none() && !removes {
            return Ok(view);
        }
        self.store
            .standings(&proof.run().tenant, |user| {
                view.add((proof, members), user);
            })
            .await?;
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_whole_if_nobody_of_it_stays_also_one_that_the_stream_does_not_know_yet() {
        let of = |domains: &[(&str, u64)]| {
            let named = domains
                .iter()
                .map(|(name, users)| ((*name).to_owned(), *users));
            named.collect::<BTreeMap<_, _>>()
        };
        let view = View {
            domains: of(&[("a.com", 5), ("b.com", 9)]),
            ..View::default()
        };
        assert_eq!(view.whole_domain(&of(&[("a.com", 4), ("b.com", 8)])), 0);
        assert_eq!(view.whole_domain(&of(&[("a.com", 5), ("b.com", 8)])), 5);
        assert_eq!(view.whole_domain(&of(&[("a.com", 5), ("new.com", 7)])), 7);
        assert_eq!(view.whole_domain(&of(&[])), 0);
    }
}
