//! Doorbells: messages that wake a function up. Nothing that a run needs is in them, and nothing
//! personal; one that is lost or doubled costs time, never truth.

use aws_sdk_sqs::Client;
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::run::RunMode;
use rollcall_store::said_by_aws;
use serde::{Deserialize, Serialize};

use crate::error::HandlerError;

/// The longest delay of a message, in seconds.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
const DELAY_SECONDS_MAX: u64 = 900;

/// How long a batch waits for the batches of earlier pages that share a user with it before it looks
/// again, at first.
const WAIT_MS_FIRST: u64 = 1_000;
/// And at most: a run that takes long need not be over within seconds of its last batch.
const WAIT_MS_MAX: u64 = 60_000;

/// The three queues.
#[derive(Debug, Clone)]
pub struct Queues {
    /// The client that they are reached by.
    pub client: Client,
    /// Wakes the enumerator.
    pub enumerate_url: String,
    /// Wakes a worker.
    pub batch_url: String,
    /// Wakes the finalizer.
    pub finalize_url: String,
}

/// Wakes the enumerator or the finalizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunBell {
    #[serde(flatten)]
    pub(crate) run: RunRef,
    /// Whether the finalizer is to take the run back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) revert: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Wakes the finalizer to tell a tenant's service provider of its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TellBell {
    pub(crate) tell: TenantId,
}

/// What wakes the finalizer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum FinalizerBell {
    Run(RunBell),
    Tell(TellBell),
}

/// Wakes the enumerator for one tenant: a schedule fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartBell {
    pub(crate) tenant: TenantId,
    #[serde(flatten)]
    pub(crate) occurrence: Occurrence,
}

/// Wakes the enumerator for the tenants that come after one, or for the first ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FanOutBell {
    #[serde(flatten)]
    pub(crate) occurrence: Occurrence,
    pub(crate) after: Option<TenantId>,
}

/// A schedule that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occurrence {
    /// The runs that it starts, where a tenant has no schedule of its own.
    pub(crate) fires: RunMode,
    /// When it was due, in milliseconds since 1970: its name, however often and late it is told.
    pub(crate) at_ms: u64,
}

/// What wakes the enumerator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum EnumeratorBell {
    Run(RunBell),
    Start(StartBell),
    FanOut(FanOutBell),
}

/// Wakes a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchBell {
    #[serde(flatten)]
    pub(crate) run: RunRef,
    pub(crate) generation: u32,
    pub(crate) page: u32,
    /// How often the batch has waited for earlier ones so far.
    #[serde(default)]
    pub(crate) waits: u32,
}

/// What a message is about, for the log.
pub(crate) trait Place {
    fn tenant(&self) -> Option<&TenantId> {
        self.run().map(|run| &run.tenant)
    }
    fn run(&self) -> Option<&RunRef>;
    /// Generation and page, if it is about a batch.
    fn batch(&self) -> Option<(u32, u32)> {
        None
    }
}

impl Place for RunBell {
    fn run(&self) -> Option<&RunRef> {
        Some(&self.run)
    }
}

impl Place for FinalizerBell {
    fn tenant(&self) -> Option<&TenantId> {
        Some(match self {
            Self::Run(bell) => &bell.run.tenant,
            Self::Tell(bell) => &bell.tell,
        })
    }

    fn run(&self) -> Option<&RunRef> {
        match self {
            Self::Run(bell) => Some(&bell.run),
            Self::Tell(_) => None,
        }
    }
}

impl Place for EnumeratorBell {
    fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Run(bell) => Some(&bell.run.tenant),
            Self::Start(bell) => Some(&bell.tenant),
            Self::FanOut(_) => None,
        }
    }

    fn run(&self) -> Option<&RunRef> {
        match self {
            Self::Run(bell) => Some(&bell.run),
            Self::Start(_) | Self::FanOut(_) => None,
        }
    }
}

impl Place for BatchBell {
    fn run(&self) -> Option<&RunRef> {
        Some(&self.run)
    }

