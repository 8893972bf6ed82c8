//! `user list|show|deactivate|activate|release` and `explain`: the directory, printed because it is
//! asked for, and what a person decides about a user.

use anyhow::bail;
use rollcall_core::by_hand::Decision;
use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::plan::Deactivation;
use rollcall_core::status::{Status, StoredUser};
use rollcall_store::{Decided, HoldDecision, Store};

use super::{operator, tenants_ever};
use crate::args::{UserCommand, Who};
use crate::exit::{Exit, bad_input};
use crate::local::{Place, Stack};
use crate::output::Output;
use crate::output::explain::{Beside, Explained, deciding_run};
use crate::output::history::ChangeView;
use crate::output::user::{UserDetails, UserView, add_user, users_table};

pub(crate) async fn run(
    command: UserCommand,
    place: &Place,
    output: &Output,
) -> anyhow::Result<Exit> {
    let stack = place.open().await?;
    let store = stack.store();
    match command {
        UserCommand::List { tenant, status } => {
            list(store, tenant.as_ref(), status.map(Status::from), output).await?;
        }
        UserCommand::Show(who) => show(store, &who, output).await?,
        UserCommand::Deactivate(who) => decide(&stack, &who, Decision::Deactivate, output).await?,
        UserCommand::Activate(who) => decide(&stack, &who, Decision::Activate, output).await?,
        UserCommand::Release(who) => decide(&stack, &who, Decision::Release, output).await?,
    }
    stack.close().await;
    Ok(Exit::Done)
}

/// All users, by tenant and id.
async fn list(
    store: &Store,
    only: Option<&TenantId>,
    status: Option<Status>,
    output: &Output,
) -> anyhow::Result<()> {
    let mut table = users_table();
    for tenant in tenants_ever(store, only).await? {
        let tenant = &tenant.settings.id;
        let mut users = Vec::new();
        store
            .all_users(tenant, |user| {
                if status.is_none_or(|status| user.status == status) {
                    users.push(user);
                }
                Ok(())
            })
            .await?;
        users.sort_by(|a, b| a.id.cmp(&b.id));
        if output.is_json() {
            output.objects(users.iter().map(|user| UserView::of(tenant, user)))?;
        } else {
            for user in &users {
                add_user(&mut table, tenant, user);
            }
        }
    }
    if !output.is_json() {
        output.text(table)?;
    }
    Ok(())
}

/// One user with his history.
async fn show(store: &Store, who: &Who, output: &Output) -> anyhow::Result<()> {
    let tenant = &who.tenant;
    for user in &found(store, who).await? {
        let history = store.history(tenant, user).await?;
        let details = UserDetails {
            user: UserView::of(tenant, user),
            history: history.into_iter().map(ChangeView::of).collect(),
        };
        if output.is_json() {
            output.object(&details)?;
        } else {
            output.text(details.tables())?;
        }
    }
    Ok(())
}

/// `explain`: why a user is on or off.
pub(crate) async fn explain(who: &Who, place: &Place, output: &Output) -> anyhow::Result<Exit> {
    let stack = place.open().await?;
    let (store, tenant) = (stack.store(), &who.tenant);
    for user in &found(store, who).await? {
        let history = store.history(tenant, user).await?;
        let beside = Beside {
            approved: approved(store, tenant, deciding_run(&history)).await?,
            waits: waits(store, tenant, user).await?,
        };
        let explained = Explained::of(tenant, user, &history, &beside);
        if output.is_json() {
            output.object(&explained)?;
        } else {
            output.text(explained.paragraph())?;
        }
    }
    stack.close().await;
    Ok(Exit::Done)
}

/// Who approved the plan of a run, if somebody did.
async fn approved(
    store: &Store,
    tenant: &TenantId,
    run: Option<u64>,
) -> anyhow::Result<Option<HoldDecision>> {
    let Some(run) = run else { return Ok(None) };
    let tenant = tenant.clone();
    let record = store.run(&RunRef { tenant, run }).await?;
    Ok(record.and_then(|record| record.approved))
}

/// The held run whose plan has the user as he is, with its evidence: who has changed since is left by it.
async fn waits(
    store: &Store,
    tenant: &TenantId,
    user: &StoredUser,
) -> anyhow::Result<Option<(RunRef, String)>> {
    for record in store.held_runs(tenant).await? {
        let Some(stored) = store.plan(&record.run).await? else {
            continue;
        };
        let mut entries = stored.plan.entries().iter();
        let is_his =
            |entry: &&Deactivation| (entry.id(), entry.version()) == (&user.id, user.version);
        if let Some(entry) = entries.find(is_his) {
            return Ok(Some((record.run, entry.detail().to_owned())));
        }
    }
    Ok(None)
}

/// Writes a person's decision about one user, and shows the user as he is then.
async fn decide(
    stack: &Stack,
    who: &Who,
    decision: Decision,
    output: &Output,
) -> anyhow::Result<()> {
    let (store, tenant) = (stack.store(), &who.tenant);
    let users = found(store, who).await?;
    let [user] = users.as_slice() else {
        let ids: Vec<_> = users.iter().map(|user| user.id.to_string()).collect();
        return Err(bad_input(format!(
            "tenant {tenant} has {} users with this login name; give the object id of one: {}",
            ids.len(),
            ids.join(", ")
        )));
    };
    let by = operator();
    let (user, is_written) = match store.decide(tenant, &user.id, decision, &by).await? {
        Decided::Written(user) => (user, true),
        Decided::Same(user) => (user, false),
        Decided::Unknown => bail!("user {} of tenant {tenant} has vanished", user.id),
    };
    if output.is_json() {
        output.object(&UserView::of(tenant, &user))
    } else {
        output.text(sentence(tenant, &user, decision, is_written))
    }
}

fn sentence(tenant: &TenantId, user: &StoredUser, decision: Decision, is_written: bool) -> String {
    let who = format!("User {} of {tenant}", user.id);
    let (status, reason) = (user.status.name(), user.reason);
    let what = if is_written { "is now" } else { "was already" };
    match decision {
        Decision::Deactivate | Decision::Activate => format!(
            "{who} {what} {status} by hand. No sync changes that before `rollcall user release \
             {tenant} {}`.",
            user.id
        ),
        Decision::Release if is_written => format!(
            "{who} is given back to the sync. He stays {status} ({reason}) until a run finds otherwise; \
             a full run looks at everybody."
        ),
        Decision::Release => {
            format!("{who} is {status} ({reason}): no person holds him, nothing was changed.")
        }
    }
}

/// Those who are meant, at least one. A login name can lead to more: a user who was deleted, and the
/// one who has the name now, who is first.
async fn found(store: &Store, who: &Who) -> anyhow::Result<Vec<StoredUser>> {
    let tenant = &who.tenant;
    tenants_ever(store, Some(tenant)).await?;
    let mut users = find(store, tenant, &who.user).await?;
    if users.is_empty() {
        // What was asked for may be a name, and errors carry none.
        return Err(bad_input(format!(
            "tenant {tenant} has no user with this object id or login name; `user list --tenant \
             {tenant}` shows those that it has"
        )));
    }
    users.sort_by(|a, b| (a.status, &a.id).cmp(&(b.status, &b.id)));
    Ok(users)
}

async fn find(store: &Store, tenant: &TenantId, who: &str) -> anyhow::Result<Vec<StoredUser>> {
    if let Ok(id) = ObjectId::new(who) {
        let users = store.users(tenant, &[id]).await?;
        if !users.is_empty() {
            return Ok(users);
        }
    }
    Ok(store.users_by_login(tenant, who).await?)
}
