//! Tenants, their settings, and who may start a run.

use rollcall_core::ids::TenantId;
use rollcall_core::run::RunMode;
use rollcall_core::settings::TenantSettings;
use rollcall_store::{PutTenant, StartedRun, StoreError};
use serde_json::json;

use crate::values::{created, other_settings, settings};
use crate::wire::Wire;
use crate::world::{START_MS, World, head_key, n, run_key, s};

const ACTIVE_RUN: StoreError = StoreError::Changed {
    what: "the tenant's active run",
};
const SETTINGS: StoreError = StoreError::Changed {
    what: "the tenant's settings",
};

#[tokio::test]
async fn each_change_of_a_tenant_is_a_revision() {
    let world = World::start().await;
    let put = async |settings| world.store.put_tenant(&settings).await.unwrap();
    let id = TenantId::new("t").unwrap();
    let revision = async || {
        let record = world.store.tenant(&id).await.unwrap().unwrap();
        (record.revision, record.removed)
    };
    assert_eq!(world.store.tenant(&id).await.unwrap(), None);
    assert_eq!(put(settings("t")).await, PutTenant::Added);
    assert_eq!(revision().await, (1, false));
    assert_eq!(put(settings("t")).await, PutTenant::Same);
    assert_eq!(revision().await, (1, false));
    assert_eq!(put(other_settings("t")).await, PutTenant::Changed);
    assert_eq!(revision().await, (2, false));
    assert!(world.store.remove_tenant(&id).await.unwrap());
    assert_eq!(revision().await, (3, true));
    assert!(!world.store.remove_tenant(&id).await.unwrap());
    assert_eq!(put(other_settings("t")).await, PutTenant::Added);
    assert_eq!(revision().await, (4, false));
}

#[tokio::test]
async fn a_tenant_has_its_schedule_since_it_was_put_or_put_back_or_its_schedule_changed() {
    let world = World::start().await;
    let id = TenantId::new("t").unwrap();
    let mut nightly = other_settings("t");
    nightly.schedule = serde_json::from_value(json!({ "full": "cron(0 2 * * ? *)" })).unwrap();
    let since_put = async |settings: &TenantSettings| {
        world.clock.advance_ms(10);
        world.store.put_tenant(settings).await.unwrap();
        let mark = world.store.tenant_marks().await.unwrap().remove(0);
        assert_eq!(mark.schedule, settings.schedule);
        (mark.scheduled_at_ms - START_MS, mark.removed)
    };
    assert_eq!(since_put(&settings("t")).await, (10, false));
    // Other settings are no other schedule.
    assert_eq!(since_put(&other_settings("t")).await, (10, false));
    assert_eq!(since_put(&nightly).await, (30, false));
    assert!(world.store.remove_tenant(&id).await.unwrap());
    assert!(world.store.tenant_marks().await.unwrap().remove(0).removed);
    assert_eq!(since_put(&nightly).await, (40, false));
}

#[tokio::test]
async fn a_tenants_directory_id_never_changes_not_even_after_its_removal() {
    let world = World::start().await;
    world.tenant("t").await;
    let mut other = settings("t");
    other.directory_id =
        serde_json::from_value(json!("00000000-0000-4000-8000-000000000000")).unwrap();
    for remove in [false, true] {
        if remove {
            world.store.remove_tenant(&other.id).await.unwrap();
        }
        let before = world.dump().await;
        match world.store.put_tenant(&other).await {
            Err(StoreError::Invalid(text)) => {
                assert!(text.contains("00000000-0000-4000-8000-000000000000"));
                assert!(text.contains("6babcaad-604b-40ac-a9d7-9fd97c0b779f"));
            }
            put => panic!("{put:?}"),
        }
        assert_eq!(world.dump().await, before);
    }
}

#[tokio::test]
async fn of_two_who_change_a_tenant_at_once_one_is_told() {
    let world = World::start().await;
    for known in [false, true] {
        let tenant = format!("t-{known}");
        if known {
            world.tenant(&tenant).await;
        }
        let wire = Wire::default();
        let (other, mut theirs) = (world.clone(), settings(&tenant));
        theirs.limits.lease_seconds = 99;
        let expected = theirs.clone();
        wire.before("TransactWriteItems", async move {
            other.store.put_tenant(&theirs).await.unwrap();
        });
        let store = world.store_on(&wire);
        let put = store.put_tenant(&other_settings(&tenant)).await;
        assert_eq!(put, Err(SETTINGS));
        let record = world.store.tenant(&expected.id).await.unwrap().unwrap();
        assert_eq!(record.settings, expected);
    }
}

#[tokio::test]
async fn removing_a_tenant_keeps_its_settings_and_its_users() {
    let world = World::start().await;
    let (run, batch) = world.working("t", &["a"]).await;
    let writes = [created(run.run(), "a")];
    world.store.write_users(&batch, &writes).await.unwrap();
    let id = &run.run().tenant;
    let before = world.dump().await;
    assert!(world.store.remove_tenant(id).await.unwrap());
    let after = world.dump().await;
    let touched: Vec<_> = before
        .iter()
        .filter(|(k, v)| after.get(*k) != Some(*v))
        .collect();
    assert_eq!(touched.len(), 1);
    assert_eq!(touched[0].0.1, "tenants");
    let tenants = world.store.tenants().await.unwrap();
    assert_eq!(tenants.len(), 1);
    assert!(tenants[0].removed && tenants[0].settings == settings("t"));
}

