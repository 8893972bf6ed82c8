//! Everything that controls the service: its tenants, what goes wrong, and what was asked.

use uuid::Uuid;

use crate::directory::Directory;
use crate::graph::Graph;
use crate::hooks::{FaultRule, Matcher, Moment};
use crate::log::LogEntry;
use crate::request::Endpoint;
use crate::script::FaultScript;
use crate::tenant::{Tenant, TenantSpec, lock};

impl Graph {
    /// Makes a tenant. One with the same directory id is replaced.
    pub fn add_tenant(&self, spec: TenantSpec) -> Tenant {
        let tenant = Tenant::new(self.0.ambient.clone(), spec);
        lock(&self.0.tenants).insert(tenant.directory_id(), tenant.clone());
        tenant
    }

    /// Makes every bearer that a tenant was given so far useless.
    pub fn revoke_bearers(&self, tenant: &Tenant) {
        lock(&self.0.bearers).revoke_all(tenant.directory_id());
    }

    /// Whose directory a bearer was given out for, good or not any more.
    #[must_use]
    pub fn whose(&self, bearer: &str) -> Option<Uuid> {
        let (directory_id, _) = lock(&self.0.bearers).check(Some(bearer), self.0.ambient.now_ms());
        directory_id
    }

    /// Adds a rule that makes faults.
    pub fn add_fault(&self, rule: FaultRule) {
        lock(&self.0.hooks).add_rule(rule);
    }

    /// Adds the rules of a script, in its order.
    pub fn play(&self, script: FaultScript) {
        let mut hooks = lock(&self.0.hooks);
        script.0.into_iter().for_each(|rule| hooks.add_rule(rule));
    }

    /// Takes all fault rules away.
    pub fn clear_faults(&self) {
        lock(&self.0.hooks).clear_rules();
    }

    /// Changes a tenant's directory once, right before the first request that fits is answered.
    pub fn before(
        &self,
        tenant: &Tenant,
        when: Matcher,
        change: impl FnOnce(&mut Directory) + Send + 'static,
    ) {
        let when = when.tenant(tenant.directory_id());
        lock(&self.0.hooks).add_script(when, Moment::Before, Box::new(change));
    }

    /// Changes a tenant's directory once, right after the first request that fits was answered.
    pub fn after(
        &self,
        tenant: &Tenant,
        when: Matcher,
        change: impl FnOnce(&mut Directory) + Send + 'static,
    ) {
        let when = when.tenant(tenant.directory_id());
        lock(&self.0.hooks).add_script(when, Moment::After, Box::new(change));
    }

    /// How many scripted changes wait for their request still.
    #[must_use]
    pub fn scripts_left(&self) -> usize {
        lock(&self.0.hooks).scripts_left()
    }

    /// The requests so far, oldest first, at most [`crate::LOG_ENTRIES_MAX`].
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        lock(&self.0.log).entries()
    }

    /// How many requests there were to an endpoint.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> u64 {
        lock(&self.0.log).count(endpoint)
    }

    /// Empties the log and the counters.
    pub fn clear_log(&self) {
        lock(&self.0.log).clear();
    }
}
