//! `rollcall`: the operator's command line, and the whole system on one machine.
//!
//! It promises: what `--json` prints and the exit codes are a contract for other programs; results
//! go to stdout and everything else to stderr; bad input is refused with exit code 2 before
//! anything is stored or started; a process that is killed leaves nothing behind that the next
//! `sync` does not pick up.
//!
//! It never decides anything about users: it starts the handlers of `rollcall-sync` over the local
//! stack, or rings for those of a deployed one, watches their runs, and shows what is stored. Names and mail addresses are printed only
//! by the commands that are asked for them, never in logs or errors.

mod args;
mod commands;
mod demo;
mod deployed;
mod engine;
mod exit;
mod local;
mod output;
mod pace;
mod progress;
mod report;
mod serve;
mod story;
mod tenant_file;
mod watch;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use rollcall_ambient::Ambient;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::local::Place;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What goes wrong in the demo is meant to, and the demo tells of it.
    let is_demo = matches!(cli.command, None | Some(Command::Demo));
    let verbosity = cli.global.verbosity() - i8::from(is_demo);
    let ambient = Ambient::system();
    let outcome = match open_logs(cli.global.logs.as_deref()) {
        Ok(logs) => {
            rollcall_telemetry::init_cli(&ambient, verbosity, logs);
            run_to_the_end(cli, ambient)
        }
        Err(error) => Err(error),
    };
    let exit = match outcome {
        Ok(exit) => exit,
        Err(error) => {
            // Nobody reads on at the other end of the pipe, so nobody needs to be told.
            if !is_broken_pipe(&error) {
                eprintln!("error: {error:#}");
            }
            Exit::of(&error)
        }
    };
    exit.into()
}

/// The file that log lines are added to.
fn open_logs(path: Option<&Path>) -> anyhow::Result<Option<File>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let file = File::options().append(true).create(true).open(path);
    let file = file.map_err(|error| {
        let path = path.display();
        exit::bad_input(format!(
            "{path} cannot be written to: {error}; give another file"
        ))
    })?;
    Ok(Some(file))
}

fn run_to_the_end(cli: Cli, ambient: Ambient) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(cli, ambient))
}

async fn run(cli: Cli, ambient: Ambient) -> anyhow::Result<Exit> {
    let output = Output::new(cli.global.json);
    let quiet = cli.global.quiet;
    let Some(command) = cli.command else {
        return demo::run(&ambient, &output, quiet).await;
    };
    let place = Place::of(cli.global.local, cli.global.stack, ambient.clone());
    match command {
        Command::Demo => demo::run(&ambient, &output, quiet).await,
        Command::Tenant(command) => commands::tenant::run(command, &place, &output).await,
        Command::Sync(options) => commands::sync::run(options, &place, &output, quiet).await,
        Command::Serve(options) => serve::run(&options, &place, &output, quiet).await,
        Command::Run(command) => commands::run::run(command, &place, &output).await,
        Command::Hold(command) => commands::hold::run(command, &place, &output, quiet).await,
        Command::Revert { run, dry_run } => {
            commands::revert::run(&run, dry_run, &place, &output, quiet).await
        }
        Command::User(command) => commands::user::run(command, &place, &output).await,
        Command::Explain(about) => match about.from_logs {
            Some(file) => commands::story::run(&file, about.run.as_ref(), &output),
            None => commands::user::explain(&about.who()?, &place, &output).await,
        },
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
