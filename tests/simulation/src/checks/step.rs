//! In step: when a run completes, everybody whom it saw as new or changed is as he was seen last.

use std::collections::BTreeMap;

use rollcall_core::delta::{DeltaUser, Told};
use rollcall_core::ids::ObjectId;
use rollcall_core::page::{PagePayload, Sighted};
use rollcall_core::user::GraphUser;

use super::{Look, RunKey};
use crate::chaos::INDEX_LAG_MS_MAX;
use crate::item::{Item, Table, bytes, flag, number, text};
use crate::oracle::Scope;

const STEP: &str = "in step: everybody is as he was seen last";

/// What a run told of a user at last: of each property the last word.
fn told_at_last(before: Option<DeltaUser>, now: Sighted) -> DeltaUser {
    match (before, now) {
        (_, Sighted::Whole(user)) => DeltaUser {
            removed: None,
            user_principal_name: Some(user.user_principal_name),
            mail: Some(user.mail),
            display_name: Some(user.display_name),
            account_enabled: Some(user.account_enabled),
            user_type: Some(user.user_type),
            attributes: BTreeMap::new(),
            in_groups: None,
            id: user.id,
        },
        (Some(before), Sighted::Part(now)) if now.removed.is_none() => DeltaUser {
            removed: None,
            user_principal_name: now.user_principal_name.or(before.user_principal_name),
            mail: now.mail.or(before.mail),
            display_name: now.display_name.or(before.display_name),
            account_enabled: now.account_enabled.or(before.account_enabled),
            user_type: now.user_type.or(before.user_type),
            attributes: BTreeMap::new(),
            in_groups: None,
            id: now.id,
        },
        (_, Sighted::Part(now)) => now,
    }
}

/// The user as a run saw him: what it was told, and else what is stored. None if he is gone, or too
/// little is known of him.
fn seen_as(told: &DeltaUser, item: Option<&Item>) -> Option<GraphUser> {
    let is_told = told.removed.is_none();
    let is_known = item.is_some() || matches!(told.user_principal_name, Some(Some(_)));
    let stored = |name| {
        let text = item
            .map(|item| text(item, name))
            .filter(|it| !it.is_empty());
        text.map(str::to_owned)
    };
    let or_stored = |told: &Told<String>, name| told.clone().unwrap_or_else(|| stored(name));
    let enabled = item.and_then(|item| flag(item, "account_enabled"));
    (is_told && is_known).then(|| GraphUser {
        id: told.id.clone(),
        user_principal_name: or_stored(&told.user_principal_name, "user_principal_name"),
        mail: or_stored(&told.mail, "mail"),
        display_name: or_stored(&told.display_name, "display_name"),
        account_enabled: told.account_enabled.unwrap_or(enabled),
        user_type: or_stored(&told.user_type, "user_type"),
        attributes: BTreeMap::new(),
        in_groups: None,
    })
}

