//! The pages say what is: every command of `README.md` and `docs/*.md` is typed here, in its page's order,
//! and what a page shows of the answer is compared with the answer.
//!
//! A block of the language `sh` has a command a line; in one of the language `console` the lines that begin
//! with `$ ` are typed, and the others are what was said, errors first. `…` stands for what is left out;
//! hashes, ids, times, durations and units of capacity are other ones at each call. What this needs to know
//! besides stands before a block, in a comment that nobody sees:
//!
//! - `<!-- stage: fresh; disable 12; rollcall sync -->` is what happens before. Each page begins with an
//!   empty stack, and a `tenants.toml` that points at an emulated tenant; `empty` gives it another one, and
//!   `fresh` one that was put and synced once. `play RULE`, `heal`, `disable COUNT`, `enable ID`, `delete COUNT` and `rename
//!   COUNT` happen at Microsoft (`stage.rs`); `set TABLE KEY = VALUE` changes the tenant's settings; and what
//!   begins with `rollcall` is typed.
//! - `<!-- exits: 3 0 -->` is how the commands of the block end, if not all end with 0.
//!
//! `--stack rollcall` is parsed, and then the command is given to the local stack: they are the same. `HASH` is
//! the plan that waits. Whatever is not a call of `rollcall` is in the list of `elsewhere.rs`, with the
//! reason; what is neither fails the test.

#![expect(clippy::panic, reason = "a page that cannot be read fails the test")]

mod elsewhere;
mod links;
mod operating;
mod page;
mod shown;
mod stage;

use std::path::{Path, PathBuf};

use self::page::{Page, Typed};
use self::stage::Stage;
use crate::support::{Local, binary, run_binary};

/// What a deployed stack is asked for without a region: whoever gets so far was understood.
const NO_REGION: &str = "is in no region: set AWS_REGION";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<Page> {
    let root = root();
    let files = std::fs::read_dir(root.join("docs")).unwrap();
    let names = files.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.sort();
    names.insert(0, "README.md".to_owned());
    names.push("infra/README.md".to_owned());
    names.iter().map(|name| Page::read(&root, name)).collect()
}

/// What `rollcall` is given, if the command is a call of it.
fn arguments(command: &str) -> Option<&str> {
    let calls = ["rollcall ", "cargo run -- "];
    calls.iter().find_map(|it| command.strip_prefix(it))
}

/// What is wrong with a command, if anything is.
fn problem(stage: &Stage, typed: &Typed, used: &mut Vec<&'static str>) -> Option<String> {
    let is_elsewhere = elsewhere::entry(&typed.command).is_some();
    let Some(args) = arguments(&typed.command).filter(|_| !is_elsewhere) else {
        let Some(entry) = elsewhere::entry(&typed.command) else {
            return Some("neither run here nor in the list of elsewhere.rs".to_owned());
        };
        used.push(entry);
        let problems = elsewhere::problems(&root(), typed);
        return (!problems.is_empty()).then(|| problems.join("; "));
    };
    if args.contains("--stack")
        && let Some(problem) = not_understood(args)
    {
        return Some(problem);
    }
    let ended = stage.call(args);
    let said = format!("{}{}", ended.stderr, ended.stdout);
    if ended.code != typed.exit {
        return Some(format!(
            "it ends with {}, not {}:\n{said}",
            ended.code, typed.exit
        ));
    }
    match &typed.said {
        Some(shown) if !shown::is_as(shown, &said) => Some(format!("it says:\n{said}")),
        _ => None,
    }
}

/// Whether a command for a deployed stack is one: it then misses nothing but the region.
fn not_understood(args: &str) -> Option<String> {
    let local = Local::new();
    local.file("tenants.toml", SETTINGS);
    let mut command = binary();
    command
        .current_dir(local.folder())
        .args(args.split_whitespace());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    for file in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env(file, local.folder().join("none"));
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    let ended = run_binary(&mut command);
    let is_understood = ended.code == 2 && ended.stderr.contains(NO_REGION);
    (!is_understood).then(|| format!("without a region it says:\n{}", ended.stderr))
}

const SETTINGS: &str = "[[tenant]]\nid = \"contoso\"\ncloud = \"global\"\n\
    directory_id = \"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"\n\
    client_id = \"e46697b1-7d7a-4a7a-9d6c-1c6ac6fb2ea7\"\n\
    credential = { kind = \"federated\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_pages_does_what_its_page_says() {
    let (mut problems, mut used, mut run) = (Vec::new(), Vec::new(), 0);
    for page in pages() {
        let mut stage = Stage::new().await;
        for block in &page.blocks {
            for step in &block.stage {
                match step.as_str() {
                    "empty" => stage = Stage::new().await,
                    "fresh" => stage = Stage::synced().await,
                    step => stage.directed(step),
                }
            }
            for typed in &block.commands {
                run += u32::from(arguments(&typed.command).is_some());
                if let Some(problem) = problem(&stage, typed, &mut used) {
                    let place = format!("{}:{}", page.name, typed.line);
                    problems.push(format!("{place}: {}\n{problem}", typed.command));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    let unused = elsewhere::without(&used);
    assert!(unused.is_empty(), "no page has these any more: {unused:?}");
    assert!(run > 40, "{run} commands were run");
}

/// Whoever begins with the settings of a page gets no error.
#[test]
fn the_settings_of_the_pages_are_taken() {
    let mut taken = 0;
    for page in pages() {
        for settings in &page.settings {
            let local = Local::new();
            let file = local.file("tenants.toml", settings);
            let ended = local.put(&file);
            assert_eq!(ended.code, 0, "{}: {}\n{settings}", page.name, ended.stderr);
            taken += 1;
        }
    }
    assert!(taken >= 1, "{taken}");
}

#[test]
fn a_command_that_nobody_knows_or_that_names_what_is_not_there_is_noticed() {
    let typed = |command: &str| Typed {
        line: 1,
        command: command.to_owned(),
        exit: 0,
        said: None,
    };
    for unknown in [
        "terraform apply",
        "cargo build",
        "samtools",
        "cargo run --bin other",
    ] {
        assert_eq!(elsewhere::entry(unknown), None, "{unknown}");
    }
    for wrong in [
        "cargo test -p rollcall-end-to-end --test nothing",
        "cargo test -p rollcall-end-to-end --example nothing",
        "cargo test -p rollcall-end-to-end -p rollcall-nothing",
        "cargo install --path nothing",
        "~/rollcall-tools/bin/python infra/nothing.py",
        "sam deploy --parameter-overrides Nothing=1",
    ] {
        assert!(elsewhere::entry(wrong).is_some(), "{wrong}");
        assert!(
            !elsewhere::problems(&root(), &typed(wrong)).is_empty(),
            "{wrong}"
        );
    }
    for wrong in [
        "--stack rollcall hold release contoso/2",
        "--stack rollcall sync --fast",
    ] {
        assert!(not_understood(wrong).is_some(), "{wrong}");
    }
    assert_eq!(not_understood("--stack rollcall sync --mode delta"), None);
}
