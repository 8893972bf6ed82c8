//! What the client makes of a service provider's answers.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use rollcall_ambient::Ambient;
use rollcall_core::scim::Account;
use rollcall_graph::{Exchange, Received, Request, Secret, Transport};
use rollcall_scim::{Absence, Bearer, Brought, ScimClient, ScimConfig, ScimError};
use serde_json::{Value, json};

const NONE: (u16, &str) = (200, r#"{"totalResults":0}"#);
const ITS: (u16, &str) = (
    200,
    r#"{"totalResults":1,"Resources":[{"id":"a1","externalId":"u1"}]}"#,
);
const BELIEVED: Absence = Absence {
    is_believed: true,
    may_create: true,
};

/// A service provider that gives one answer after the other.
#[derive(Debug)]
struct Provider {
    answers: Mutex<VecDeque<(u16, &'static str)>>,
    asked: Mutex<Vec<(Method, Value)>>,
}

impl Transport for Provider {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        let body = request.body().and_then(|body| body.as_bytes());
        let body = body.map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
        let asked = (request.method().clone(), body);
        self.asked.lock().unwrap().push(asked);
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap();
        Box::pin(async move {
            Ok(Received {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Ok(body.as_bytes().to_vec()),
            })
        })
    }
}

/// What came of bringing an account.
struct Came {
    brought: Result<Brought, ScimError>,
    gave_up: bool,
    asked: Vec<(Method, Value)>,
}

async fn bring<const N: usize>(
    known: Option<&str>,
    account: &Account,
    absence: Absence,
    answers: [(u16, &'static str); N],
) -> Came {
    let provider = Arc::new(Provider {
        answers: Mutex::new(answers.into()),
        asked: Mutex::default(),
    });
    let config = ScimConfig {
        root: "https://app.example/scim".parse().unwrap(),
        bearer: Bearer::Known(Secret::new("token")),
        request_ms_max: 1_000,
    };
    let transport = Arc::clone(&provider) as Arc<dyn Transport>;
    let client = ScimClient::new(transport, config, Ambient::system()).unwrap();
    let gave_up = AtomicBool::new(false);
    let brought = client.bring(known, account, absence, &gave_up).await;
    assert!(provider.answers.lock().unwrap().is_empty(), "{brought:?}");
    let asked = provider.asked.lock().unwrap().clone();
    Came {
        brought,
        gave_up: gave_up.load(Ordering::Relaxed),
        asked,
    }
}

fn account(active: bool) -> Account {
    Account {
        external_id: "u1".into(),
        user_name: Some("adele@contoso.com".into()),
        display_name: None,
        mail: None,
        active,
    }
}

fn nameless(active: bool) -> Account {
    Account {
        user_name: None,
        ..account(active)
    }
}

fn its() -> Result<Brought, ScimError> {
    Ok(Brought::Account("a1".into()))
}

/// Whether a request switches an account off and does nothing else.
fn is_off_alone((method, body): &(Method, Value)) -> bool {
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    *method == Method::PATCH && body["Operations"] == off
}

#[track_caller]
fn refused(brought: Result<Brought, ScimError>) -> String {
    let Err(ScimError::Refused { cause, .. }) = brought else {
        panic!("{brought:?}");
    };
    cause
}

#[tokio::test]
async fn a_change_of_which_the_answer_does_not_speak_was_given_up() {
    let off = account(false);
    for answer in [(204, ""), (200, ""), (200, r#"{"id":"a1","active":false}"#)] {
        let came = bring(Some("a1"), &off, BELIEVED, [answer]).await;
        assert_eq!((came.brought, came.gave_up), (its(), false));
    }
    for answer in [
        (200, "<html>Log in</html>"),
        (202, ""),
        (200, r#"{"id":"a2","active":false}"#),
        (200, r#"{"id":"a1","active":true}"#),
    ] {
        let came = bring(Some("a1"), &off, BELIEVED, [answer]).await;
        let is_unavailable = matches!(came.brought, Err(ScimError::Unavailable { .. }));
        assert!(is_unavailable && came.gave_up, "{answer:?}");
    }
}

#[tokio::test]
async fn an_account_that_is_given_as_a_new_one_and_names_another_user_is_not_taken() {
    let made = |answer| async move {
        let answers = [NONE, NONE, answer];
        bring(None, &account(true), BELIEVED, answers).await.brought
    };
    for answer in [
        (201, r#"{"id":"a1"}"#),
        (201, r#"{"id":"a1","externalId":"u1"}"#),
    ] {
        assert_eq!(made(answer).await, its());
    }
    refused(made((200, r#"{"id":"a7","externalId":"hr-7"}"#)).await);
}

#[tokio::test]
async fn who_is_off_goes_off_though_the_rest_is_refused_and_counts_as_refused() {
    for refusal in [(409, ""), (400, r#"{"scimType":"invalidValue"}"#)] {
        let answers = [refusal, (204, "")];
        let came = bring(Some("a1"), &account(false), BELIEVED, answers).await;
        assert!(is_off_alone(&came.asked[1]));
        assert!(refused(came.brought).contains("the account is off"));
        // Nor is one who is on switched off, or told of twice.
        let came = bring(Some("a1"), &account(true), BELIEVED, [refusal]).await;
        assert!(!refused(came.brought).contains("the account is off"));
    }
    // One that is found is no other than one that is known.
    let answers = [ITS, (409, ""), (204, "")];
    let came = bring(None, &account(false), BELIEVED, answers).await;
    assert!(is_off_alone(&came.asked[2]));
    assert!(refused(came.brought).contains("the account is off"));
    // And where that is refused too, nothing says that he is off.
    let answers = [(409, ""), (400, "")];
    let came = bring(Some("a1"), &account(false), BELIEVED, answers).await;
    assert!(!refused(came.brought).contains("the account is off"));
}

#[tokio::test]
async fn who_is_off_and_has_no_login_name_goes_off_if_he_has_an_account() {
    let off = nameless(false);
    let came = bring(Some("a1"), &off, BELIEVED, [(204, "")]).await;
    assert!(is_off_alone(&came.asked[0]));
    assert!(refused(came.brought).contains("the account is off"));
    let came = bring(None, &off, BELIEVED, [ITS, (204, "")]).await;
    assert!(is_off_alone(&came.asked[1]));
    assert!(refused(came.brought).contains("the account is off"));
    let came = bring(None, &off, BELIEVED, [NONE]).await;
    assert_eq!(came.brought, Ok(Brought::NoneNeeded));
    // Who is on and has none cannot be told of.
    refused(bring(None, &nameless(true), BELIEVED, [NONE]).await.brought);
}

#[tokio::test]
async fn an_account_that_is_not_found_is_missing_until_that_is_believed() {
    let doubted = Absence {
        is_believed: false,
        ..BELIEVED
    };
    let gone = (404, "");
    let came = bring(Some("a1"), &account(false), doubted, [gone, NONE]).await;
    assert_eq!(came.brought, Ok(Brought::Missing));
    let came = bring(Some("a1"), &account(true), doubted, [gone, NONE, NONE]).await;
    assert_eq!(came.brought, Ok(Brought::Missing));
    let came = bring(Some("a1"), &account(false), BELIEVED, [gone, NONE]).await;
    assert_eq!(came.brought, Ok(Brought::NoneNeeded));
    let answers = [gone, NONE, NONE, (201, r#"{"id":"a2"}"#)];
    let came = bring(Some("a1"), &account(true), BELIEVED, answers).await;
    assert_eq!(came.brought, Ok(Brought::Account("a2".into())));
}
