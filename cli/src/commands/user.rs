//! `user list|show`: the commands that print the directory because they are asked to.

use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::{Status, StoredUser};
use rollcall_store::Store;

use super::tenants_ever;
use crate::args::UserCommand;
use crate::exit::{Exit, bad_input};
use crate::local::Place;
use crate::output::Output;
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
        UserCommand::Show { tenant, user } => show(store, &tenant, &user, output).await?,
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

/// One user. A login name can lead to more than one: a user who was deleted, and the one who has
/// the name now, who is told first.
async fn show(store: &Store, tenant: &TenantId, who: &str, output: &Output) -> anyhow::Result<()> {
    tenants_ever(store, Some(tenant)).await?;
    let mut users = find(store, tenant, who).await?;
    if users.is_empty() {
        // What was asked for may be a name, and errors carry none.
        return Err(bad_input(format!(
            "tenant {tenant} has no user with this object id or login name; `user list --tenant \
             {tenant}` shows those that it has"
        )));
    }
    users.sort_by(|a, b| (a.status, &a.id).cmp(&(b.status, &b.id)));
    for user in &users {
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

async fn find(store: &Store, tenant: &TenantId, who: &str) -> anyhow::Result<Vec<StoredUser>> {
    if let Ok(id) = ObjectId::new(who) {
        let users = store.users(tenant, &[id]).await?;
        if !users.is_empty() {
            return Ok(users);
        }
    }
    Ok(store.users_by_login(tenant, who).await?)
}
