//! What goes wrong with Graph's answers: every fault of the emulator's catalogue, passing and lasting,
//! and replicas that are stale about somebody.

use std::collections::{BTreeMap, HashMap};

use rollcall_graph_emulator::{
    Endpoint, ErrorBody, Fault, Matcher, NextLink, PageTokenError, SyncStateError, Who,
};
use uuid::Uuid;

use super::ORIGIN;
use crate::dice::Dice;
use crate::item::Place;
use crate::world::{World, lock};

/// How long a lasting fault lasts at most, in milliseconds: longer than a run's deadline.
const LASTING_MS_MAX: u64 = 2_400_000;

/// What goes on going wrong.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    /// By endpoint: the fault, and until when, in milliseconds since 1970.
    faults: HashMap<Endpoint, (Matcher, Fault, u64)>,
    /// In which run of its tenant a user was lied about. Once only: "not found" is taken for true
    /// when two runs in a row are told so, and no replica is stale for so long.
    lied: BTreeMap<(String, Uuid), u64>,
    /// How many page tokens more are dead: one that is freshened may be dead too.
    dead_tokens: u64,
    /// Whether a delta told again that somebody is removed. What is asked by id tells the truth from
    /// then on: two that lie about one user are believed.
    tells_again: bool,
    /// Until when no answer about somebody's groups names any, in milliseconds since 1970.
    hides_groups_until_ms: u64,
}

impl Lasting {
    /// Whether somebody was lied about in the run that a tenant has now.
    fn lies(&self, world: &World, tenant: usize) -> bool {
        let name = &world.tenants[tenant].name;
        let run = world.active_run(name);
        let mut lied = self.lied.iter();
        lied.any(|((of, _), in_run)| of == name && Some(*in_run) == run)
    }
}

/// How long the application may not look into groups at most, in milliseconds: some runs.
const HIDDEN_MS_MAX: u64 = 60_000;

/// Whether Graph leaves the groups out of what it answers about somebody.
pub(super) fn hides_groups(world: &World) -> bool {
    let until_ms = lock(&world.lasting).hides_groups_until_ms;
    let hides = world.chaos.is_on() && world.now_ms() < until_ms;
    if hides {
        world.mark("fault: groups that may not be looked into");
        world.graph_fails_now();
    }
    hides
}

/// The rules for one request: what it is for, and the fault.
pub(super) fn faults(
    world: &World,
    endpoint: Endpoint,
    tenant: Option<usize>,
    is_next: bool,
) -> Vec<(Matcher, Fault)> {
    if !world.chaos.is_on() {
        lock(&world.lasting).faults.clear();
        return Vec::new();
    }
    let now_ms = world.now_ms();
    let mut lasting = lock(&world.lasting);
    lasting
        .faults
        .retain(|_, (_, _, until_ms)| now_ms < *until_ms);
    if let Some((when, fault, _)) = lasting.faults.get(&endpoint) {
        return vec![(*when, fault.clone())];
    }
    if is_next && lasting.dead_tokens == 0 && world.chaos.token_is_dead(&world.dice) {
        lasting.dead_tokens = world.dice.between(1, 4);
    }
    if is_next && lasting.dead_tokens > 0 {
        lasting.dead_tokens -= 1;
        let fault = Fault::PageToken(PageTokenError::NotFound);
        let cut_off = world.dice.per_mille(100).then_some(Fault::Truncated);
        let faults = [fault].into_iter().chain(cut_off);
        return faults.map(|fault| (Matcher::any(), fault)).collect();
    }
    if world.chaos.graph_fails_for_long(&world.dice) {
        let until_ms = now_ms + world.dice.between(10_000, LASTING_MS_MAX);
        let (when, fault) = lasting_fault(world, &lasting, endpoint);
        lasting
            .faults
            .insert(endpoint, (when, fault.clone(), until_ms));
        return vec![(when, fault)];
    }
    let mut faults = Vec::new();
    let is_look_up = matches!(endpoint, Endpoint::GetByIds | Endpoint::Batch);
    if world.chaos.graph_fails(&world.dice, is_look_up) {
        let matcher = match endpoint {
            // Half of the faults of a batch are in one of its answers.
            Endpoint::Batch if world.dice.per_mille(500) => {
                Matcher::endpoint(Endpoint::BatchItem).nth(world.dice.between(1, 4))
            }
            _ => Matcher::any(),
        };
        let fault = if matcher != Matcher::any() && world.dice.per_mille(300) {
            // Another code than the one that counts.
            Fault::status_with(404, wordless(&world.dice))
        } else {
            fault(world, endpoint, is_next)
        };
        if matches!(fault, Fault::PageToken(_)) {
            lasting.dead_tokens = world.dice.between(0, 3);
        }
        if endpoint == Endpoint::Users && is_next && world.dice.per_mille(200) {
            // Whatever it is, half of it arrives.
            faults.push((Matcher::any(), Fault::Truncated));
        }
        faults.push((matcher, fault));
    }
    if endpoint == Endpoint::GroupMembers && world.chaos.graph_lies(&world.dice, true) {
        lasting.hides_groups_until_ms = now_ms + world.dice.between(1, HIDDEN_MS_MAX);
    }
    if let Some(tenant) = tenant
        && world
            .chaos
            .graph_lies(&world.dice, lasting.lies(world, tenant))
    {
        faults.extend(lies(world, &mut lasting, endpoint, tenant));
    }
    faults
}

