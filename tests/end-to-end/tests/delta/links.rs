//! Links within a list that are lost, refused or dead.

use rollcall_core::run::{RunMode, RunState};
use rollcall_core::status::Reason;
use rollcall_end_to_end::{World, object_id};
use rollcall_graph_emulator::{
    Directory, Endpoint, Fault, FaultRule, Matcher, PageTokenError, Paging, User,
};
use uuid::Uuid;

use crate::{delta, disable, ids, stored, synced};

/// The page before is asked for again, and is another one by then: who moved up onto it is on none that
/// follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_passed_over_where_a_page_of_a_delta_has_changed_before_its_dead_link_is_replaced()
 {
    let world = synced().await;
    tells_ten_at_a_time(&world);
    let ids = ids(&world);
    for (nth, id) in (0..).zip(&ids[..25]) {
        rename(&mut world.tenant.directory(), *id, nth);
    }
    let page = |nth| Matcher::endpoint(Endpoint::Delta).page(nth);
    let again = ids[12];
    world
        .graph()
        .after(&world.tenant, page(2), move |directory| {
            rename(directory, again, 99);
            rename(directory, again, 12);
        });
    let dies = Fault::PageToken(PageTokenError::Expired);
    world.graph().add_fault(FaultRule::once(page(3), dies));
    let run = delta(&world).await;
    assert_eq!(
        (run.mode, run.state, run.generation),
        (RunMode::Delta, RunState::Completed, 1)
    );
    assert_eq!(world.graph().scripts_left(), 0);
    // Three pages, one of which is refused at first, and the one before it again.
    assert_eq!(world.graph().requests(Endpoint::Delta), 5);
    is_renamed(&world, &ids[..25]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_passed_over_where_somebody_left_a_page_before_its_dead_link_is_replaced() {
    let world = synced().await;
    // As the list has them. The first of page 3 moves up onto page 2.
    let mut users: Vec<_> = world.tenant.directory().users().cloned().collect();
    users.sort_by_key(|user| user.user_principal_name.as_ref().unwrap().to_lowercase());
    let (gone, moves_up) = (users[15].id, users[20].id);
    let shown = |user: &mut User| user.display_name = Some("Moved".into());
    world.tenant.directory().update(moves_up, shown).unwrap();
    let page = |nth| Matcher::endpoint(Endpoint::Users).page(nth);
    world
        .graph()
        .after(&world.tenant, page(2), move |directory| {
            directory.soft_delete(gone).unwrap();
        });
    let dies = Fault::PageToken(PageTokenError::Expired);
    world.graph().add_fault(FaultRule::once(page(3), dies));
    let run = world.sync().await.unwrap();
    assert_eq!((run.state, run.generation), (RunState::Completed, 1));
    assert_eq!(world.graph().scripts_left(), 0);
    let shown = stored(&world, moves_up).await.display_name;
    assert_eq!(shown.as_deref(), Some("Moved"));
    assert_eq!(run.totals.unwrap().kept.contradicted, 0);
    assert_eq!(stored(&world, gone).await.reason, Reason::Deleted);
}

fn tells_ten_at_a_time(world: &World) {
    world.tenant.set_paging(Paging {
        delta_page_size_max: 10,
        ..world.tenant.paging()
    });
}

fn rename(directory: &mut Directory, id: Uuid, nth: u32) {
    let name = format!("renamed.{nth}@contoso.com");
    directory.rename(id, &name, "Renamed").unwrap();
}

async fn is_renamed(world: &World, ids: &[Uuid]) {
    let users = world.users().await.unwrap();
    for (nth, id) in (0..).zip(ids) {
        let name = users[&object_id(*id).unwrap()].user_principal_name.clone();
        let expected = format!("renamed.{nth}@contoso.com");
        assert_eq!(name.as_deref(), Some(expected.as_str()), "{nth}: {id}");
    }
}

/// The next delta would be refused the same: the run goes on as a full one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_that_is_refused_or_comes_broken_goes_on_as_a_full_run() {
    for fault in [Fault::status(404), Fault::status(400), Fault::Broken] {
        let world = synced().await;
        tells_ten_at_a_time(&world);
        let ids = ids(&world);
        for (nth, id) in (0..).zip(&ids[..12]) {
            rename(&mut world.tenant.directory(), *id, nth);
        }
        disable(&world, ids[20]);
        let second_page = Matcher::endpoint(Endpoint::Delta).page(2);
        let rule = FaultRule::forever(second_page, fault.clone());
        world.graph().add_fault(rule);
        let run = delta(&world).await;
        assert_eq!(
            (run.mode, run.state, run.generation),
            (RunMode::Full, RunState::Completed, 2),
            "{fault:?}: {run:?}"
        );
        is_renamed(&world, &ids[..12]).await;
        assert_eq!(stored(&world, ids[20]).await.reason, Reason::Disabled);
    }
}
