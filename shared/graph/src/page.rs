//! Makes sense of the body of a page: as a whole, or not at all.

use std::fmt;

use rollcall_core::delta::{DeltaUser, Removal, Told};
use rollcall_core::ids::ObjectId;
use rollcall_core::user::{AttributeMap, GraphUser};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Why a body is not what it should be. The text is fixed: what is in a body is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

type Properties = Map<String, Value>;

/// The type of a user where objects of several types stand.
const USER: &str = "#microsoft.graph.user";

/// One object of a page. A property that stands in it twice is no property: where the middle of a
/// body is missing, two users become one.
struct Row(Properties);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut properties: A) -> Result<Row, A::Error> {
        let mut row = Properties::new();
        while let Some((name, value)) = properties.next_entry()? {
            if row.insert(name, value).is_some() {
                return Err(A::Error::custom("a property stands in an object twice"));
            }
        }
        Ok(Row(row))
    }
}

/// A page of any collection.
#[derive(Deserialize)]
struct Page {
    value: Option<Vec<Row>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    delta: Option<String>,
    error: Option<Value>,
}

/// A body that is JSON from its first byte to its last. What is skipped has to be text as well, which
/// serde_json does not look at by itself.
pub(crate) fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}

/// The rows of a page that is whole, and its next link and delta link.
fn whole(body: &[u8]) -> Result<(Vec<Row>, [Option<String>; 2]), Broken> {
    let page: Page = parsed(body).ok_or(Broken("the body is not a whole page"))?;
    if page.error.is_some() {
        return Err(Broken("the page holds an error"));
    }
    let rows = page.value.ok_or(Broken("the page has no value"))?;
    Ok((rows, [page.next, page.delta]))
}

fn page(body: &[u8]) -> Result<(Vec<Row>, Option<String>), Broken> {
    let (rows, [next, _]) = whole(body)?;
    Ok((rows, next))
}

/// The text of the link that a page of a delta ends with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DeltaEnd {
    More(String),
    Last(String),
}

/// A page of a delta. The last one has a delta link and the others a next link, never both.
pub(crate) fn delta(
    body: &[u8],
    attributes: &AttributeMap,
) -> Result<(Vec<DeltaUser>, DeltaEnd), Broken> {
    let (rows, links) = whole(body)?;
    let end = match links.into() {
        (Some(next), None) => DeltaEnd::More(next),
        (None, Some(delta)) => DeltaEnd::Last(delta),
        (Some(_), Some(_)) => return Err(Broken("the page has a next link and a delta link")),
        (None, None) => return Err(Broken("the page has neither next link nor delta link")),
    };
    let users = rows.iter().map(|row| delta_user(&row.0, attributes));
    Ok((users.collect::<Result<_, _>>()?, end))
}

/// A page of users, and the text of its next link.
pub(crate) fn users(
    body: &[u8],
    attributes: &AttributeMap,
) -> Result<(Vec<GraphUser>, Option<String>), Broken> {
    let (rows, next) = page(body)?;
    let users = rows.iter().map(|row| user(&row.0, attributes));
    Ok((users.collect::<Result<_, _>>()?, next))
}

/// A page of objects of which only the ids matter, and the text of its next link.
pub(crate) fn ids(body: &[u8]) -> Result<(Vec<ObjectId>, Option<String>), Broken> {
    let (rows, next) = page(body)?;
    let ids = rows.iter().map(|row| id(&row.0));
    Ok((ids.collect::<Result<_, _>>()?, next))
}

/// A page of the members of a group: the users among them, and the text of its next link.
pub(crate) fn members(body: &[u8]) -> Result<(Vec<ObjectId>, Option<String>), Broken> {
    let (rows, next) = page(body)?;
    let mut users = Vec::new();
    for Row(row) in &rows {
        let (kind, id) = (row.get("@odata.type").and_then(Value::as_str), id(row)?);
        if kind.ok_or(Broken("a member without a type"))? == USER {
            users.push(id);
        }
    }
    Ok((users, next))
}

/// The users of an answer that is not paged, with what decides about them.
pub(crate) fn deciding(body: &[u8]) -> Result<Vec<GraphUser>, Broken> {
    let (users, _) = users(body, &AttributeMap::new())?;
    Ok(users)
}

/// One object with `accountEnabled`.
pub(crate) fn account(row: &Properties) -> Result<(ObjectId, Option<bool>), Broken> {
    Ok((id(row)?, account_enabled(row)?))
}

/// The answer of `$count`: a number as plain text, at times behind a byte order mark.
/// <https://learn.microsoft.com/graph/query-parameters#count-parameter>
pub(crate) fn count(body: &[u8]) -> Result<u64, Broken> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let digits = text.trim_start_matches('\u{feff}').trim();
    digits.parse().map_err(|_| Broken("the count is no number"))
}

