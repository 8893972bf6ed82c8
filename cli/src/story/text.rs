//! A story for people.

use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;

use super::{Changed, End, Lease, LeaseEnd, Page, Story};

/// How many of those who were kept are shown.
const IDS_SHOWN_MAX: usize = 20;

/// A time of a line, to the millisecond.
fn at(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "an unknown time".to_owned(),
        |at| at.strftime("%H:%M:%S%.3fZ").to_string(),
    )
}

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "without an end",
            Self::Completed => "COMPLETED",
            Self::Held => "HELD",
            Self::Rejected => "REJECTED",
            Self::Superseded => "SUPERSEDED",
            Self::Failed => "FAILED",
        }
    }
}

impl LeaseEnd {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Unknown => "no line tells how it ended",
            Self::Done => "its work was done",
            Self::PassedOn => "it was given back",
            Self::Lost => "it was lost, and nothing more was written under it",
            Self::TakenOver => "it lapsed and was taken over; its holder was not heard of again",
            Self::Error => "its holder ended with an error",
        }
    }
}

impl Display for Lease {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "lease {}", self.token)?;
        if let Some(step) = &self.step {
            write!(f, " to {}", step.replace('_', " "))?;
        }
        let owner = match self.owner.as_str() {
            "" => "an unknown owner",
            owner => owner,
        };
        write!(f, ": {owner} from {}", at(self.since))?;
        if let Some(from) = self.taken_from {
            write!(f, ", taken over from lease {from}")?;
        }
        write!(f, "; {}", self.ended.words())?;
        match self.until {
            Some(_) => write!(f, " at {}", at(self.until)),
            None => Ok(()),
        }
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.is_delta { " of the delta" } else { "" };
        let last = if self.is_last { ", the last" } else { "" };
        write!(f, "  page {}/{}{kind}{last}: ", self.generation, self.page)?;
        match self.committed_at {
            None => f.write_str("the line of its commit is missing")?,
            Some(_) => {
                let request = self.graph_request_id.as_deref().unwrap_or("none");
                write!(
                    f,
                    "{} users, {} new or changed; fetched in {} ms, request {request}; committed \
                     at {} under lease {}",
                    self.users,
                    self.changed,
                    self.took_ms,
                    at(self.committed_at),
                    self.token.unwrap_or_default()
                )?;
            }
        }
        if self.changed > 0 || !self.leases.is_empty() {
            write!(
                f,
                "\n    batch {}: {} users written; {} created, {} updated, {} on again, {} to go",
                self.state,
                self.written,
                self.created,
                self.updated,
                self.reactivated,
                self.candidates
            )?;
        }
        for lease in &self.leases {
            write!(f, "\n    {lease}")?;
        }
        Ok(())
    }
}

impl Story {
    fn lists(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let changed = |f: &mut Formatter<'_>, title: &str, users: &[Changed]| {
            if !users.is_empty() {
                write!(f, "\n{title} ({}):", users.len())?;
            }
            for user in users {
                write!(f, "\n  {}: {}", user.id, user.reason)?;
                if let Some(evidence) = &user.evidence {
                    write!(f, "; {evidence}")?;
                }
            }
            Ok(())
        };
        changed(f, "Switched off", &self.deactivated)?;
        changed(
            f,
            "Switched on again, with why they were off",
            &self.switched_on_again,
        )?;
        for (title, ids) in [
            (
                "Left alone, since they changed after the plan",
                &self.left_alone,
            ),
            (
                "Kept, since they were found alive by id",
                &self.contradicted,
            ),
            ("Kept until another run agrees", &self.awaiting),
            ("Errors", &self.errors),
        ] {
            if ids.is_empty() {
                continue;
            }
            let shown = &ids[..ids.len().min(IDS_SHOWN_MAX)];
            write!(f, "\n{title} ({}):\n  {}", ids.len(), shown.join("\n  "))?;
            if shown.len() < ids.len() {
                let more = ids.len() - shown.len();
                write!(f, "\n  and {more} more, all of whom --json tells")?;
            }
        }
        Ok(())
    }

    fn plan_and_hold(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.proven {
            let seen = self.users_seen.unwrap_or_default();
            write!(f, "\nThe list was proven whole: {seen} users.")?;
        }
        if let Some(plan) = &self.plan {
            write!(
                f,
                "\nPlan {}: {} of {} active users would go ({} disabled, {} deleted, {} not found, {} \
                 out of scope); {} were absent, {} found alive, {} await confirmation.",
                plan.hash,
                plan.deactivations,
                plan.active,
                plan.disabled,
                plan.deleted,
                plan.not_found,
                plan.out_of_scope,
                plan.absent,
                plan.contradicted,
                plan.awaiting_confirmation
            )?;
        }
        if let Some(held) = &self.held {
            write!(
                f,
                "\nHeld by the {} guard: {:.1} where {:.1} is allowed, {} deactivations, plan {}; {}.",
                held.guard,
                held.value,
                held.limit,
                held.deactivations,
                held.plan,
                held.ruling.unwrap_or("not decided")
            )?;
        }
        Ok(())
    }
}

impl Display for Story {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mode = self.mode.as_deref().unwrap_or("unknown mode");
        write!(
            f,
            "Run {}/{} ({mode}), {} to {}: {}",
            self.tenant,
            self.run,
            self.first_line_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            self.last_line_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            self.state.name()
        )?;
        write!(f, "\n{}", self.cause)?;
        for generation in &self.generations {
            write!(
                f,
                "\nGeneration {} began, since {}.",
                generation.generation, generation.because
            )?;
        }
        for lease in &self.leases {
            write!(f, "\n  {lease}")?;
        }
        for page in &self.pages {
            write!(f, "\n{page}")?;
        }
        self.plan_and_hold(f)?;
        write!(
            f,
            "\nWritten: {} created, {} updated, {} switched on again, {} switched off.",
            self.created,
            self.updated,
            self.reactivated,
            self.deactivated.len()
        )?;
        self.lists(f)?;
        if let Some(revert) = &self.reverted {
            let end = if revert.ended {
                "to its end"
            } else {
                "in part, as far as lines tell"
            };
            write!(
                f,
                "\nTaken back {end}: {} users as before.",
                revert.restored
            )?;
        }
        Ok(())
    }
}
