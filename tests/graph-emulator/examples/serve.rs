//! Serves a synthetic tenant until Ctrl-C, and prints what a tenant file wants to know:
//! `cargo run -p rollcall-graph-emulator --example serve -- [PORT] [USERS] [SEED]`.

use std::process::ExitCode;

use rollcall_ambient::Ambient;
use rollcall_graph_emulator::{Emulator, Population, TenantSpec};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serve: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let port = argument(1, "PORT", 0)?;
    let users = argument(2, "USERS", 2_500)?;
    let seed = argument(3, "SEED", 1)?;
    let emulator = Emulator::start_on(Ambient::system(), port).await?;
    let tenant =
        emulator
            .graph()
            .add_tenant(TenantSpec::new(Population::new("contoso.com", seed, users)));
    println!("graph_url = \"{}\"", emulator.origin());
    println!("login_url = \"{}\"", emulator.origin());
    println!("directory_id = \"{}\"", tenant.directory_id());
    println!("client_id = \"{}\"", tenant.client_id());
    println!("# the client secret: {}", tenant.client_secret());
    tokio::signal::ctrl_c().await?;
    emulator.shutdown().await?;
    Ok(())
}

fn argument<T: std::str::FromStr>(nth: usize, name: &str, default: T) -> Result<T, String> {
    match std::env::args().nth(nth) {
        None => Ok(default),
        Some(raw) => raw
            .parse()
            .map_err(|_| format!("{name} is a whole number, not '{raw}'")),
    }
}
