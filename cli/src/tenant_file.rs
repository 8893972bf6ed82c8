//! Reads a tenant file: all of it, or an error that names the line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rollcall_core::settings::TenantSettings;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use crate::exit::BadInput;

/// The largest tenant file, in bytes: 10,000 tenants of 1.6 kB.
const TENANT_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    #[serde(default)]
    tenant: Tenants,
}

#[derive(Default)]
struct Tenants(Vec<Spanned<TenantSettings>>);

impl<'de> Deserialize<'de> for Tenants {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tables;
        impl<'de> Visitor<'de> for Tables {
            type Value = Tenants;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables headed [[tenant]], with two brackets")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<Tenants, A::Error> {
                let mut tenants = Vec::new();
                while let Some(tenant) = tables.next_element()? {
                    tenants.push(tenant);
                }
                Ok(Tenants(tenants))
            }
        }
        from.deserialize_seq(Tables)
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
    let at = |offset: Option<usize>, message: &str| {
        let place = offset.map_or_else(String::new, |offset| {
            let (line, column) = place(text, offset);
            format!(":{line}:{column}")
        });
        BadInput(format!("{name}{place}: {message}"))
    };
    let file: TenantFile = toml::from_str(text).map_err(|error| {
        let message = in_plain_words(error.message());
        at(error.span().map(|span| span.start), &message)
    })?;
    let tenants = file.tenant.0;
    if tenants.is_empty() {
        return Err(at(
            None,
            "it has no tenant; each one begins with a line [[tenant]]",
        ));
    }
    let mut first_lines = BTreeMap::new();
    for tenant in &tenants {
        let offset = tenant.span().start;
        let (line, _) = place(text, offset);
        let id = &tenant.get_ref().id;
        if let Some(first) = first_lines.insert(id.clone(), line) {
            let message = format!(
                "tenant id {id} is taken already, at line {first}; each tenant needs its own id"
            );
            return Err(at(Some(offset), &message));
        }
    }
    Ok(tenants.into_iter().map(Spanned::into_inner).collect())
}

/// The parser's words for Rust's types and data model, in those of a file.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 7] = [
        ("unknown field", "unknown key"),
        ("missing field", "missing key"),
        ("unknown variant", "unknown value"),
        ("invalid type: map", "invalid type: a single table"),
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
