//! The attributes of a queue that a caller may set.

use serde_json::{Value, json};

use crate::error::{ErrorCode, SqsError};

/// The longest visibility timeout: 12 hours.
pub(crate) const VISIBILITY_S_MAX: u64 = 43_200;
/// The longest delay: 15 minutes.
pub(crate) const DELAY_S_MAX: u64 = 900;
/// The longest long poll.
pub(crate) const WAIT_S_MAX: u64 = 20;
/// The longest message, and the longest batch in sum: 1 MiB.
pub(crate) const REQUEST_BYTES_MAX: u64 = 1_048_576;
/// The shortest and the longest time that a message is kept: a minute and 14 days.
const RETENTION_S: (u64, u64) = (60, 1_209_600);
/// The least that the limit on a message's size may be set to.
const MESSAGE_BYTES_LIMIT_MIN: u64 = 1_024;
/// The range of `maxReceiveCount`.
const RECEIVES: (u64, u64) = (1, 1_000);

/// A queue's attributes, with the service's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a received message stays hidden, in seconds (`VisibilityTimeout`).
    pub visibility_s: u64,
    /// How long a new message stays hidden, in seconds (`DelaySeconds`).
    pub delay_s: u64,
    /// How long a message is kept, in seconds (`MessageRetentionPeriod`).
    pub retention_s: u64,
    /// How long a receive waits that names no time, in seconds (`ReceiveMessageWaitTimeSeconds`).
    pub wait_s: u64,
    /// The longest message, in bytes with its attributes (`MaximumMessageSize`).
    pub message_bytes_max: u64,
    /// Where messages go that were received too often (`RedrivePolicy`).
    pub redrive: Option<Redrive>,
}

/// A queue's dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The dead-letter queue's ARN.
    pub target_arn: String,
    /// How often a message is delivered before it is moved.
    pub receive_count_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            visibility_s: 30,
            delay_s: 0,
            retention_s: 345_600,
            wait_s: 0,
            message_bytes_max: REQUEST_BYTES_MAX,
            redrive: None,
        }
    }
}

impl Settings {
    /// The names of the attributes that can be set.
    pub(crate) const NAMES: [&str; 6] = [
        "VisibilityTimeout",
        "DelaySeconds",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "MaximumMessageSize",
        "RedrivePolicy",
    ];

    /// Sets one attribute from its name and text.
    ///
    /// # Errors
    /// `InvalidAttributeName` for an attribute that standard queues do not have or this emulator
    /// does not know, `InvalidAttributeValue` for a value out of its range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SqsError> {
        match name {
            "VisibilityTimeout" => self.visibility_s = number(name, value, (0, VISIBILITY_S_MAX))?,
            "DelaySeconds" => self.delay_s = number(name, value, (0, DELAY_S_MAX))?,
            "MessageRetentionPeriod" => self.retention_s = number(name, value, RETENTION_S)?,
            "ReceiveMessageWaitTimeSeconds" => self.wait_s = number(name, value, (0, WAIT_S_MAX))?,
            "MaximumMessageSize" => {
                let range = (MESSAGE_BYTES_LIMIT_MIN, REQUEST_BYTES_MAX);
                self.message_bytes_max = number(name, value, range)?;
            }
            "RedrivePolicy" => self.redrive = redrive(value)?,
            _ => {
                return Err(SqsError::new(
                    ErrorCode::InvalidAttributeName,
                    format!("Unknown Attribute {name}."),
                ));
            }
        }
        Ok(())
    }

    /// An attribute as text; `None` if it has no value or cannot be set at all.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "VisibilityTimeout" => self.visibility_s.to_string(),
            "DelaySeconds" => self.delay_s.to_string(),
            "MessageRetentionPeriod" => self.retention_s.to_string(),
            "ReceiveMessageWaitTimeSeconds" => self.wait_s.to_string(),
            "MaximumMessageSize" => self.message_bytes_max.to_string(),
            "RedrivePolicy" => {
                let redrive = self.redrive.as_ref()?;
                json!({
                    "deadLetterTargetArn": redrive.target_arn,
                    "maxReceiveCount": redrive.receive_count_max,
                })
                .to_string()
            }
            _ => return None,
        })
    }
}

