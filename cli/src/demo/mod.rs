//! `demo`: the system at work on two synthetic tenants, in memory. Every number that it tells comes
//! out of the store, and each one is compared with what the script did: if the system did anything
//! else, the demo fails.

mod copies;
mod teller;
mod world;

use std::io::{IsTerminal, stderr};

use anyhow::{Context, ensure};
use rollcall_ambient::Ambient;
use rollcall_core::ids::TenantId;
use rollcall_core::run::{FailReason, RunState};
use rollcall_core::status::Status;
use rollcall_store::{RunRecord, RunTotals};

use self::copies::Copies;
use self::teller::{SwitchedOff, Teller};
use self::world::{Changes, World};
use crate::args::Mode;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::local::Stack;
use crate::output::Output;
use crate::output::details::evidence;
use crate::output::run::RunView;
use crate::progress::Progress;
use crate::watch::Watch;

/// What happens at contoso between the first and the second sync.
const CONTOSO_DAY: Changes = Changes {
    joiners: 15,
    deleted: 12,
    gone: 4,
    disabled: 8,
    renamed: 20,
    enabled: 1,
};
/// The same at fabrikam.
const FABRIKAM_DAY: Changes = Changes {
    joiners: 3,
    deleted: 2,
    gone: 1,
    disabled: 1,
    renamed: 3,
    enabled: 0,
};
/// What the doubled workers have to do.
const BUSY_DAY: Changes = Changes {
    joiners: 10,
    deleted: 0,
    gone: 0,
    disabled: 0,
    renamed: 25,
    enabled: 0,
};
/// How many users Graph leaves out of its list in the last part of the incident.
const LEFT_OUT: usize = 60;

pub(crate) async fn run(ambient: &Ambient, output: &Output, quiet: bool) -> anyhow::Result<Exit> {
    let world = World::start(ambient).await?;
    let stack = Stack::start(None, ambient.clone()).await?;
    let copies = Copies::default();
    let engine = Engine::start_with(&stack, world.secrets(), |worker| copies.around(worker));
    let demo = Demo {
        teller: Teller::new(*output, quiet),
        is_quiet: quiet,
        engine: engine.await?,
        copies,
        stack,
        world,
    };
    demo.play().await?;
    demo.engine.stop().await;
    demo.stack.close().await;
    demo.world.stop().await?;
    Ok(Exit::Done)
}

struct Demo {
    teller: Teller,
    is_quiet: bool,
    engine: Engine,
    copies: Copies,
    stack: Stack,
    world: World,
}

impl Demo {
    async fn play(&self) -> anyhow::Result<()> {
        for tenant in self.world.settings()? {
            self.stack.store().put_tenant(&tenant).await?;
        }
        self.first_sync().await?;
        self.a_day().await?;
        self.confirmation().await?;
        self.doubled_workers().await?;
        self.lost_lists().await?;
        self.end().await
    }

    async fn first_sync(&self) -> anyhow::Result<()> {
        self.teller.chapter(&format!(
            "The first sync. An emulator of Microsoft Graph has two tenants: {}.",
            self.world.description()
        ))?;
        let runs = self.sync(&self.world.tenants()).await?;
        for run in &runs {
            let totals = completed(run)?;
            let members = self.world.members(&run.run.tenant)?;
            same("created", totals.changes.created, members)?;
            same("switched off", totals.deactivated.total(), 0)?;
        }
        self.teller
            .say("Guests are out of scope. Disabled accounts are stored INACTIVE.")
    }

