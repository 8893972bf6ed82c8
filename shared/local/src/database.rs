//! The embedded DynamoDB and its server.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dynoxide::Database;
use dynoxide::server::serve_with_shutdown;
use dynoxide::storage_backend::Clock;
use rollcall_ambient::Ambient;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::directory::Directory;
use crate::error::LocalError;

/// How often expired items are deleted. DynamoDB does it within a few days of their time (Developer
/// Guide, "Using time to live"); nothing may count on it sooner.
const TTL_SWEEP_MS: u64 = 3_600_000;
/// How long a shutdown waits for requests under way; the longest is a transaction of 100 actions.
const SHUTDOWN_MS_MAX: u64 = 5_000;

/// A running DynamoDB.
#[derive(Debug)]
pub(crate) struct DatabaseServer {
    pub(crate) endpoint_url: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl DatabaseServer {
    /// Serves the database of a directory, or one in memory, on a free port of 127.0.0.1, and keeps
    /// the directory until the last request has ended.
    ///
    /// A database in memory takes the time of its TTLs from the ambient; one in a directory outlives
    /// the process and takes it from the machine.
    pub(crate) async fn start(
        directory: Option<Directory>,
        ambient: Ambient,
    ) -> Result<Self, LocalError> {
        let path = directory.as_ref().map(Directory::database);
        let database = open(path.as_deref(), ambient)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(LocalError::Port)?;
        let address = listener.local_addr().map_err(LocalError::Port)?;
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let served = serve_with_shutdown(listener, database.clone(), async {
                // A dropped sender means the same as one that was used.
                let _ = stopped.await;
            });
            tokio::select! {
                served = served => if let Err(error) = served {
                    tracing::error!(error, "the embedded DynamoDB stopped");
                },
                () = sweep_expired(database) => {}
            }
            drop(directory);
        });
        Ok(Self {
            endpoint_url: format!("http://{address}"),
            stop,
            server,
        })
    }

    /// Lets requests under way finish, stops, and gives the directory back.
    pub(crate) async fn shutdown(self) {
        let Self { stop, server, .. } = self;
        drop(stop);
        let abort = server.abort_handle();
        let patience = Duration::from_millis(SHUTDOWN_MS_MAX);
        if tokio::time::timeout(patience, server).await.is_err() {
            abort.abort();
        }
    }
}

fn open(path: Option<&Path>, ambient: Ambient) -> Result<Database, LocalError> {
    let Some(path) = path else {
        return Database::memory_with_clock(Arc::new(AmbientClock(ambient))).map_err(|error| {
            LocalError::Database {
                name: ":memory:".to_owned(),
                message: error.to_string(),
            }
        });
    };
    let refuse = |message: String| LocalError::Database {
        name: path.display().to_string(),
        message,
    };
    let text = path
        .to_str()
        .ok_or_else(|| refuse("its path is not UTF-8; give another directory".to_owned()))?;
    Database::new(text).map_err(|error| refuse(error.to_string()))
}

/// Deletes what has expired, now and then, until it is dropped.
async fn sweep_expired(database: Database) {
    let mut ticks = tokio::time::interval(Duration::from_millis(TTL_SWEEP_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(items)) => tracing::debug!(items, "expired items deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "expired items cannot be deleted"),
            Err(error) => tracing::warn!(%error, "expired items cannot be deleted"),
        }
    }
}

/// The ambient as the database's clock.
struct AmbientClock(Ambient);

impl Clock for AmbientClock {
    fn now_unix_secs(&self) -> u64 {
        self.0.now_ms() / 1_000
    }

    fn now_unix_secs_f64(&self) -> f64 {
        Duration::from_millis(self.0.now_ms()).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_in_memory_takes_the_time_of_its_ttls_from_the_ambient() {
        let database = open(None, Ambient::simulated(1_000_000, 1)).unwrap();
        let parse = "the request of a test";
        let create = json!({
            "TableName": "things",
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        let create = serde_json::from_value(create).expect(parse);
        database.create_table(create).unwrap();
        let ttl = json!({
            "TableName": "things",
            "TimeToLiveSpecification": { "AttributeName": "at", "Enabled": true },
        });
        let ttl = serde_json::from_value(ttl).expect(parse);
        database.update_time_to_live(ttl).unwrap();
        let put =
            json!({ "TableName": "things", "Item": { "id": { "S": "a" }, "at": { "N": "1060" } } });
        let put = serde_json::from_value(put).expect(parse);
        database.put_item(put).unwrap();

        assert_eq!(database.sweep_ttl().unwrap(), 0);
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(database.sweep_ttl().unwrap(), 1);
    }
}
