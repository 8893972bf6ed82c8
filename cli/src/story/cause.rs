//! Why a run ended as it did: one sentence, and what else happened to it.

use rollcall_core::run::FailReason;

use super::{End, Hold, Lease, LeaseEnd, Plan, Story};

/// How many functions are named, of those that were late or killed.
const NAMES_SHOWN_MAX: usize = 5;

/// For a person who has to decide what to do.
pub(super) fn of(story: &Story) -> String {
    let cause = match story.state {
        End::Failed => failed(story),
        End::Held | End::Rejected | End::Superseded => match &story.held {
            Some(hold) => held(story, hold),
            None => "The run was held, and the line that says why is missing.".into(),
        },
        End::Completed => completed(story),
        End::Unknown => unknown(story),
    };
    cause + &notes(story)
}

/// What a reason means, in words.
pub(crate) const fn meaning(reason: FailReason) -> &'static str {
    match reason {
        FailReason::EmptyEnumeration => "Microsoft Graph answered with an empty list of users",
        FailReason::EnumerationUnreliable => {
            "what Microsoft Graph listed cannot be a true list of users"
        }
        FailReason::Incomplete => "a page or a batch was missing, unreadable or did not add up",
        FailReason::GraphDenied => "Microsoft Graph denied the application access",
        FailReason::GraphUnavailable => {
            "Microsoft Graph was not available for as long as a request is tried"
        }
        FailReason::CredentialRejected => "the application's credential was rejected",
        FailReason::Deadline => "the deadline passed before the first deactivation",
        FailReason::UnsafeLink => "a link of Microsoft Graph led to another address",
        FailReason::SettingsChanged => "the tenant's settings changed while the run was under way",
        FailReason::GroupUnavailable => "a group of the scope could not be read",
    }
}

fn failed(story: &Story) -> String {
    let reason = story.reason.as_deref().unwrap_or_default();
    let known = serde_json::from_value(reason.into()).ok();
    let why = match known {
        Some(FailReason::GraphUnavailable) if story.graph.throttled > 0 => {
            "Microsoft Graph throttled the application for longer than a request is tried"
        }
        Some(FailReason::Deadline) if story.graph.throttled > 0 => {
            "the deadline passed while Microsoft Graph throttled the application"
        }
        Some(reason) => meaning(reason),
        None => "of a reason that this version does not know",
    };
    let detail = story.detail.as_deref().unwrap_or_default();
    let what = troubles(story);
    let before = if what.is_empty() {
        String::new()
    } else {
        format!("; before that, {}", what.join("; "))
    };
    format!("It failed, since {why} ({reason}: {detail}){before}; nobody was switched off.")
}

fn held(story: &Story, hold: &Hold) -> String {
    let guard = format!(
        "the {} guard holds {} deactivations",
        hold.guard, hold.deactivations
    );
    let why = match &story.plan {
        Some(plan) => suspicion(story, hold, plan),
        None => format!("{:.1} where {:.1} is allowed", hold.value, hold.limit),
    };
    let (is, ruling) = match hold.ruling {
        None => ("is", "a person has to decide".to_owned()),
        Some("lapsed") => ("was", "nobody decided, and the hold lapsed".to_owned()),
        Some("superseded") => ("was", "a later full run's plan took its place".to_owned()),
        Some(how) => ("was", format!("a person {how} it")),
    };
    format!("It {is} held, since {why}: {guard}; {ruling}.")
}

/// What most likely made the plan so large.
fn suspicion(story: &Story, hold: &Hold, plan: &Plan) -> String {
    let before = plan.users_seen_before.unwrap_or_default();
    if hold.guard == "shrink" {
        let found_alive = match plan.contradicted {
            0 => String::new(),
            found => format!(", and {found} of those missing were found alive by id"),
        };
        return format!(
            "part of the list of users was lost: {} were seen where the last full run saw \
             {before}{found_alive}",
            plan.users_seen
        );
    }
    let of_all = plan.deactivations;
    let most = |part: u64| part * 2 > of_all;
    if most(plan.out_of_scope) {
        let out = plan.out_of_scope;
        return match (story.settings_revision_before, story.settings_revision) {
            (Some(before), Some(now)) if before != now => format!(
                "the tenant's settings were edited (revision {before} to {now}), and {out} of \
                 {of_all} would go since the edited scope leaves them out"
            ),
            _ => format!(
                "{out} of {of_all} would go as out of scope: the scope was edited, or what it tests \
                 changed at the source"
            ),
        };
    }
    if most(plan.disabled) {
        return format!("{} of {of_all} were disabled at the source", plan.disabled);
    }
    if most(plan.deleted) {
        return format!("{} of {of_all} were deleted at the source", plan.deleted);
    }
    if most(plan.not_found) {
        return format!("{} of {of_all} were not found again", plan.not_found);
    }
    format!("many users would go, for several reasons, {of_all} in all")
}

fn completed(story: &Story) -> String {
    let approved = story.held.as_ref().map_or("", |_| " after an approval");
    let mut what = troubles(story);
    if !story.contradicted.is_empty() {
        let count = story.contradicted.len();
        let missing = format!(
            "the list left out, or showed as gone, {count} who were found alive by id and kept"
        );
        what.insert(0, missing);
    }
    if what.is_empty() {
        return format!("It completed{approved}; nothing went wrong.");
    }
    format!(
        "It completed{approved}, although {}; what it did rests on its proof all the same.",
        what.join("; ")
    )
}

