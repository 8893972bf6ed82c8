//! Wrong arguments: exit 2, a message that names them, nothing on stdout.

use rollcall_ambient::Ambient;
use rollcall_local::{LocalAws, LocalSettings};

use crate::support::{Local, binary, run_binary};

#[test]
fn a_wrong_argument_is_named_and_nothing_is_done() {
    let cases = [
        ("tenant", "Usage"),
        ("frobnicate", "frobnicate"),
        ("tenant frobnicate", "frobnicate"),
        ("tenant put", "<FILE>"),
        ("tenant put a.toml b.toml", "b.toml"),
        ("tenant show", "<TENANT>"),
        ("tenant show Contoso", "a-z, 0-9 and -"),
        ("sync contoso", "contoso"),
        ("sync --tenant", "--tenant"),
        ("sync --tenant no/slash", "no/slash"),
        ("sync --mode FULL", "[possible values: full, delta]"),
        ("run show", "<RUN>"),
        ("run show contoso", "<tenant>/<number>"),
        ("run show contoso/0", "contoso/0"),
        ("run show contoso/one", "contoso/one"),
        ("run list --tenant Ä", "a-z, 0-9 and -"),
        (
            "user list --status GONE",
            "[possible values: ACTIVE, INACTIVE]",
        ),
        ("user show contoso", "<USER>"),
        ("hold approve contoso/1", "--plan"),
        ("serve contoso", "contoso"),
        ("serve --full-at 24:00", "from 00:00 to 23:59"),
        ("--stack prod tenant list", "--stack"),
        ("--json=yes tenant list", "--json"),
        ("-q -v tenant list", "cannot be used with"),
        ("--frob", "--frob"),
    ];
    for (args, named) in cases {
        let local = Local::new();
        let ended = local.call(args).with(2);
        assert_eq!(ended.stdout, "", "{args}");
        assert!(
            ended.stderr.contains(named),
            "{args}: {named} is not in {}",
            ended.stderr
        );
        assert!(!local.dir().exists(), "{args}");
    }
}

#[test]
fn what_does_not_exist_is_named_with_a_remedy() {
    let cases = [
        ("tenant show nobody", "tenant list"),
        ("tenant check nobody", "tenant list"),
        ("tenant remove nobody", "tenant list"),
        ("sync --tenant nobody", "tenant put"),
        ("run list --tenant nobody", "tenant list"),
        ("run show nobody/1", "run list"),
        ("user list --tenant nobody", "tenant list"),
        ("user show nobody adele@contoso.com", "tenant list"),
    ];
    let local = Local::new();
    for (args, remedy) in cases {
        let ended = local.call(args).with(2);
        assert_eq!(ended.stdout, "", "{args}");
        assert!(ended.stderr.contains("nobody"), "{}", ended.stderr);
        assert!(ended.stderr.contains(remedy), "{args}: {}", ended.stderr);
    }
    let ended = local.call("sync").with(2);
    assert!(ended.stderr.contains("tenant put"), "{}", ended.stderr);
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let local = Local::new();
    let file = local.file("file", "");
    let ended = run_binary(binary().arg("--local").arg(&file).args(["tenant", "list"])).with(2);
    let named = file.to_string_lossy();
    assert!(ended.stderr.contains(&*named), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_directory_is_told_so() {
    let local = Local::new();
    let (dir, settings) = (local.dir(), LocalSettings::default());
    let first = LocalAws::start(Some(&dir), Ambient::system(), settings);
    let first = first.await.unwrap();
    let ended = local.call("tenant list").with(1);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
    first.shutdown().await;
    local.call("tenant list").with(0);
}

#[test]
fn the_directory_is_taken_from_the_environment_and_from_the_platform() {
    let local = Local::new();
    let by_variable = local.dir().join("by-variable");
    let mut command = binary();
    command.env("ROLLCALL_LOCAL", &by_variable);
    run_binary(command.args(["tenant", "list"])).with(0);
    assert!(by_variable.join("dynamodb.sqlite").is_file());
    if cfg!(target_os = "linux") {
        let mut command = binary();
        command.env("XDG_DATA_HOME", local.dir());
        run_binary(command.args(["tenant", "list"])).with(0);
        assert!(local.dir().join("rollcall/dynamodb.sqlite").is_file());
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let local = Local::new();
    let help = local.call("--help").with(0);
    for command in ["demo", "tenant", "sync", "run", "user"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
    }
    local.call("--version").with(0);
}

/// The binary without what this machine may know of AWS.
fn without_aws() -> std::process::Command {
    let mut command = binary();
    for variable in ["AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"] {
        command.env_remove(variable);
    }
    command
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .args(["--stack", "rollcall-test", "run", "list"]);
    command
}

#[test]
fn a_deployed_stack_that_cannot_be_found_is_told_with_what_to_do() {
    let ended = run_binary(&mut without_aws()).with(2);
    assert!(ended.stderr.contains("rollcall-test"), "{}", ended.stderr);
    assert!(ended.stderr.contains("AWS_REGION"), "{}", ended.stderr);

    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", refused.local_addr().unwrap());
    drop(refused);
    let mut command = without_aws();
    command
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_ENDPOINT_URL", origin);
    let ended = run_binary(&mut command).with(1);
    for told in [
        "rollcall-test",
        "us-east-1",
        "cloudformation:DescribeStacks",
    ] {
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}

#[test]
fn a_deployed_stack_and_a_directory_are_not_both_taken() {
    let local = Local::new();
    let ended = local.call("--stack rollcall-test run list").with(2);
    assert!(ended.stderr.contains("--local"), "{}", ended.stderr);
}