    async fn a_day(&self) -> anyhow::Result<()> {
        self.teller.chapter(&format!(
            "A day passes. contoso: {CONTOSO_DAY}. fabrikam: {FABRIKAM_DAY}."
        ))?;
        let days = [
            self.world.change("contoso", CONTOSO_DAY)?,
            self.world.change("fabrikam", FABRIKAM_DAY)?,
        ];
        let runs = self.sync(&self.world.tenants()).await?;
        let scripts = [CONTOSO_DAY, FABRIKAM_DAY];
        for ((run, members_joined), day) in runs.iter().zip(days).zip(scripts) {
            let totals = completed(run)?;
            same("created", totals.changes.created, members_joined)?;
            same("updated", totals.changes.updated, day.renamed)?;
            same("reactivated", totals.changes.reactivated, day.enabled)?;
            same("disabled", totals.deactivated.disabled, day.disabled)?;
            same("deleted", totals.deactivated.deleted, day.deleted)?;
            same("not found", totals.deactivated.not_found, 0)?;
            same("awaiting", totals.kept.awaiting_confirmation, day.gone)?;
        }
        self.teller.say(
            "Those who are gone without a trace stay for now: a single \"not found\" can be a \
             stale replica.",
        )
    }

    async fn confirmation(&self) -> anyhow::Result<()> {
        self.teller.chapter(
            "The next sync. It finds the same users missing, and one of contoso's is back from \
             the deleted items.",
        )?;
        self.world.restore_one("contoso")?;
        let runs = self.sync(&self.world.tenants()).await?;
        for (run, day) in runs.iter().zip([CONTOSO_DAY, FABRIKAM_DAY]) {
            let totals = completed(run)?;
            same("not found", totals.deactivated.not_found, day.gone)?;
            same("switched off", totals.deactivated.total(), day.gone)?;
        }
        let back = completed(&runs[0])?.changes.reactivated;
        same("reactivated", back, 1)
    }

    /// The incident, first part: late and doubled workers.
    async fn doubled_workers(&self) -> anyhow::Result<()> {
        self.teller.chapter(&format!(
            "The incident, part 1: late workers. contoso: {BUSY_DAY}. Each batch is given to two \
             workers at once, and all messages of the earlier runs are delivered again meanwhile."
        ))?;
        let joined = self.world.change("contoso", BUSY_DAY)?;
        let before = self.copies.seen();
        self.copies.double(true);
        let (runs, replayed) = tokio::join!(self.sync_contoso(), self.copies.replay(before));
        self.copies.double(false);
        let run = runs?;
        let totals = completed(&run)?;
        same("created", totals.changes.created, joined)?;
        same("updated", totals.changes.updated, BUSY_DAY.renamed)?;
        same("switched off", totals.deactivated.total(), 0)?;
        let checked = self.world.compare(self.stack.store()).await?;
        self.teller.say(&format!(
            "{replayed} late messages wrote nothing. {} batches were worked on twice at once and \
             counted once; {checked} users are as they should be.",
            totals.batches
        ))
    }

    /// The incident, second part: lists that are not what they should be.
    async fn lost_lists(&self) -> anyhow::Result<()> {
        let active = self.active().await?;
        self.teller.chapter(
            "The incident, part 2: the list reads empty. Graph answers with nobody, as if all had \
             left.",
        )?;
        self.world.answer_with_nobody("contoso")?;
        let run = self.sync_contoso().await?;
        self.world.heal();
        ensure!(
            run.state == RunState::Failed && run.reason == Some(FailReason::EmptyEnumeration),
            "the empty list should have failed the run, which is {}",
            run.state.shown_name()
        );
        same("active", self.active().await?, active)?;

        self.teller
            .chapter("The incident, part 3: half of the list is lost. A next link is left out.")?;
        self.world.lose_second_half("contoso")?;
        let run = self.sync_contoso().await?;
        self.world.heal();
        ensure!(
            run.state == RunState::Held,
            "half a list should have held the run, which is {}",
            run.state.shown_name()
        );
        same("active", self.active().await?, active)?;

        self.teller.chapter(&format!(
            "The incident, part 4: {LEFT_OUT} people are missing from an otherwise whole list, too \
             few for a guard."
        ))?;
        self.world.leave_out("contoso", LEFT_OUT)?;
        let run = self.sync_contoso().await?;
        self.world.heal();
        let totals = completed(&run)?;
        same("contradicted", totals.kept.contradicted, LEFT_OUT as u64)?;
        same("active", self.active().await?, active)?;
        self.teller
            .say("Each of them was asked for by id and found alive: kept.")
    }

