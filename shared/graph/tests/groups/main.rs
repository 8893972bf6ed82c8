//! Groups: their members, and by id who is in one.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod by_id;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_ambient::Ambient;
use rollcall_core::evidence::Membership;
use rollcall_core::ids::ObjectId;
use rollcall_core::scope::Scope;
use rollcall_core::user::AttributeMap;
use rollcall_graph::{
    Credential, FirstMembers, GraphClient, GraphConfig, GraphError, PageAt, Secret,
};
use rollcall_graph_emulator::{
    Emulator, Endpoint, ErrorBody, Fault, FaultRule, Matcher, Member, NextLink, PageTokenError,
    Paging, Population, Tenant, TenantSpec,
};
use serde_json::json;
use support::{Reply, Server, object_id};
use uuid::Uuid;

/// An emulated tenant with a group: the first half of its users is in it, the second in a group within
/// it, which has the first one in it again, and a device.
struct World {
    emulator: Emulator,
    tenant: Tenant,
    client: GraphClient,
    everybody: Vec<Uuid>,
    outer: Uuid,
    inner: Uuid,
}

impl World {
    async fn with_users(users: usize) -> Self {
        let emulator = Emulator::start(Ambient::system()).await.unwrap();
        let population = Population::new("contoso.com", 7, users);
        let tenant = emulator.graph().add_tenant(TenantSpec::new(population));
        let root: url::Url = emulator.origin().parse().unwrap();
        let config = GraphConfig {
            graph_root: root.clone(),
            login_root: root,
            directory_id: tenant.directory_id().to_string(),
            client_id: tenant.client_id().to_string(),
            credential: Credential::Secret(Secret::new(tenant.client_secret())),
            attributes: AttributeMap::new(),
            retry_ms_max: 10_000,
            request_ms_max: 5_000,
            requests_max: 100_000,
            run: None,
        };
        let client = GraphClient::new(config, Ambient::system()).unwrap();
        let (everybody, outer, inner) = {
            let mut directory = tenant.directory();
            let everybody: Vec<_> = directory.users().map(|user| user.id).collect();
            let (outer, inner) = (directory.add_group(), directory.add_group());
            for (nth, id) in everybody.iter().enumerate() {
                let group = if nth < users / 2 { outer } else { inner };
                directory.add_member(group, Member::User(*id)).unwrap();
            }
            directory.add_member(outer, Member::Group(inner)).unwrap();
            directory.add_member(inner, Member::Group(outer)).unwrap();
            let device = Member::Device(Uuid::from_u128(9));
            directory.add_member(inner, device).unwrap();
            (everybody, outer, inner)
        };
        Self {
            emulator,
            tenant,
            client,
            everybody,
            outer,
            inner,
        }
    }

    fn in_pages_of(&self, page_size_max: usize) {
        self.tenant.set_paging(Paging {
            page_size_max,
            ..self.tenant.paging()
        });
    }

    fn fault(&self, rule: FaultRule) {
        self.emulator.graph().add_fault(rule);
    }

    async fn members(&self) -> Result<BTreeSet<ObjectId>, GraphError> {
        let members = self.client.group_members(&object(self.outer)).await;
        members.map(|it| it.users)
    }

    fn requests(&self) -> u64 {
        self.emulator.graph().requests(Endpoint::GroupMembers)
    }
}

fn object(id: Uuid) -> ObjectId {
    object_id(id.to_string())
}

fn objects(ids: &[Uuid]) -> Vec<ObjectId> {
    ids.iter().copied().map(object).collect()
}

fn everybody(world: &World) -> BTreeSet<ObjectId> {
    objects(&world.everybody).into_iter().collect()
}

fn list(page: u32) -> Matcher {
    Matcher::endpoint(Endpoint::GroupMembers).page(page)
}

/// The run fails by it as `group_unavailable`, and a person is told which group it is.
fn is_of_group(error: &GraphError, group: Uuid) {
    assert_eq!(error.run_reason().name(), "group_unavailable", "{error}");
    assert!(error.to_string().contains(&group.to_string()), "{error}");
}

#[tokio::test]
async fn users_of_nested_groups_are_members_and_groups_and_devices_are_not() {
    let world = World::with_users(2_500).await;
    let group = object(world.outer);
    let members = world.client.group_members(&group).await.unwrap();
    assert_eq!(members.users, everybody(&world));
    assert_eq!(members.pages, 3);
    assert!(members.request.as_str().is_some());
    // Nothing that a lagging index would answer.
    let log = world.emulator.graph().log();
    let asked = log.iter().find(|it| it.endpoint == Endpoint::GroupMembers);
    let path = format!("/v1.0/groups/{group}/transitiveMembers?$select=id&$top=999");
    assert!(asked.unwrap().url.ends_with(&path), "{asked:?}");
}

