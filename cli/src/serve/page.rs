//! How the tenants stand, as a page: what runs, what waits for a person, how the last run ended.

use maud::{Markup, html};

use super::tenants::Standing;
use crate::output::run::RunView;
use crate::output::table::grouped;
use crate::output::time;
use crate::report::{said, whole};

/// How often the page looks again when it is told to, in seconds.
const EVERY_S: u16 = 5;

/// The page of all tenants.
pub(super) fn overview(standings: &[Standing], now_ms: u64, every_s: Option<u16>) -> String {
    let waiting: usize = standings.iter().map(|it| it.held.len()).sum();
    let running = standings.iter().filter(|it| it.active.is_some()).count();
    let title = "Tenants";
    let body = html! {
        a.skip href="#main" { "To the tenants" }
        header { p { "Rollcall: the local stack" } }
        main #main {
            h1 { (title) }
            dl.facts {
                div { dt { "Tenants" } dd { (standings.len()) } }
                div { dt { "Runs under way" } dd { (running) } }
                div { dt { "Plans that wait for a person" } dd { (waiting) } }
            }
            p {
                "As at " (time::short(now_ms)) ". "
                @match every_s {
                    None => { a href={ "/?every=" (EVERY_S) } { "Look again every " (EVERY_S) " seconds" } }
                    Some(_) => { a href="/" { "Do not look again by itself" } }
                }
            }
            (waits(standings))
            (tenants(standings))
        }
        footer { p { "Served on this machine alone. Times are UTC. It has object ids, and no names." } }
    };
    whole(title, &body).into_string()
}

fn waits(standings: &[Standing]) -> Markup {
    let held = || standings.iter().flat_map(|it| &it.held);
    html! {
        @if held().next().is_some() {
            section aria-labelledby="waits" {
                h2 #waits { "Waits for a person" }
                p { "Stop this stack first: while it is served no other command has its data." }
                ul {
                    @for (view, record) in held() {
                        li {
                            (link(view)) ": " @if let Some(hold) = view.hold() { (hold) }
                            ol.steps {
                                @if let Some(held) = &record.held {
                                    li { code { "rollcall hold approve " (view.name()) " --plan " (said(&held.plan)) } }
                                }
                                li { code { "rollcall hold reject " (view.name()) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tenants(standings: &[Standing]) -> Markup {
    html! {
        section aria-labelledby="each" {
            h2 #each { "Each tenant" }
            div.scroll role="region" aria-labelledby="runs" tabindex="0" {
                table {
                    caption #runs { "What each tenant's runs do" }
                    thead {
                        tr {
                            th scope="col" { "Tenant" }
                            th scope="col" { "Under way" }
                            th scope="col" { "Seen so far" }
                            th scope="col" { "Last run" }
                            th scope="col" { "Ended" }
                            th scope="col" { "Switched off" }
                            th scope="col" { "Waits" }
                        }
                    }
                    tbody { @for standing in standings { (row(standing)) } }
                }
            }
        }
    }
}

fn row(standing: &Standing) -> Markup {
    let none = || html! { "–" };
    html! {
        tr {
            th scope="row" {
                (standing.tenant) @if standing.is_removed { " (removed)" }
            }
            td { @match &standing.active { Some(view) => (link(view)), None => (none()) } }
            td.number {
                @match &standing.active { Some(view) => (grouped(view.users_seen)), None => (none()) }
            }
            td { @match &standing.last { Some(view) => (link(view)), None => (none()) } }
            td {
                @match standing.last.as_ref().and_then(|view| view.ended_at) {
                    Some(at_ms) => (time::short(at_ms)),
                    None => (none()),
                }
            }
            td.number {
                @match &standing.last { Some(view) => (grouped(view.deactivated)), None => (none()) }
            }
            td.number { (standing.held.len()) }
        }
    }
}

/// A run by its number and state, and the way to its report.
fn link(view: &RunView) -> Markup {
    html! {
        a href={ "/runs/" (view.name()) } { (view.name()) } " "
        span class={ "state " (view.state) } { (view.state) }
    }
}
