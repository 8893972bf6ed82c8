//! The page's numbers, whom it names, and texts that would do harm.

use std::collections::BTreeMap;

use rollcall_core::run::RunState;
use rollcall_end_to_end::World;
use rollcall_graph_emulator::{Population, User};
use rollcall_store::{HoldDecision, RunRecord};
use serde_json::{Value, json};

use super::{Facts, page};
use crate::story;

const USERS: usize = 60;
const DISABLED: usize = 6;
const DELETED: usize = 2;

/// A tenant whose members are all enabled; the first run has completed.
async fn world() -> World {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new("contoso.com", 5, USERS)
    };
    let world = World::start_with(population, &json!({})).await.unwrap();
    assert_eq!(world.sync().await.unwrap().state, RunState::Completed);
    world
}

fn everybody(world: &World) -> Vec<User> {
    world.tenant.directory().users().cloned().collect()
}

/// Some are disabled or deleted, one is gone without a trace, of one nothing is known, one is renamed.
fn a_day(world: &World) {
    let users = everybody(world);
    let mut directory = world.tenant.directory();
    for user in &users[..DISABLED] {
        directory.set_account_enabled(user.id, Some(false)).unwrap();
    }
    for user in &users[10..10 + DELETED] {
        directory.soft_delete(user.id).unwrap();
    }
    directory.soft_delete(users[20].id).unwrap();
    directory.purge(users[20].id).unwrap();
    directory.set_account_enabled(users[21].id, None).unwrap();
    let login = users[22].user_principal_name.clone().unwrap();
    directory.rename(users[22].id, &login, "New Name").unwrap();
}

async fn facts(world: &World, run: &RunRecord, names: bool) -> Facts {
    let record = world.store.run(&run.run).await.unwrap().unwrap();
    let now_ms = world.ambient.now_ms();
    let facts = Facts::load(&world.store, record, names, None, now_ms);
    facts.await.unwrap()
}

/// The funnel's numbers, as they stand in the page.
fn funnel(page: &str) -> BTreeMap<String, u64> {
    let rows = page.split("<tr data-count=\"").skip(1);
    rows.map(|row| {
        let (name, row) = row.split_once('"').unwrap();
        let (_, row) = row.split_once("<td class=\"number\">").unwrap();
        let (users, _) = row.split_once('<').unwrap();
        (name.to_owned(), users.replace(',', "").parse().unwrap())
    })
    .collect()
}

/// The numbers of the funnel that `run show` has too, from its own JSON.
fn of_run_show(facts: &Facts) -> Vec<(&'static str, u64)> {
    let show = serde_json::to_value(&facts.view).unwrap();
    let number = |path: &str| show.pointer(path).and_then(Value::as_u64).unwrap();
    [
        ("seen", "/users_seen"),
        ("created", "/created"),
        ("updated", "/updated"),
        ("reactivated", "/reactivated"),
        ("unchanged", "/unchanged"),
        ("kept-contradicted", "/kept/contradicted"),
        ("kept-awaiting", "/kept/awaiting_confirmation"),
        ("kept-unknown", "/kept/unknown"),
        ("deactivated", "/deactivated"),
        ("deactivated-disabled", "/deactivated_by/disabled"),
        ("deactivated-deleted", "/deactivated_by/deleted"),
        ("deactivated-not-found", "/deactivated_by/not_found"),
        ("deactivated-out-of-scope", "/deactivated_by/out_of_scope"),
    ]
    .map(|(name, path)| (name, number(path)))
    .to_vec()
}

