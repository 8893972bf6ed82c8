//! Bad nights, each played over the local stack; then only its log lines are given to
//! `explain --from-logs`, which has to name the cause. What it tells of leases, pages, plans and users is
//! compared with the tables as well.
//!
//! An hour of throttling is three seconds here: as long as a request is tried by these settings.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what does not work here fails the test"
)]
#![allow(dead_code, reason = "the harness is that of `told`")]

mod acts;
#[path = "../told/night.rs"]
mod night;

use std::pin::Pin;

use rollcall_core::ids::RunRef;

use crate::night::{Night, explain};

/// Plays a night, and gives the run that it is about.
type Act = for<'n> fn(&'n Night) -> Pin<Box<dyn Future<Output = RunRef> + 'n>>;

/// What Graph does in a night.
struct Scripted {
    night: &'static str,
    script: &'static str,
    /// What the explanation must contain.
    names: &'static str,
}

const SCRIPTED: [Scripted; 15] = [
    Scripted {
        night: "a page link expires",
        script: "users page 3 once: page-token expired",
        names: "1 page link expired and was replaced",
    },
    Scripted {
        night: "page links go on expiring",
        script: "users page 3 2 times: page-token expired",
        names: "the enumeration began again, up to generation 2, since the page token expired",
    },
    Scripted {
        night: "throttled, and then no more",
        script: "users page 2 3 times: status 429",
        names: "Microsoft Graph throttled 3 requests",
    },
    Scripted {
        night: "throttled for as long as a request is tried",
        script: "users page 2 always: status 429",
        names: "It failed, since Microsoft Graph throttled the application for longer than a request is tried",
    },
    Scripted {
        night: "Graph cannot be reached",
        script: "users page 3 always: reset",
        names: "It failed, since Microsoft Graph was not available for as long as a request is tried",
    },
    Scripted {
        night: "the secret has expired",
        script: "token always: status 401 login 7000222",
        names: "the client secret has expired",
    },
    Scripted {
        night: "the consent was taken back",
        script: "users page 2 always: denied",
        names: "It failed, since Microsoft Graph denied the application access",
    },
    Scripted {
        night: "an empty list, with status 200",
        script: "users page 1 always: empty-end",
        names: "It failed, since Microsoft Graph answered with an empty list of users",
    },
    Scripted {
        night: "bodies that are broken",
        script: "users page 2 always: spliced",
        names: "the body is not a whole page",
    },
    Scripted {
        night: "a list that goes round in a circle",
        script: "users page 2 always: next-link page 1",
        names: "the next link of page 4 was given before",
    },
    Scripted {
        night: "a link to another host",
        script: "users page 2 always: redirect https://graph.example.invalid/users",
        names: "It failed, since a link of Microsoft Graph led to another address",
    },
    Scripted {
        night: "nobody's status is told",
        script: "users always: null-enabled all",
        names: "is null for all 100 users",
    },
    Scripted {
        night: "the list is cut off",
        script: "users page 2 always: next-link missing",
        names: "It is held, since part of the list of users was lost: 50 were seen where the last full run saw 100",
    },
    Scripted {
        night: "users are left out of the list",
        script: "users always: left-out first 2",
        names: "the list left out, or showed as gone, 8 who were found alive by id and kept",
    },
    Scripted {
        night: "Graph has lost sight of everybody",
        script: "users page 1 always: left-out first 1\nget-by-ids always: left-out all\nbatch-item always: not-found",
        names: "who was enumerated a moment ago, is not found by id",
    },
];

