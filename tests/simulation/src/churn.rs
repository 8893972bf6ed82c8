//! What people of a tenant do: join, leave, come back, change, one by one or many in one night.

use rollcall_graph_emulator::{Directory, Member, User};
use uuid::Uuid;

use crate::tenants::{NAME_MARK, SimTenant, domain, some_domain};
use crate::weather::Theme;
use crate::world::World;

impl World {
    /// The first people of a tenant, one of whom stays for ever.
    pub(crate) fn settle(&self, tenant: &SimTenant) {
        let count = match self.chaos.theme {
            Theme::Restarts | Theme::Leavers => self.dice.between(4, 7),
            _ => self.dice.between(2, 6),
        };
        for number in 0..=count {
            let id = match number {
                0 => tenant.anchor,
                _ => self.first_id(tenant, number),
            };
            let mut user = tenant.new_user(&self.dice, id);
            if number == 0 {
                user.account_enabled = Some(true);
                user.user_type = Some("Member".into());
                user.user_principal_name = Some(format!("{NAME_MARK}-anchor@{}", domain(0)));
            }
            let groups = match number {
                // No group of the scope is ever empty.
                0 => tenant.groups.to_vec(),
                _ => self.first_groups(tenant),
            };
            self.change(tenant, id, "is there", |directory| {
                directory.add(user).is_ok() && all_join(directory, id, &groups)
            });
        }
    }

    /// Every other one of a tenant's first people has the id of one of the first tenant's.
    fn first_id(&self, tenant: &SimTenant, number: u64) -> Uuid {
        let own = self.dice.uuid();
        let first = &self.tenants[0];
        if number.is_multiple_of(2) || tenant.name == first.name {
            return own;
        }
        let nth = usize::try_from(number / 2).unwrap_or_default();
        first.all_but_the_anchor().get(nth).copied().unwrap_or(own)
    }

    /// One change in a tenant's directory, or in its groups.
    pub(crate) fn churn(&self, tenant: &SimTenant) {
        if tenant.has_groups_in_scope() && self.dice.per_mille(200) {
            self.change_groups(tenant);
        } else {
            self.churn_of_people(tenant);
        }
    }

    /// One change of which a delta of the users tells.
    pub(crate) fn churn_of_people(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let live = tenant.all_but_the_anchor();
        let someone = dice.pick(&live).unwrap_or(tenant.anchor);
        let is_anchor = someone == tenant.anchor;
        match dice.index(16) {
            0..=2 => {
                let user = tenant.new_user(dice, dice.uuid());
                let (id, groups) = (user.id, self.first_groups(tenant));
                self.change(tenant, id, "joins", |d| {
                    d.add(user).is_ok() && all_join(d, id, &groups)
                });
            }
            3 | 4 if !is_anchor => {
                self.change(tenant, someone, "is deleted", |d| {
                    d.soft_delete(someone).is_ok()
                });
            }
            5 if !is_anchor => {
                self.change(tenant, someone, "vanishes", |d| d.purge(someone).is_ok());
            }
            6 | 7 if !is_anchor => self.set_enabled(tenant, someone, Some(false)),
            8 | 9 => self.enable_somebody(tenant),
            10 => self.restore_somebody(tenant),
            11 if !is_anchor => self.set_enabled(tenant, someone, None),
            12 => {
                let kind = dice.of([Some("Guest"), Some("Member"), Some("Member"), None]);
                let kind = kind.filter(|_| !is_anchor).or(Some("Member"));
                self.set_type(tenant, someone, kind);
            }
            13 => {
                let department = dice.of(["sales", "plant", "it"]).to_owned();
                self.change(tenant, someone, "changes department", |d| {
                    d.update(someone, |user| user.department = Some(department))
                        .is_ok()
                });
            }
            _ if !is_anchor => {
                // The scan is in the order of names, so who is renamed is seen twice, or not at all.
                let number = tenant.next_name();
                let first = dice.of(["a", "m", "z"]);
                let name = format!("{first}{NAME_MARK}-{number}@{}", some_domain(dice));
                self.change(tenant, someone, "is renamed", |d| {
                    d.rename(someone, &name, &tenant.shown_name(number)).is_ok()
                });
            }
            _ => {}
        }
    }

    /// The groups that somebody new is in.
    fn first_groups(&self, tenant: &SimTenant) -> Vec<Uuid> {
        let [outer, inner] = tenant.groups;
        match self.dice.index(4) {
            0 => Vec::new(),
            1 => vec![outer],
            _ => vec![inner],
        }
    }

    /// Somebody is put into a group or taken out of it, or all of the inner group are, with it.
    pub(crate) fn change_groups(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let [outer, inner] = tenant.groups;
        if dice.per_mille(150) {
            return self.change_for_all(tenant, "the inner group is put in or out", |d| {
                let member = Member::Group(inner);
                let is_in = d
                    .transitive_members(outer)
                    .is_some_and(|it| it.contains(&member));
                if is_in {
                    d.remove_member(outer, member).is_ok()
                } else {
                    d.add_member(outer, member).is_ok()
                }
            });
        }
        let Some(id) = dice.pick(&tenant.all_but_the_anchor()) else {
            return;
        };
        let group = dice.of([outer, inner]);
        if dice.per_mille(500) {
            self.change(tenant, id, "is put into a group", |d| {
                all_join(d, id, &[group])
            });
        } else {
            self.leaves_groups(tenant, id);
        }
    }

