//! `serve`: the local stack with its schedules, and the page that shows it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use rollcall_graph_emulator::{Emulator, Tenant};
use serde_json::Value;

use crate::support::{Local, SECRET, emulator, entry, members, run_binary, users};

/// A stack that is served.
struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    /// `127.0.0.1:PORT`
    address: String,
}

impl Served {
    fn start(local: &Local) -> Self {
        let mut child = local
            .command(["serve", "--port", "0", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{said}");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split('/').next().unwrap().to_owned();
            }
            said.push_str(&line);
        };
        Self {
            child,
            stdout,
            stderr,
            address,
        }
    }

    /// The next run that ends.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Head and body of an answer.
    fn get(&self, path: &str, host: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    fn page(&self, path: &str) -> String {
        let (head, body) = self.get(path, &self.address);
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        body
    }

    /// Asks it to stop, as a service manager does; gives the exit code.
    fn stop(mut self) -> i32 {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        let code = self.child.wait().unwrap().code().unwrap();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("error"), "{rest}");
        code
    }
}

async fn contoso() -> (Emulator, Tenant, Local) {
    let emulator = emulator().await;
    let tenant = members(emulator.graph(), "contoso.com", 40, 25);
    let local = Local::with_tenants(&entry("contoso", &emulator, &tenant), SECRET);
    (emulator, tenant, local)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_is_served_syncs_at_once_shows_it_and_stops_when_it_is_told() {
    let (_emulator, tenant, local) = contoso().await;
    let mut served = Served::start(&local);
    let run = served.next();
    let ended = (&run["tenant"], &run["run"], &run["state"], &run["created"]);
    let expected = (
        &"contoso".into(),
        &1.into(),
        &"COMPLETED".into(),
        &40.into(),
    );
    assert_eq!(ended, expected);
    let page = served.page("/");
    assert!(page.contains("href=\"/runs/contoso/1\""), "{page}");
    assert!(page.contains("<dt>Runs under way</dt><dd>0</dd>"), "{page}");
    let report = served.page("/runs/contoso/1");
    assert!(report.contains("Run contoso/1 is"), "{report}");
    for user in users(&tenant) {
        for text in [user.display_name, user.user_principal_name, user.mail] {
            let text = text.unwrap();
            assert!(!page.contains(&text) && !report.contains(&text), "{text}");
        }
    }
    assert_eq!(served.stop(), 0);
    assert_eq!(
        local.run(["run", "list", "--json"]).with(0).objects().len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_waits_is_shown_with_what_to_type() {
    let (_emulator, tenant, local) = contoso().await;
    local.call("sync").with(0);
    for user in users(&tenant).into_iter().take(20) {
        let mut directory = tenant.directory();
        directory.set_account_enabled(user.id, Some(false)).unwrap();
    }
    let mut served = Served::start(&local);
    let run = served.next();
    assert_eq!(run["state"], "HELD", "{run}");
    let plan = run["held"]["plan"].as_str().unwrap();
    let page = served.page("/?every=5");
    let command = format!("rollcall hold approve contoso/2 --plan {plan}");
    assert!(page.contains(&command), "{page}");
    assert_eq!(served.stop(), 0);
    local
        .run(["hold", "approve", "contoso/2", "--plan", plan])
        .with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_for_whoever_asks_by_the_loopback_address_and_looks_again_when_told_to() {
    let (_emulator, _tenant, local) = contoso().await;
    let mut served = Served::start(&local);
    served.next();
    for host in ["evil.example", "127.0.0.1", "evil.example:80", ""] {
        let (head, body) = served.get("/", host);
        assert!(!head.starts_with("http/1.1 200 "), "{host}: {head}");
        assert!(!body.contains("contoso"), "{host}: {body}");
    }
    let (head, _) = served.get("/?every=5", &served.address);
    assert!(
        head.contains("\r\nrefresh: 5\r\n") || head.ends_with("\r\nrefresh: 5"),
        "{head}"
    );
    for (path, every) in [
        ("/", "refresh:"),
        ("/?every=x", "refresh:"),
        ("/?every=0", "refresh: 0"),
    ] {
        let (head, _) = served.get(path, &served.address);
        assert!(!head.contains(every), "{path}: {head}");
    }
    for path in [
        "/runs/contoso/9",
        "/runs/nobody/1",
        "/runs/contoso/x",
        "/runs/..%2f/1",
        "/else",
    ] {
        let (head, _) = served.get(path, &served.address);
        assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
    }
    assert_eq!(served.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_served_is_bad_input_with_its_remedy() {
    let nobody = Local::new();
    let ended = nobody.call("serve --port 0").with(2);
    assert!(ended.stderr.contains("tenant put FILE"), "{ended:?}");

    let (_emulator, _tenant, local) = contoso().await;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = local.call(&format!("serve --port {port}")).with(2);
    assert!(
        ended.stderr.contains("give another one with --port"),
        "{ended:?}"
    );
    for args in ["--full-at 24:00", "--delta-minutes 0", "--port 70000"] {
        local.call(&format!("serve {args}")).with(2);
    }

    let mut deployed = crate::support::binary();
    let ended = run_binary(deployed.args(["serve", "--stack", "rollcall"])).with(2);
    assert!(
        ended.stderr.contains("has its schedules on AWS"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_stack_is_served_no_other_command_has_its_data() {
    let (_emulator, _tenant, local) = contoso().await;
    let served = Served::start(&local);
    let ended = local.call("run list").with(1);
    assert!(
        ended.stderr.contains("in use by another process"),
        "{ended:?}"
    );
    assert_eq!(served.stop(), 0);
}
