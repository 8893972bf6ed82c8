//! `tenant check`: asks Graph what a sync would ask, and changes no user. That all is well ends the rest of a
//! tenant whose runs kept failing.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_ambient::Ambient;
use rollcall_aws::Aws;
use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::scope::Scope;
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Implied, Reason};
use rollcall_core::user::GraphUser;
use rollcall_graph::{GraphClient, GraphError, PageAt};
use rollcall_scim::ScimError;
use rollcall_store::Store;
use rollcall_sync::{Secrets, graph_client, scim_client};
use serde::Serialize;

use super::tenant;
use crate::exit::{Exit, bad_input};
use crate::output::Output;
use crate::output::table::{grouped, or_dash, table};

/// What was found out. Fields that the check did not get to are null.
#[derive(Debug, Serialize)]
struct Report {
    tenant: TenantId,
    ok: bool,
    /// Whether the token service takes the credential.
    credential: Option<bool>,
    /// Whether Graph answers all that a sync asks.
    permissions: Option<bool>,
    /// Whether Graph has deltas of this directory's users. Without, every run is a full one.
    delta: Option<bool>,
    /// How many users Graph says there are.
    count: Option<u64>,
    /// The groups of the scope; left out if it names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group>,
    page: Option<Page>,
    /// Whether the service provider answers what it is asked first; left out if the tenant has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    scim: Option<bool>,
    error: Option<String>,
}

/// A group of the scope, by the first page of its members.
#[derive(Debug, Serialize)]
struct Group {
    group: ObjectId,
    /// How many users stand on the page, nested members too.
    users: Option<usize>,
    /// Whether there are further pages.
    more: Option<bool>,
    /// Why a sync would fail for it.
    problem: Option<String>,
}

/// The first page, and what a sync would make of it.
#[derive(Debug, Default, Serialize)]
struct Page {
    users: u64,
    /// Whether there are further pages.
    more: bool,
    in_scope: u64,
    /// Of those in scope.
    disabled: u64,
    out_of_scope: u64,
    /// A field that decides is null: a sync changes nothing.
    unknown: u64,
}

impl Page {
    fn of(users: &[GraphUser], more: bool, scope: &Scope) -> Self {
        let mut page = Self {
            users: users.len() as u64,
            more,
            ..Self::default()
        };
        for user in users {
            match Implied::by(user, scope) {
                Implied::Active => page.in_scope += 1,
                Implied::Inactive(Reason::OutOfScope) => page.out_of_scope += 1,
                Implied::Inactive(_) => {
                    page.in_scope += 1;
                    page.disabled += 1;
                }
                Implied::Unknown => page.unknown += 1,
            }
        }
        page
    }
}

pub(crate) async fn run(
    store: &Store,
    ambient: &Ambient,
    id: &TenantId,
    output: &Output,
) -> anyhow::Result<Exit> {
    let settings = tenant(store, id).await?.settings;
    let secrets = Secrets::Process(Arc::new(Aws::new()));
    let graph = graph_client(&settings, &secrets, ambient)
        .map_err(|error| bad_input(format!("tenant {id}: {error}")))?;
    let mut report = Report {
        tenant: id.clone(),
        ok: false,
        credential: None,
        permissions: None,
        delta: None,
        count: None,
        groups: Vec::new(),
        page: None,
        scim: None,
        error: None,
    };
    let exit = match ask(&graph, &settings.scope, &mut report).await {
        Ok(())
            if report
                .page
                .as_ref()
                .is_none_or(|page| page.users == 0 && !page.more) =>
        {
            let problem = "Graph lists no user at all: a sync would fail as empty_enumeration; check \
                           the directory_id, and that User.Read.All is granted as an application \
                           permission";
            eprintln!("error: tenant {id}: {problem}");
            report.error = Some(problem.to_owned());
            Exit::Failed
        }
        Ok(()) => {
            if store.end_rest(id).await? {
                eprintln!("tenant {id}: its last run failed; the schedules start its runs again");
            }
            reach(&settings, &secrets, ambient, &mut report).await
        }
        Err(error) => {
            match &error {
                GraphError::CredentialRejected { .. } => report.credential = Some(false),
                GraphError::Denied { .. } => {
                    report.credential = Some(true);
                    report.permissions = Some(false);
                }
                _ => {}
            }
            eprintln!("error: tenant {id}: {error}");
            let exit = refused(&error);
            report.error = Some(error.to_string());
            exit
        }
    };
    if output.is_json() {
        output.object(&report)?;
    } else {
        output.text(report.table())?;
    }
    Ok(exit)
}

