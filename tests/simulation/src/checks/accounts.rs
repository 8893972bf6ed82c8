//! Service providers: an account is switched off only for somebody who is off, it is told what was so, nobody has two,
//! and in the end each is as its user.

use rollcall_graph::Request;
use serde_json::{Value, json};

use super::Look;
use crate::item::{Item, Place, Table, text, text_if_any};
use crate::lambda::Invocation;
use crate::mirror::Change;
use crate::stream::What;
use crate::tenants::SimTenant;
use crate::world::{World, lock};

const TOLD: &str = "service providers: an account is told what the directory has";

/// Who sent a request, and when, in milliseconds since 1970.
pub(crate) struct Sent {
    pub(crate) tenant: String,
    /// When its sender was called.
    pub(crate) began_ms: u64,
    pub(crate) sent_ms: u64,
}

/// Looks at whom an invocation asks, and what it shows.
pub(crate) fn asks(world: &World, invocation: &Invocation, tenant: &SimTenant, request: &Request) {
    let shown = request.headers().get("authorization");
    let expected = format!("Bearer {}", tenant.provider_token());
    if shown.is_none_or(|shown| shown != expected.as_str()) {
        let detail = format!("{}'s was shown another", tenant.name);
        world.violate("isolation: a provider sees its own token alone", detail);
    }
    if !invocation.called_for.is_for(&tenant.name) {
        let detail = format!("{}'s was asked for another tenant", tenant.name);
        world.violate("isolation: a provider is told its own tenant alone", detail);
    }
}

/// Looks at what an account has become: its user was so at some moment between the call of its sender and the request.
/// `before` has all accounts as they were. Of one that is switched off, and stays as it is else, the user was off.
pub(crate) fn told(
    world: &World,
    sent: &Sent,
    (path, body): (&str, Option<&Value>),
    before: &[Value],
) {
    let body = body.unwrap_or(&Value::Null);
    let contents = match body["Operations"].as_array() {
        Some(operations) => contents_of(|name| {
            let mut replaced = operations.iter().filter(|it| it["op"] == "replace");
            let found = replaced.find(|it| it["path"] == name);
            found.map_or(Value::Null, |it| it["value"].clone())
        }),
        None => contents_of(|name| body[name].clone()),
    };
    let changed = path.strip_prefix("/Users/");
    let is_it = |account: &&Value| account["id"].as_str() == changed;
    let was = before.iter().find(is_it);
    let off_alone = is_off_alone(body);
    let id = match was {
        Some(was) if off_alone => &was["externalId"],
        _ => &contents["id"],
    };
    world.mark(match contents["active"].as_bool() {
        Some(true) => "accounts told: on",
        _ => "accounts told: off",
    });
    let is_his = |account: &&Value| account["externalId"] == *id && !is_it(account);
    if before.iter().any(|account| is_his(&account)) {
        let detail = format!("{id} of {}", sent.tenant);
        return world.violate("service providers: nobody has two accounts", detail);
    }
    if was.is_some_and(|was| was["externalId"].is_null()) && contents["active"] == false {
        let detail = format!("{id} of {}", sent.tenant);
        return world.violate("service providers: who is off takes no account", detail);
    }
    let is_so = |user: &Value| {
        if off_alone {
            user["active"] == false
        } else {
            *user == contents
        }
    };
    let (mut was_so, mut last) = (false, None::<Value>);
    for (at_ms, item) in history(world, &sent.tenant, id.as_str().unwrap_or_default()) {
        // What came before this one was so until now.
        if at_ms > sent.began_ms {
            was_so |= last.as_ref().is_some_and(is_so);
        }
        if at_ms > sent.sent_ms {
            last = None;
            break;
        }
        last = Some(contents_of_user(&item));
    }
    if !was_so && !last.as_ref().is_some_and(is_so) {
        let detail = format!("{id} of {} was not so", sent.tenant);
        world.violate(TOLD, detail);
    }
}

/// Whether a request switches an account off and does nothing else.
fn is_off_alone(body: &Value) -> bool {
    let operations = body["Operations"].as_array();
    let off = json!({ "op": "replace", "path": "active", "value": false });
    operations.is_some_and(|operations| *operations == [off])
}

/// A user's versions, and since when each was the last.
fn history(world: &World, tenant: &str, id: &str) -> Vec<(u64, Item)> {
    let stream = lock(&world.stream);
    let prefix = format!("{tenant}#");
    let its = stream
        .records
        .iter()
        .filter_map(|record| match &record.what {
            What::Write(change, _) => {
                let is_his = change.place.sk == id && change.place.pk.starts_with(&prefix);
                is_his.then(|| (record.at_ms, change.after.clone()))
            }
            What::Oddity(_) => None,
        });
    its.collect()
}

/// What an account has of a user, by what each part is called there.
fn contents_of(part: impl Fn(&str) -> Value) -> Value {
    json!({
        "id": part("externalId"),
        "name": part("userName"),
        "active": part("active"),
        "shown": part("displayName"),
        "mail": part("emails")[0]["value"],
    })
}

fn contents_of_user(item: &Item) -> Value {
    json!({
        "id": text(item, "sk"),
        "name": text_if_any(item, "user_principal_name"),
        "active": text(item, "status") == "ACTIVE",
        "shown": text_if_any(item, "display_name"),
        "mail": text_if_any(item, "mail"),
    })
}

/// Who has not the account that he has to have, if anybody.
pub(crate) fn difference(world: &World, tenant: &SimTenant) -> Option<String> {
    let provider = lock(&tenant.provider);
    if provider.on_their_way > 0 {
        return Some("requests are on their way".into());
    }
    let is_left = |other: &&Value| provider.accounts.all().any(|account| account == *other);
    if let Some(other) = provider.of_others.iter().find(|it| !is_left(it)) {
        return Some(format!("an account of others is another: {other}"));
    }
    let is_of_others = |account: &Value| {
        let others = &mut provider.of_others.iter();
        others.any(|other| other["userName"] == account["name"])
    };
    let accounts: Vec<_> = provider
        .accounts
        .all()
        .map(|account| contents_of(|name| account[name].clone()))
        .collect();
    let mirror = lock(&world.mirror);
    let users = mirror.partitions(Table::Directory, &format!("{}#", tenant.name));
    for (place, item) in users {
        let his = accounts
            .iter()
            .find(|account| account["id"] == place.sk.as_str());
        let user = contents_of_user(item);
        let is_right = match his {
            Some(account) => *account == user,
            None => user["active"] == false || user["name"].is_null() || is_of_others(&user),
        };
        if !is_right {
            return Some(format!("{place} is not as his account {his:?}"));
        }
    }
    None
}

impl Look<'_> {
    /// What is known of an account is written by whoever has the provider's lease.
    pub(super) fn account(&self, tenant: &str, change: &Change) {
        let lease = Place::coordination(format!("scim#{tenant}"), "scim".into());
        if !self.holds(&lease) {
            let detail = format!("{} without the provider's lease", change.place);
            self.violate("invariant 4: no write without a lease", &detail);
        }
    }
}