    async fn end(&self) -> anyhow::Result<()> {
        self.teller
            .chapter("The last sync. All is well again, and there is nothing to do.")?;
        let runs = self.sync(&self.world.tenants()).await?;
        for run in &runs {
            let totals = completed(run)?;
            same("changes", totals.changes.total(), 0)?;
            same("switched off", totals.deactivated.total(), 0)?;
        }
        let switched_off = self.switched_off().await?;
        self.teller.switched_off(&switched_off)?;
        let checked = self.world.compare(self.stack.store()).await?;
        let planned = [CONTOSO_DAY, FABRIKAM_DAY]
            .iter()
            .map(Changes::leavers)
            .sum();
        same("switched off in all", switched_off.len() as u64, planned)?;
        self.teller.say(&format!(
            "Proven: {} users were switched off, each on evidence of his own, and none by a late \
             worker, a doubled message, an empty list, half a list or a gap in it. {checked} users \
             were compared with the directory at Graph one by one: no difference.",
            switched_off.len()
        ))
    }

    async fn sync_contoso(&self) -> anyhow::Result<RunRecord> {
        let contoso = TenantId::new("contoso")?;
        let mut runs = self.sync(&[contoso]).await?;
        runs.pop().context("no run was started")
    }

    /// Syncs, tells of the runs, and gives them by tenant.
    async fn sync(&self, tenants: &[TenantId]) -> anyhow::Result<Vec<RunRecord>> {
        let started = self.engine.sync(Mode::Full, tenants).await?;
        let runs: Vec<_> = started.runs.into_iter().map(|it| it.run).collect();
        ensure!(runs.len() == tenants.len(), "not every tenant has a run");
        let store = self.stack.store();
        let mut progress = Progress::new(self.is_quiet || !stderr().is_terminal());
        let mut watch = Watch::new(store, self.stack.ambient(), &runs);
        let mut ended = Vec::with_capacity(runs.len());
        while let Some(record) = watch.next_ended(&mut progress).await? {
            ended.push(record);
        }
        ended.sort_by(|a, b| a.run.cmp(&b.run));
        let mut views = Vec::with_capacity(ended.len());
        for record in &ended {
            views.push(RunView::load(store, record).await?);
        }
        self.teller.runs(&views)?;
        Ok(ended)
    }

    /// How many users are ACTIVE, in all tenants.
    async fn active(&self) -> anyhow::Result<u64> {
        let mut active = 0;
        for tenant in self.world.tenants() {
            self.stack
                .store()
                .standings(&tenant, |user| {
                    active += u64::from(user.standing.status == Status::Active);
                })
                .await?;
        }
        Ok(active)
    }

    /// Whom the completed runs switched off, from their plans.
    async fn switched_off(&self) -> anyhow::Result<Vec<SwitchedOff>> {
        let store = self.stack.store();
        let mut all = Vec::new();
        for tenant in self.world.tenants() {
            let runs = store.runs(&tenant).await?;
            for run in runs.iter().filter(|run| run.state == RunState::Completed) {
                let Some(stored) = store.plan(&run.run).await? else {
                    continue;
                };
                let entries = evidence(&stored.plan);
                let done = completed(run)?.deactivated.total();
                same("switched off as planned", done, entries.len() as u64)?;
                all.extend(entries.into_iter().map(|because| SwitchedOff {
                    tenant: tenant.clone(),
                    id: because.id,
                    reason: because.reason,
                    run: run.run.run,
                    evidence: because.evidence,
                }));
            }
        }
        Ok(all)
    }
}

fn completed(run: &RunRecord) -> anyhow::Result<RunTotals> {
    ensure!(
        run.state == RunState::Completed,
        "run {} should have COMPLETED, but is {} ({})",
        run.run,
        run.state.shown_name(),
        run.detail.as_deref().unwrap_or("no detail")
    );
    run.totals
        .with_context(|| format!("run {} has no totals", run.run))
}

fn same(what: &str, found: u64, wanted: u64) -> anyhow::Result<()> {
    ensure!(
        found == wanted,
        "{what}: {found}, where {wanted} would be right"
    );
    Ok(())
}