/// What a telling asks the service provider first, if the tenant has one.
async fn reach(
    settings: &TenantSettings,
    secrets: &Secrets,
    ambient: &Ambient,
    report: &mut Report,
) -> Exit {
    let Some(target) = &settings.scim else {
        report.ok = true;
        return Exit::Done;
    };
    let reached = match scim_client(target, secrets, ambient) {
        Ok(client) => client.reach().await,
        Err(error) => Err(error),
    };
    report.ok = reached.is_ok();
    report.scim = Some(report.ok);
    let Err(error) = reached else {
        return Exit::Done;
    };
    eprintln!("error: tenant {}: {error}", settings.id);
    report.error = Some(error.to_string());
    match error {
        ScimError::Unavailable { .. } => Exit::Unexpected,
        ScimError::Denied { .. } | ScimError::Refused { .. } => Exit::Failed,
    }
}

/// Whether Graph is there and says no, or something else is in the way.
fn refused(error: &GraphError) -> Exit {
    match error {
        GraphError::CredentialRejected { .. }
        | GraphError::Denied { .. }
        | GraphError::GroupUnavailable { .. }
        | GraphError::Refused { .. } => Exit::Failed,
        _ => Exit::Unexpected,
    }
}

/// All that a sync asks: a page, the groups of the scope, a count, a delta, and the three ways to ask for
/// those who are not seen.
async fn ask(graph: &GraphClient, scope: &Scope, report: &mut Report) -> Result<(), GraphError> {
    let mut page = graph.users_page(PageAt::First).await?;
    report.credential = Some(true);
    read_groups(graph, scope, report).await?;
    graph.note_groups(scope, &mut page.users, &[]).await?;
    report.page = Some(Page::of(&page.users, page.next.is_some(), scope));
    report.count = graph.count_users().await?;
    report.delta = Some(graph.delta_from_now().await?.is_some());
    let somebody: Vec<ObjectId> = page.users.iter().take(1).map(|u| u.id.clone()).collect();
    graph.get_by_ids(&somebody).await?;
    graph.users_by_id(&somebody).await?;
    graph.deleted_users(&BTreeSet::from_iter(somebody)).await?;
    report.permissions = Some(true);
    Ok(())
}

/// Looks into each group, those after one that cannot be read too. Gives the first problem.
async fn read_groups(
    graph: &GraphClient,
    scope: &Scope,
    report: &mut Report,
) -> Result<(), GraphError> {
    let mut first = Ok(());
    for group in &scope.groups {
        let read = match graph.first_members(group).await {
            Err(error @ GraphError::GroupUnavailable { .. }) => Err(error),
            other => Ok(other?),
        };
        report.groups.push(Group {
            group: group.clone(),
            users: read.as_ref().ok().map(|first| first.users),
            more: read.as_ref().ok().map(|first| first.more),
            problem: read.as_ref().err().map(ToString::to_string),
        });
        first = first.and(read.map(drop));
    }
    first
}

impl Report {
    fn table(&self) -> comfy_table::Table {
        let yes = |answer: Option<bool>| match answer {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => "–".to_owned(),
        };
        let mut table = table(["checked", "found"]);
        table.add_rows([
            ["credential is taken".to_owned(), yes(self.credential)],
            ["permissions suffice".into(), yes(self.permissions)],
            ["deltas are to be had".into(), yes(self.delta)],
            [
                "users, as Graph counts them".into(),
                or_dash(self.count.map(grouped)),
            ],
        ]);
        if self.scim.is_some() {
            table.add_row(["service provider answers".to_owned(), yes(self.scim)]);
        }
        for group in &self.groups {
            let more = if group.more == Some(true) {
                ", more follow"
            } else {
                ""
            };
            let found = match (&group.problem, group.users) {
                (Some(problem), _) => problem.clone(),
                (None, Some(users)) => format!("{}{more}", grouped(users as u64)),
                (None, None) => or_dash(None::<String>),
            };
            table.add_row([format!("users of group {}", group.group), found]);
        }
        if let Some(page) = &self.page {
            let more = if page.more { ", more follow" } else { "" };
            table.add_rows([
                [
                    "users on the first page".to_owned(),
                    format!("{}{more}", grouped(page.users)),
                ],
                ["of them in scope".into(), grouped(page.in_scope)],
                ["of those disabled".into(), grouped(page.disabled)],
                ["out of scope".into(), grouped(page.out_of_scope)],
                ["undecided, for a null".into(), grouped(page.unknown)],
            ]);
        }
        table
    }
}