fn user(row: &Properties, attributes: &AttributeMap) -> Result<GraphUser, Broken> {
    Ok(GraphUser {
        id: id(row)?,
        user_principal_name: text(row, "userPrincipalName")?,
        mail: text(row, "mail")?,
        display_name: text(row, "displayName")?,
        account_enabled: account_enabled(row)?,
        user_type: text(row, "userType")?,
        attributes: attributes
            .iter()
            .filter_map(|(name, property)| Some((name.clone(), as_text(row.get(property)?)?)))
            .collect(),
        in_groups: None,
    })
}

fn delta_user(row: &Properties, attributes: &AttributeMap) -> Result<DeltaUser, Broken> {
    let none = DeltaUser::new(id(row)?);
    if let Some(removed) = row.get("@removed") {
        return Ok(DeltaUser {
            removed: Some(removal(removed)?),
            ..none
        });
    }
    let told = |property| -> Result<Told<String>, Broken> {
        let value = text(row, property)?;
        Ok(row.contains_key(property).then_some(value))
    };
    let account_enabled = account_enabled(row)?;
    Ok(DeltaUser {
        user_principal_name: told("userPrincipalName")?,
        mail: told("mail")?,
        display_name: told("displayName")?,
        account_enabled: row
            .contains_key("accountEnabled")
            .then_some(account_enabled),
        user_type: told("userType")?,
        attributes: attributes
            .iter()
            .filter_map(|(name, property)| Some((name.clone(), as_text(row.get(property)?))))
            .collect(),
        ..none
    })
}

/// What `@removed` says. Anything but the two reasons is no removal, and no user either.
fn removal(removed: &Value) -> Result<Removal, Broken> {
    match removed.get("reason").and_then(Value::as_str) {
        Some("changed") => Ok(Removal::Bin),
        Some("deleted") => Ok(Removal::Gone),
        _ => Err(Broken("@removed without a reason that is known")),
    }
}

fn id(row: &Properties) -> Result<ObjectId, Broken> {
    let id = row.get("id").and_then(Value::as_str);
    let id = id.ok_or(Broken("an object without an id"))?;
    ObjectId::new(id).map_err(|_| Broken("an object with a malformed id"))
}

fn account_enabled(row: &Properties) -> Result<Option<bool>, Broken> {
    match row.get("accountEnabled") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(enabled)) => Ok(Some(*enabled)),
        Some(_) => Err(Broken("accountEnabled is no boolean")),
    }
}

fn text(row: &Properties, property: &str) -> Result<Option<String>, Broken> {
    match row.get(property) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Broken("a name or address is no text")),
    }
}

