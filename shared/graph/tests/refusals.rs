//! What Graph refuses, and where it leads: tokens, denials, redirects, links and page tokens.

#![allow(missing_docs, reason = "the names of the tests say it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod support;

use rollcall_graph::{GraphError, NextLink, PageAt, UsersPage};

use support::{Reply, Seen, Server, page};

const FIRST: &str = "/v1.0/users?$select=id,userPrincipalName,mail,displayName,accountEnabled,\
                     userType&$top=999";

async fn first(server: &Server) -> Result<UsersPage, GraphError> {
    server.client().users_page(PageAt::First).await
}

fn ids(page: &UsersPage) -> Vec<&str> {
    page.users.iter().map(|user| user.id.as_str()).collect()
}

#[tokio::test]
async fn a_token_that_ends_in_mid_scan_is_renewed_once_at_the_same_address() {
    let server = Server::graph(|seen, nth| match nth {
        0 => page(
            &["a"],
            Some(format!("{}/v1.0/users?$skiptoken=2", seen.root)),
        ),
        _ if seen.header("authorization") == "Bearer token-1" => page(&["b"], None),
        _ => Reply::error(401, "InvalidAuthenticationToken", ""),
    })
    .await;
    let client = server.client();
    let link = client
        .users_page(PageAt::First)
        .await
        .unwrap()
        .next
        .unwrap();
    let page = client.users_page(PageAt::Link(&link)).await.unwrap();
    assert_eq!(ids(&page), ["b"]);
    let second = "/v1.0/users?$skiptoken=2";
    assert_eq!(server.targets(), [FIRST, second, second]);
    assert_eq!(server.token_requests().len(), 2);
    assert_eq!(client.usage().retried, 1);
}

#[tokio::test]
async fn a_fresh_token_that_is_not_taken_ends_the_matter() {
    let plain = Reply::error(401, "InvalidAuthenticationToken", "");
    let claims = plain.clone().with(
        "www-authenticate",
        r#"Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#,
    );
    for (reply, told) in [(plain, "401"), (claims, "insufficient_claims")] {
        let server = Server::graph(move |_, _| reply.clone()).await;
        let error = first(&server).await.unwrap_err();
        assert_eq!(error.run_reason().name(), "credential_rejected");
        assert!(error.to_string().contains(told), "{error}");
        assert_eq!((server.seen().len(), server.token_requests().len()), (2, 2));
    }
}

#[tokio::test]
async fn a_denial_is_final_and_says_what_to_grant() {
    let denied = Reply::error(403, "Authorization_RequestDenied", "Adele may not");
    let server = Server::graph(move |_, _| denied.clone()).await;
    let error = first(&server).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_denied");
    let text = error.to_string();
    assert!(text.contains("Authorization_RequestDenied") && text.contains("User.Read.All"));
    assert!(!text.contains("Adele"), "{text}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn other_refusals_are_final() {
    for status in [400, 404, 405, 410, 501] {
        let server =
            Server::graph(move |_, _| Reply::error(status, "Request_BadRequest", "")).await;
        let error = first(&server).await.unwrap_err();
        assert!(matches!(error, GraphError::Refused { .. }), "{error}");
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_goes_nowhere_else() {
    let other = Server::graph(|_, _| page(&["a"], None)).await;
    let away = format!("{}/v1.0/users", other.root);
    let server = Server::graph(move |_, _| Reply::raw(302, "").with("location", &away)).await;
    let error = first(&server).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "unsafe_link");
    assert!(other.seen().is_empty());

    let server = Server::graph(|_, _| Reply::raw(307, "").with("location", "/v1.0/me")).await;
    let error = first(&server).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_unavailable");
    assert_eq!(server.targets(), [FIRST]);
}

#[tokio::test]
async fn a_next_link_to_another_host_fails_the_page() {
    let server = Server::graph(|_, _| {
        page(
            &["a"],
            Some("https://graph.example.com/v1.0/users?$skiptoken=2".into()),
        )
    })
    .await;
    let error = first(&server).await.unwrap_err();
    assert_eq!(error.run_reason().name(), "unsafe_link");
    assert!(
        error.to_string().contains("https://graph.example.com"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_link_of_another_directory_is_not_asked() {
    let other = Server::graph(|_, _| page(&["a"], None)).await;
    let link = format!("{}/v1.0/users?$skiptoken=2", other.root);
    let link = NextLink::parse(&other.url(), &link).unwrap();
    let server = Server::graph(|_, _| page(&["a"], None)).await;
    let error = server
        .client()
        .users_page(PageAt::Link(&link))
        .await
        .unwrap_err();
    assert_eq!(error.run_reason().name(), "unsafe_link");
    assert!(other.seen().is_empty() && server.seen().is_empty());
}

#[tokio::test]
async fn an_expired_page_token_is_told_apart_from_a_bad_request() {
    for (code, message) in [
        ("Directory_ExpiredPageToken", "expired"),
        ("DirectoryPageTokenNotFoundException", "not found"),
        ("Request_BadRequest", "Specified $skiptoken is invalid."),
    ] {
        let server = Server::graph(move |_, _| Reply::error(400, code, message)).await;
        let client = server.client();
        let link = format!("{}/v1.0/users?$skiptoken=2", server.root);
        let link = NextLink::parse(&server.url(), &link).unwrap();
        let error = client.users_page(PageAt::Link(&link)).await.unwrap_err();
        assert!(
            matches!(error, GraphError::PageTokenExpired { .. }),
            "{error}"
        );
        assert_eq!(error.run_reason().name(), "enumeration_unreliable");
        // The first page has no token that could expire.
        let error = client.users_page(PageAt::First).await.unwrap_err();
        assert!(matches!(error, GraphError::Refused { .. }), "{error}");
        assert_eq!(server.seen().len(), 2);
    }
    let server = Server::graph(|_, _| Reply::error(400, "Request_BadRequest", "no")).await;
    let link = format!("{}/v1.0/users?$skiptoken=2", server.root);
    let link = NextLink::parse(&server.url(), &link).unwrap();
    let error = server
        .client()
        .users_page(PageAt::Link(&link))
        .await
        .unwrap_err();
    assert!(matches!(error, GraphError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_page_whose_error_is_cut_off_is_asked_for_again() {
    let server = Server::graph(|_, nth| match nth {
        0 => Reply::raw(400, r#"{"error":{"code":"Directory_Exp"#),
        _ => Reply::error(400, "Directory_ExpiredPageToken", "expired"),
    })
    .await;
    let link = format!("{}/v1.0/users?$skiptoken=2", server.root);
    let link = NextLink::parse(&server.url(), &link).unwrap();
    let client = server.client();
    let error = client.users_page(PageAt::Link(&link)).await.unwrap_err();
    assert!(
        matches!(error, GraphError::PageTokenExpired { .. }),
        "{error}"
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_number_of_users_is_asked_where_there_is_one() {
    let server = Server::graph(|_, _| Reply::raw(200, "\u{feff}1000417")).await;
    assert_eq!(server.client().count_users().await, Ok(Some(1_000_417)));
    let seen: Seen = server.seen().remove(0);
    assert_eq!(seen.target, "/v1.0/users/$count");
    assert_eq!(seen.header("consistencylevel"), "eventual");

    for status in [400, 404, 501] {
        let server = Server::graph(move |_, _| Reply::error(status, "x", "")).await;
        assert_eq!(server.client().count_users().await, Ok(None));
    }
    let server = Server::graph(|_, _| Reply::error(403, "x", "")).await;
    let error = server.client().count_users().await.unwrap_err();
    assert_eq!(error.run_reason().name(), "graph_denied");
}