/// Whether a person has approved the plan of the run that a tenant has.
fn is_approved(world: &World, tenant: &str) -> bool {
    let Some(run) = world.active_run(tenant) else {
        return false;
    };
    let run = Place::coordination(format!("run#{tenant}"), format!("{run:010}"));
    let mirror = lock(&world.mirror);
    mirror
        .get(&run)
        .is_some_and(|run| run.contains_key("approved_by"))
}

/// A stale replica: users who are there are left out, or not found.
fn lies(
    world: &World,
    lasting: &mut Lasting,
    endpoint: Endpoint,
    tenant: usize,
) -> Vec<(Matcher, Fault)> {
    let name = &world.tenants[tenant].name;
    if endpoint == Endpoint::Delta && !lasting.lies(world, tenant) {
        lasting.tells_again = true;
        return vec![(Matcher::any(), Fault::RemovedAgain(Who::First(1)))];
    }
    // What is asked anew of an approved plan is asked in one run alone.
    let may_lie = !lasting.tells_again && !is_approved(world, name);
    let Some(run) = world.active_run(name).filter(|_| may_lie) else {
        return Vec::new();
    };
    let ids: Vec<_> = {
        let directory = world.tenants[tenant].graph.directory();
        directory.users().map(|user| user.id).collect()
    };
    let may_lie = |id: &Uuid| {
        let before = lasting.lied.get(&(name.clone(), *id));
        before.is_none_or(|before| *before == run)
    };
    let ids: Vec<_> = ids.into_iter().filter(may_lie).collect();
    let about: Vec<_> = (0..2).filter_map(|_| world.dice.pick(&ids)).collect();
    // Who was left out before in this run is left out again, and then not found either.
    let mut about: Vec<_> = lasting
        .lied
        .iter()
        .filter(|((of, id), in_run)| of == name && **in_run == run && ids.contains(id))
        .map(|((_, id), _)| *id)
        .chain(about)
        .collect();
    about.dedup();
    let lie = match endpoint {
        Endpoint::Users | Endpoint::GetByIds | Endpoint::GroupMembers => {
            vec![(Matcher::any(), Fault::LeftOut(Who::Ids(about.clone())))]
        }
        Endpoint::Batch => about
            .iter()
            .map(|id| {
                (
                    Matcher::endpoint(Endpoint::BatchItem).user(*id),
                    Fault::NotFound,
                )
            })
            .collect(),
        _ => return Vec::new(),
    };
    for id in about {
        world.mark("fault: Graph is stale about a user");
        lasting.lied.insert((name.clone(), id), run);
    }
    lie
}

/// What goes on for a while: any fault, or a service that has lost sight of the tenant.
fn lasting_fault(world: &World, lasting: &Lasting, endpoint: Endpoint) -> (Matcher, Fault) {
    let is_blind = world.chaos.graph_is_blind(&world.dice) && !lasting.tells_again;
    match endpoint {
        Endpoint::Users if is_blind => {
            let known = Fault::LeftOut(Who::Ids(world.known_users()));
            let unknown = Fault::NullAccountEnabled(Who::All);
            (
                Matcher::any(),
                if world.dice.per_mille(500) {
                    known
                } else {
                    unknown
                },
            )
        }
        Endpoint::GetByIds | Endpoint::GroupMembers if is_blind => {
            (Matcher::any(), Fault::LeftOut(Who::All))
        }
        Endpoint::Batch if is_blind => (Matcher::endpoint(Endpoint::BatchItem), Fault::NotFound),
        _ => {
            let fault = match fault(world, endpoint, false) {
                // Empty pages without end fill the store, and show nothing that a few don't.
                Fault::EmptyPage => Fault::status(503),
                other => other,
            };
            (Matcher::any(), fault)
        }
    }
}

/// The body of an error that does not say what is wrong.
fn wordless(dice: &Dice) -> ErrorBody {
    if dice.per_mille(500) {
        ErrorBody::Unknown
    } else {
        ErrorBody::Empty
    }
}