/// A mapped property as the directory keeps it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = include_str!("../tests/data/users-page.json");
    const SPLICED: &str = include_str!("../tests/data/users-spliced-error.txt");

    fn none() -> AttributeMap {
        AttributeMap::new()
    }

    #[test]
    fn a_page_is_read_as_graph_writes_it() {
        let mapped = AttributeMap::from([
            ("number".into(), "employeeId".into()),
            ("login".into(), "userPrincipalName".into()),
        ]);
        let (users, next) = users(WHOLE.as_bytes(), &mapped).unwrap();
        assert!(next.unwrap().contains("$skiptoken=RFNwdAIAAQ'"));
        assert_eq!(users.len(), 4);
        assert_eq!(users[0].id.as_str(), "0b4781a1-0001-4000-8000-000000000001");
        assert_eq!(users[0].display_name.as_deref(), Some("Adele Vance"));
        assert_eq!(users[0].attributes["number"], "10001");
        assert_eq!(users[0].attributes["login"], "Adele.Vance@contoso.com");
        assert_eq!(users[1].mail, None);
        assert_eq!(users[1].attributes.get("number"), None);
        assert_eq!(
            users[2].user_principal_name.as_deref(),
            Some("太郎@contoso.com")
        );
        assert_eq!(users[2].account_enabled, Some(false));
        assert_eq!(users[3].account_enabled, None);
        assert_eq!(users[3].user_type, None);
    }

    const DELTA: &str = r#"{"@odata.deltaLink":"https://g/d","value":[
        {"id":"a","accountEnabled":false,"mail":null,"department":"x"},
        {"id":"b","@removed":{"reason":"changed"}},
        {"id":"c","@removed":{"reason":"deleted"},"mail":"c@d"}]}"#;

    #[test]
    fn a_delta_tells_what_is_null_and_says_nothing_of_what_is_absent() {
        let mapped = AttributeMap::from([
            ("team".into(), "department".into()),
            ("title".into(), "jobTitle".into()),
        ]);
        let (users, end) = delta(DELTA.as_bytes(), &mapped).unwrap();
        assert_eq!(end, DeltaEnd::Last("https://g/d".into()));
        assert_eq!(users[0].account_enabled, Some(Some(false)));
        assert_eq!(users[0].mail, Some(None));
        assert_eq!(users[0].user_principal_name, None);
        assert_eq!(
            users[0].attributes,
            [("team".into(), Some("x".into()))].into()
        );
        assert_eq!(users[1].removed, Some(Removal::Bin));
        assert_eq!(
            (users[2].removed, &users[2].mail),
            (Some(Removal::Gone), &None)
        );
    }

    #[test]
    fn a_delta_that_is_not_whole_is_none() {
        for end in 0..DELTA.len() {
            assert!(
                delta(&DELTA.as_bytes()[..end], &none()).is_err(),
                "cut at {end}"
            );
        }
        let next = r#""@odata.nextLink":"https://g/n""#;
        let last = r#""@odata.deltaLink":"https://g/d""#;
        assert!(delta(format!(r#"{{{next},"value":[]}}"#).as_bytes(), &none()).is_ok());
        for body in [
            r#"{"value":[]}"#.to_owned(),
            format!(r#"{{{next},{last},"value":[]}}"#),
            format!("{{{last}}}"),
            format!(r#"{{{last},"value":null}}"#),
            format!(r#"{{{last},"value":[],"error":{{"code":"UnknownError"}}}}"#),
            format!(r#"{{{last},"value":[{{"id":"a","@removed":{{}}}}]}}"#),
            format!(r#"{{{last},"value":[{{"id":"a","@removed":null}}]}}"#),
            format!(r#"{{{last},"value":[{{"id":"a","@removed":{{"reason":"moved"}}}}]}}"#),
            format!(r#"{{{last},"value":[{{"@removed":{{"reason":"deleted"}}}}]}}"#),
        ] {
            assert!(delta(body.as_bytes(), &none()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_empty_page_with_a_next_link_is_not_the_end() {
        let body = br#"{"@odata.nextLink":"https://graph.microsoft.com/v1.0/users?x","value":[]}"#;
        let (users, next) = users(body, &none()).unwrap();
        assert!(users.is_empty());
        assert_eq!(
            next.as_deref(),
            Some("https://graph.microsoft.com/v1.0/users?x")
        );
    }

    #[test]
    fn a_page_that_is_cut_off_anywhere_is_no_page() {
        for end in 0..WHOLE.trim_end().len() {
            let cut = &WHOLE.as_bytes()[..end];
            assert!(users(cut, &none()).is_err(), "cut at {end}");
        }
    }

    // msgraph-sdk-powershell#3692: Graph that fails while it streams writes the error into the page, under a status of 200.
    #[test]
    fn an_error_within_a_page_is_no_page() {
        for body in [
            SPLICED,
            r#"{"error":{"code":"InternalServerError","message":""}}"#,
            r#"{"value":[],"error":{"code":"UnknownError"}}"#,
            r#"{"value":[{"error":{"code":"UnknownError"}}]}"#,
            r#"{"value":[]}{"error":{"code":"UnknownError"}}"#,
        ] {
            assert!(users(body.as_bytes(), &none()).is_err(), "{body}");
        }
    }

    #[test]
    fn what_has_no_users_in_it_is_not_an_empty_directory() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"value":null}"#,
            r#"{"value":{}}"#,
            r#"{"value":"x"}"#,
            r#"{"value":[],"value":[]}"#,
            r#"{"value":[null]}"#,
            r#"{"value":[],"@odata.nextLink":7}"#,
            "<html><body>Service unavailable</body></html>",
        ] {
            assert!(users(body.as_bytes(), &none()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_user_without_an_id_spoils_the_page() {
        for user in [
            r#"{"mail":"a@b"}"#,
            r#"{"id":null}"#,
            r#"{"id":""}"#,
            r#"{"id":7}"#,
            r#"{"id":"a/b"}"#,
            r#"{"id":"a","accountEnabled":"true"}"#,
            r#"{"id":"a","mail":{}}"#,
            // The end of one and the beginning of another are missing.
            r#"{"id":"a","mail":"x","id":"c"}"#,
        ] {
            let body = format!(r#"{{"value":[{{"id":"b"}},{user}]}}"#);
            assert!(users(body.as_bytes(), &none()).is_err(), "{user}");
        }
    }

    #[test]
    fn mapped_properties_become_text() {
        let mapped: AttributeMap = ["s", "n", "b", "z", "l", "o", "gone"]
            .map(|name| (name.to_owned(), name.to_owned()))
            .into();
        let body = br#"{"value":[{"id":"a","s":" x ","n":1.50,"b":true,"z":null,"l":["a", "b"],
            "o":{"c": "d"}}]}"#;
        let (users, _) = users(body, &mapped).unwrap();
        let expected = [
            ("s", " x "),
            ("n", "1.5"),
            ("b", "true"),
            ("l", r#"["a","b"]"#),
            ("o", r#"{"c":"d"}"#),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(users[0].attributes, expected.into());
    }

    #[test]
    fn a_count_is_a_number_and_nothing_else() {
        assert_eq!(count(b"1000417"), Ok(1_000_417));
        assert_eq!(count("\u{feff}893\r\n".as_bytes()), Ok(893));
        for body in ["", "-1", "1,000", "<html>", "{}"] {
            assert!(count(body.as_bytes()).is_err(), "{body}");
        }
    }
}
