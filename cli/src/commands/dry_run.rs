//! `sync --dry-run`: the whole run, on a copy in memory of what it works on. It is the run itself,
//! guards and all, and what is synced here cannot be changed by it: the copy is thrown away.

use std::collections::BTreeMap;

use rollcall_core::ids::{ObjectId, TenantId};
use rollcall_core::status::StoredUser;
use rollcall_store::{JournalPlace, RunRecord, Store};
use rollcall_sync::Secrets;

use crate::args::Mode;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::local::Stack;
use crate::output::Output;
use crate::output::dry_run::DryRun;
use crate::output::run::RunView;
use crate::progress::Progress;
use crate::watch::Watch;

/// How many before-images are read at once.
const IMAGES_AT_ONCE: i32 = 100;

/// Runs these tenants on a copy, and prints what each run would do.
pub(super) async fn run(
    stack: &Stack,
    secrets: Secrets,
    mode: Mode,
    tenants: &[TenantId],
    progress: &mut Progress,
    output: &Output,
) -> anyhow::Result<Exit> {
    let copy = Stack::start(None, stack.ambient().clone()).await?;
    for tenant in tenants {
        stack.store().copy_tenant(copy.store(), tenant).await?;
    }
    let engine = Engine::start(&copy, secrets).await?;
    let started = engine.sync(mode, tenants).await?;
    let mut exit = Exit::Done;
    for not_started in &started.failed {
        eprintln!(
            "error: tenant {}: no run was started: {}",
            not_started.tenant, not_started.error
        );
        exit = Exit::Unexpected;
    }
    let runs: Vec<_> = started.runs.into_iter().map(|it| it.run).collect();
    let mut watch = Watch::new(copy.store(), copy.ambient(), &runs);
    while let Some(record) = watch.next_ended(progress).await? {
        exit = exit.max(Exit::of_run(record.state));
        let found = found(copy.store(), &record).await?;
        if output.is_json() {
            output.object(&found)?;
        } else {
            output.text(found.text())?;
        }
        if let Some(detail) = &record.detail {
            eprintln!("{}: {detail}", record.run);
        }
    }
    engine.stop().await;
    copy.close().await;
    Ok(exit)
}

async fn found(store: &Store, record: &RunRecord) -> anyhow::Result<DryRun> {
    let run = RunView::load(store, record).await?;
    let plan = store.plan(&record.run).await?.map(|stored| stored.plan);
    let mut found = DryRun::new(run, plan.as_ref());
    let mut place = JournalPlace::default();
    while !place.is_end() {
        let (images, next) = store.images(&record.run, &place, IMAGES_AT_ONCE).await?;
        let mut before: BTreeMap<ObjectId, Option<StoredUser>> = BTreeMap::new();
        for image in images {
            // Of several the first is what the user was before the run.
            if place.last_user() != Some(image.id.as_str()) {
                before.entry(image.id).or_insert(image.before);
            }
        }
        let ids: Vec<_> = before.keys().cloned().collect();
        for after in store.users(&record.run.tenant, &ids).await? {
            let before = before.remove(&after.id).flatten();
            found.add(before.as_ref(), &after);
        }
        place = next;
    }
    Ok(found)
}
