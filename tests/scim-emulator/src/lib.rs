//! A SCIM service provider's accounts, as far as users go: for whatever stands in a provider's place in tests.
//! <https://www.rfc-editor.org/rfc/rfc7644>
//!
//! It promises what the protocol does: an id of its own for each account, one account for each login name unless it
//! is told to take them twice, changes that are made whole or not at all, and refusals in the protocol's words. It
//! never knows a network or a fault: what becomes of a request on its way is its caller's to decide.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

/// The accounts.
#[derive(Debug, Default)]
pub struct Accounts {
    by_id: BTreeMap<String, Value>,
    created: u64,
    /// Whether two accounts can have one login name, against the protocol: there are providers that do not see the
    /// one while they make the other.
    pub takes_names_twice: bool,
}

impl Accounts {
    /// All of them, by their ids.
    pub fn all(&self) -> impl Iterator<Item = &Value> {
        self.by_id.values()
    }

    /// Carries out a request: its path is the one under the root, with its query. Gives a status and a body.
    pub fn carry_out(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (method, path.strip_prefix("/Users"), body) {
            (&Method::GET, Some(""), _) => self.list(query),
            (&Method::POST, Some(""), Some(account)) => self.post(account.clone()),
            (&Method::GET, Some(id), _) => self.get(id.trim_start_matches('/')),
            (&Method::PATCH, Some(id), Some(patch)) => {
                self.patch(id.trim_start_matches('/'), patch)
            }
            (&Method::DELETE, Some(id), _) => self.delete(id.trim_start_matches('/')),
            _ => refused(StatusCode::NOT_FOUND, ""),
        }
    }

    fn list(&self, query: &str) -> (StatusCode, Value) {
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let filter = query.get("filter").and_then(|it| it.split_once(" eq "));
        let Some((attribute, value)) = filter else {
            return refused(StatusCode::BAD_REQUEST, "invalidFilter");
        };
        let Ok(value) = serde_json::from_str::<String>(value) else {
            return refused(StatusCode::BAD_REQUEST, "invalidFilter");
        };
        let fits = |account: &&Value| is(&account[attribute], attribute, &value);
        let found: Vec<_> = self.by_id.values().filter(fits).collect();
        (
            StatusCode::OK,
            json!({ "totalResults": found.len(), "Resources": found }),
        )
    }

    fn get(&self, id: &str) -> (StatusCode, Value) {
        match self.by_id.get(id) {
            Some(account) => (StatusCode::OK, account.clone()),
            None => refused(StatusCode::NOT_FOUND, ""),
        }
    }

    /// Whether somebody else has a login name already.
    fn is_taken(&self, name: &Value, id: &str) -> bool {
        if self.takes_names_twice {
            return false;
        }
        let name = name.as_str().unwrap_or_default();
        let mut others = self.by_id.iter().filter(|(it, _)| *it != id);
        others.any(|(_, account)| is(&account["userName"], "userName", name))
    }

    fn post(&mut self, mut account: Value) -> (StatusCode, Value) {
        if !account["userName"].is_string() {
            return refused(StatusCode::BAD_REQUEST, "invalidValue");
        }
        if self.is_taken(&account["userName"], "") {
            return refused(StatusCode::CONFLICT, "uniqueness");
        }
        self.created += 1;
        let id = format!("a{}", self.created);
        account["id"] = json!(id);
        self.by_id.insert(id, account.clone());
        (StatusCode::CREATED, account)
    }

    fn patch(&mut self, id: &str, patch: &Value) -> (StatusCode, Value) {
        let Some(mut account) = self.by_id.get(id).cloned() else {
            return refused(StatusCode::NOT_FOUND, "");
        };
        for operation in patch["Operations"].as_array().into_iter().flatten() {
            let (Some(path), Some(members)) = (operation["path"].as_str(), account.as_object_mut())
            else {
                return refused(StatusCode::BAD_REQUEST, "invalidPath");
            };
            match operation["op"].as_str() {
                Some("replace") => members.insert(path.into(), operation["value"].clone()),
                Some("remove") => members.remove(path),
                _ => return refused(StatusCode::BAD_REQUEST, "invalidSyntax"),
            };
        }
        if self.is_taken(&account["userName"], id) {
            return refused(StatusCode::CONFLICT, "uniqueness");
        }
        self.by_id.insert(id.to_owned(), account);
        (StatusCode::NO_CONTENT, Value::Null)
    }

    fn delete(&mut self, id: &str) -> (StatusCode, Value) {
        match self.by_id.remove(id) {
            Some(_) => (StatusCode::NO_CONTENT, Value::Null),
            None => refused(StatusCode::NOT_FOUND, ""),
        }
    }
}

/// Login names are compared without regard to case.
/// <https://www.rfc-editor.org/rfc/rfc7643#section-4.1.1>
fn is(stored: &Value, attribute: &str, value: &str) -> bool {
    let stored = stored.as_str().unwrap_or_default();
    match attribute {
        "userName" => stored.to_lowercase() == value.to_lowercase(),
        _ => stored == value,
    }
}

fn refused(status: StatusCode, kind: &str) -> (StatusCode, Value) {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.as_u16().to_string(),
        "scimType": kind,
    });
    (status, body)
}
