//! Hooks on requests: rules that make faults, and scripts that change the directory.

use uuid::Uuid;

use crate::directory::Directory;
use crate::fault::Fault;
use crate::request::Endpoint;

/// Which requests a rule or a script is meant for. What is not said fits everything, the requests
/// inside a `$batch` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Matcher {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) page: Option<u32>,
    pub(crate) user: Option<Uuid>,
    pub(crate) nth: Option<u64>,
}

impl Matcher {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests to one kind of endpoint.
    #[must_use]
    pub fn endpoint(endpoint: Endpoint) -> Self {
        Self {
            endpoint: Some(endpoint),
            ..Self::default()
        }
    }

    /// Only those of a tenant, by its directory id.
    #[must_use]
    pub fn tenant(self, directory_id: Uuid) -> Self {
        Self {
            tenant: Some(directory_id),
            ..self
        }
    }

    /// Only those for a page of a list. The first page is 1.
    #[must_use]
    pub fn page(self, page: u32) -> Self {
        Self {
            page: Some(page),
            ..self
        }
    }

    /// Only those that name this user, or group, by object id in the path.
    #[must_use]
    pub fn user(self, id: Uuid) -> Self {
        Self {
            user: Some(id),
            ..self
        }
    }

    /// From the nth on of the requests that fit otherwise, counted from when the rule or script
    /// was added. The first is 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self {
            nth: Some(nth),
            ..self
        }
    }

    fn fits(&self, seen: &Seen) -> bool {
        let Self {
            endpoint,
            tenant,
            page,
            user,
            nth: _,
        } = self;
        endpoint.is_none_or(|wanted| wanted == seen.endpoint)
            && tenant.is_none_or(|wanted| seen.tenant == Some(wanted))
            && page.is_none_or(|wanted| seen.page == Some(wanted))
            && user.is_none_or(|wanted| seen.user == Some(wanted))
    }
}

/// How often a rule makes its fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// For one request.
    Once,
    /// For so many requests.
    Times(u64),
    /// Until the rules are cleared.
    Forever,
    /// Every second time until then, beginning with the first: what is behind is only some replicas.
    Alternately,
}

/// A fault, and when it happens. Rules are tried in the order in which they were added. Several can
/// act on one request, but after one whose fault stands in for the answer no further rule is used.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// Which requests it is for.
    pub when: Matcher,
    /// How many of them it hits.
    pub times: Times,
    /// What goes wrong.
    pub fault: Fault,
}

impl FaultRule {
    /// For the first request that fits.
    #[must_use]
    pub fn once(when: Matcher, fault: Fault) -> Self {
        let times = Times::Once;
        Self { when, times, fault }
    }

    /// For the first so many requests that fit.
    #[must_use]
    pub fn times(when: Matcher, times: u64, fault: Fault) -> Self {
        let times = Times::Times(times);
        Self { when, times, fault }
    }

    /// For every request that fits.
    #[must_use]
    pub fn forever(when: Matcher, fault: Fault) -> Self {
        let times = Times::Forever;
        Self { when, times, fault }
    }
}

/// A request as rules and scripts see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) endpoint: Endpoint,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) page: Option<u32>,
    pub(crate) user: Option<Uuid>,
}

/// A change of a directory by a script.
pub(crate) type Change = Box<dyn FnOnce(&mut Directory) + Send>;

/// Whether a scripted change is seen by the answer of the request that sets it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

struct Script {
    when: Matcher,
    moment: Moment,
    fitting: u64,
    change: Change,
}

struct ArmedRule {
    rule: FaultRule,
    fitting: u64,
    used: u64,
}

/// All rules and scripts.
#[derive(Default)]
pub(crate) struct Hooks {
    rules: Vec<ArmedRule>,
    scripts: Vec<Script>,
}

/// What the hooks have for one request.
#[derive(Default)]
pub(crate) struct Hits {
    pub(crate) faults: Vec<Fault>,
    pub(crate) before: Vec<Change>,
    pub(crate) after: Vec<Change>,
}

impl Hooks {
    pub(crate) fn add_rule(&mut self, rule: FaultRule) {
        self.rules.push(ArmedRule {
            rule,
            fitting: 0,
            used: 0,
        });
    }

    pub(crate) fn clear_rules(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn add_script(&mut self, when: Matcher, moment: Moment, change: Change) {
        self.scripts.push(Script {
            when,
            moment,
            fitting: 0,
            change,
        });
    }

    pub(crate) fn scripts_left(&self) -> usize {
        self.scripts.len()
    }

    /// What happens to a request. Each call counts.
    pub(crate) fn hits(&mut self, seen: &Seen) -> Hits {
        let mut hits = Hits::default();
        for armed in &mut self.rules {
            let replaced = hits.faults.iter().any(Fault::stands_in);
            if armed.acts_on(seen, replaced) {
                hits.faults.push(armed.rule.fault.clone());
            }
        }
        let due = |script: &mut Script| {
            script.fitting += u64::from(script.when.fits(seen));
            script.when.fits(seen) && script.fitting >= script.when.nth.unwrap_or(1)
        };
        for script in self.scripts.extract_if(.., due) {
            match script.moment {
                Moment::Before => hits.before.push(script.change),
                Moment::After => hits.after.push(script.change),
            }
        }
        hits
    }
}

impl ArmedRule {
    fn acts_on(&mut self, seen: &Seen, replaced: bool) -> bool {
        if !self.rule.when.fits(seen) {
            return false;
        }
        self.fitting += 1;
        let left = match self.rule.times {
            Times::Once => self.used < 1,
            Times::Times(times) => self.used < times,
            Times::Forever => true,
            Times::Alternately => self.fitting % 2 == 1,
        };
        let acts = left && !replaced && self.fitting >= self.rule.when.nth.unwrap_or(1);
        self.used += u64::from(acts);
        acts
    }
}