/// What happens to the functions, the messages and the settings; in this order, since some go on from
/// the one before.
const ACTED: [(&str, Act, &str); 18] = [
    (
        "a worker is frozen, and late",
        |it| Box::pin(acts::late_worker(it)),
        "1 function was late (the worker of batch 1/2): the lease was lost, a write of it was refused",
    ),
    (
        "a worker is killed",
        |it| Box::pin(acts::killed_worker(it)),
        "1 function was killed or cut off (the worker of batch 1/3)",
    ),
    (
        "the enumerator is killed",
        |it| Box::pin(acts::killed_enumerator(it)),
        "1 function was killed or cut off (the enumerator)",
    ),
    (
        "the finalizer is killed",
        |it| Box::pin(acts::killed_finalizer(it)),
        "1 function was killed or cut off (the finalizer)",
    ),
    (
        "a worker's clock is an hour ahead",
        |it| Box::pin(acts::skewed_worker(it)),
        // The first one's lease was told of only after it had been taken: no line can tell that it was
        // taken too early.
        "1 function was late (the worker of batch 1/2): the lease was lost",
    ),
    (
        "every message comes twice",
        |it| Box::pin(acts::doubled(it)),
        "for batches that were done or in other hands, and changed nothing",
    ),
    (
        "the messages of all batches are lost",
        |it| Box::pin(acts::lost_messages(it)),
        "The sweeper rang again for",
    ),
    (
        "a worker reads a page that is not there",
        |it| Box::pin(acts::lost_page(it)),
        "1 message failed, the last since item batch 1/2 of run",
    ),
    (
        "the settings change under a run",
        |it| Box::pin(acts::changed_settings(it)),
        "It failed, since the tenant's settings changed while the run was under way",
    ),
    (
        "nobody works on a run until its deadline",
        |it| Box::pin(acts::overdue(it)),
        "It failed, since the deadline passed before the first deactivation (deadline: the deadline \
         passed, and nobody was working on the run)",
    ),
    (
        "a group of the scope is gone",
        |it| Box::pin(acts::gone_group(it)),
        "It failed, since a group of the scope could not be read",
    ),
    (
        "the filter is edited",
        |it| Box::pin(acts::edited_filter(it)),
        "the tenant's settings were edited",
    ),
    (
        "many are disabled, and a person says no",
        |it| Box::pin(acts::rejected(it)),
        "10 of 10 were disabled at the source: the percent guard holds 10 deactivations; a person rejected it",
    ),
    (
        "many are disabled, and the next full run finds the same",
        |it| Box::pin(acts::superseded(it)),
        "a later full run's plan took its place",
    ),
    (
        "nobody decides about a hold",
        |it| Box::pin(acts::lapsed(it)),
        "nobody decided, and the hold lapsed",
    ),
    (
        "a hold is approved, and then taken back",
        |it| Box::pin(acts::approved_and_reverted(it)),
        "Afterwards the run was taken back: 10 users are as before it.",
    ),
    (
        "somebody is not found, once and twice",
        |it| Box::pin(acts::not_found_twice(it)),
        "1 user was switched off, whom runs in a row did not find by id.",
    ),
    (
        "the delta token is lost",
        |it| Box::pin(acts::lost_delta(it)),
        "the enumeration began again, up to generation 2, since the delta link is no longer good",
    ),
];

/// One night after the other over one stack: each finds the lines of those before it too.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_each_bad_night_name_its_cause() {
    let night = Night::begin().await;
    let mut unnamed = Vec::new();
    for Scripted {
        night: title,
        script,
        names,
    } in SCRIPTED
    {
        night.play(script);
        let run = night.sync().await.run;
        night.heal();
        night.story(&run).await;
        unnamed.extend(not_named(&night, &run, title, names));
    }
    // A night without trouble, from which the others begin.
    night.sync().await;
    for (title, act, names) in ACTED {
        let run = act(&night).await;
        unnamed.extend(not_named(&night, &run, title, names));
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
}

/// What is told instead, if the cause is not named.
fn not_named(night: &Night, run: &RunRef, title: &str, names: &str) -> Option<String> {
    let told = explain(&night.logs, &["--run", &run.to_string()]);
    (!told.contains(names)).then(|| format!("{title}: {names:?} is not in:\n{told}"))
}