/// One of the catalogue, as far as it fits the endpoint.
fn fault(world: &World, endpoint: Endpoint, is_next: bool) -> Fault {
    let dice = &world.dice;
    let common = || match dice.index(10) {
        0 => Fault::throttled(Some(u32::try_from(dice.between(1, 20)).unwrap_or(1))),
        1 => Fault::throttled(None),
        2 => Fault::status(dice.of([500, 502, 503, 504])),
        3 => Fault::status_with(dice.of([500, 503]), wordless(dice)),
        4 => Fault::status_with(502, ErrorBody::Html),
        5 => match dice.index(3) {
            0 => Fault::Closed,
            1 => Fault::Reset,
            _ => Fault::Broken,
        },
        6 => Fault::Delay {
            ms: dice.between(1_000, 60_000),
        },
        7 => Fault::Truncated,
        8 => Fault::Spliced,
        _ => Fault::status_with(503, ErrorBody::EmptyCode),
    };
    if endpoint == Endpoint::Token {
        return match dice.index(6) {
            0 => Fault::login_throttled(5),
            1 => Fault::login_transient(),
            2 => Fault::login_refused(),
            _ => common(),
        };
    }
    match dice.index(8) {
        0 => Fault::ExpiredBearer,
        1 => Fault::ClaimsChallenge,
        2 if dice.per_mille(200) => Fault::Denied,
        3 => match dice.index(3) {
            0 => Fault::ErrorForValue,
            1 => Fault::NoValue,
            _ => Fault::NullValue,
        },
        4 if endpoint == Endpoint::GroupMembers && dice.per_mille(300) => {
            // Somebody has deleted the group.
            Fault::status_with(404, ErrorBody::Graph)
        }
        4..=6 if matches!(endpoint, Endpoint::Users | Endpoint::GroupMembers) => {
            list_fault(world, is_next)
        }
        4..=6 if endpoint == Endpoint::Delta => delta_fault(world, is_next),
        _ => common(),
    }
}

/// The faults that only a delta has.
fn delta_fault(world: &World, is_next: bool) -> Fault {
    let dice = &world.dice;
    let lost = [
        SyncStateError::NotFound,
        SyncStateError::Resync,
        SyncStateError::ApplyDifferences,
        SyncStateError::Bare,
    ];
    match dice.index(8) {
        0 | 1 => Fault::SyncState(dice.of(lost)),
        2 if is_next => Fault::PageToken(PageTokenError::Expired),
        3 => Fault::EmptyPage,
        4 => Fault::NextLink(NextLink::Itself),
        5 => Fault::NextLink(NextLink::Missing),
        6 => Fault::NextLink(nowhere(dice)),
        _ => Fault::Twice(Who::First(2)),
    }
}

/// A next link that leads to another host, or nowhere.
fn nowhere(dice: &Dice) -> NextLink {
    NextLink::Exactly(match dice.index(8) {
        0..=4 => return NextLink::Origin("https://elsewhere.sim".into()),
        5 => String::new(),
        6 => "/v1.0/users?$skiptoken=a".into(),
        _ => "https://a:b@graph.sim/v1.0/users?$skiptoken=a".into(),
    })
}

/// Likewise, or to a page that there is not.
fn elsewhere(dice: &Dice) -> NextLink {
    if dice.per_mille(850) {
        return nowhere(dice);
    }
    NextLink::Exactly(format!("{ORIGIN}/v1.0/users?$skiptoken=of-nobody"))
}

/// The faults that only a list has.
fn list_fault(world: &World, is_next: bool) -> Fault {
    let dice = &world.dice;
    match dice.index(10) {
        // Only a page after the first has a token.
        0 if is_next => Fault::PageToken(PageTokenError::Expired),
        1 if is_next => Fault::PageToken(PageTokenError::NotFound),
        2 | 3 if is_next => Fault::PageToken(PageTokenError::Invalid),
        4 => Fault::EmptyEnd,
        5 => Fault::EmptyPage,
        6 => Fault::NextLink(NextLink::Itself),
        7 => Fault::NextLink(NextLink::Page(1)),
        8 => match dice.index(3) {
            0 => Fault::NextLink(elsewhere(dice)),
            1 => Fault::Redirect {
                to: "https://elsewhere.sim/v1.0/users".into(),
            },
            _ => Fault::NextLink(NextLink::Missing),
        },
        _ => match dice.index(5) {
            0 | 3 => Fault::Twice(Who::First(2)),
            1 => Fault::NullAccountEnabled(Who::First(2)),
            2 => Fault::NoAccountEnabled(Who::First(1)),
            _ => Fault::NullAccountEnabled(Who::All),
        },
    }
}