#[tokio::test]
async fn members_are_followed_over_awkward_pages_and_through_passing_faults() {
    let world = World::with_users(60).await;
    world.in_pages_of(10);
    world.tenant.set_paging(Paging {
        empty_every: Some(3),
        short_every: Some(4),
        ..world.tenant.paging()
    });
    for (page, fault) in [
        (1, Fault::throttled(Some(1))),
        (1, Fault::Truncated),
        (2, Fault::ErrorForValue),
        (2, Fault::Spliced),
        (4, Fault::ExpiredBearer),
        (4, Fault::status_with(503, ErrorBody::Html)),
        (5, Fault::NullValue),
    ] {
        world.fault(FaultRule::once(list(page), fault));
    }
    assert_eq!(world.members().await.unwrap(), everybody(&world));
}

#[tokio::test]
async fn a_group_that_is_not_there_is_unavailable() {
    let world = World::with_users(2).await;
    world.tenant.directory().remove_group(world.outer).unwrap();
    let error = world.members().await.unwrap_err();
    is_of_group(&error, world.outer);
    assert!(error.to_string().contains("no such group"), "{error}");
    let first = world.client.first_members(&object(world.outer)).await;
    is_of_group(&first.unwrap_err(), world.outer);
    assert_eq!(world.requests(), 2);
}

