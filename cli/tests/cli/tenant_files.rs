//! Tenant files that are wrong: exit 2, the fault and its place, nothing stored.

use crate::support::Local;

/// Stands before each wrong tenant, so that one that is stored in part would be seen.
const SOUND: &str = "\
[[tenant]]
id = \"fabrikam\"
directory_id = \"11111111-2222-3333-4444-555555555555\"
client_id = \"e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7\"
cloud = \"usgov-dod\"
credential = { kind = \"secret\", env = \"FABRIKAM_SECRET\" }

";

/// The lines of the tenant that is spoiled; the first of them is line 8 of the file.
const TENANT: [&str; 6] = [
    "[[tenant]]",
    "id = \"contoso\"",
    "directory_id = \"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"",
    "client_id = \"e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7\"",
    "cloud = \"global\"",
    "credential = { kind = \"secret\", env = \"CONTOSO_SECRET\" }",
];

/// The tenant with the line that begins so replaced.
fn with(key: &str, line: &str) -> String {
    let lines: Vec<_> = TENANT
        .iter()
        .map(|own| if own.starts_with(key) { line } else { own })
        .collect();
    lines.join("\n")
}

/// The tenant with something behind it, which begins in line 14.
fn and(rest: &str) -> String {
    format!("{}\n{rest}\n", TENANT.join("\n"))
}

#[track_caller]
fn refused(wrong: &str, place: &str, words: &[&str]) -> String {
    let local = Local::new();
    let file = local.file("wrong.toml", format!("{SOUND}{wrong}"));
    let ended = local.put(&file).with(2);
    assert_eq!(ended.stdout, "", "{wrong}");
    let said = format!("wrong.toml{place}: ");
    assert!(
        ended.stderr.contains(&said),
        "{said} is not in {}",
        ended.stderr
    );
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{word:?} is not in {}",
            ended.stderr
        );
    }
    let stored = local.call("tenant list --json").with(0);
    assert_eq!(stored.stdout, "", "{wrong}");
    ended.stderr
}

#[test]
fn the_file_that_the_tests_spoil_is_sound() {
    let local = Local::new();
    let file = local.file("sound.toml", format!("{SOUND}{}", TENANT.join("\n")));
    local.put(&file).with(0);
    assert_eq!(local.call("tenant list --json").with(0).objects().len(), 2);
}

#[test]
fn a_wrong_key_is_named_with_those_that_there_are() {
    refused(
        &with("cloud", "clouds = \"global\""),
        ":12:1",
        &["clouds", "`cloud`"],
    );
    refused(
        &and("[tenant.guards]\nmax = 5"),
        ":15:1",
        &["max", "deactivations_max"],
    );
    refused(
        &and("[tenant.scope]\nguest = true"),
        ":15:1",
        &["guest", "`guests`"],
    );
    refused(
        &and("[tenant.limits]\nlease = 5"),
        ":15:1",
        &["lease", "lease_seconds"],
    );
    refused(&and("[guards]"), ":14:2", &["guards", "`tenant`"]);
    refused(
        &with(
            "cred",
            "credential = { kind = \"secret\", variable = \"A\" }",
        ),
        ":13:33",
        &["variable", "`env`"],
    );
    refused(&and("cloud = \"global\""), ":14:1", &["duplicate key"]);
}

#[test]
fn a_missing_key_is_named() {
    refused(&with("id", ""), ":8:1", &["missing key `id`"]);
    refused(
        &with("directory_id", ""),
        ":8:1",
        &["missing key `directory_id`"],
    );
    refused(&with("cred", ""), ":8:1", &["missing key `credential`"]);
    refused(
        &with("cloud", ""),
        ":8:1",
        &["contoso", "cloud", "graph_url"],
    );
    refused(
        &with("cloud", "graph_url = \"https://graph.example.com\""),
        ":8:1",
        &["contoso", "login_url"],
    );
}