    fn leaves_groups(&self, tenant: &SimTenant, id: Uuid) {
        self.change(tenant, id, "leaves the groups", |d| {
            let leaves = |group: &Uuid| d.remove_member(*group, Member::User(id)).is_ok();
            tenant.groups.iter().all(leaves)
        });
    }

    /// Somebody comes back from the bin.
    pub(crate) fn restore_somebody(&self, tenant: &SimTenant) {
        let binned: Vec<_> = tenant.graph.directory().deleted().map(|u| u.id).collect();
        if let Some(id) = self.dice.pick(&binned) {
            self.change(tenant, id, "comes back", |d| d.restore(id).is_ok());
        }
    }

    /// Somebody who was disabled is enabled.
    pub(crate) fn enable_somebody(&self, tenant: &SimTenant) {
        let off: Vec<_> = {
            let directory = tenant.graph.directory();
            let off = directory
                .users()
                .filter(|user| user.account_enabled != Some(true));
            off.map(|user| user.id).collect()
        };
        if let Some(id) = self.dice.pick(&off) {
            self.set_enabled(tenant, id, Some(true));
        }
    }

    /// A night in which many leave, each in his own way: of all, or everybody of the smaller domain.
    pub(crate) fn many_go(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let share = dice.of([200, 500, 800]);
        let is_by_domain = dice.per_mille(150);
        let ids = if is_by_domain {
            tenant.all_of_the_smaller_domain()
        } else {
            tenant.all_but_the_anchor()
        };
        let kind = dice.index(9);
        for id in ids {
            if !is_by_domain && !dice.per_mille(share) {
                continue;
            }
            // Often all in the same way: that is what a guard is for, and what a mistake looks like.
            match if kind < 6 { kind } else { dice.index(6) } {
                5 if tenant.has_groups_in_scope() => self.leaves_groups(tenant, id),
                0 | 5 => self.change(tenant, id, "is deleted", |d| d.soft_delete(id).is_ok()),
                1 => self.change(tenant, id, "vanishes", |d| d.purge(id).is_ok()),
                2 => self.set_enabled(tenant, id, Some(false)),
                3 => self.set_type(tenant, id, Some("Guest")),
                _ => self.set_type(tenant, id, None),
            }
        }
    }

    /// A night in which everybody comes back who can.
    pub(crate) fn many_come_back(&self, tenant: &SimTenant) {
        for id in tenant.all_but_the_anchor() {
            self.change(tenant, id, "is put into a group", |d| {
                all_join(d, id, &tenant.groups)
            });
        }
        let binned: Vec<_> = tenant.graph.directory().deleted().map(|u| u.id).collect();
        for id in binned {
            self.change(tenant, id, "comes back", |d| d.restore(id).is_ok());
        }
        let off: Vec<_> = {
            let directory = tenant.graph.directory();
            let off = directory
                .users()
                .filter(|user| user.account_enabled == Some(false));
            off.map(|user| user.id).collect()
        };
        for id in off {
            self.set_enabled(tenant, id, Some(true));
        }
    }

    /// Somebody changes while he is scanned: he is renamed and comes again on a later page, or is gone
    /// when the scan begins again.
    pub(crate) fn churn_behind_the_scan(&self, tenant: &SimTenant) {
        let dice = &self.dice;
        let live = tenant.all_but_the_anchor();
        let Some(id) = dice.pick(&live) else {
            return;
        };
        if dice.per_mille(250) {
            self.change(tenant, id, "is deleted", |d| d.soft_delete(id).is_ok());
            return;
        }
        let number = tenant.next_name();
        let name = format!("z{NAME_MARK}-{number}@{}", some_domain(dice));
        self.change(tenant, id, "is renamed", |d| {
            d.rename(id, &name, &tenant.shown_name(number)).is_ok()
        });
    }

    /// The last unknowns are told, so that the truth can be compared.
    pub(crate) fn tell_unknowns(&self, tenant: &SimTenant) {
        let unknown: Vec<_> = {
            let directory = tenant.graph.directory();
            let is_unknown =
                |user: &&User| user.account_enabled.is_none() || user.user_type.is_none();
            directory
                .users()
                .filter(is_unknown)
                .map(|user| user.id)
                .collect()
        };
        for id in unknown {
            self.change(tenant, id, "is known", |d| {
                d.update(id, |user| {
                    user.account_enabled.get_or_insert(true);
                    user.user_type.get_or_insert_with(|| "Member".into());
                })
                .is_ok()
            });
        }
    }

    fn set_type(&self, tenant: &SimTenant, id: Uuid, kind: Option<&str>) {
        let kind = kind.map(str::to_owned);
        self.change(tenant, id, &format!("becomes {kind:?}"), |d| {
            d.update(id, |user| user.user_type = kind).is_ok()
        });
    }

    fn set_enabled(&self, tenant: &SimTenant, id: Uuid, enabled: Option<bool>) {
        self.change(tenant, id, &format!("is enabled: {enabled:?}"), |d| {
            d.set_account_enabled(id, enabled).is_ok()
        });
    }
}

/// Somebody is in these groups from now on.
fn all_join(directory: &mut Directory, id: Uuid, groups: &[Uuid]) -> bool {
    let mut groups = groups.iter();
    groups.all(|group| directory.add_member(*group, Member::User(id)).is_ok())
}
