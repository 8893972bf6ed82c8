//! Bodies, as they stand on the wire.

use rollcall_core::scim::Account;
use serde::Deserialize;
use serde_json::{Value, json};

/// <https://www.rfc-editor.org/rfc/rfc7643#section-4.1>
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// <https://www.rfc-editor.org/rfc/rfc7644#section-3.5.2>
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// An account of the service provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    /// Its id there.
    pub(crate) id: String,
    /// Whose it is, if it says.
    #[serde(default)]
    pub(crate) external_id: Option<String>,
    /// Its login name.
    #[serde(default)]
    pub(crate) user_name: Option<String>,
}

/// What the answer to a change may say of the account.
#[derive(Deserialize)]
struct Changed {
    id: String,
    #[serde(default)]
    active: Option<Value>,
}

/// <https://www.rfc-editor.org/rfc/rfc7644#section-3.4.2>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    pub(crate) total_results: u64,
    /// Left out where there are none.
    #[serde(default, rename = "Resources")]
    pub(crate) resources: Option<Vec<Found>>,
}

/// A new account.
pub(crate) fn created(account: &Account) -> Value {
    let mut body = json!({
        "schemas": [USER],
        "externalId": account.external_id,
        "userName": account.user_name,
        "active": account.active,
    });
    if let Some(name) = &account.display_name {
        body["displayName"] = json!(name);
    }
    if let Some(mail) = &account.mail {
        body["emails"] = emails(mail);
    }
    body
}

/// An account as it is to become.
pub(crate) fn changed(account: &Account) -> Value {
    let set = |path: &str, value: Value| json!({ "op": "replace", "path": path, "value": value });
    let set_if_any = |path: &str, value: Option<Value>| match value {
        Some(value) => set(path, value),
        None => json!({ "op": "remove", "path": path }),
    };
    json!({
        "schemas": [PATCH],
        "Operations": [
            set("externalId", json!(account.external_id)),
            set("userName", json!(account.user_name)),
            set("active", json!(account.active)),
            set_if_any("displayName", account.display_name.as_ref().map(|name| json!(name))),
            set_if_any("emails", account.mail.as_deref().map(emails)),
        ],
    })
}

/// An account that is to be switched off, and to stay as it is else.
pub(crate) fn switched_off() -> Value {
    json!({
        "schemas": [PATCH],
        "Operations": [{ "op": "replace", "path": "active", "value": false }],
    })
}

/// Whether an answer says that this account was changed, and is `active` now or not: status 204, or 200 and nothing
/// or the account. The page of a gateway that wants a log-in, say, is neither.
/// <https://www.rfc-editor.org/rfc/rfc7644#section-3.5.2>
pub(crate) fn says_changed(status: u16, body: &[u8], id: &str, active: bool) -> bool {
    let is_it = |account: Changed| {
        let its_active = account.active.and_then(|its| its.as_bool());
        account.id == id && its_active.is_none_or(|its_active| its_active == active)
    };
    match status {
        204 => true,
        200 => body.trim_ascii().is_empty() || serde_json::from_slice(body).is_ok_and(is_it),
        _ => false,
    }
}

fn emails(mail: &str) -> Value {
    json!([{ "value": mail, "type": "work", "primary": true }])
}

/// A filter for one value.
/// <https://www.rfc-editor.org/rfc/rfc7644#section-3.4.2.2>
pub(crate) fn equals(attribute: &str, value: &str) -> String {
    // A text of a filter is one of JSON.
    format!("{attribute} eq {}", json!(value))
}

/// The kind of an error, if it is one of the protocol's: it may be logged, where what is said beside it may hold
/// a name.
/// <https://www.rfc-editor.org/rfc/rfc7644#section-3.12>
pub(crate) fn kind(body: &[u8]) -> Option<&'static str> {
    const KINDS: [&str; 9] = [
        "invalidFilter",
        "tooMany",
        "uniqueness",
        "mutability",
        "invalidSyntax",
        "invalidPath",
        "noTarget",
        "invalidValue",
        "invalidVers",
    ];
    let body: Value = serde_json::from_slice(body).ok()?;
    let said = body.get("scimType")?.as_str()?;
    KINDS.into_iter().find(|kind| *kind == said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_a_text_that_ends_where_it_has_to() {
        let filter = equals("userName", r#"a" or userName pr or userName eq "\"#);
        assert_eq!(
            filter,
            r#"userName eq "a\" or userName pr or userName eq \"\\""#
        );
    }

    #[test]
    fn an_answer_says_that_an_account_was_changed_or_it_does_not_count() {
        let says = |status, body: &str| says_changed(status, body.as_bytes(), "a1", false);
        for (status, body) in [
            (204, ""),
            (200, ""),
            (200, "\r\n"),
            (200, r#"{"id":"a1"}"#),
            (200, r#"{"id":"a1","active":null}"#),
            // What is no truth value says nothing.
            (200, r#"{"id":"a1","active":"False"}"#),
            (200, r#"{"id":"a1","active":false,"userName":"a"}"#),
        ] {
            assert!(says(status, body), "{status} {body}");
        }
        for (status, body) in [
            (200, "<html>Log in</html>"),
            (200, "{}"),
            (200, r#"{"id":"a2"}"#),
            (200, r#"{"id":"a1","active":true}"#),
            (201, r#"{"id":"a1"}"#),
            (202, ""),
        ] {
            assert!(!says(status, body), "{status} {body}");
        }
    }

    #[test]
    fn what_an_error_says_beside_its_kind_is_not_taken() {
        let body = br#"{"scimType":"uniqueness","detail":"adele@contoso.com is taken"}"#;
        assert_eq!(kind(body), Some("uniqueness"));
        assert_eq!(kind(br#"{"scimType":"adele"}"#), None);
        assert_eq!(kind(b"<html>"), None);
    }
}