#[test]
fn a_wrong_type_is_told_with_the_right_one() {
    refused(&with("id", "id = 7"), ":9:6", &["integer `7`", "a string"]);
    refused(
        &and("[tenant.guards]\ndeactivations_max = \"many\""),
        ":15:21",
        &["\"many\"", "a whole number"],
    );
    refused(
        &and("[tenant.guards]\ndeactivations_max = -1"),
        ":15:21",
        &["-1", "0 or more"],
    );
    refused(
        &and("[tenant.guards]\nshrink_percent_max = \"20\""),
        ":15:22",
        &["\"20\"", "a number"],
    );
    refused(
        &and("[tenant.scope]\nguests = \"no\""),
        ":15:10",
        &["\"no\"", "boolean"],
    );
    refused(
        &and("[tenant.scope]\ndomains = \"x.com\""),
        ":15:11",
        &["\"x.com\"", "sequence"],
    );
    refused(
        &and("[tenant.attributes]\nteam = 3"),
        ":15:8",
        &["3", "a string"],
    );
}

#[test]
fn a_wrong_value_is_told_with_what_was_expected() {
    let guid = "such as 6babcaad-604b-40ac-a9d7-9fd97c0b779f";
    refused(
        &with("directory_id", "directory_id = \"contoso\""),
        ":10:16",
        &["contoso", guid],
    );
    refused(
        &with(
            "client_id",
            "client_id = \"{e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7}\"",
        ),
        ":11:13",
        &["{e46697b1", guid],
    );
    refused(
        &with("id", "id = \"Contoso Ltd\""),
        ":9:6",
        &["Contoso Ltd", "a-z, 0-9 and -"],
    );
    refused(
        &with("cloud", "cloud = \"mars\""),
        ":12:9",
        &["mars", "`usgov-dod`"],
    );
    refused(
        &with(
            "cloud",
            "graph_url = \"http://graph.example.com\"\nlogin_url = \"https://x\"",
        ),
        ":12:13",
        &["graph.example.com", "loopback"],
    );
    refused(
        &with("cloud", "graph_url = \"graph\""),
        ":12:13",
        &["graph", "URL"],
    );
    refused(
        &and("[tenant.guards]\ndeactivations_percent_max = 500"),
        ":15:29",
        &["500", "0 to 100"],
    );
    refused(
        &and("[tenant.guards]\nabsences_confirmed_by = 1"),
        ":15:25",
        &["1", "2 to 30"],
    );
    refused(
        &and("[tenant.limits]\nlease_seconds = 5000"),
        ":15:17",
        &["5000", "1 to 900"],
    );
    refused(
        &and("[tenant.scope]\ndomains = [\"nodot\"]"),
        ":15:11",
        &["nodot", "contoso.com"],
    );
    refused(
        &and("[tenant.scope]\ngroups = [\"Everybody\"]"),
        ":15:10",
        &["Everybody", guid],
    );
    let group = "\"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"";
    refused(
        &and(&format!("[tenant.scope]\ngroups = [{group}, {group}]")),
        ":15:10",
        &["6babcaad-604b-40ac-a9d7-9fd97c0b779f", "twice"],
    );
    refused(
        &and("[tenant.attributes]\n\"a b\" = \"department\""),
        ":14:1",
        &["a b", "letters"],
    );
    refused(
        &and("[tenant.attributes]\nteam = \"x&$filter=y\""),
        ":14:1",
        &["x&$filter=y", "property"],
    );
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    refused(
        &and("graph_url = \"https://a.example\"\nlogin_url = \"https://b.example\""),
        ":8:1",
        &["contoso", "not both"],
    );
    refused(
        &with(
            "cred",
            "credential = { kind = \"secret\", env = \"A\", pem_file = \"a.pem\" }",
        ),
        ":13:14",
        &["pem_file", "certificate"],
    );
    refused(
        &with(
            "cred",
            "credential = { kind = \"certificate\", env = \"A\", pem_file = \"a.pem\" }",
        ),
        ":13:14",
        &["one place", "env, secrets_manager and pem_file"],
    );
    refused(
        &with("cred", "credential = { kind = \"federated\", env = \"A\" }"),
        ":13:14",
        &["federated", "no secret"],
    );
}

