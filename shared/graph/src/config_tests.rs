use super::*;

fn config(graph_root: &str) -> GraphConfig {
    GraphConfig {
        graph_root: graph_root.parse().unwrap(),
        login_root: Cloud::Global.login_root().unwrap(),
        directory_id: "6babcaad-604b-40ac-a9d7-9fd97c0b779f".into(),
        client_id: "e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7".into(),
        credential: Credential::Secret(Secret::new("s3cret")),
        attributes: AttributeMap::new(),
        retry_ms_max: 1_000,
        request_ms_max: 1_000,
        requests_max: 1_000,
        run: None,
    }
}

#[test]
fn every_way_to_write_the_root_leads_to_the_same_addresses() {
    for root in [
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
        "https://graph.microsoft.com/v1.0",
        "https://graph.microsoft.com/v1.0/",
        "https://graph.microsoft.com:443/V1.0//",
    ] {
        let endpoints = Endpoints::of(&config(root)).unwrap();
        assert_eq!(
            endpoints.users.as_str(),
            "https://graph.microsoft.com/v1.0/users?$select=id,userPrincipalName,mail,\
             displayName,accountEnabled,userType&$top=999",
            "{root}"
        );
        assert_eq!(
            endpoints.scope, "https://graph.microsoft.com/.default",
            "{root}"
        );
    }
}

#[test]
fn mapped_properties_are_selected_once() {
    let mut config = config("https://graph.microsoft.com");
    config.attributes = AttributeMap::from([
        ("login".into(), "userPrincipalName".into()),
        ("team".into(), "department".into()),
        ("unit".into(), "department".into()),
    ]);
    let users = Endpoints::of(&config).unwrap().users;
    assert!(users.as_str().ends_with("userType,department&$top=999"));
}

#[test]
fn sign_in_activity_halves_the_page() {
    let mut config = config("https://graph.microsoft.com");
    config.attributes = AttributeMap::from([("seen".into(), SIGN_IN_ACTIVITY.into())]);
    let users = Endpoints::of(&config).unwrap().users;
    assert!(users.as_str().ends_with("&$top=500"));
}

#[test]
fn a_page_can_be_asked_for_smaller() {
    let endpoints = Endpoints::of(&config("https://graph.microsoft.com")).unwrap();
    let smaller = endpoints.users_of(100).unwrap();
    assert_eq!(
        smaller.as_str(),
        endpoints.users.as_str().replace("=999", "=100")
    );
}

#[test]
fn plain_http_is_for_loopback_addresses_only() {
    for root in [
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://localhost:1",
    ] {
        assert!(Endpoints::of(&config(root)).is_ok(), "{root}");
    }
    for root in [
        "http://graph.microsoft.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "ftp://graph.microsoft.com",
        "https://user:hunter2@graph.microsoft.com",
        "https://graph.microsoft.com/?a=b",
        "https://graph.microsoft.com/#a",
    ] {
        let error = Endpoints::of(&config(root)).unwrap_err().to_string();
        assert!(error.contains("graph_url"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_bad_setting_is_named() {
    type Spoil = fn(&mut GraphConfig);
    let cases: [(&str, Spoil); 5] = [
        ("directory_id", |c| c.directory_id = "contoso".into()),
        ("client_id", |c| c.client_id = "../x".into()),
        ("credential", |c| {
            c.credential = Credential::Secret(Secret::new(""));
        }),
        ("attributes", |c| {
            c.attributes = AttributeMap::from([("a".into(), "id&$filter=x".into())]);
        }),
        ("limits", |c| c.retry_ms_max = 0),
    ];
    for (setting, spoil) in cases {
        let mut config = config("https://graph.microsoft.com");
        spoil(&mut config);
        let error = Endpoints::of(&config).unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
    }
}

#[test]
fn a_secret_is_not_printed() {
    let printed = format!("{:?}", config("https://graph.microsoft.com"));
    assert!(!printed.contains("s3cret"), "{printed}");
}