/// Looks for numbers in a page; all of the funnel have to be those of `run show`.
#[track_caller]
fn has(facts: &Facts, page: &str, wanted: &[(&str, u64)]) {
    let funnel = funnel(page);
    for (name, users) in of_run_show(facts).iter().chain(wanted) {
        assert_eq!(funnel[*name], *users, "{name}");
    }
    let sum = |names: &[&str]| {
        names
            .iter()
            .filter_map(|name| funnel.get(*name))
            .sum::<u64>()
    };
    let of_seen = ["created", "updated", "reactivated", "unchanged"];
    assert_eq!(sum(&of_seen), funnel["seen"]);
    let fates = [
        "held",
        "dropped",
        "cleared",
        "left-alone",
        "to-go",
        "deactivated",
    ];
    assert_eq!(sum(&fates), funnel["planned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_a_run_that_is_held_then_released_are_those_of_run_show() {
    let world = world().await;
    a_day(&world);
    let held = world.sync().await.unwrap();
    assert_eq!(held.state, RunState::Held);
    let planned = (DISABLED + DELETED) as u64;
    let told = facts(&world, &held, false).await;
    let said = page(&told);
    let numbers = [
        ("seen", (USERS - DELETED - 1) as u64),
        ("candidates-disabled", DISABLED as u64),
        ("planned", planned),
        ("planned-disabled", DISABLED as u64),
        ("planned-deleted", DELETED as u64),
        ("held", planned),
        ("deactivated", 0),
        ("kept-awaiting", 1),
        ("kept-unknown", 1),
    ];
    has(&told, &said, &numbers);
    let plan = &held.held.as_ref().unwrap().plan;
    let run = &held.run;
    for part in [
        &format!("rollcall hold approve {run} --plan {plan}"),
        &format!("rollcall hold reject {run}"),
        &format!("<code class=\"hash\">{plan}</code>"),
        "the percent guard found 13.33 where 5 is the most, so 8 deactivations wait for a person",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(
        said.matches("waits for a person").count(),
        DISABLED + DELETED
    );
    // Of the guards behind the first that trips, it is said as well what they find.
    for (guard, says) in [
        ("shrink", "lets pass"),
        ("count", "lets pass"),
        ("percent", "trips"),
        ("domain", "lets pass"),
        ("window", "trips"),
    ] {
        let (_, row) = said.split_once(&format!("data-guard=\"{guard}\"")).unwrap();
        let (row, _) = row.split_once("</tr>").unwrap();
        assert!(row.contains(says), "{guard}: {row}");
    }

    // One of them is back by then.
    let back = everybody(&world)[0].id;
    world
        .tenant
        .directory()
        .set_account_enabled(back, Some(true))
        .unwrap();
    let completed = world.approve(&held).await.unwrap();
    assert_eq!(completed.state, RunState::Completed);
    let told = facts(&world, &completed, false).await;
    let said = page(&told);
    let numbers = [("deactivated", planned - 1), ("cleared", 1)];
    has(&told, &said, &numbers);
    for part in [
        "as ada released its plan",
        "; when approved: disabled, request <code>",
        "stays: Graph did not say so any more",
        "Until it was held",
        "After its plan was released",
        &format!("rollcall revert {run} --dry-run"),
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(
        said.matches("request <code>").count(),
        2 * (DISABLED - 1) + 2 * DELETED + 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_a_run_that_failed_are_those_of_run_show() {
    let world = world().await;
    a_day(&world);
    world
        .graph()
        .play("users page 1 always: denied".parse().unwrap());
    let failed = world.sync().await.unwrap();
    assert_eq!(failed.state, RunState::Failed);
    let told = facts(&world, &failed, false).await;
    let said = page(&told);
    let funnel = funnel(&said);
    for (name, users) in of_run_show(&told) {
        assert_eq!(funnel[name], users, "{name}");
    }
    assert_eq!(funnel.get("planned"), None);
    for part in [
        "since Microsoft Graph denied the application access. Nobody was switched off.",
        "rollcall tenant check contoso",
        "No plan was made, so no guard was asked.",
        "This run switched nobody off.",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_nobody_unless_it_is_asked_to() {
    let world = world().await;
    a_day(&world);
    let held = world.sync().await.unwrap();
    let users = everybody(&world);
    let texts =
        |user: &User| [&user.display_name, &user.user_principal_name, &user.mail].map(Clone::clone);
    let said = page(&facts(&world, &held, false).await);
    for text in users.iter().flat_map(texts).flatten() {
        assert!(!said.contains(&text), "{text}");
    }
    assert!(said.contains(&users[0].id.to_string()));
    assert!(said.contains("It has object ids, and no names"));
    let named = page(&facts(&world, &held, true).await);
    let [shown, login, _] = texts(&users[0]).map(Option::unwrap);
    assert!(named.contains(&shown) && named.contains(&login), "{named}");
    assert!(named.contains("It has names of people"));
}

/// Marks each text that is not ours, and would do harm as it is.
struct Hostile(usize);

impl Hostile {
    fn text(&mut self) -> String {
        self.0 += 1;
        format!("\"'><script>mark({})</script>\u{202e}\u{1b}", self.0)
    }

    /// All are shown, none as what they would be.
    #[track_caller]
    fn are_harmless_in(&self, page: &str) {
        for never in ["<script", "\u{202e}", "\u{1b}"] {
            let at = page.find(never);
            let around = at.map(|at| page[..at].chars().rev().take(80).collect::<String>());
            let around = around.map(|it| it.chars().rev().collect::<String>());
            assert_eq!(around, None, "{never:?} is behind it");
        }
        for mark in 1..=self.0 {
            let shown = format!("&lt;script&gt;mark({mark})&lt;/script&gt;");
            assert!(page.contains(&shown), "{mark} is missing");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_from_outside_is_shown_and_never_obeyed() {
    let world = world().await;
    a_day(&world);
    let mut hostile = Hostile(0);
    let users = everybody(&world);
    let login = users[0].user_principal_name.clone().unwrap();
    let name = hostile.text();
    world
        .tenant
        .directory()
        .rename(users[0].id, &login, &name)
        .unwrap();
    let held = world.sync().await.unwrap();
    assert_eq!(held.state, RunState::Held);

    let mut facts = facts(&world, &held, true).await;
    facts.record.detail = Some(hostile.text());
    let mut decision = || {
        Some(HoldDecision {
            by: hostile.text(),
            at_ms: held.started_at_ms,
        })
    };
    facts.record.approved = decision();
    facts.record.rejected = decision();
    for entry in &mut facts.plan.as_mut().unwrap().entries[..2] {
        entry.evidence = format!("seen, request {}", hostile.text());
    }
    facts.plan.as_mut().unwrap().hash = hostile.text();
    facts.record.held.as_mut().unwrap().plan = hostile.text();
    let user = facts.names.as_mut().unwrap().values_mut().last().unwrap();
    user.user_principal_name = Some(hostile.text());
    let batch = facts.batches.first_mut().unwrap();
    batch.request = Some(hostile.text()).into();
    batch.lease.as_mut().unwrap().owner = hostile.text();
    facts.story = Some(story_of(&mut hostile));
    hostile.are_harmless_in(&page(&facts));
}

/// Log lines whose texts would do harm.
fn story_of(hostile: &mut Hostile) -> story::Story {
    let mut lines = String::new();
    let mut line = |event: &str, fields: Value| {
        let mut line = json!({
            "timestamp": "2026-11-24T22:00:00.250Z", "event": event, "tenant": "contoso", "run": 2,
        });
        let (Some(all), Value::Object(fields)) = (line.as_object_mut(), fields) else {
            panic!("{event} has no fields");
        };
        all.extend(fields);
        lines.push_str(&format!("{line}\n"));
    };
    let step = hostile.text();
    line(
        "run_leased",
        json!({ "token": 1, "owner": "a", "step": step, "generation": 1, "page": 0 }),
    );
    line(
        "generation_restarted",
        json!({ "generation": 2, "error": hostile.text() }),
    );
    let (asked, answered) = (hostile.text(), hostile.text());
    line(
        "graph_asked_again",
        json!({ "operation": asked, "status": 429, "wait_ms": 9 }),
    );
    line(
        "graph_answered",
        json!({ "operation": answered, "status": 200, "took_ms": 9 }),
    );
    let detail = hostile.text();
    line(
        "run_failed",
        json!({ "token": 1, "reason": "incomplete", "detail": detail }),
    );
    story::tell(lines.as_bytes()).unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_forbids_itself_everything_but_its_own_style() {
    let world = world().await;
    let run = world.sync().await.unwrap();
    let said = page(&facts(&world, &run, false).await);
    for never in [
        "<script", " src=", "url(", "@import", "style=\"", "http://", "https://",
    ] {
        assert!(!said.contains(never), "{never} in {said}");
    }
    assert!(
        said.contains("content=\"default-src 'none'; style-src 'sha256-"),
        "{said}"
    );
    let hrefs = said.split(" href=\"").skip(1);
    assert!(hrefs.clone().count() > 8);
    assert!(hrefs.clone().all(|it| it.starts_with('#')));
}