    fn batch(&self) -> Option<(u32, u32)> {
        Some((self.generation, self.page))
    }
}

/// Rings.
#[derive(Debug, Clone)]
pub(crate) struct Doorbell(Queues);

impl Doorbell {
    pub(crate) fn new(queues: Queues) -> Self {
        Self(queues)
    }

    pub(crate) async fn enumerate(&self, run: &RunRef) -> Result<(), HandlerError> {
        self.run(&self.0.enumerate_url, run, false).await
    }

    pub(crate) async fn finalize(&self, run: &RunRef) -> Result<(), HandlerError> {
        self.run(&self.0.finalize_url, run, false).await
    }

    pub(crate) async fn revert(&self, run: &RunRef) -> Result<(), HandlerError> {
        self.run(&self.0.finalize_url, run, true).await
    }

    async fn run(&self, url: &str, run: &RunRef, revert: bool) -> Result<(), HandlerError> {
        let (of, run) = (&run.tenant, run.clone());
        self.send(url, Some(of), &RunBell { run, revert }, 0).await
    }

    /// Rings for a tenant's service provider to be told.
    pub(crate) async fn tell(&self, tenant: &TenantId) -> Result<(), HandlerError> {
        let bell = TellBell {
            tell: tenant.clone(),
        };
        let url = &self.0.finalize_url;
        self.send(url, Some(tenant), &bell, 0).await
    }

    /// Rings for a tenant's start, so many seconds from now.
    pub(crate) async fn start(&self, bell: &StartBell, delay_s: u64) -> Result<(), HandlerError> {
        let url = &self.0.enumerate_url;
        self.send(url, Some(&bell.tenant), bell, delay_s * 1_000)
            .await
    }

    /// Rings for the tenants that come next, so many seconds from now.
    pub(crate) async fn fan_out(
        &self,
        bell: &FanOutBell,
        delay_s: u64,
    ) -> Result<(), HandlerError> {
        let url = &self.0.enumerate_url;
        self.send(url, None, bell, delay_s * 1_000).await
    }

    pub(crate) async fn batch(
        &self,
        run: &RunRef,
        generation: u32,
        page: u32,
    ) -> Result<(), HandlerError> {
        let bell = BatchBell {
            run: run.clone(),
            generation,
            page,
            waits: 0,
        };
        self.send(&self.0.batch_url, Some(&run.tenant), &bell, 0)
            .await
    }

    /// Rings again for a batch that has to wait for earlier ones: soon at first, then less and less
    /// often, for each look reads the list of batches.
    pub(crate) async fn waiting_batch(&self, bell: BatchBell) -> Result<(), HandlerError> {
        let delay_ms = WAIT_MS_FIRST
            .saturating_mul(1 << bell.waits.min(16))
            .min(WAIT_MS_MAX);
        let waits = bell.waits.saturating_add(1);
        let bell = BatchBell { waits, ..bell };
        let of = Some(&bell.run.tenant);
        self.send(&self.0.batch_url, of, &bell, delay_ms).await
    }

    /// Sends a message. With a tenant, the tenants take turns: one with a long backlog does not make
    /// another's messages wait.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>
    async fn send(
        &self,
        url: &str,
        of: Option<&TenantId>,
        bell: &impl Serialize,
        delay_ms: u64,
    ) -> Result<(), HandlerError> {
        let body = serde_json::to_string(bell).map_err(|e| HandlerError::Queue(e.to_string()))?;
        let delay_s = delay_ms.div_ceil(1_000).min(DELAY_SECONDS_MAX);
        self.0
            .client
            .send_message()
            .queue_url(url)
            .message_body(body)
            .set_message_group_id(of.map(|tenant| tenant.as_str().to_owned()))
            .delay_seconds(i32::try_from(delay_s).unwrap_or(0))
            .send()
            .await
            .map_err(|e| HandlerError::Queue(said_by_aws(&e)))?;
        Ok(())
    }
}
