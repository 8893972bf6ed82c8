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
mod progress;
mod tenant_file;
mod watch;

use std::io::ErrorKind;
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
    rollcall_telemetry::init_cli(cli.global.verbosity() - i8::from(is_demo));
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(cli)));
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

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let ambient = Ambient::system();
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
        Command::Run(command) => commands::run::run(command, &place, &output).await,
        Command::Hold(command) => commands::hold::run(command, &place, &output, quiet).await,
        Command::Revert { run, dry_run } => {
            commands::revert::run(&run, dry_run, &place, &output, quiet).await
        }
        Command::User(command) => commands::user::run(command, &place, &output).await,
        Command::Explain(who) => commands::user::explain(&who, &place, &output).await,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
