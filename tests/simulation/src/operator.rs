//! An operator: reads what the command line reads, while everything goes wrong and when it is calm,
//! removes a tenant and puts it back, and makes mistakes, which have to be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rollcall_core::ids::{ObjectId, RunRef, TenantId};
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::{Reason, StoredUser};
use rollcall_store::{Left, RunRecord, Store, StoreError, Survey};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::item::{Table, number, text};
use crate::lambda::{Ended, Function};
use crate::queues::call;
use crate::tenants::SimTenant;
use crate::world::{World, lock};

const READS: &str = "what is shown is what is stored";
const REFUSED: &str = "a mistake is refused, and changes nothing";

/// What one person mistypes in a tenant's settings: where, and what stands there then.
fn mistakes() -> Vec<(&'static str, Value)> {
    let many = |what: &str, count: usize| -> Vec<_> {
        (0..count)
            .map(|number| format!("{what}{number}.example"))
            .collect()
    };
    let directory = "c29e8883-d903-4004-af3d-6f19378a4c88";
    let groups: Vec<_> = (0..2_000)
        .map(|it| Uuid::from_u128(it).to_string())
        .collect();
    let attributes: BTreeMap<_, _> = (0..40).map(|it| (format!("a{it}"), "jobTitle")).collect();
    vec![
        ("id", json!("Two Words")),
        ("directory_id", json!("contoso.example")),
        ("client_id", json!(7)),
        ("cloud", json!("global")),
        ("login_url", Value::Null),
        ("graph_url", json!("http://graph.example")),
        ("graph_url", json!("http://10.0.0.1")),
        ("graph_url", json!("http://[2001:db8::1]")),
        ("graph_url", json!("ftp://graph.example")),
        ("graph_url", json!("https://graph.example/?tenant=1")),
        ("graph_url", json!("data:text/plain,graph")),
        ("credential", json!("the secret itself")),
        ("credential", json!({ "kind": "federated", "env": "A" })),
        ("credential", json!({ "kind": "password", "env": "A" })),
        ("credential", json!({ "kind": "secret" })),
        ("credential", json!({ "kind": "secret", "env": "a b" })),
        (
            "credential",
            json!({ "kind": "secret", "secrets_manager": "the secret itself" }),
        ),
        (
            "credential",
            json!({ "kind": "secret", "pem_file": "a.pem" }),
        ),
        ("credential", json!({ "kind": "certificate" })),
        (
            "credential",
            json!({ "kind": "certificate", "pem_file": "" }),
        ),
        (
            "credential",
            json!({ "kind": "certificate", "pem_file": "a.pem", "env": "A" }),
        ),
        ("guards/deactivations_percent_max", json!(140)),
        ("guards/shrink_percent_max", json!(-1)),
        ("guards/absences_confirmed_by", json!(1)),
        ("guards/deactivations", json!(5)),
        ("limits/lease_seconds", json!(0)),
        ("limits/run_deadline_minutes", json!(1_000_000)),
        ("scope/domains", json!(["not a domain"])),
        ("scope/domains", json!(many("d", 2_000))),
        ("scope/groups", json!(["everybody"])),
        ("scope/groups", json!(vec![directory; 2])),
        ("scope/groups", json!(groups)),
        ("schedule/full", json!("daily")),
        ("schedule/full", json!("rate(daily)")),
        ("schedule/full", json!("rate(a few hours)")),
        ("schedule/full", json!("rate(2 weeks)")),
        ("schedule/full", json!("rate(1 minute)")),
        ("schedule/delta", json!("cron(0 2 * * *)")),
        ("schedule/delta", json!("cron(0 2 L * ? *)")),
        ("schedule/delta", json!("cron(0 2 30 2 ? *)")),
        ("attributes", json!(attributes)),
        ("attributes", json!({ "1st": "department" })),
        ("attributes", json!({ "first": "not a property" })),
    ]
}