#[tokio::test]
async fn a_removed_tenant_starts_no_run() {
    let world = World::start().await;
    let before = world.tenant("t").await;
    world
        .store
        .remove_tenant(&before.settings.id)
        .await
        .unwrap();
    let removed = world.store.tenant(&before.settings.id).await.unwrap();
    for record in [before, removed.unwrap()] {
        let start = world.store.start_run(&record, RunMode::Full);
        world.refuses("start_run", &SETTINGS, start).await;
    }
}

#[tokio::test]
async fn a_run_starts_on_the_settings_that_were_read_or_not_at_all() {
    let world = World::start().await;
    let read = world.tenant("t").await;
    world.store.put_tenant(&other_settings("t")).await.unwrap();
    let start = world.store.start_run(&read, RunMode::Full);
    world.refuses("start_run", &SETTINGS, start).await;

    let now = world
        .store
        .tenant(&read.settings.id)
        .await
        .unwrap()
        .unwrap();
    let started = world.store.start_run(&now, RunMode::Full).await.unwrap();
    let StartedRun::Started(run) = started else {
        panic!("{started:?}");
    };
    // What comes later is not the run's.
    world.store.put_tenant(&settings("t")).await.unwrap();
    assert_eq!(
        world.store.run_settings(&run).await.unwrap(),
        other_settings("t")
    );
    let record = world.store.run(&run).await.unwrap().unwrap();
    assert_eq!((record.settings_revision, record.lease_ms), (2, 61_000));
    assert_eq!(record.deadline_at_ms, world.now_ms() + 360 * 60_000);
    assert_eq!(record.lease, None);
}

#[tokio::test]
async fn a_run_whose_settings_are_missing_is_corrupt() {
    let world = World::start().await;
    let run = world.started("t").await;
    world
        .lose(&("snapshot#t".into(), "0000000001".into()))
        .await;
    let settings = world.store.run_settings(&run).await;
    assert!(matches!(settings, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn while_a_run_is_active_no_other_starts() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = world.started("t").await;
    let before = world.dump().await;
    let second = world.store.start_run(&tenant, RunMode::Full).await.unwrap();
    assert_eq!(second, StartedRun::AlreadyActive(run));
    assert_eq!(world.dump().await, before);
}

/// The tenant's first run, and a later one: the head is not there before the first.
#[tokio::test]
async fn of_two_who_start_a_run_at_once_one_does() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    for number in [1, 2] {
        let wire = Wire::default();
        let (other, its_tenant) = (world.clone(), tenant.clone());
        wire.before("TransactWriteItems", async move {
            let start = other.store.start_run(&its_tenant, RunMode::Full);
            start.await.unwrap();
        });
        let store = world.store_on(&wire);
        let late = store.start_run(&tenant, RunMode::Full).await;
        assert_eq!(late, Err(ACTIVE_RUN));
        let runs = world.store.runs(&tenant.settings.id).await.unwrap();
        assert_eq!(runs.len(), number);
        let head = world.store.head(&tenant.settings.id).await.unwrap();
        assert_eq!(head.active_run, Some(number as u64));
        let run = &runs[number - 1].run;
        let lease = world.lease(run, rollcall_store::RunStep::GiveUp, "w").await;
        world.fail(&lease).await;
    }
}

/// A run that came and went since the head was read has the number; one that became active again
/// (a held one that was approved) has the tenant.
#[tokio::test]
async fn a_run_starts_only_under_the_number_that_is_next_and_with_no_other_active() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let head = head_key("t");
    let meanwhile = async |name: &'static str, value| {
        world.set(&head, "next_run", n(5)).await;
        let wire = Wire::default();
        let (other, key) = (world.clone(), head.clone());
        wire.before("TransactWriteItems", async move {
            other.set(&key, name, n(value)).await;
        });
        let store = world.store_on(&wire);
        store.start_run(&tenant, RunMode::Full).await
    };
    assert_eq!(meanwhile("next_run", 6).await, Err(ACTIVE_RUN));
    assert_eq!(meanwhile("active_run", 3).await, Err(ACTIVE_RUN));
    assert_eq!(world.store.runs(&tenant.settings.id).await.unwrap(), []);
}

#[tokio::test]
async fn a_run_never_starts_over_the_items_of_another() {
    let world = World::start().await;
    let tenant = world.tenant("t").await;
    let run = "t/1".parse().unwrap();
    let snapshot = ("snapshot#t".to_owned(), "0000000001".to_owned());
    let keys = [(run_key(&run), "the run"), (snapshot, "the run's settings")];
    for (key, what) in keys {
        let item = [("pk".to_owned(), s(&key.0)), ("sk".to_owned(), s(&key.1))];
        world.put(item.into()).await;
        let start = world.store.start_run(&tenant, RunMode::Full);
        let changed = StoreError::Changed { what };
        world.refuses(what, &changed, start).await;
        world.lose(&key).await;
    }
}

#[tokio::test]
async fn settings_that_are_another_tenants_are_nobodys() {
    let world = World::start().await;
    let run = world.started("t").await;
    let others = serde_json::to_string(&settings("other")).unwrap();
    for key in [
        ("snapshot#t".to_owned(), "0000000001".to_owned()),
        ("tenants".to_owned(), "t".to_owned()),
    ] {
        world.set(&key, "settings", s(&others)).await;
    }
    let of_the_run = world.store.run_settings(&run).await.map(drop);
    let of_the_tenant = world.store.tenant(&run.tenant).await.map(drop);
    let all = world.store.tenants().await.map(drop);
    for read in [of_the_run, of_the_tenant, all] {
        let told = read.unwrap_err().to_string();
        assert!(told.contains("the settings of tenant other"), "{told}");
    }
}
