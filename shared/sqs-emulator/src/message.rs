//! Messages: what may be sent, and what the service computes about it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::{ErrorCode, SqsError};
use crate::fair::Group;

/// How many attributes a message may carry (Developer Guide, message quotas).
const ATTRIBUTES_MAX: usize = 10;
/// How long an attribute's name may be.
const ATTRIBUTE_NAME_CHARS_MAX: usize = 256;

/// How long the name of a message group may be (API Reference, SendMessage).
const GROUP_CHARS_MAX: usize = 128;

/// The value of a message attribute, as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct AttributeValue {
    /// `String`, `Number` or `Binary`, perhaps with a suffix after a dot.
    pub data_type: String,
    /// The value of a `String` or `Number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of a `Binary`, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

impl AttributeValue {
    /// The bytes of the value and the tag that the digest marks its kind with.
    fn content(&self, name: &str) -> Result<(u8, Vec<u8>), SqsError> {
        let refuse = |reason: &str| {
            SqsError::new(
                ErrorCode::InvalidParameterValue,
                format!("The message attribute '{name}' is invalid. Reason: {reason}"),
            )
        };
        let kind = self.data_type.split('.').next().unwrap_or_default();
        let (tag, bytes) = match (kind, &self.string_value, &self.binary_value) {
            ("String", Some(text), None) => (1, text.clone().into_bytes()),
            ("Number", Some(text), None) if text.parse::<f64>().is_ok_and(f64::is_finite) => {
                (1, text.clone().into_bytes())
            }
            ("Number", Some(_), None) => return Err(refuse("It is not a number.")),
            ("Binary", None, Some(text)) => {
                let bytes = STANDARD.decode(text);
                (2, bytes.map_err(|_| refuse("It is not Base64."))?)
            }
            ("String" | "Number" | "Binary", _, _) => {
                return Err(refuse("Its value does not fit its data type."));
            }
            _ => {
                return Err(refuse(
                    "Its data type must start with String, Number or Binary.",
                ));
            }
        };
        if bytes.is_empty() {
            return Err(refuse("It must not be empty."));
        }
        Ok((tag, bytes))
    }
}

/// A message that may be sent: its body and attributes are valid.
#[derive(Debug, Clone)]
pub struct Draft {
    body: String,
    group: Group,
    md5_of_body: String,
    attributes: BTreeMap<String, AttributeValue>,
    md5_of_attributes: Option<String>,
    bytes: u64,
}

impl Draft {
    /// Checks a body and its attributes, and computes their digests.
    ///
    /// # Errors
    /// `MissingParameter` for an empty body, `InvalidMessageContents` for a character that XML 1.0
    /// does not allow, `InvalidParameterValue` for a bad attribute.
    pub fn new(
        body: String,
        attributes: BTreeMap<String, AttributeValue>,
    ) -> Result<Self, SqsError> {
        if body.is_empty() {
            return Err(SqsError::missing("MessageBody"));
        }
        if let Some(bad) = body.chars().find(|&character| !is_allowed(character)) {
            return Err(SqsError::new(
                ErrorCode::InvalidMessageContents,
                format!(
                    "Invalid binary character '#x{:X}' was found in the message body, the set of \
                     allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | \
                     #x10000 to #x10FFFF",
                    u32::from(bad)
                ),
            ));
        }
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(SqsError::new(
                ErrorCode::InvalidParameterValue,
                format!(
                    "Number of message attributes [{}] exceeds the allowed maximum \
                     [{ATTRIBUTES_MAX}].",
                    attributes.len()
                ),
            ));
        }
        let (md5_of_attributes, attribute_bytes) = digest_attributes(&attributes)?;
        Ok(Self {
            md5_of_body: hex(Md5::digest(body.as_bytes()).as_slice()),
            bytes: as_u64(body.len()) + attribute_bytes,
            md5_of_attributes,
            attributes,
            body,
            group: None,
        })
    }

    /// The same in a message group, with whose other messages it takes turns.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a name that is none.
    pub fn in_group(self, group: &str) -> Result<Self, SqsError> {
        let is_name = (1..=GROUP_CHARS_MAX).contains(&group.len())
            && group.chars().all(|it| it.is_ascii_graphic());
        if !is_name {
            return Err(SqsError::new(
                ErrorCode::InvalidParameterValue,
                format!(
                    "Value {group} for parameter MessageGroupId is invalid. Reason: \
                     MessageGroupId can only include alphanumeric and punctuation characters. 1 \
                     to {GROUP_CHARS_MAX} in length."
                ),
            ));
        }
        let group = Some(group.into());
        Ok(Self { group, ..self })
    }

    /// Its message group, if it has one.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// The size that counts against the limits: body, and names, types and values of attributes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The MD5 digest of the body in hexadecimal.
    #[must_use]
    pub fn md5_of_body(&self) -> &str {
        &self.md5_of_body
    }

    /// The MD5 digest of the attributes in hexadecimal, if there are any.
    #[must_use]
    pub fn md5_of_attributes(&self) -> Option<&str> {
        self.md5_of_attributes.as_deref()
    }
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub struct Message {
    /// The id that the sender was told.
    pub id: String,
    /// What was sent.
    pub draft: Draft,
    /// When it was sent, for people.
    pub sent_ms: u64,
    /// When it was sent, for its retention: a move to a dead-letter queue does not prolong it.
    pub(crate) sent_at: Instant,
    /// When it was first received, if it was.
    pub first_received_ms: Option<u64>,
    /// How often it was received, over all queues that it was in.
    pub receive_count: u32,
    /// How often of these in the queue that it is in now, which is what redrive counts.
    pub(crate) receive_count_here: u32,
    /// The queue that it came from, if it is in a dead-letter queue.
    pub dead_letter_source_arn: Option<String>,
}