/// Makes a mistake.
pub(crate) async fn errs(world: &Arc<World>, store: &Store, tenant: &SimTenant) {
    match world.dice.index(4) {
        0 => wrong_schedule(world).await,
        1 => other_directory(world, store, tenant).await,
        _ => {
            let mistakes = mistakes();
            let Some((place, value)) = mistakes.get(world.dice.index(mistakes.len())) else {
                return;
            };
            let mut settings = tenant.settings_as_written();
            let at = place
                .split('/')
                .fold(&mut settings, |within, name| &mut within[name]);
            *at = value.clone();
            world.tell(|| format!("{}: {place} is mistyped", tenant.name));
            world.mark("mistakes of an operator");
            if let Ok(taken) = serde_json::from_value::<TenantSettings>(settings) {
                let detail = format!("{place} of {} as {value} is taken", taken.id);
                world.violate(REFUSED, detail);
            }
        }
    }
}

/// A schedule that the function does not have.
async fn wrong_schedule(world: &Arc<World>) {
    world.mark("mistakes of an operator");
    let (function, schedule) = world.dice.of([
        (Function::Enumerator, "sweep"),
        (Function::Enumerator, "weekly"),
        (Function::Finalizer, "full"),
    ]);
    let event = json!({ "schedule": schedule });
    if let Ended::Answered(answer) = call(Arc::clone(world), function, event).await {
        world.violate(REFUSED, format!("{function} took {schedule}: {answer}"));
    }
}

/// Another directory under the same id would turn everybody absent.
async fn other_directory(world: &World, store: &Store, tenant: &SimTenant) {
    world.mark("mistakes of an operator");
    let mut settings = tenant.settings_as_written();
    settings["directory_id"] = json!(world.dice.uuid().to_string());
    let Ok(settings) = serde_json::from_value(settings) else {
        return world.violate("the simulation", "settings that are none".into());
    };
    let put = store.put_tenant(&settings).await;
    if !matches!(put, Err(StoreError::Invalid(_))) {
        let detail = format!("{} got another directory: {put:?}", tenant.name);
        world.violate(REFUSED, detail);
    }
}

/// Stops syncing a tenant, and begins again some time after.
pub(crate) async fn pauses(world: &World, store: &Store, tenant: &SimTenant) -> anyhow::Result<()> {
    world.tell(|| format!("{} is removed", tenant.name));
    world.mark("tenants removed and put back");
    let id = TenantId::new(&tenant.name)?;
    // Somebody else may have changed it at the same moment: then that stands.
    let _ = store.remove_tenant(&id).await;
    tokio::time::sleep(std::time::Duration::from_millis(
        world.dice.between(0, 20_000),
    ))
    .await;
    world.tell(|| format!("{} is put back", tenant.name));
    let _ = store.put_tenant(&tenant.settings()?).await;
    Ok(())
}

/// The same with any tenant.
pub(crate) async fn pauses_any(world: &World, store: &Store) {
    let tenant = world.tenants.get(world.dice.index(world.tenants.len()));
    if let Some(tenant) = tenant
        && let Err(error) = pauses(world, store, tenant).await
    {
        world.violate("an operator can pause a tenant", error.to_string());
    }
}

/// Reads what the command line shows. When it is calm, it is compared with what is stored.
pub(crate) async fn looks(
    world: &World,
    store: &Store,
    tenant: &SimTenant,
    is_calm: bool,
) -> anyhow::Result<()> {
    let id = TenantId::new(&tenant.name)?;
    let tenants = store.tenants().await?;
    let mut users = Vec::new();
    store
        .all_users(&id, |user| {
            users.push(user);
            Ok(())
        })
        .await?;
    let mut runs = Vec::new();
    for run in store.runs(&id).await? {
        runs.push(run);
    }
    let survey = match runs.last() {
        Some(run) => Some((&run.run, store.survey_revert(&run.run).await?)),
        None => None,
    };
    if is_calm && !world.is_over() {
        compare(world, tenant, &users, &runs);
        if let Some((run, Survey::Found { restored, left })) = &survey {
            surveyed(world, run, restored, left);
        }
        if tenants.len() != world.tenants.len() {
            world.violate(READS, format!("{} tenants", tenants.len()));
        }
    }
    let user = users.get(world.dice.index(users.len()));
    if let Some(user) = user {
        look_at(world, store, &id, user, is_calm).await?;
    }
    Ok(())
}

