//! Lists in pages: a live cursor over the directory as it is now, so that a change between two
//! pages shows as it would in a real one.

use std::collections::BTreeMap;

use rollcall_ambient::Ambient;
use uuid::Uuid;

use crate::answer::{Draft, GraphError, Members, Page};
use crate::directory::{Directory, ScanKey, scan_key};
use crate::fault::PageTokenError;
use crate::groups::{existing, members_after};
use crate::ledger::{Ledger, random_text};
use crate::request::Query;
use crate::tenant::{Paging, Tenant};
use crate::user::Item;

/// The lists that come in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    Users,
    DeletedItems,
    /// Whoever is in the group with this id.
    Members(Uuid),
}

/// Where a page token goes on.
#[derive(Debug, Clone)]
struct Cursor {
    list: List,
    page: u32,
    after: Option<ScanKey>,
    /// The link, letter by letter: URL libraries write quotes in their own way, so the URL that is
    /// asked for can differ from it.
    link: String,
    issued_ms: u64,
    uses: u32,
}

/// The most pages whose URL is remembered, for next links that lead back: those of a scan of ten
/// million users.
const PAGES_REMEMBERED_MAX: u32 = 10_000;

/// All page tokens of a tenant.
pub(crate) struct Cursors {
    tokens: Ledger<Cursor>,
    links: BTreeMap<(List, u32), String>,
}

impl Cursors {
    pub(crate) fn new() -> Self {
        Self {
            tokens: Ledger::new(),
            links: BTreeMap::new(),
        }
    }

    /// Which page a query asks for. Looking does not use the token up.
    pub(crate) fn page(&self, query: &Query) -> Option<u32> {
        match &query.skip_token {
            None => Some(1),
            Some(token) => self.tokens.get(token).map(|cursor| cursor.page),
        }
    }

    /// The link to a page under which it was asked for last.
    pub(crate) fn link(&self, list: List, page: u32) -> Option<String> {
        self.links.get(&(list, page)).cloned()
    }

    fn redeem(
        &mut self,
        request: &PageRequest<'_>,
        paging: &Paging,
        now_ms: u64,
    ) -> Result<Cursor, GraphError> {
        let cursor = match &request.query.skip_token {
            None => Cursor {
                list: request.list,
                page: 1,
                after: None,
                link: request.url.to_owned(),
                issued_ms: now_ms,
                uses: 0,
            },
            Some(token) => {
                let cursor = self
                    .tokens
                    .get_mut(token)
                    .filter(|cursor| cursor.list == request.list)
                    .ok_or_else(|| PageTokenError::Invalid.error())?;
                cursor.uses = cursor.uses.saturating_add(1);
                cursor.clone()
            }
        };
        let age_ms = now_ms.saturating_sub(cursor.issued_ms);
        let worn = paging.token_uses.is_some_and(|uses| cursor.uses > uses);
        let old = paging.token_life_ms.is_some_and(|life_ms| age_ms > life_ms);
        if worn || old {
            return Err(PageTokenError::Expired.error());
        }
        if cursor.page <= PAGES_REMEMBERED_MAX {
            let place = (cursor.list, cursor.page);
            self.links.insert(place, cursor.link.clone());
        }
        Ok(cursor)
    }

    /// Makes the link to the page after a cursor's, with a new token: long, with quotes, and
    /// escaped in part.
    fn issue(
        &mut self,
        ambient: &Ambient,
        request: &PageRequest<'_>,
        page: u32,
        after: Option<ScanKey>,
    ) -> String {
        /// The length of each random part. Real tokens are over a kilobyte, too.
        const PART_LEN: usize = 400;
        let part = || random_text(ambient, PART_LEN);
        let (first, second, third) = (part(), part(), part());
        let written = format!("RFNwdAIA'{first}'%27User_{second}%27%2b%22{third}%2f%3d%3d");
        let meant = format!("RFNwdAIA'{first}''User_{second}'+\"{third}/==");
        let (origin, path) = (request.origin, path(request.list));
        let query = request.query.with_token(&written);
        let link = format!("{origin}{path}?{query}");
        let cursor = Cursor {
            list: request.list,
            page,
            after,
            link: link.clone(),
            issued_ms: ambient.now_ms(),
            uses: 0,
        };
        self.tokens.put(meant, cursor);
        link
    }
}

/// A request for a page.
pub(crate) struct PageRequest<'a> {
    pub(crate) list: List,
    pub(crate) query: &'a Query,
    /// The URL, as it was asked for.
    pub(crate) url: &'a str,
    pub(crate) origin: &'a str,
    /// Whether the client takes stale counts.
    pub(crate) eventual: bool,
    /// Whether a fault wants the page to be empty.
    pub(crate) emptied: bool,
}

