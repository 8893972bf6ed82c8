//! Both services together.

use std::path::Path;
use std::time::Duration;

use rollcall_ambient::Ambient;
use rollcall_sqs_emulator::SqsEmulator;

use crate::clients;
use crate::database::DatabaseServer;
use crate::directory::Directory;
use crate::error::LocalError;
use crate::queues::{LocalSettings, Queues};

/// How often a directory is tried that is in use. A process that was killed keeps its lock until the
/// system has taken it apart, and a process that is just starting another one shares its locks with
/// it for a moment.
const LOCK_ATTEMPTS_MAX: u32 = 10;
/// The pause between two tries, in milliseconds.
const LOCK_PAUSE_MS: u64 = 30;

async fn lock(dir: &Path) -> Result<Directory, LocalError> {
    let mut attempt = 1;
    loop {
        match Directory::lock(dir) {
            Err(LocalError::DirInUse { .. }) if attempt < LOCK_ATTEMPTS_MAX => attempt += 1,
            other => return other,
        }
        tokio::time::sleep(Duration::from_millis(LOCK_PAUSE_MS)).await;
    }
}

/// DynamoDB and SQS in this process. Dropping it stops both, without waiting for requests under
/// way; [`LocalAws::shutdown`] waits.
#[derive(Debug)]
pub struct LocalAws {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    queues: Queues,
    emulator: SqsEmulator,
    database: DatabaseServer,
}

impl LocalAws {
    /// Starts both services, with DynamoDB's data in `dir` (which is made if it is missing, and
    /// locked against other processes) or in memory, and makes the queues. There are no tables
    /// but those that the directory had.
    ///
    /// # Errors
    /// [`LocalError::DirInUse`] if another process has the directory, [`LocalError::DirNotUsable`]
    /// if it cannot be made or written, [`LocalError::Database`] if its file is no database,
    /// [`LocalError::Queue`] if the settings are out of SQS's ranges.
    pub async fn start(
        dir: Option<&Path>,
        ambient: Ambient,
        settings: LocalSettings,
    ) -> Result<Self, LocalError> {
        let directory = match dir {
            Some(dir) => Some(lock(dir).await?),
            None => None,
        };
        let database = DatabaseServer::start(directory, ambient.clone()).await?;
        let emulator = SqsEmulator::start(clients::REGION, ambient).await?;
        let sqs = clients::sqs(emulator.endpoint_url());
        Ok(Self {
            dynamodb: clients::dynamodb_client(&database.endpoint_url),
            queues: Queues::create(&sqs, settings).await?,
            sqs,
            emulator,
            database,
        })
    }

    /// A real client of the embedded DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamodb
    }

    /// A real client of the embedded SQS.
    #[must_use]
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// Where DynamoDB listens, for a client in another process.
    #[must_use]
    pub fn dynamodb_url(&self) -> &str {
        &self.database.endpoint_url
    }

    /// Where SQS listens, for a client in another process.
    #[must_use]
    pub fn sqs_url(&self) -> &str {
        self.emulator.endpoint_url()
    }

    /// The system's queues.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Lets requests under way finish, stops both services and releases the directory. Stop the
    /// [`crate::Triggers`] first: they need SQS to the end.
    pub async fn shutdown(self) {
        self.emulator.shutdown().await;
        self.database.shutdown().await;
    }
}
