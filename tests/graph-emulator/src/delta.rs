//! `GET /users/delta`: what changed since a token was given out.
//! Source: "user: delta" and "Use delta query to track changes in Microsoft Graph data".

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use rollcall_ambient::Ambient;
use uuid::Uuid;

use crate::answer::{Draft, GraphError, Members, Page};
use crate::directory::Directory;
use crate::fault::{PageTokenError, SyncStateError};
use crate::ledger::{Ledger, random_text};
use crate::request::Query;
use crate::tenant::{Paging, Tenant};
use crate::user::{Item, Shown, User};

/// How long a delta token is good, in milliseconds: seven days.
/// Source: "Use delta query to track changes in Microsoft Graph data", section "Token duration".
pub const DELTA_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The token that asks for a delta of nothing yet.
const LATEST: &str = "latest";

/// The length of a token. Real ones have hundreds of characters.
const TOKEN_LEN: usize = 300;

/// Where a token goes on.
#[derive(Debug, Clone)]
struct Cursor {
    select: Option<String>,
    /// From which change on it tells.
    from: u64,
    next: Next,
    /// The page that it leads to, from 1.
    page: u32,
    issued_ms: u64,
    uses: u32,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Of a delta that begins with everybody: who comes after this id.
    Users(Option<Uuid>),
    /// Who changed at this position or later.
    Changes(u64),
}

/// All delta tokens of a tenant, those that are in next links too.
pub(crate) struct DeltaTokens {
    next: Ledger<Cursor>,
    delta: Ledger<Cursor>,
}

impl DeltaTokens {
    pub(crate) fn new() -> Self {
        Self {
            next: Ledger::new(),
            delta: Ledger::new(),
        }
    }

    /// Which page of a delta a query asks for.
    pub(crate) fn page(&self, query: &Query) -> Option<u32> {
        match &query.skip_token {
            None => Some(1),
            Some(token) => self.next.get(token).map(|cursor| cursor.page),
        }
    }

    fn redeem(
        &mut self,
        query: &Query,
        paging: &Paging,
        origin: &str,
        now_ms: u64,
    ) -> Result<Option<Cursor>, GraphError> {
        if let Some(token) = &query.skip_token {
            let cursor = self
                .next
                .get_mut(token)
                .ok_or_else(|| PageTokenError::Invalid.error())?;
            cursor.uses = cursor.uses.saturating_add(1);
            let age_ms = now_ms.saturating_sub(cursor.issued_ms);
            let worn = paging.token_uses.is_some_and(|uses| cursor.uses > uses);
            let old = paging.token_life_ms.is_some_and(|life| age_ms > life);
            return if worn || old {
                Err(PageTokenError::Expired.error())
            } else {
                Ok(Some(cursor.clone()))
            };
        }
        let Some(token) = &query.delta_token else {
            return Ok(None);
        };
        let cursor = self
            .delta
            .get(token)
            .ok_or_else(|| SyncStateError::NotFound.error(origin))?;
        if now_ms.saturating_sub(cursor.issued_ms) > paging.delta_life_ms {
            return Err(SyncStateError::Resync.error(origin));
        }
        Ok(Some(cursor.clone()))
    }
}