/// Answers with a page.
pub(crate) fn answer(
    ambient: &Ambient,
    tenant: &Tenant,
    request: &PageRequest<'_>,
) -> Result<Draft, GraphError> {
    let query = request.query;
    query.check_supported()?;
    let select = query.selected()?;
    let paging = tenant.paging();
    let size = query.page_size()?.min(paging.page_size_max).max(1);
    let mut cursors = tenant.cursors();
    let cursor = cursors.redeem(request, &paging, ambient.now_ms())?;

    let directory = tenant.directory();
    if let List::Members(group) = cursor.list {
        existing(&directory, &group.to_string())?;
    }
    let shape = Shape::of(&paging, cursor.page, size, request.emptied, ambient);
    let cut = shape.cut(&directory, &cursor);
    let first_page_count = query.count && request.eventual && cursor.page == 1;
    let count = first_page_count.then(|| size_of(&directory, cursor.list));
    drop(directory);

    let next_page = cursor.page.saturating_add(1);
    let next_link = cut
        .more
        .then(|| cursors.issue(ambient, request, next_page, cut.after));
    Ok(Draft::Page(Page {
        context: match request.list {
            List::Members(_) => format!("{}/v1.0/$metadata#directoryObjects", request.origin),
            List::Users | List::DeletedItems => context(request.origin, query),
        },
        count,
        next_link,
        delta_link: None,
        members: Members::Items(cut.items),
        select,
    }))
}

/// The `@odata.context` of users.
pub(crate) fn context(origin: &str, query: &Query) -> String {
    match &query.select {
        Some(select) => format!("{origin}/v1.0/$metadata#users({select})"),
        None => format!("{origin}/v1.0/$metadata#users"),
    }
}

fn path(list: List) -> String {
    match list {
        List::Users => "/v1.0/users".to_owned(),
        List::DeletedItems => "/v1.0/directory/deletedItems/microsoft.graph.user".to_owned(),
        List::Members(group) => format!("/v1.0/groups/{group}/transitiveMembers"),
    }
}

fn size_of(directory: &Directory, list: List) -> usize {
    match list {
        List::Users => directory.len(),
        List::DeletedItems => directory.deleted().count(),
        List::Members(group) => directory.transitive_members(group).map_or(0, |it| it.len()),
    }
}

/// What a page is to look like.
struct Shape {
    size: usize,
    empty: bool,
    repeats: bool,
}

/// Who is on a page, and where the next one begins.
struct Cut {
    items: Vec<Item>,
    after: Option<ScanKey>,
    more: bool,
}

impl Shape {
    fn of(paging: &Paging, page: u32, size: usize, emptied: bool, ambient: &Ambient) -> Self {
        let due = |every: Option<u32>| every.is_some_and(|n| n >= 2 && page.is_multiple_of(n));
        let less = || {
            let most = u64::try_from(size).unwrap_or(u64::MAX).saturating_sub(2);
            usize::try_from(ambient.random_up_to(most)).unwrap_or_default() + 1
        };
        Self {
            size: if due(paging.short_every) {
                less()
            } else {
                size
            },
            empty: emptied || due(paging.empty_every),
            repeats: due(paging.repeat_every),
        }
    }

    fn cut(&self, directory: &Directory, cursor: &Cursor) -> Cut {
        if self.empty {
            return Cut {
                items: Vec::new(),
                after: cursor.after.clone(),
                more: true,
            };
        }
        // A page of one has no room to repeat anybody, or the scan would not get on.
        let repeated = cursor
            .after
            .as_ref()
            .filter(|_| self.repeats && self.size > 1);
        let mut items: Vec<_> = match (repeated, cursor.list) {
            (Some(key), List::Users) => directory.at(key).map(Item::of).into_iter().collect(),
            _ => Vec::new(),
        };
        let room = self.size - items.len();
        let mut fresh = fetch(directory, cursor, room + 1);
        let more = fresh.len() > room;
        fresh.truncate(room);
        let after = fresh
            .last()
            .map(|item| scan_key(&item.user))
            .or_else(|| cursor.after.clone());
        items.append(&mut fresh);
        Cut { items, after, more }
    }
}

fn fetch(directory: &Directory, cursor: &Cursor, count: usize) -> Vec<Item> {
    let after = cursor.after.as_ref();
    let users = match cursor.list {
        List::Users => directory.after(after, count),
        List::DeletedItems => directory.deleted_after(after.map(|(_, id)| *id), count),
        List::Members(group) => return members_after(directory, group, after, count),
    };
    users.into_iter().map(Item::of).collect()
}