fn compare(world: &World, tenant: &SimTenant, users: &[StoredUser], runs: &[RunRecord]) {
    let shown: BTreeMap<_, _> = users
        .iter()
        .map(|user| (user.id.to_string(), (user.status.name(), user.version)))
        .collect();
    let mirror = lock(&world.mirror);
    let prefix = format!("{}#", tenant.name);
    let stored: BTreeMap<_, _> = mirror
        .partitions(Table::Directory, &prefix)
        .map(|(place, item)| {
            let version = number(item, "version").unwrap_or_default();
            (place.sk.clone(), (text(item, "status"), version))
        })
        .collect();
    if shown != stored {
        let detail = format!("{}: users {shown:?}, stored {stored:?}", tenant.name);
        world.violate(READS, detail);
    }
    let pk = format!("run#{}", tenant.name);
    let stored = mirror.range(Table::Coordination, &pk, "");
    let stored: Vec<_> = stored.map(|(_, item)| text(item, "state")).collect();
    let shown: Vec<_> = runs.iter().map(|run| run.state.shown_name()).collect();
    let has_open = runs.iter().any(|run| !run.state.has_ended());
    let is_numbered = (1..).zip(runs).all(|(number, run)| run.run.run == number);
    if shown != stored || has_open || !is_numbered {
        let detail = format!("{}: runs {shown:?}, stored {stored:?}", tenant.name);
        world.violate(READS, detail);
    }
    for totals in runs.iter().filter_map(|run| run.totals.as_ref()) {
        if totals.unchanged() + totals.changes.total() != totals.users_seen {
            world.violate(
                "conservation: seen = created + updated + reactivated + unchanged",
                format!("{}: {totals:?}", tenant.name),
            );
        }
    }
}

/// A revert would do something with everybody of whom the run left an image, or say that it does not.
fn surveyed(world: &World, run: &RunRef, restored: &BTreeSet<ObjectId>, left: &[Left]) {
    let prefix = format!("journal#{}#{}#", run.tenant, run.run);
    let mirror = lock(&world.mirror);
    let images = mirror.partitions(Table::Coordination, &prefix);
    let written: BTreeSet<_> = images
        .filter_map(|(place, _)| Some(place.sk.split_once('#')?.0.to_owned()))
        .collect();
    let told = restored.iter().chain(left.iter().map(|left| &left.id));
    let told: BTreeSet<_> = told.map(ToString::to_string).collect();
    if told != written {
        world.violate(
            READS,
            format!("{run} wrote {written:?}, a revert is about {told:?}"),
        );
    }
    world.mark("runs surveyed");
}

/// One user: by login name, and with all that became of him.
async fn look_at(
    world: &World,
    store: &Store,
    tenant: &TenantId,
    user: &StoredUser,
    is_calm: bool,
) -> anyhow::Result<()> {
    let history = store.history(tenant, user).await?;
    let follows = history.iter().all(|entry| {
        let before = entry.before.as_ref().map_or(0, |before| before.version);
        before + 1 == entry.after.version
    });
    // What a person writes past the store leaves no image: what was before that is out of reach.
    let first = history.last();
    let oldest = first.map_or(user, |entry| entry.before.as_ref().unwrap_or(&entry.after));
    let is_whole = oldest.reason == Reason::Manual || history.len() as u64 == user.version;
    if !follows || !is_whole {
        let detail = format!(
            "{tenant}: {} of {} changes of {}",
            history.len(),
            user.version,
            user.id
        );
        world.violate("invariant 8: every change can be taken back", detail);
    }
    let Some(login) = &user.user_principal_name else {
        return Ok(());
    };
    // As somebody types it.
    let typed = login.to_uppercase();
    let found = store.users_by_login(tenant, &typed).await?;
    let is_found = found.iter().any(|it| it.id == user.id);
    if is_calm && !is_found && !world.is_over() {
        let detail = format!("{tenant}: {} is not found by login name", user.id);
        world.violate(READS, detail);
    }
    let is_known = |user: &StoredUser| Uuid::try_parse(user.id.as_str()).is_ok();
    if !found.iter().all(is_known) {
        world.violate(READS, format!("{tenant}: an id that nobody has"));
    }
    Ok(())
}
