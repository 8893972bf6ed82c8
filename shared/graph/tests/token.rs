//! Access tokens: how they are asked for, kept, renewed and refused.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod support;

use std::sync::{Arc, Mutex};

use rollcall_ambient::Ambient;
use rollcall_graph::{GraphClient, PageAt};
use serde_json::json;
use support::{CLIENT, DIRECTORY, Reply, SECRET, Server, SetClock, page, token};

const MINUTE_MS: u64 = 60_000;

fn wrong_secret() -> Reply {
    Reply::json(
        401,
        &json!({
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 1",
            "error_codes": [7_000_215],
        }),
    )
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_used_again() {
    let server = Server::graph(|_, _| page(&["a"], None)).await;
    let mut config = server.config();
    config.graph_root = format!("{}/v1.0/", server.root).parse().unwrap();
    let client = GraphClient::new(config, Ambient::system()).unwrap();
    let both = tokio::join!(
        client.users_page(PageAt::First),
        client.users_page(PageAt::First)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    client.users_page(PageAt::First).await.unwrap();

    let asked = server.token_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, "POST");
    assert_eq!(asked[0].target, format!("/{DIRECTORY}/oauth2/v2.0/token"));
    let form: Vec<(String, String)> = url::form_urlencoded::parse(asked[0].body.as_bytes())
        .into_owned()
        .collect();
    let expected = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", CLIENT.to_owned()),
        ("scope", format!("{}/.default", server.root)),
        ("client_secret", SECRET.to_owned()),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value)));
    // Token requests are no Graph requests.
    assert_eq!(client.usage().requests, 3);
}

#[tokio::test]
async fn two_requests_that_find_the_token_ended_renew_it_once() {
    let server = Server::graph(|seen, _| match seen.header("authorization") {
        "Bearer token-0" => Reply::error(401, "InvalidAuthenticationToken", ""),
        _ => page(&["a"], None),
    })
    .await;
    let client = server.client();
    let both = tokio::join!(
        client.users_page(PageAt::First),
        client.users_page(PageAt::First)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!((server.seen().len(), server.token_requests().len()), (4, 2));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let server = Server::graph(|_, _| page(&["a"], None)).await;
    let clock = SetClock::default();
    let ambient = Ambient::system().with_clock(clock.clone());
    let client = GraphClient::new(server.config(), ambient).unwrap();
    let mut bearers = Vec::new();
    for minutes in [0, 50, 6, 40] {
        clock.advance(minutes * MINUTE_MS);
        client.users_page(PageAt::First).await.unwrap();
        bearers.push(
            server
                .seen()
                .last()
                .unwrap()
                .header("authorization")
                .to_owned(),
        );
    }
    assert_eq!(
        bearers,
        ["token-0", "token-0", "token-1", "token-1"].map(|it| format!("Bearer {it}"))
    );
}

#[tokio::test]
async fn a_token_that_is_still_good_outlives_a_token_service_that_fails() {
    let server = Server::start(
        |_, nth| match nth {
            0 => token(0),
            _ => Reply::raw(503, "<html>"),
        },
        |_, _| page(&["a"], None),
    )
    .await;
    let clock = SetClock::default();
    let ambient = Ambient::system().with_clock(clock.clone());
    let client = GraphClient::new(server.config(), ambient).unwrap();
    client.users_page(PageAt::First).await.unwrap();
    clock.advance(56 * MINUTE_MS);
    client.users_page(PageAt::First).await.unwrap();
    client.users_page(PageAt::First).await.unwrap();
    // One try to renew it, not one a request.
    assert_eq!(server.token_requests().len(), 2);
}

#[tokio::test]
async fn a_token_service_in_trouble_is_waited_out() {
    let server = Server::start(
        |_, nth| match nth {
            0 => Reply::raw(429, "Too Many Requests").with("retry-after", "1"),
            1 => Reply::json(
                503,
                &json!({"error": "temporarily_unavailable", "error_codes": [90_033]}),
            ),
            2 => Reply::json(
                400,
                &json!({"error": "invalid_request", "error_codes": [90_055]}),
            ),
            3 => token(3).cut_off(),
            _ => token(4),
        },
        |_, _| page(&["a"], None),
    )
    .await;
    let client = server.client();
    client.users_page(PageAt::First).await.unwrap();
    assert_eq!(server.token_requests().len(), 5);
    assert_eq!(client.usage().retried, 0);
}

#[tokio::test]
async fn a_rejected_credential_is_not_tried_again() {
    let server = Server::start(|_, _| wrong_secret(), |_, _| page(&["a"], None)).await;
    let error = server.client().users_page(PageAt::First).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "credential_rejected");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("AADSTS7000215") && text.contains("secret is wrong"),
        "{text}"
    );
    assert!(!text.contains(SECRET) && !text.contains("Trace"), "{text}");
    assert_eq!(server.token_requests().len(), 1);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_secret_does_not_follow_a_redirect() {
    let other = Server::graph(|_, _| page(&[], None)).await;
    let away = format!("{}/oauth2/v2.0/token", other.root);
    let server = Server::start(
        move |_, _| Reply::raw(307, "").with("location", &away),
        |_, _| page(&["a"], None),
    )
    .await;
    let error = server.client().users_page(PageAt::First).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "unsafe_link");
    assert!(other.token_requests().is_empty());
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_and_errors_hold_no_secret_no_token_no_link_and_no_name() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::graph(|seen, nth| match nth {
        0 => page(
            &["adele"],
            Some(format!("{}/v1.0/users?$skiptoken=adele-link", seen.root)),
        ),
        1 => Reply::error(503, "adele@contoso.com", "adele is away"),
        2 => page(&["adele"], None).cut_off(),
        _ => Reply::error(400, "Request_BadRequest", "$skiptoken adele is invalid"),
    })
    .await;
    let client = server.client();
    let link = client
        .users_page(PageAt::First)
        .await
        .unwrap()
        .next
        .unwrap();
    let error = client.users_page(PageAt::Link(&link)).await.unwrap_err();

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let text = format!("{text} {error} {error:?} {client:?} {link:?}");
    assert!(
        text.contains("client_request_id") && text.contains("503"),
        "{text}"
    );
    for kept in [SECRET, "token-0", "adele", "skiptoken"] {
        assert!(!text.contains(kept), "{kept} in {text}");
    }
}
