//! The system with many tenants, at one or several hosts of Microsoft Graph.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::settings::TenantSettings;
use rollcall_core::status::StoredUser;
use rollcall_graph::Secret;
use rollcall_graph_emulator::{Emulator, Tenant, TenantSpec};
use rollcall_local::{EventSource, LocalAws, LocalSettings, QueueSettings, Schedule, Triggers};
use rollcall_store::{RunRecord, Store};
use rollcall_sync::{App, Pace, Secrets};
use serde_json::{Value, json};

use crate::calls::as_function;
use crate::handlers::{Handler, call, handler_function};
use crate::{Problem, WORKERS, tables, wait};

/// The name that the secret of all tenants goes by, and what it is: one app registration reads them all.
pub const TOWNS_SECRET: (&str, &str) = ("THE_SECRET", "theirs");

/// The system, and its tenants.
pub struct Town {
    /// The hosts of Microsoft's side.
    pub hosts: Vec<Emulator>,
    /// The tenants there, by their names here.
    pub graphs: BTreeMap<String, Tenant>,
    /// The AWS side.
    pub aws: LocalAws,
    /// The store.
    pub store: Store,
    /// The handlers.
    pub app: App,
}

impl Town {
    /// A town without tenants.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn start(hosts: usize) -> Result<Self, Problem> {
        let ambient = Ambient::system();
        let mut emulators = Vec::new();
        for _ in 0..hosts {
            emulators.push(Emulator::start(ambient.clone()).await?);
        }
        let queue = QueueSettings {
            visibility_s: 30,
            receive_count_max: 5,
        };
        let queues = LocalSettings {
            enumerate: queue,
            batch: queue,
            finalize: queue,
        };
        let aws = LocalAws::start(None, ambient.clone(), queues).await?;
        let store = Store::new(aws.dynamodb().clone(), tables(), ambient.clone());
        store.create_tables().await?;
        let queues = crate::queues(&aws, aws.sqs().clone());
        let (name, secret) = TOWNS_SECRET;
        let secrets = BTreeMap::from([(name.to_owned(), Secret::new(secret))]);
        let secrets = Secrets::Fixed(Arc::new(secrets));
        // Nobody is there to be spared: all start at once.
        let pace = Pace {
            tenants_at_once: 50,
            starts_per_second: u16::MAX,
        };
        let app = App::new(store.clone(), queues, secrets, ambient).at_pace(pace);
        Ok(Self {
            hosts: emulators,
            graphs: BTreeMap::new(),
            aws,
            store,
            app,
        })
    }

    /// A tenant at a host, with further settings. The secret of the app registration is everybody's.
    ///
    /// # Errors
    /// Settings that are none, or the store's.
    pub async fn add(
        &mut self,
        host: usize,
        name: &str,
        spec: TenantSpec,
        more: &Value,
    ) -> Result<Tenant, Problem> {
        let spec = TenantSpec {
            client_secret: TOWNS_SECRET.1.to_owned(),
            ..spec
        };
        let graph = self.hosts[host].graph().add_tenant(spec);
        self.graphs.insert(name.to_owned(), graph.clone());
        self.put(host, name, more).await?;
        Ok(graph)
    }

    /// Stores a tenant's settings with these changes.
    ///
    /// # Errors
    /// Settings that are none, or the store's.
    pub async fn put(&self, host: usize, name: &str, more: &Value) -> Result<(), Problem> {
        let graph = &self.graphs[name];
        let origin = self.hosts[host].origin();
        let mut settings = json!({
            "id": name,
            "directory_id": graph.directory_id().to_string(),
            "client_id": graph.client_id().to_string(),
            "graph_url": origin,
            "login_url": origin,
            "credential": { "kind": "secret", "env": TOWNS_SECRET.0 },
            "limits": { "graph_retry_seconds_max": 2, "lease_seconds": 2 },
        });
        if let (Some(all), Some(more)) = (settings.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        let settings: TenantSettings = serde_json::from_value(settings)?;
        self.store.put_tenant(&settings).await?;
        Ok(())
    }

    /// Asks for runs of these tenants, and drives all to their ends at once.
    ///
    /// # Errors
    /// Whatever goes wrong, or a run that does not end.
    pub async fn sync(&self, names: &[&str], mode: &str) -> Result<Vec<RunRecord>, Problem> {
        let triggers = self.drive().await?;
        let event = json!({ "schedule": mode, "tenants": names });
        let report = call(self.app.clone(), Handler::Enumerator, event, u64::MAX).await?;
        let mut ended = Vec::new();
        for run in report["runs"].as_array().into_iter().flatten() {
            let run = json!({ "tenant": run["tenant"], "run": run["run"] });
            let run: RunRef = serde_json::from_value(run)?;
            ended.push(wait(&self.store, &run).await?);
        }
        triggers.stop().await;
        if ended.len() != names.len() {
            return Err(format!("not all of {names:?} were started: {report}").into());
        }
        Ok(ended)
    }

    /// Queues and a sweeper that drive the handlers, as Lambda would.
    ///
    /// # Errors
    /// Whatever does not start.
    pub async fn drive(&self) -> Result<Triggers, Problem> {
        let queues = self.aws.queues();
        let source = |url: &str, handler| EventSource {
            queue_url: url.to_owned(),
            function: handler_function(&self.app, handler, 1),
            concurrency_max: WORKERS,
            batch_size_max: 1,
            function_ms_max: None,
        };
        let sources = vec![
            source(&queues.enumerate.url, Handler::Enumerator),
            source(&queues.batch.url, Handler::Worker),
            source(&queues.finalize.url, Handler::Finalizer),
        ];
        let sweep = Schedule {
            name: "sweep".into(),
            first_after: Duration::ZERO,
            period: Duration::from_millis(500),
            payload: json!({ "schedule": "sweep" }),
            function: handler_function(&self.app, Handler::Finalizer, 1),
            function_ms_max: None,
        };
        Ok(Triggers::start(self.aws.sqs(), sources, vec![sweep]).await?)
    }

    /// Calls a function once.
    ///
    /// # Errors
    /// The handler's.
    pub async fn call(&self, handler: Handler, event: Value) -> Result<Value, Problem> {
        let calling = call(self.app.clone(), handler, event, u64::MAX);
        Ok(as_function(handler.name(), calling).await?)
    }

    /// Everybody in a tenant's directory.
    ///
    /// # Errors
    /// The store's.
    pub async fn users(&self, name: &str) -> Result<Vec<StoredUser>, Problem> {
        let mut users = Vec::new();
        let tenant: TenantId = name.parse()?;
        self.store
            .all_users(&tenant, |user| {
                users.push(user);
                Ok(())
            })
            .await?;
        Ok(users)
    }
}