fn unknown(story: &Story) -> String {
    let step = match story.leases.last() {
        Some(lease) => lease.step.as_deref().unwrap_or("an unknown step"),
        None => "the start",
    };
    let what = troubles(story);
    let trouble = if what.is_empty() {
        String::new()
    } else {
        format!(" ({})", what.join("; "))
    };
    format!("No line tells of an end: the last that is known is {step}{trouble}.")
}

/// Each lease with the function whose it was: the run's and the batches'.
fn holders(story: &Story) -> impl Iterator<Item = (String, &Lease)> {
    let of_run = story.leases.iter().map(|lease| {
        let who = match lease.step.as_deref() {
            Some("enumerate") => "the enumerator",
            Some("finalize") => "the finalizer",
            Some("give_up") => "the sweeper",
            _ => "an unknown function",
        };
        (who.to_owned(), lease)
    });
    let of_batches = story.pages.iter().flat_map(|page| {
        let who = format!("the worker of batch {}/{}", page.generation, page.page);
        page.leases.iter().map(move |lease| (who.clone(), lease))
    });
    of_run.chain(of_batches)
}

/// How many functions this holds for, with their names as far as they are shown.
fn functions(story: &Story, is: impl Fn(&Lease) -> bool) -> Option<(u64, String)> {
    let names: Vec<_> = holders(story)
        .filter(|(_, lease)| is(lease))
        .map(|(who, _)| who)
        .collect();
    let count = names.len();
    if count == 0 {
        return None;
    }
    let shown = names[..count.min(NAMES_SHOWN_MAX)].join(", ");
    let more = match count.saturating_sub(NAMES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some((count as u64, format!("{shown}{more}")))
}

/// What went wrong on the way and was got over, the worst first.
fn troubles(story: &Story) -> Vec<String> {
    let mut what = Vec::new();
    if let Some((_, who)) = functions(story, |lease| lease.clocks_differ) {
        what.push(format!(
            "the clocks of two functions differ: a lease was taken over that had not lapsed by its \
             holder's ({who})"
        ));
    }
    if let Some((late, who)) = functions(story, |lease| lease.ended == LeaseEnd::Lost) {
        let fenced = holders(story).filter(|(_, lease)| lease.fenced).count();
        let refused = match fenced {
            0 => String::new(),
            1 => ", a write of it was refused,".to_owned(),
            many => format!(", writes of {many} were refused,"),
        };
        what.push(format!(
            "{late} {} late ({who}): the lease was lost{refused} and nothing more was written under it",
            plural(late, "function was", "functions were")
        ));
    }
    if let Some((killed, who)) = functions(story, |lease| lease.ended == LeaseEnd::TakenOver) {
        what.push(format!(
            "{killed} {} killed or cut off ({who}): the lease lapsed, and another went on",
            plural(killed, "function was", "functions were")
        ));
    }
    if let Some(last) = story.generations.last() {
        what.push(format!(
            "the enumeration began again, up to generation {}, since {}",
            last.generation, last.because
        ));
    }
    let freshened = story.graph.links_freshened;
    if freshened > 0 {
        what.push(format!(
            "{freshened} page {} expired and {} replaced",
            plural(freshened, "link", "links"),
            plural(freshened, "was", "were")
        ));
    }
    if story.graph.throttled > 0 {
        what.push(format!(
            "Microsoft Graph throttled {} requests; {} s were waited",
            story.graph.throttled,
            story.graph.waited_ms / 1_000
        ));
    } else if story.graph.asked_again > 0 {
        what.push(format!(
            "Microsoft Graph had to be asked again {} times",
            story.graph.asked_again
        ));
    }
    if story.graph.delta_left_out {
        what.push("the changes made while the users were listed were left to the next run".into());
    }
    if let Some(last) = story.errors.last() {
        let failed = story.errors.len() as u64;
        what.push(format!(
            "{failed} {} failed, the last since {last}",
            plural(failed, "message", "messages")
        ));
    }
    what
}

/// What is no trouble, and would be missed: one sentence each.
fn notes(story: &Story) -> String {
    let mut notes = Vec::new();
    let awaiting = story.awaiting.len() as u64;
    if awaiting > 0 {
        notes.push(format!(
            "{awaiting} {} kept until another run agrees, or Graph answers.",
            plural(awaiting, "user was", "users were")
        ));
    }
    let is_not_found = |it: &&super::Changed| it.reason == "not_found";
    let not_found = story.deactivated.iter().filter(is_not_found).count() as u64;
    if not_found > 0 {
        notes.push(format!(
            "{not_found} {} switched off, whom runs in a row did not find by id.",
            plural(not_found, "user was", "users were")
        ));
    }
    if let Some(stays) = story
        .held
        .as_ref()
        .and_then(|it| it.stays)
        .filter(|it| *it > 0)
    {
        notes.push(format!(
            "{stays} of the approved plan {}, since Graph no longer says what it said.",
            plural(stays, "stays", "stay")
        ));
    }
    if story.rung_again > 0 {
        notes.push(format!(
            "The sweeper rang again for {} {} that nobody worked on: a message was lost, or a worker \
             killed.",
            story.rung_again,
            plural(story.rung_again, "batch", "batches")
        ));
    }
    if story.idle_messages > 0 {
        notes.push(format!(
            "{} {} for batches that were done or in other hands, and changed nothing.",
            story.idle_messages,
            plural(story.idle_messages, "message came", "messages came")
        ));
    }
    if let Some(revert) = story.reverted.as_ref().filter(|it| it.ended) {
        notes.push(format!(
            "Afterwards the run was taken back: {} {} as before it.",
            revert.restored,
            plural(revert.restored, "user is", "users are")
        ));
    }
    notes.iter().map(|note| format!(" {note}")).collect()
}

const fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}