/// What stands there may be the secret itself.
#[test]
fn a_name_that_secrets_manager_does_not_take_is_refused_and_not_repeated() {
    let file = with(
        "cred",
        "credential = { kind = \"secret\", secrets_manager = \"hunter 2\" }",
    );
    let told = refused(&file, ":13:14", &["secrets_manager", "ARN"]);
    assert!(!told.contains("hunter"), "{told}");
}

#[test]
fn a_certificate_that_is_kept_nowhere_is_refused() {
    refused(
        &with("cred", "credential = { kind = \"certificate\" }"),
        ":13:14",
        &["pem_file = ", "env = "],
    );
    refused(
        &with(
            "cred",
            "credential = { kind = \"certificate\", pem_file = \"\" }",
        ),
        ":13:14",
        &["pem_file is empty"],
    );
}

#[test]
fn a_tenant_twice_is_refused_with_both_places() {
    refused(
        &TENANT.join("\n").replace("contoso", "fabrikam"),
        ":8:1",
        &["fabrikam", "line 1"],
    );
}

#[test]
fn what_is_no_toml_is_refused_at_its_place() {
    refused(&with("cloud", "cloud = global"), ":12:9", &["quoted"]);
    refused(
        &with("cloud", "cloud = \"global"),
        ":12:16",
        &["expected `\"`"],
    );
    refused("[[tenant\n", ":8:9", &["expected `]]`"]);
}

#[test]
fn one_bracket_too_few_is_told_as_such() {
    let local = Local::new();
    let file = local.file("wrong.toml", "[tenant]\nid = \"contoso\"\n");
    let ended = local.put(&file).with(2);
    assert!(ended.stderr.contains("wrong.toml:1:1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("[[tenant]]"), "{}", ended.stderr);
}

#[test]
fn a_file_without_a_tenant_is_refused() {
    for text in ["", "# nobody\n", "tenant = []\n"] {
        let local = Local::new();
        let file = local.file("empty.toml", text);
        let ended = local.put(&file).with(2);
        assert!(
            ended.stderr.contains("empty.toml") && ended.stderr.contains("no tenant"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn what_is_no_text_is_refused_at_its_line() {
    let local = Local::new();
    let file = local.file("latin1.toml", b"# ok\nid = \"M\xfcller\"\n");
    let ended = local.put(&file).with(2);
    assert!(ended.stderr.contains("latin1.toml:2:8"), "{}", ended.stderr);
    assert!(ended.stderr.contains("UTF-8"), "{}", ended.stderr);
}

#[test]
fn a_file_beyond_all_reason_is_refused_unread() {
    let local = Local::new();
    let file = local.file("large.toml", "");
    let large = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    large.set_len(1 << 40).unwrap();
    let ended = local.put(&file).with(2);
    assert!(ended.stderr.contains("larger than"), "{}", ended.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let local = Local::new();
    for name in ["missing.toml", "."] {
        let ended = local.call(&format!("tenant put {name}")).with(2);
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
        assert!(ended.stderr.contains("cannot be read"), "{}", ended.stderr);
    }
    assert!(!local.dir().exists(), "a wrong file leaves no trace");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for line in [
        "credential = \"hunter2~x\"",
        "credential = { kind = \"secret\", env = \"hunter2~x\" }",
        "credential = { kind = \"secret\", secret = \"hunter2~x\" }",
        "credential = { kind = \"secret\", env = \"A\" }, \"hunter2~x\"",
        "client_secret = \"hunter2~x\"",
    ] {
        let local = Local::new();
        let file = local.file("secret.toml", with("cred", line));
        let ended = local.put(&file).with(2);
        assert!(ended.stderr.contains("secret.toml:"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn another_directory_under_the_same_id_stores_nothing_of_its_file() {
    let local = Local::new();
    let first = local.file("first.toml", TENANT.join("\n"));
    local.put(&first).with(0);
    let other = with(
        "directory_id",
        "directory_id = \"99999999-604b-40ac-a9d7-9fd97c0b779f\"",
    );
    let second = local.file("second.toml", format!("{SOUND}{other}"));
    let ended = local.put(&second).with(2);
    for word in ["contoso", "directory_id", "99999999", "another id"] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
    let stored = local.call("tenant list --json").with(0).object();
    assert_eq!(stored["id"], "contoso");
    assert_eq!(stored["revision"], 1);
}
