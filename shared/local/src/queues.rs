//! The system's queues.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::QueueAttributeName;

use crate::error::LocalError;

/// How long a dead-letter queue keeps what it was given: SQS's longest, 14 days.
const DEAD_RETENTION_S: u64 = 1_209_600;

/// How a queue gives its messages again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// How long a message is hidden that was received, in seconds: 0 to 43,200. It must be longer
    /// than its function may take.
    pub visibility_s: u64,
    /// How often a message is delivered before it goes to the dead-letter queue: 1 to 1,000.
    pub receive_count_max: u32,
}

impl Default for QueueSettings {
    /// A minute: on one machine nothing takes longer unless it hangs. Five receives, as Lambda's
    /// guide asks for at least.
    fn default() -> Self {
        Self {
            visibility_s: 60,
            receive_count_max: 5,
        }
    }
}

/// The settings of each queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalSettings {
    /// Of the queue that starts and continues enumerations.
    pub enumerate: QueueSettings,
    /// Of the queue that wakes workers.
    pub batch: QueueSettings,
    /// Of the queue that wakes the finalizer.
    pub finalize: QueueSettings,
}

/// A queue and its dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The queue's URL.
    pub url: String,
    /// The URL of its dead-letter queue.
    pub dead_letter_url: String,
}

/// The three queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// Starts and continues enumerations.
    pub enumerate: Queue,
    /// Wakes workers.
    pub batch: Queue,
    /// Wakes the finalizer.
    pub finalize: Queue,
}

impl Queues {
    /// Makes them all.
    pub(crate) async fn create(sqs: &Client, settings: LocalSettings) -> Result<Self, LocalError> {
        Ok(Self {
            enumerate: create_pair(sqs, "rollcall-enumerate", settings.enumerate).await?,
            batch: create_pair(sqs, "rollcall-batch", settings.batch).await?,
            finalize: create_pair(sqs, "rollcall-finalize", settings.finalize).await?,
        })
    }
}

async fn create_pair(
    sqs: &Client,
    name: &str,
    settings: QueueSettings,
) -> Result<Queue, LocalError> {
    let dead_name = format!("{name}-dead");
    let retention = DEAD_RETENTION_S.to_string();
    let dead_letter_url = create(
        sqs,
        &dead_name,
        [(QueueAttributeName::MessageRetentionPeriod, retention)],
    )
    .await?;
    let dead_arn = attribute(sqs, &dead_letter_url, QueueAttributeName::QueueArn)
        .await
        .map_err(|message| refused(&dead_name, message))?;
    let redrive = serde_json::json!({
        "deadLetterTargetArn": dead_arn,
        "maxReceiveCount": settings.receive_count_max,
    });
    let attributes = [
        (
            QueueAttributeName::VisibilityTimeout,
            settings.visibility_s.to_string(),
        ),
        (QueueAttributeName::RedrivePolicy, redrive.to_string()),
    ];
    Ok(Queue {
        url: create(sqs, name, attributes).await?,
        dead_letter_url,
    })
}

async fn create(
    sqs: &Client,
    name: &str,
    attributes: impl IntoIterator<Item = (QueueAttributeName, String)>,
) -> Result<String, LocalError> {
    let mut create = sqs.create_queue().queue_name(name);
    for (attribute, value) in attributes {
        create = create.attributes(attribute, value);
    }
    let created = create.send().await;
    let created =
        created.map_err(|error| refused(name, DisplayErrorContext(&error).to_string()))?;
    created
        .queue_url
        .ok_or_else(|| refused(name, "the answer has no URL".to_owned()))
}

/// One attribute of a queue, or what went wrong.
pub(crate) async fn attribute(
    sqs: &Client,
    queue_url: &str,
    name: QueueAttributeName,
) -> Result<String, String> {
    let answer = sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(name.clone())
        .send()
        .await
        .map_err(|error| DisplayErrorContext(&error).to_string())?;
    answer
        .attributes
        .and_then(|mut attributes| attributes.remove(&name))
        .ok_or_else(|| format!("the answer has no {name}"))
}

fn refused(name: &str, message: String) -> LocalError {
    LocalError::Queue {
        name: name.to_owned(),
        message,
    }
}
