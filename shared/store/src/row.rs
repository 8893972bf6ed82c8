//! Items, written and read attribute by attribute. Reading is strict: a missing or odd attribute is
//! an error that names the item, never a default.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::error::StoreError;

/// An item as DynamoDB has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// A key: the names of the key attributes are `pk` and `sk` in both tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// As an error names its item.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.pk, self.sk)
    }

    pub(crate) fn item(&self) -> Item {
        Item::from([("pk".into(), text(&self.pk)), ("sk".into(), text(&self.sk))])
    }

    /// An item with this key and these attributes.
    pub(crate) fn with<const N: usize>(&self, attributes: [(&str, AttributeValue); N]) -> Item {
        let mut item = self.item();
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        item
    }
}

/// Reads one item.
pub(crate) struct Row<'a>(pub(crate) &'a Item);

impl<'a> Row<'a> {
    /// The item's key, for an error.
    pub(crate) fn name(&self) -> String {
        let part = |key: &str| {
            self.0
                .get(key)
                .and_then(|value| value.as_s().ok())
                .map_or("?", String::as_str)
        };
        format!("{} {}", part("pk"), part("sk"))
    }

    fn corrupt(&self, name: &str, detail: &str) -> StoreError {
        StoreError::Corrupt {
            item: self.name(),
            detail: format!("{name} {detail}"),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, StoreError> {
        self.text_if_any(name)?
            .ok_or_else(|| self.corrupt(name, "is missing"))
    }

    pub(crate) fn text_if_any(&self, name: &str) -> Result<Option<&'a str>, StoreError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(value)) => Ok(Some(value)),
            Some(_) => Err(self.corrupt(name, "is not a string")),
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.number_if_any(name)?
            .ok_or_else(|| self.corrupt(name, "is missing"))
    }

    pub(crate) fn number_if_any<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(value)) => value
                .parse()
                .map(Some)
                .map_err(|_| self.corrupt(name, "is out of range")),
            Some(_) => Err(self.corrupt(name, "is not a number")),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, StoreError> {
        match self.0.get(name) {
            Some(AttributeValue::Bool(value)) => Ok(*value),
            _ => Err(self.corrupt(name, "is not a boolean")),
        }
    }

    pub(crate) fn flag_if_any(&self, name: &str) -> Result<Option<bool>, StoreError> {
        if self.has(name) {
            self.flag(name).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&'a [u8], StoreError> {
        match self.0.get(name) {
            Some(AttributeValue::B(value)) => Ok(value.as_ref()),
            _ => Err(self.corrupt(name, "is not binary")),
        }
    }

    /// A value kept as JSON text.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(name)?).map_err(|e| self.corrupt(name, &e.to_string()))
    }

    /// A value kept as JSON text, if it is there.
    pub(crate) fn json_if_any<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        if self.has(name) {
            self.json(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A value that is stored under its name, such as a state.
    pub(crate) fn named<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<T, StoreError> {
        let value = serde_json::Value::String(self.text(name)?.to_owned());
        serde_json::from_value(value).map_err(|e| self.corrupt(name, &e.to_string()))
    }

    /// A map of strings.
    pub(crate) fn texts(
        &self,
        name: &str,
    ) -> Result<std::collections::BTreeMap<String, String>, StoreError> {
        let Some(AttributeValue::M(map)) = self.0.get(name) else {
            return Err(self.corrupt(name, "is not a map"));
        };
        map.iter()
            .map(|(key, value)| match value {
                AttributeValue::S(value) => Ok((key.clone(), value.clone())),
                _ => Err(self.corrupt(name, "holds a value that is not a string")),
            })
            .collect()
    }
}

/// JSON text of a value of our own.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<AttributeValue, StoreError> {
    serde_json::to_string(value)
        .map(text)
        .map_err(|e| StoreError::Invalid(format!("a value cannot be stored: {e}")))
}
