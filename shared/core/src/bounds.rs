//! Numbers of a tenant file that have a range.

use std::fmt::Display;

use serde::{Deserialize, Deserializer, de::Error};

/// A whole number within its range, or an error that names the range and the unit.
pub(crate) fn bounded<'de, D, T>(from: D, min: T, max: T, unit: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display,
{
    let value = T::deserialize(from)?;
    if (&min..=&max).contains(&&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!(
            "{value} is out of range: {min} to {max} {unit}"
        )))
    }
}
