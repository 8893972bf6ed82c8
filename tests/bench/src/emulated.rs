//! Microsoft Graph, emulated in a process of its own: the process, and the handle on it.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context, bail};
use rollcall_ambient::Ambient;
use rollcall_graph_emulator::{
    Directory, Emulator, Endpoint, FaultScript, LogEntry, Paging, Population, Tenant, TenantSpec,
    User,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::{Held, Talker, Used};

/// How long the emulator may take to make a million people, or to look through them, in milliseconds.
const ANSWER_MS_MAX: u64 = 120_000;
/// How long it may take to end.
const END_MS_MAX: u64 = 5_000;
/// The same people each time.
const SEED: u64 = 7;

/// A tenant to measure on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many users it has.
    pub users: usize,
    /// The most users on a page.
    pub page: usize,
    /// How long each answer waits, in milliseconds.
    pub delay_ms: u64,
}

/// Where it is, and what an application logs in with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// Where Graph and its login are.
    pub origin: String,
    /// The directory.
    pub directory_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// What was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Requests over the network, those for a token too; a batch is one.
    pub sent: u64,
    /// How many of them, and of the parts of batches, met a fault that was played.
    pub faulted: u64,
}

/// The running emulator.
#[derive(Debug)]
pub struct Emulated {
    talker: Talker,
    /// How to reach it.
    pub access: Access,
}

impl Emulated {
    /// Starts this very program as an emulator.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(bench: &Path, size: Size) -> anyhow::Result<Self> {
        Self::start_held(bench, size, Held::default()).await
    }

    /// The same, held by the kernel.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_held(bench: &Path, size: Size, held: Held) -> anyhow::Result<Self> {
        let mut command = held.command(bench);
        command.args(["emulate", "--users", &size.users.to_string()]);
        command.args(["--page", &size.page.to_string()]);
        command.args(["--delay-ms", &size.delay_ms.to_string()]);
        let mut talker = Talker::start("the emulator", command)?;
        let said = talker.hear(ANSWER_MS_MAX).await?;
        let said = said.context("the emulator does not come up")?;
        let access = serde_json::from_value(said)?;
        Ok(Self { talker, access })
    }

    /// Changes a share of the users, spread evenly: `rename` or `delete`.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn change(&mut self, how: &str, one_in: usize) -> anyhow::Result<u64> {
        let changed = self.ask(&format!("{how} {one_in}")).await?;
        changed["changed"].as_u64().context("it says no number")
    }

    /// Plays one fault.
    ///
    /// # Errors
    /// A rule that is none.
    pub async fn play(&mut self, rule: &str) -> anyhow::Result<()> {
        self.ask(&format!("play {rule}")).await.map(drop)
    }

    /// Plays none any more.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn heal(&mut self) -> anyhow::Result<()> {
        self.ask("heal").await.map(drop)
    }

    /// The requests since it was last asked.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn requests(&mut self) -> anyhow::Result<Requests> {
        Ok(serde_json::from_value(self.ask("requests").await?)?)
    }

    /// Who is enabled.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn enabled(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.ask("enabled").await?)?)
    }

    /// What its process has used.
    ///
    /// # Errors
    /// As [`crate::process::used`].
    pub fn used(&self) -> anyhow::Result<Used> {
        self.talker.used()
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn end(self) -> anyhow::Result<()> {
        self.talker.end(END_MS_MAX).await
    }

    async fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        self.talker.ask(line, ANSWER_MS_MAX).await
    }
}

/// The process: an emulator that is told what to do on its input, until that ends.
///
/// # Errors
/// When the port cannot be had, or the output is closed.
pub async fn serve(size: Size) -> anyhow::Result<()> {
    let emulator = Emulator::start(Ambient::system()).await?;
    // Everybody is a member, so that everybody is in scope and counts for all who take part.
    let population = Population {
        guests: 0.0,
        ..Population::new("contoso.com", SEED, size.users)
    };
    let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
    tenant.set_paging(Paging {
        page_size_max: size.page,
        ..tenant.paging()
    });
    delay(&emulator, size.delay_ms)?;
    say(&serde_json::to_value(Access {
        origin: emulator.origin().to_owned(),
        directory_id: tenant.directory_id().to_string(),
        client_id: tenant.client_id().to_string(),
        client_secret: tenant.client_secret().to_owned(),
    })?)?;
    // Reading blocks a thread; the emulator has the others.
    tokio::task::block_in_place(|| -> anyhow::Result<()> {
        for line in std::io::stdin().lock().lines() {
            let answer = obey(&emulator, &tenant, size, line?.trim());
            say(&answer.unwrap_or_else(|error| json!({ "error": error.to_string() })))?;
        }
        Ok(())
    })?;
    emulator.shutdown().await?;
    Ok(())
}

/// Makes every answer wait, that of a login too.
fn delay(emulator: &Emulator, ms: u64) -> anyhow::Result<()> {
    if ms > 0 {
        let rule: FaultScript = format!("any always: delay {ms}").parse()?;
        emulator.graph().play(rule);
    }
    Ok(())
}

fn obey(emulator: &Emulator, tenant: &Tenant, size: Size, line: &str) -> anyhow::Result<Value> {
    let graph = emulator.graph();
    Ok(match line.split_once(' ').unwrap_or((line, "")) {
        ("rename", one_in) => {
            json!({ "changed": rename(&mut tenant.directory(), one_in.parse()?)? })
        }
        ("delete", one_in) => {
            json!({ "changed": delete(&mut tenant.directory(), one_in.parse()?)? })
        }
        ("play", rule) => {
            graph.play(rule.parse()?);
            json!({})
        }
        ("heal", "") => {
            graph.clear_faults();
            delay(emulator, size.delay_ms)?;
            json!({})
        }
        ("requests", "") => {
            let log: Vec<LogEntry> = graph.log();
            graph.clear_log();
            let sent = log.iter().filter(|it| it.endpoint != Endpoint::BatchItem);
            let faulted = log.iter().filter(|it| it.faulted);
            json!({ "sent": sent.count(), "faulted": faulted.count() })
        }
        ("enabled", "") => tenant
            .directory()
            .users()
            .filter(|user| user.account_enabled == Some(true))
            .map(|user| user.id.to_string())
            .collect(),
        _ => bail!("expected rename N, delete N, play RULE, heal, requests or enabled"),
    })
}

/// Every so many of those who are enabled.
fn some(directory: &Directory, one_in: usize) -> Vec<User> {
    let enabled = directory
        .users()
        .filter(|user| user.account_enabled == Some(true));
    enabled.step_by(one_in.max(1)).cloned().collect()
}

fn rename(directory: &mut Directory, one_in: usize) -> anyhow::Result<usize> {
    let users = some(directory, one_in);
    for user in &users {
        directory.update(user.id, |user| {
            user.display_name = user.display_name.as_ref().map(|name| format!("{name} II"));
        })?;
    }
    Ok(users.len())
}

fn delete(directory: &mut Directory, one_in: usize) -> anyhow::Result<usize> {
    let ids: Vec<Uuid> = some(directory, one_in).iter().map(|user| user.id).collect();
    for id in &ids {
        directory.soft_delete(*id)?;
    }
    Ok(ids.len())
}

/// One object a line.
pub(crate) fn say(answer: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()?;
    Ok(())
}