// gitea#4402, for a group: an empty answer of the directory is not taken for nobody.
#[tokio::test]
async fn a_group_without_a_user_is_unavailable_and_not_empty() {
    let world = World::with_users(2).await;
    let empty = {
        let mut directory = world.tenant.directory();
        let empty = directory.add_group();
        let device = Member::Device(Uuid::from_u128(8));
        directory.add_member(empty, device).unwrap();
        empty
    };
    let error = world.client.group_members(&object(empty)).await;
    is_of_group(&error.unwrap_err(), empty);
    let first = world.client.first_members(&object(empty)).await;
    is_of_group(&first.unwrap_err(), empty);
    // And a list whose users are gone from the answer.
    world.fault(FaultRule::once(list(1), Fault::EmptyEnd));
    is_of_group(&world.members().await.unwrap_err(), world.outer);
    assert_eq!(world.members().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_list_of_members_that_goes_in_circles_is_unavailable() {
    let world = World::with_users(40).await;
    world.in_pages_of(10);
    world.fault(FaultRule::forever(
        list(3),
        Fault::NextLink(NextLink::Page(2)),
    ));
    is_of_group(&world.members().await.unwrap_err(), world.outer);
    assert!(world.requests() < 10);
}

#[tokio::test]
async fn a_walk_whose_page_token_expires_begins_again_and_not_for_ever() {
    let world = World::with_users(40).await;
    world.in_pages_of(10);
    let expired = Fault::PageToken(PageTokenError::Expired);
    world.fault(FaultRule::times(list(3), 2, expired.clone()));
    assert_eq!(world.members().await.unwrap(), everybody(&world));
    let before = world.requests();
    world.fault(FaultRule::forever(list(2), expired));
    is_of_group(&world.members().await.unwrap_err(), world.outer);
    // Five walks of two pages.
    assert_eq!(world.requests() - before, 10);
}

#[tokio::test]
async fn a_list_that_stays_broken_is_unavailable() {
    let world = World::with_users(40).await;
    world.in_pages_of(10);
    world.fault(FaultRule::forever(list(2), Fault::Truncated));
    is_of_group(&world.members().await.unwrap_err(), world.outer);
}

#[tokio::test]
async fn a_group_that_may_not_be_read_names_the_permission() {
    let world = World::with_users(2).await;
    world.fault(FaultRule::once(list(1), Fault::Denied));
    let error = world.members().await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_denied");
    assert!(
        error.to_string().contains("GroupMember.Read.All"),
        "{error}"
    );
    world.fault(FaultRule::forever(list(1), Fault::status(503)));
    let error = world.members().await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_unavailable");
    world.emulator.graph().clear_faults();
    let elsewhere = Fault::NextLink(NextLink::Origin("https://a.example".into()));
    world.fault(FaultRule::once(list(1), elsewhere));
    let error = world.members().await.unwrap_err();
    assert_eq!(error.run_reason().name(), "unsafe_link");
}

#[tokio::test]
async fn a_member_without_a_type_spoils_the_page() {
    let server = Server::graph(|_, _| Reply::json(200, &json!({ "value": [{ "id": "a" }] }))).await;
    let group = object_id("6babcaad-604b-40ac-a9d7-9fd97c0b779f");
    let error = server.client().group_members(&group).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "group_unavailable", "{error}");
}

#[tokio::test]
async fn one_page_tells_whether_a_group_can_be_read() {
    let world = World::with_users(40).await;
    let first = async || world.client.first_members(&object(world.outer)).await;
    let whole = FirstMembers {
        users: 40,
        more: false,
    };
    assert_eq!(first().await, Ok(whole));
    world.in_pages_of(10);
    assert!(first().await.unwrap().more);
}

fn said(
    told: BTreeMap<ObjectId, rollcall_core::evidence::Told<Membership>>,
) -> BTreeMap<ObjectId, Membership> {
    let each = told.into_iter().map(|(id, told)| {
        assert!(told.request.as_str().is_some());
        (id, told.what)
    });
    each.collect()
}

#[tokio::test]
async fn by_id_members_of_nested_groups_are_in_and_the_others_out() {
    let world = World::with_users(50).await;
    let (leaver, gone) = (world.everybody[30], world.everybody[31]);
    {
        let mut directory = world.tenant.directory();
        let member = Member::User(leaver);
        directory.remove_member(world.inner, member).unwrap();
        directory.soft_delete(gone).unwrap();
    }
    for fault in [Fault::throttled(Some(1)), Fault::status(500)] {
        let when = Matcher::endpoint(Endpoint::BatchItem);
        world.fault(FaultRule::once(when, fault));
    }
    let when = Matcher::endpoint(Endpoint::Batch);
    world.fault(FaultRule::once(when, Fault::status(504)));
    let asked = objects(&world.everybody);
    let told = world
        .client
        .in_groups(&asked, &[], &[object(world.outer)])
        .await;
    let expected: BTreeMap<_, _> = world
        .everybody
        .iter()
        .map(|id| {
            let what = match *id {
                id if id == leaver => Membership::Out,
                id if id == gone => Membership::NoUser,
                _ => Membership::In,
            };
            (object(*id), what)
        })
        .collect();
    assert_eq!(said(told.unwrap()), expected);
}

#[tokio::test]
async fn it_is_noted_who_is_in_a_group_where_it_decides_and_nowhere_else() {
    let world = World::with_users(4).await;
    let (gone, out) = (world.everybody[0], world.everybody[1]);
    {
        let mut directory = world.tenant.directory();
        for id in &world.everybody {
            let is_member = |user: &mut rollcall_graph_emulator::User| {
                user.user_type = Some("Member".into());
            };
            directory.update(*id, is_member).unwrap();
        }
        let member = Member::User(out);
        directory.remove_member(world.outer, member).unwrap();
    }
    let page = world.client.users_page(PageAt::First).await.unwrap();
    world.tenant.directory().soft_delete(gone).unwrap();
    let guest = object(world.everybody[3]);
    let mut users = page.users;
    for user in &mut users {
        if user.id == guest {
            user.user_type = Some("Guest".into());
        }
    }
    let groups = json!({ "groups": [world.outer.to_string()] });
    let scope: Scope = serde_json::from_value(groups).unwrap();
    let noted = world.client.note_groups(&scope, &mut users, &[]).await;
    noted.unwrap();
    for user in &users {
        let expected = match &user.id {
            id if *id == object(out) => Some(false),
            id if *id == object(gone) || *id == guest => None,
            _ => Some(true),
        };
        assert_eq!(user.in_groups, expected, "{user:?}");
    }
    let asked = world.emulator.graph().requests(Endpoint::BatchItem);
    assert_eq!(asked, 3);
    let anybody = Scope::default();
    let noted = world.client.note_groups(&anybody, &mut users, &[]).await;
    noted.unwrap();
    let asked = world.emulator.graph().requests(Endpoint::BatchItem);
    assert_eq!(asked, 3);
}

/// The list would be short, and look whole.
#[tokio::test]
async fn a_first_page_that_leads_back_to_itself_is_no_list_whatever_would_come() {
    let world = World::with_users(10).await;
    world.in_pages_of(2);
    world.fault(FaultRule::once(list(1), Fault::NextLink(NextLink::Itself)));
    let error = world.members().await.unwrap_err();
    is_of_group(&error, world.outer);
    assert_eq!(world.requests(), 1);
}