fn invalid(name: &str, detail: impl std::fmt::Display) -> SqsError {
    SqsError::new(
        ErrorCode::InvalidAttributeValue,
        format!("Invalid value for the parameter {name}. {detail}"),
    )
}

fn number(name: &str, value: &str, (min, max): (u64, u64)) -> Result<u64, SqsError> {
    value
        .parse::<u64>()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| {
            invalid(
                name,
                format!("{value:?} is not a whole number from {min} to {max}."),
            )
        })
}

fn redrive(text: &str) -> Result<Option<Redrive>, SqsError> {
    const NAME: &str = "RedrivePolicy";
    // An empty policy takes the dead-letter queue away.
    if text.is_empty() {
        return Ok(None);
    }
    let Ok(Value::Object(policy)) = serde_json::from_str::<Value>(text) else {
        return Err(invalid(NAME, format!("{text:?} is not a JSON object.")));
    };
    if let Some(key) = policy
        .keys()
        .find(|key| !matches!(key.as_str(), "deadLetterTargetArn" | "maxReceiveCount"))
    {
        return Err(invalid(NAME, format!("Unknown key {key:?}.")));
    }
    let Some(Value::String(target_arn)) = policy.get("deadLetterTargetArn") else {
        return Err(invalid(NAME, "It must contain deadLetterTargetArn."));
    };
    // Templates write the count as a number, older tools as text.
    let count = match policy.get("maxReceiveCount") {
        Some(Value::Number(count)) => count.to_string(),
        Some(Value::String(count)) => count.clone(),
        _ => return Err(invalid(NAME, "It must contain maxReceiveCount.")),
    };
    let receive_count_max = number("maxReceiveCount", &count, RECEIVES)?;
    Ok(Some(Redrive {
        target_arn: target_arn.clone(),
        receive_count_max: u32::try_from(receive_count_max).unwrap_or(u32::MAX),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_reads_back_as_it_was_set() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("VisibilityTimeout", "43200"),
            ("DelaySeconds", "900"),
            ("MessageRetentionPeriod", "60"),
            ("ReceiveMessageWaitTimeSeconds", "20"),
            ("MaximumMessageSize", "1024"),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"arn:x","maxReceiveCount":3}"#,
            ),
        ] {
            settings.set(name, value).unwrap();
            assert_eq!(settings.get(name).as_deref(), Some(value));
        }
    }

    #[test]
    fn a_value_just_out_of_its_range_is_refused_by_name() {
        for (name, value) in [
            ("VisibilityTimeout", "43201"),
            ("VisibilityTimeout", "-1"),
            ("DelaySeconds", "901"),
            ("MessageRetentionPeriod", "59"),
            ("MessageRetentionPeriod", "1209601"),
            ("ReceiveMessageWaitTimeSeconds", "21"),
            ("MaximumMessageSize", "1023"),
            ("MaximumMessageSize", "1048577"),
            ("DelaySeconds", "ten"),
            ("RedrivePolicy", "[]"),
            ("RedrivePolicy", r#"{"maxReceiveCount":3}"#),
            ("RedrivePolicy", r#"{"deadLetterTargetArn":"arn:x"}"#),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"arn:x","maxReceiveCount":0}"#,
            ),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"a","maxReceiveCount":1,"maxReceives":1}"#,
            ),
        ] {
            let mut settings = Settings::default();
            let error = settings.set(name, value).unwrap_err();
            assert_eq!(
                error.code,
                ErrorCode::InvalidAttributeValue,
                "{name}={value}"
            );
            assert_eq!(settings, Settings::default(), "{name}={value}");
        }
    }

    #[test]
    fn a_fifo_attribute_is_unknown_to_a_standard_queue() {
        let error = Settings::default().set("FifoQueue", "true").unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidAttributeName);
    }

    #[test]
    fn a_receive_count_may_be_text_and_an_empty_policy_takes_the_dead_letter_queue_away() {
        let mut settings = Settings::default();
        let policy = r#"{"deadLetterTargetArn":"arn:x","maxReceiveCount":"7"}"#;
        settings.set("RedrivePolicy", policy).unwrap();
        assert_eq!(settings.redrive.as_ref().unwrap().receive_count_max, 7);
        settings.set("RedrivePolicy", "").unwrap();
        assert_eq!(settings.redrive, None);
    }
}
