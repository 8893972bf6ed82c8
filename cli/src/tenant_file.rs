//! Reads a tenant file: all of it, or an error that names the line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rollcall_core::settings::TenantSettings;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::exit::BadInput;

/// The largest tenant file, in bytes: 10,000 tenants of 1.6 kB.
const TENANT_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The one key on a file's top level.
const TENANT: &str = "tenant";

/// What is wrong, and at which byte if at one.
struct Fault(Option<usize>, String);

impl Fault {
    /// An error of the parser. One that has no place is about the whole of what was read.
    fn of(error: &toml::de::Error, whole: Option<usize>) -> Self {
        let offset = error.span().map(|span| span.start);
        Self(offset.or(whole), in_plain_words(error.message()))
    }
}

/// The tenants of a file.
///
/// # Errors
/// [`BadInput`] with file, line and column, what was found and what was expected. The text of the
/// line is not repeated: somebody may have put a secret there.
pub(crate) fn read(path: &Path) -> Result<Vec<TenantSettings>, BadInput> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// The tenants of a file's text.
///
/// # Errors
/// As [`read`].
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<TenantSettings>, BadInput> {
    tenants(text).map_err(|Fault(offset, message)| {
        let place = offset.map_or_else(String::new, |offset| {
            let (line, column) = place(text, offset);
            format!(":{line}:{column}")
        });
        BadInput(format!("{name}{place}: {message}"))
    })
}

fn tenants(text: &str) -> Result<Vec<TenantSettings>, Fault> {
    let mut tenants = Vec::new();
    let mut first_lines = BTreeMap::new();
    // One by one, so that a fault in the sum of a tenant's keys has that tenant's place.
    for entry in entries(text)? {
        let offset = entry.span().start;
        let tenant = TenantSettings::deserialize(ValueDeserializer::from(entry))
            .map_err(|error| Fault::of(&error, Some(offset)))?;
        let (line, _) = place(text, offset);
        if let Some(first) = first_lines.insert(tenant.id.clone(), line) {
            let message = format!(
                "tenant id {} is taken already, at line {first}; each tenant needs its own id",
                tenant.id
            );
            return Err(Fault(Some(offset), message));
        }
        tenants.push(tenant);
    }
    if tenants.is_empty() {
        let message = "it has no tenant; each one begins with a line [[tenant]]";
        return Err(Fault(None, message.into()));
    }
    Ok(tenants)
}

/// The tables headed `[[tenant]]`.
fn entries(text: &str) -> Result<Vec<Spanned<DeValue<'_>>>, Fault> {
    let file = DeTable::parse(text).map_err(|error| Fault::of(&error, None))?;
    let mut entries = Vec::new();
    for (key, value) in file.into_inner() {
        if key.get_ref() != TENANT {
            let message = format!("unknown key `{}`, expected `{TENANT}`", key.get_ref());
            return Err(Fault(Some(key.span().start), message));
        }
        let offset = value.span().start;
        match value.into_inner() {
            DeValue::Array(tables) => entries.extend(tables),
            other => {
                let message = format!(
                    "invalid type: a single {}, expected tables headed [[{TENANT}]], with two \
                     brackets",
                    other.type_str()
                );
                return Err(Fault(Some(offset), message));
            }
        }
    }
    Ok(entries)
}

/// The parser's words for Rust's types and data model, in those of a file.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 7] = [
        ("unknown field", "unknown key"),
        ("missing field", "missing key"),
        ("unknown variant", "unknown value"),
        ("invalid type: map", "invalid type: table"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected f64", "expected a number"),
    ];
    WORDS
        .iter()
        .fold(message.to_owned(), |text, (technical, plain)| {
            text.replace(technical, plain)
        })
}

fn read_text(path: &Path) -> Result<String, BadInput> {
    let bad = |problem: String| BadInput(format!("{}{problem}", path.display()));
    let unreadable = |error: std::io::Error| bad(format!(": cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(TENANT_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > TENANT_FILE_BYTES_MAX {
        return Err(bad(format!(
            ": is larger than {TENANT_FILE_BYTES_MAX} bytes; a tenant file is a few lines a tenant"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..sound]);
        let (line, column) = place(&before, sound);
        bad(format!(
            ":{line}:{column}: is not UTF-8 text; save the file as UTF-8"
        ))
    })
}

/// Line and column of a byte, both from 1. Columns count characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a\nzoë = 1\n";
        assert_eq!(place(text, 0), (1, 1));
        assert_eq!(place(text, 2), (2, 1));
        let equals = text.find('=').unwrap();
        assert_eq!(place(text, equals), (2, 5));
        assert_eq!(place(text, text.len()), (3, 1));
    }
}