impl Message {
    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.draft.body
    }

    /// The attributes whose names the filter takes: a name, a prefix as `prefix.*`, `All` or `.*`.
    #[must_use]
    pub fn attributes(&self, filter: &[String]) -> BTreeMap<String, AttributeValue> {
        let takes = |name: &str| {
            filter.iter().any(|wanted| match wanted.strip_suffix(".*") {
                Some(prefix) => name.starts_with(prefix),
                None => wanted == "All" || wanted == name,
            })
        };
        self.draft
            .attributes
            .iter()
            .filter(|(name, _)| takes(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// The digest of attributes and their size. The digest is over all attributes by name: length and
/// bytes of the name, length and bytes of the type, a tag for the kind, length and bytes of the
/// value, lengths big-endian in four bytes (Developer Guide, "Calculating the MD5 message digest
/// for message attributes").
pub(crate) fn digest_attributes(
    attributes: &BTreeMap<String, AttributeValue>,
) -> Result<(Option<String>, u64), SqsError> {
    let mut digest = Md5::new();
    let mut total_bytes = 0;
    let mut part = |digest: &mut Md5, bytes: &[u8]| {
        digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        digest.update(bytes);
        total_bytes += as_u64(bytes.len());
    };
    for (name, value) in attributes {
        check_attribute_name(name)?;
        let (tag, bytes) = value.content(name)?;
        part(&mut digest, name.as_bytes());
        part(&mut digest, value.data_type.as_bytes());
        digest.update([tag]);
        part(&mut digest, &bytes);
    }
    let md5 = (!attributes.is_empty()).then(|| hex(digest.finalize().as_slice()));
    Ok((md5, total_bytes))
}

fn check_attribute_name(name: &str) -> Result<(), SqsError> {
    let lower = name.to_ascii_lowercase();
    let fine = (1..=ATTRIBUTE_NAME_CHARS_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.");
    if fine {
        return Ok(());
    }
    Err(SqsError::new(
        ErrorCode::InvalidParameterValue,
        format!("The message attribute name '{name}' is invalid."),
    ))
}

/// The characters of XML 1.0, which is what a body may hold.
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> AttributeValue {
        AttributeValue {
            data_type: "String".into(),
            string_value: Some(value.into()),
            binary_value: None,
        }
    }

    #[test]
    fn the_digest_of_a_body_is_its_md5() {
        // RFC 1321, appendix A.5.
        let draft = Draft::new("message digest".into(), BTreeMap::new()).unwrap();
        assert_eq!(draft.md5_of_body(), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(draft.md5_of_attributes(), None);
    }

    #[test]
    fn the_digest_of_attributes_is_the_one_that_the_developer_guide_describes() {
        // Computed apart from this code, from the guide's description, over
        // 00000001 "a" 00000006 "String" 01 00000001 "x" 00000001 "b" 00000006 "Binary" 02 00000002 0102.
        let binary = AttributeValue {
            data_type: "Binary".into(),
            string_value: None,
            binary_value: Some("AQI=".into()),
        };
        let attributes = BTreeMap::from([("b".to_owned(), binary), ("a".to_owned(), text("x"))]);
        let draft = Draft::new("m".into(), attributes).unwrap();
        assert_eq!(
            draft.md5_of_attributes(),
            Some("3e9b4c785db2deb306cf4009ae214dab")
        );
        assert_eq!(draft.bytes(), 1 + (1 + 6 + 1) + (1 + 6 + 2));
    }

    #[test]
    fn a_control_character_is_refused_and_named() {
        let error = Draft::new("a\u{0}".into(), BTreeMap::new()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidMessageContents);
        assert!(error.message.contains("#x0"), "{}", error.message);
        assert!(Draft::new("tab\t line\n 🙂".into(), BTreeMap::new()).is_ok());
    }

    #[test]
    fn a_bad_attribute_is_refused() {
        let number = AttributeValue {
            data_type: "Number".into(),
            ..text("twelve")
        };
        let kind = AttributeValue {
            data_type: "Text".into(),
            ..text("x")
        };
        let unfit = AttributeValue {
            data_type: "Binary".into(),
            ..text("x")
        };
        for (name, value) in [
            ("a", text("")),
            ("a", number),
            ("a", kind),
            ("a", unfit),
            ("AWS.a", text("x")),
            (".a", text("x")),
            ("a..b", text("x")),
            ("a b", text("x")),
        ] {
            let attributes = BTreeMap::from([(name.to_owned(), value.clone())]);
            let error = Draft::new("m".into(), attributes).unwrap_err();
            assert_eq!(
                error.code,
                ErrorCode::InvalidParameterValue,
                "{name} {value:?}"
            );
        }
    }
}