/// Answers with a page of a delta.
pub(crate) fn answer(
    ambient: &Ambient,
    tenant: &Tenant,
    origin: &str,
    query: &Query,
    emptied: bool,
) -> Result<Draft, GraphError> {
    query.check_supported()?;
    let paging = tenant.paging();
    if !paging.has_delta {
        return Err(GraphError::new(
            400,
            "Request_UnsupportedQuery",
            "Delta query is not supported for this type of tenant.",
        ));
    }
    let now_ms = ambient.now_ms();
    let mut tokens = tenant.delta_tokens();
    let directory = tenant.directory();
    let fresh = |next, from| Cursor {
        select: query.select.clone(),
        from,
        next,
        page: 1,
        issued_ms: now_ms,
        uses: 0,
    };
    let now = directory.changes().now();
    let cursor = if query.delta_token.as_deref() == Some(LATEST) {
        fresh(Next::Changes(now), now)
    } else {
        let redeemed = tokens.redeem(query, &paging, origin, now_ms)?;
        redeemed.unwrap_or_else(|| fresh(Next::Users(None), now))
    };
    let selected = Query {
        select: cursor.select.clone(),
        ..Query::default()
    };
    let select = selected.selected()?;
    let size = paging.delta_page_size_max.max(1);
    let cut = if emptied {
        Cut {
            items: Vec::new(),
            then: Some(cursor.next),
        }
    } else {
        Cut::of(&directory, &cursor, &select, size, paging.delta_sparse)
    };
    drop(directory);
    let items = if paging.delta_disorder {
        disorder(cut.items, &mut Rng::with_seed(ambient.random_u64()))
    } else {
        cut.items
    };
    let token = random_text(ambient, TOKEN_LEN);
    let link = |kind: &str| Some(format!("{origin}/v1.0/users/delta?{kind}={token}"));
    let (mut next_link, mut delta_link) = (None, None);
    match cut.then {
        Some(next) => {
            let page = cursor.page.saturating_add(1);
            next_link = link("$skiptoken");
            let cursor = Cursor {
                next,
                page,
                issued_ms: now_ms,
                uses: 0,
                ..cursor
            };
            tokens.next.put(token, cursor);
        }
        None => {
            delta_link = link("$deltatoken");
            // A list of everybody misses what changed while it was paged, but for a delta from its
            // beginning.
            let position = match cursor.next {
                Next::Users(_) => cursor.from,
                Next::Changes(_) => now,
            };
            let next = Cursor {
                select: cursor.select.clone(),
                ..fresh(Next::Changes(position), position)
            };
            tokens.delta.put(token, next);
        }
    }
    Ok(Draft::Page(Page {
        context: crate::lists::context(origin, &selected),
        count: None,
        next_link,
        delta_link,
        members: Members::Items(items),
        select,
    }))
}

/// The users of a page, and what comes after it.
struct Cut {
    items: Vec<Item>,
    then: Option<Next>,
}

impl Cut {
    fn of(
        directory: &Directory,
        cursor: &Cursor,
        select: &[String],
        size: usize,
        sparse: bool,
    ) -> Self {
        let shown = |user: Arc<User>, sparse: bool| {
            let told = |name: &&String| {
                let changes = directory.changes();
                if sparse {
                    changes.is_new(user.id, name, cursor.from)
                } else {
                    // What never was set is absent, which is not null.
                    user.is_set(name) || changes.was_touched(user.id, name)
                }
            };
            let only = select.iter().filter(told).cloned().collect();
            Item {
                shown: Shown::Only(only),
                ..Item::of(user)
            }
        };
        match cursor.next {
            Next::Users(after) => {
                let mut users = directory.by_id_after(after, size + 1);
                let more = users.len() > size;
                users.truncate(size);
                let last = users.last().map(|user| user.id);
                Self {
                    items: users.into_iter().map(|user| shown(user, false)).collect(),
                    then: more.then_some(Next::Users(last)),
                }
            }
            Next::Changes(position) => {
                let mut changed = directory.changes().since(position, size + 1);
                let more = changed.len() > size;
                changed.truncate(size);
                let last = changed.last().map(|(at, _)| at + 1);
                let item = |(_, id): (u64, Uuid)| match directory.shared(id) {
                    Some(user) => shown(user, sparse),
                    None => removed(directory, id),
                };
                Self {
                    items: changed.into_iter().map(item).collect(),
                    then: last.filter(|_| more).map(Next::Changes),
                }
            }
        }
    }
}

fn removed(directory: &Directory, id: Uuid) -> Item {
    let in_bin = directory.deleted().any(|user| user.id == id);
    let user = User {
        id,
        ..User::default()
    };
    Item {
        shown: Shown::Removed(if in_bin { "changed" } else { "deleted" }),
        ..Item::of(Arc::new(user))
    }
}

/// The same users in any order, some of them twice, and some in two parts: Graph promises neither
/// order nor that anybody comes once.
fn disorder(items: Vec<Item>, dice: &mut Rng) -> Vec<Item> {
    let mut parts: BTreeMap<Uuid, Vec<Item>> = BTreeMap::new();
    for item in items {
        let of_it = parts.entry(item.user.id).or_default();
        let Shown::Only(names) = &item.shown else {
            of_it.push(item);
            continue;
        };
        match dice.u8(..4) {
            0 => of_it.extend([item.clone(), item]),
            1 => {
                let (first, second) = names.split_at(dice.usize(..=names.len()));
                of_it.extend([first, second].map(|part| Item {
                    shown: Shown::Only(part.to_vec()),
                    ..item.clone()
                }));
            }
            _ => of_it.push(item),
        }
    }
    let mut items: Vec<_> = parts.into_values().flatten().collect();
    dice.shuffle(&mut items);
    items
}
