//! The stack that a command works on: AWS in this process, its data in a directory or in memory, or a
//! deployed one.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rollcall_ambient::Ambient;
use rollcall_local::{LocalAws, LocalSettings, QueueSettings};
use rollcall_store::{Store, TableNames};
use rollcall_sync::Queues;

use crate::deployed;
use crate::exit::bad_input;

/// How long a call of a function may take, in milliseconds: what Lambda allows at most.
pub(crate) const FUNCTION_MS_MAX: u64 = 15 * 60 * 1_000;

/// How long a message stays hidden, in seconds. Longer than any call takes, so that no message
/// comes again while its function works on it. One that is lost meanwhile costs no time: the
/// sweeper rings again.
const VISIBILITY_S: u64 = FUNCTION_MS_MAX / 1_000 + 60;

/// Where the system is that a command works on.
#[derive(Debug)]
pub(crate) struct Place {
    dir: Option<PathBuf>,
    /// The deployed stack, instead.
    stack: Option<String>,
    ambient: Ambient,
}

impl Place {
    /// The deployed stack or the directory that was given, or the platform's.
    pub(crate) fn of(dir: Option<PathBuf>, stack: Option<String>, ambient: Ambient) -> Self {
        Self {
            dir: dir.or_else(data_folder),
            stack,
            ambient,
        }
    }

    /// Whether it is a deployed stack.
    pub(crate) const fn is_deployed(&self) -> bool {
        self.stack.is_some()
    }

    /// Starts the local stack there, or finds the deployed one.
    pub(crate) async fn open(&self) -> anyhow::Result<Stack> {
        if let Some(name) = &self.stack {
            let (store, queues) = deployed::find(name, &self.ambient).await?;
            return Ok(Stack {
                aws: None,
                store,
                queues,
                ambient: self.ambient.clone(),
            });
        }
        let dir = self.dir.as_deref().ok_or_else(|| {
            bad_input("there is no data folder for this user; give a directory with --local DIR")
        })?;
        Stack::start(Some(dir), self.ambient.clone()).await
    }
}

/// The platform's folder for the data of programs, with this program's folder in it.
fn data_folder() -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = std::env::home_dir().filter(|path| path.is_absolute());
    let folder = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library/Application Support"))
    } else {
        // https://specifications.freedesktop.org/basedir-spec/latest/
        variable("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share")))
    };
    folder.map(|folder| folder.join("rollcall"))
}

/// The tables and queues: of AWS in this process, or deployed.
pub(crate) struct Stack {
    aws: Option<LocalAws>,
    store: Store,
    queues: Queues,
    ambient: Ambient,
}

impl Stack {
    /// Starts it over a directory, or in memory.
    pub(crate) async fn start(dir: Option<&Path>, ambient: Ambient) -> anyhow::Result<Self> {
        let queue = QueueSettings {
            visibility_s: VISIBILITY_S,
            ..QueueSettings::default()
        };
        let settings = LocalSettings {
            enumerate: queue,
            batch: queue,
            finalize: queue,
        };
        let aws = LocalAws::start(dir, ambient.clone(), settings).await?;
        let tables = TableNames {
            directory: "rollcall-directory".into(),
            coordination: "rollcall-coordination".into(),
        };
        let store = Store::new(aws.dynamodb().clone(), tables, ambient.clone());
        store
            .create_tables()
            .await
            .context("the tables could not be made")?;
        let queues = Queues {
            client: aws.sqs().clone(),
            enumerate_url: aws.queues().enumerate.url.clone(),
            batch_url: aws.queues().batch.url.clone(),
            finalize_url: aws.queues().finalize.url.clone(),
        };
        Ok(Self {
            aws: Some(aws),
            store,
            queues,
            ambient,
        })
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) const fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    pub(crate) const fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Whether the functions run elsewhere, with an environment of their own.
    pub(crate) const fn is_deployed(&self) -> bool {
        self.aws.is_none()
    }

    /// Stops what is in this process, and frees the directory.
    pub(crate) async fn close(self) {
        if let Some(aws) = self.aws {
            aws.shutdown().await;
        }
    }
}