impl Look<'_> {
    pub(super) fn in_step(&self, run: &RunKey) {
        let scope = Scope::of(&self.settings(run));
        for (id, told) in self.last_sightings(run) {
            let item = self.stored(&run.0, &id);
            // Who is gone is the plan's.
            let Some(user) = seen_as(&told, item) else {
                continue;
            };
            let is_in = scope.takes_sighted(&user, self.is_member(run, &id));
            let problem = match (user.account_enabled, is_in, item) {
                // A null that decides changes nothing.
                (None, _, _) | (_, None, _) => None,
                (Some(_), Some(true), None) => Some("is not there"),
                (_, Some(false), None) => None,
                (Some(enabled), Some(true), Some(item)) => self.differs(run, item, &user, enabled),
                (Some(_), Some(false), Some(_)) => None,
            };
            if let Some(problem) = problem {
                self.violate(STEP, &format!("{}/{}: {id} {problem}", run.0, run.1));
            }
        }
    }

    fn differs(
        &self,
        run: &RunKey,
        item: &Item,
        user: &GraphUser,
        enabled: bool,
    ) -> Option<&'static str> {
        let began_ms = self.checks.started_ms.get(run).copied();
        let who = (run.0.clone(), user.id.to_string());
        let taken_back_ms = self.checks.taken_back_ms.get(&who);
        if taken_back_ms.is_some_and(|at_ms| Some(*at_ms) >= began_ms) {
            // The run may have found him as he was seen, and written nothing: a full run is owed for that.
            return None;
        }
        let is_manual = text(item, "reason") == "manual";
        // Somebody of ours may have decided since the run read him; no run has written him since.
        let texts = [
            (
                "user_principal_name",
                &user.user_principal_name,
                "has another login name",
            ),
            ("mail", &user.mail, "has another address"),
            ("display_name", &user.display_name, "has another name"),
            ("user_type", &user.user_type, "is of another type"),
        ];
        let wrong = texts
            .into_iter()
            .find(|(name, value, _)| text(item, name) != value.as_deref().unwrap_or_default());
        if let Some((_, _, problem)) = wrong {
            return Some(problem);
        }
        if is_manual {
            return None;
        }
        let is_on = text(item, "status") == "ACTIVE";
        // Whom a person switched and gave back after the run had written or read him, waits for the next run.
        let decided_at = number(item, "decided_version");
        let was_given_back = decided_at.is_some()
            && decided_at == number(item, "version")
            && (number(item, "sync_run") == Some(run.1)
                || number(item, "status_at") >= began_ms.or(Some(u64::MAX)));
        if enabled && !is_on && !was_given_back {
            return Some("was seen enabled and is off");
        }
        // Who is disabled stays on when Graph said otherwise in the end, or a person did meanwhile.
        let said_otherwise = self
            .checks
            .kept_on
            .contains(&(run.clone(), user.id.to_string()));
        if !enabled && is_on && !said_otherwise && !was_given_back {
            return Some("was seen disabled and is on");
        }
        let flag_is_right = flag(item, "account_enabled") == Some(enabled);
        (!flag_is_right && !is_on && !was_given_back)
            .then_some("is off with another accountEnabled")
    }

    fn stored(&self, tenant: &str, id: &ObjectId) -> Option<&Item> {
        let prefix = format!("{tenant}#");
        let mut users = self.mirror.partitions(Table::Directory, &prefix);
        users
            .find(|(place, _)| place.sk == id.as_str())
            .map(|(_, item)| item)
    }

    /// The last sighting of each whom a page has in full.
    fn last_sightings(&self, run: &RunKey) -> BTreeMap<ObjectId, DeltaUser> {
        let pk = format!("page#{}#{}", run.0, run.1);
        // Who was seen in an earlier generation alone may have been left to the next run with it.
        let generation = self
            .run_item(run)
            .and_then(|item| number(item, "generation"));
        let prefix = format!("{:03}#", generation.unwrap_or_default());
        let mut last = BTreeMap::new();
        for (_, item) in self.mirror.range(Table::Coordination, &pk, &prefix) {
            let Ok(payload) = PagePayload::decode(bytes(item, "payload")) else {
                continue;
            };
            for sighting in payload.changed {
                let id = sighting.user.id().clone();
                let before = last.remove(&id);
                last.insert(id, told_at_last(before, sighting.user));
            }
        }
        last
    }

    /// Nobody of those who were on before was seen: no list that a plan can rest on.
    pub(super) fn somebody_known_was_seen(&self, run: &RunKey, seen: &dyn Fn(&ObjectId) -> bool) {
        let prefix = format!("{}#", run.0);
        let (mut known, mut known_seen) = (0, 0);
        let began_ms = self.invocation.map_or(self.now_ms, |it| it.began_ms);
        let read_since_ms = began_ms.saturating_sub(INDEX_LAG_MS_MAX);
        for (place, item) in self.mirror.partitions(Table::Directory, &prefix) {
            let is_new = number(item, "sync_run") == Some(run.1)
                && matches!(text(item, "sync_kind"), "created" | "reactivated");
            let Ok(id) = ObjectId::new(&place.sk) else {
                continue;
            };
            // Who came a moment before the finalizer was called may not be in what it read.
            let may_lag = self.mirror.lagging(place, read_since_ms).is_some();
            // A person may have switched somebody off since the run looked.
            let is_on = text(item, "status") == "ACTIVE";
            if !is_new && (is_on || text(item, "reason") == "manual") {
                known += u64::from(is_on && !may_lag);
                known_seen += u64::from(seen(&id));
            }
        }
        if known > 0 && known_seen == 0 {
            let detail = format!("{}/{}: none of {known} was seen", run.0, run.1);
            self.violate(
                "fine print 5: a list without anybody known is none",
                &detail,
            );
        }
    }
}
