//! What the functions log, as CloudWatch would have it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::checks::starts;
use crate::item::{Place, number, text};
use crate::world::{World, lock};

/// What the log lines of a world say, as far as the checks need it.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// Tenant, run and user of each deactivation that was told with its evidence.
    pub(crate) deactivated: Mutex<BTreeSet<(String, u64, String)>>,
    pub(crate) batch_leases: Mutex<BTreeSet<LoggedLease>>,
}

/// Tenant, run, generation, page and token of a lease of a batch.
pub(crate) type LoggedLease = (String, u64, u64, u64, u64);

/// Listens to one world.
pub(crate) struct Listener(pub(crate) std::sync::Arc<World>);

#[derive(Default)]
struct Fields {
    line: String,
    by_name: BTreeMap<&'static str, String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        // Writing to a string cannot fail.
        let _ = write!(self.line, " {}={value}", field.name());
        self.by_name.insert(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.line, " {}={value}", field.name());
        self.by_name.insert(field.name(), value.to_owned());
    }
}

impl Fields {
    fn text(&self, name: &str) -> &str {
        self.by_name.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("rollcall")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.heard(*event.metadata().level(), &fields);
    }
}

impl World {
    fn heard(&self, level: Level, fields: &Fields) {
        if level <= Level::INFO {
            self.tell(|| format!("log {level}{}", fields.line));
        }
        let line = &fields.line;
        let is_secret =
            |tenant: &crate::tenants::SimTenant| line.contains(tenant.graph.client_secret());
        if line.contains(crate::tenants::NAME_MARK)
            || line.contains('@')
            || self.tenants.iter().any(is_secret)
        {
            self.violate("invariant 10: logs carry no names", line.clone());
        }
        let run = (fields.text("tenant").to_owned(), fields.number("run"));
        match fields.text("event") {
            "user_deactivated" | "user_deactivated_before" => {
                if fields.text("evidence").is_empty() {
                    self.violate("invariant 10: evidence is logged", line.clone());
                }
                let id = fields.text("id").to_owned();
                lock(&self.logs.deactivated).insert((run.0, run.1, id));
            }
            told @ ("batch_done" | "batch_lease_lost") => {
                let is_done = self.is_done(&run.0, run.1, fields);
                if is_done != (told == "batch_done") {
                    self.violate("invariant 10: the log tells what was", line.clone());
                }
            }
            "tenant_rests" => {
                starts::is_left_to_rest(self, &run.0, fields.number("failed_in_a_row"));
            }
            "batch_leased" => {
                let lease = (
                    run.0,
                    run.1,
                    fields.number("generation"),
                    fields.number("page"),
                    fields.number("token"),
                );
                lock(&self.logs.batch_leases).insert(lease);
            }
            _ => {}
        }
    }

    /// Whether a batch is done under the token that a line names.
    fn is_done(&self, tenant: &str, run: u64, fields: &Fields) -> bool {
        let (generation, page) = (fields.number("generation"), fields.number("page"));
        let place = Place::coordination(
            format!("batch#{tenant}#{run}"),
            format!("{generation:03}#{page:06}"),
        );
        lock(&self.mirror).get(&place).is_some_and(|item| {
            text(item, "state") == "DONE"
                && number(item, "lease_token") == Some(fields.number("token"))
        })
    }
}
