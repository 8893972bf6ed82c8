//! The emulator as a program of its own, to point any client of Microsoft Graph at:
//!
//! ```text
//! cargo run -p rollcall-graph-emulator --example emulate -- --users 250
//! ```
//!
//! It prints one JSON object: where it listens, and what the application logs in with. Then it takes
//! commands, one a line, and answers each with one JSON object, until its input ends:
//!
//! - `users`: who is in the directory, by object id, and whether enabled
//! - `change`: a day's changes, and whom they were about
//! - `disable COUNT`: so many who are enabled are so no more; who
//! - `enable ID`: somebody is enabled again
//! - `rename NAME`: everybody has this display name
//! - `play RULE`: a fault, such as `play users page 2 once: status 503`
//! - `heal`: no faults any more

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use rollcall_ambient::Ambient;
use rollcall_graph_emulator::{
    Directory, Emulator, FaultScript, Paging, Population, Tenant, TenantSpec,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// An emulator of Microsoft Graph, on a loopback address.
#[derive(Debug, Parser)]
struct Cli {
    /// How many users the directory has
    #[arg(long, default_value_t = 250)]
    users: usize,
    /// The same seed makes the same people
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The port; a free one if it is 0
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The most users on a page, whatever a client asks for
    #[arg(long, default_value_t = 999)]
    page_size_max: usize,
    /// A file of faults, one a line
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let emulator = Emulator::start_on(Ambient::system(), cli.port).await?;
    let population = Population::new("contoso.com", cli.seed, cli.users);
    let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
    tenant.set_paging(Paging {
        page_size_max: cli.page_size_max,
        delta_page_size_max: cli.page_size_max.min(200),
        ..tenant.paging()
    });
    if let Some(path) = cli.script {
        let named = || path.display().to_string();
        let script = std::fs::read_to_string(&path).with_context(named)?;
        emulator.graph().play(script.parse().with_context(named)?);
    }
    say(&json!({
        "graph_url": emulator.origin(),
        "login_url": emulator.origin(),
        "directory_id": tenant.directory_id().to_string(),
        "client_id": tenant.client_id().to_string(),
        "client_secret": tenant.client_secret(),
    }))?;
    // Reading blocks a thread; the emulator has the others.
    tokio::task::block_in_place(|| commands(&emulator, &tenant))?;
    emulator.shutdown().await?;
    Ok(())
}

fn commands(emulator: &Emulator, tenant: &Tenant) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.trim().split_once(' ') {
            None if line.trim() == "users" => users(&tenant.directory()),
            None if line.trim() == "change" => change(&mut tenant.directory())?,
            None if line.trim() == "heal" => {
                emulator.graph().clear_faults();
                json!({ "ok": true })
            }
            Some(("disable", count)) => disable(&mut tenant.directory(), count),
            Some(("enable", id)) => enable(&mut tenant.directory(), id),
            Some(("rename", name)) => rename(&mut tenant.directory(), name)?,
            Some(("play", rule)) => match rule.parse::<FaultScript>() {
                Ok(script) => {
                    emulator.graph().play(script);
                    json!({ "ok": true })
                }
                Err(error) => json!({ "error": error.to_string() }),
            },
            _ => {
                json!({ "error": "expected users, change, disable COUNT, enable ID, rename NAME, heal or play RULE" })
            }
        };
        say(&answer)?;
    }
    Ok(())
}

fn users(directory: &Directory) -> Value {
    let users: BTreeMap<_, _> = directory
        .users()
        .map(|user| (user.id.to_string(), user.account_enabled))
        .collect();
    json!(users)
}

fn disable(directory: &mut Directory, count: &str) -> Value {
    let Ok(count) = count.parse::<usize>() else {
        return json!({ "error": format!("{count:?} is not a number of users") });
    };
    let enabled = directory
        .users()
        .filter(|user| user.account_enabled == Some(true));
    let ids: Vec<Uuid> = enabled.map(|user| user.id).take(count).collect();
    ids.iter()
        .map(|id| set_enabled(directory, *id, false))
        .collect()
}

fn enable(directory: &mut Directory, id: &str) -> Value {
    match id.parse() {
        Ok(id) => set_enabled(directory, id, true),
        Err(_) => json!({ "error": format!("{id:?} is not an object id") }),
    }
}

fn set_enabled(directory: &mut Directory, id: Uuid, enabled: bool) -> Value {
    match directory.set_account_enabled(id, Some(enabled)) {
        Ok(()) => json!(id.to_string()),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn rename(directory: &mut Directory, name: &str) -> anyhow::Result<Value> {
    let everybody: Vec<_> = directory
        .users()
        .filter_map(|user| Some((user.id, user.user_principal_name.clone()?)))
        .collect();
    for (id, login) in everybody {
        directory.rename(id, &login, name)?;
    }
    Ok(json!({ "ok": true }))
}

/// Somebody joins, is renamed, disabled, deleted, deleted for good, and comes back.
fn change(directory: &mut Directory) -> anyhow::Result<Value> {
    let ids: Vec<Uuid> = directory.users().map(|user| user.id).take(5).collect();
    let &[renamed, disabled, deleted, purged, restored] = ids.as_slice() else {
        return Ok(json!({ "error": "there are fewer than five users" }));
    };
    directory.rename(renamed, &format!("{renamed}@contoso.com"), "Renamed")?;
    directory.set_account_enabled(disabled, Some(false))?;
    for id in [deleted, purged, restored] {
        directory.soft_delete(id)?;
    }
    directory.purge(purged)?;
    directory.restore(restored)?;
    let added: Vec<_> = directory
        .add_people(3)
        .iter()
        .map(Uuid::to_string)
        .collect();
    Ok(json!({
        "renamed": renamed.to_string(),
        "disabled": disabled.to_string(),
        "deleted": deleted.to_string(),
        "purged": purged.to_string(),
        "restored": restored.to_string(),
        "added": added,
    }))
}

/// One object a line.
fn say(answer: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()?;
    Ok(())
}
