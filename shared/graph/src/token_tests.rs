use super::*;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

fn received(status: u16, body: &str) -> Received {
    Received {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Ok(body.as_bytes().to_vec()),
    }
}

fn rejected(status: u16, body: &str) -> GraphError {
    match judge(&received(status, body), false) {
        Err(NoToken::Ever(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn passes(status: u16, body: &str) -> bool {
    matches!(judge(&received(status, body), false), Err(NoToken::Yet(_)))
}

const WRONG_SECRET: &str = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided for app adele@contoso.com. Trace ID: 1","error_codes":[7000215]}"#;

#[test]
fn a_wrong_secret_is_told_with_its_remedy_and_without_free_text() {
    let error = rejected(401, WRONG_SECRET);
    assert_eq!(error.run_reason().name(), "credential_rejected");
    let text = error.to_string();
    for part in [
        "AADSTS7000215",
        "invalid_client",
        "401",
        "wrong or has expired",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("adele"), "{text}");
    assert!(!format!("{error:?}").contains("adele"));
}

#[test]
fn the_number_is_found_in_the_description_too() {
    let body =
        r#"{"error":"invalid_request","error_description":"AADSTS90002: Tenant not found."}"#;
    let GraphError::CredentialRejected { aadsts, .. } = rejected(400, body) else {
        panic!()
    };
    assert_eq!(aadsts, Some(90_002));
}

#[test]
fn what_passes_is_not_taken_for_bad_credentials() {
    assert!(passes(429, "Too Many Requests"));
    assert!(passes(503, "<html>Service unavailable</html>"));
    assert!(passes(500, WRONG_SECRET));
    for number in PASSING_AADSTS {
        assert!(passes(
            400,
            &format!(r#"{{"error":"x","error_codes":[{number}]}}"#)
        ));
    }
    assert!(passes(400, r#"{"error":"temporarily_unavailable"}"#));
    assert!(passes(200, "<html>sign in</html>"));
    assert!(passes(200, r#"{"access_token":"","expires_in":3599}"#));
    assert!(passes(200, r#"{"access_token":"a\nb","expires_in":3599}"#));
    assert!(passes(200, r#"{"access_token":"abc"}"#));
}

#[test]
fn a_federated_credential_that_is_not_known_yet_is_waited_for_and_no_other_one() {
    let unknown = r#"{"error":"invalid_request","error_codes":[70021]}"#;
    let federated = judge(&received(400, unknown), true);
    assert!(matches!(federated, Err(NoToken::Yet(_))));
    assert!(rejected(400, unknown).to_string().contains("federated"));
    let wrong = r#"{"error":"invalid_client","error_codes":[700213]}"#;
    let wrong = judge(&received(401, wrong), true);
    assert!(matches!(wrong, Err(NoToken::Ever(_))));
}

#[test]
fn everything_else_is_permanent() {
    for status in [400, 401, 403, 404] {
        rejected(status, "<html></html>");
    }
    rejected(
        400,
        r#"{"error":"unauthorized_client","error_codes":[700016]}"#,
    );
}

#[test]
fn a_token_is_not_printed() {
    let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0eXAi"}"#;
    let granted = judge(&received(200, body), false).unwrap();
    assert_eq!(granted.life_ms, 3_599_000);
    assert!(!format!("{granted:?}").contains("eyJ0eXAi"));
}
