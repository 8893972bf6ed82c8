//! The command line of the bench; `tests/bench/run` builds what it needs and calls it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use rollcall_bench::cases::{Bench, measure_writes};
use rollcall_bench::emulated::{Access, Size};
use rollcall_bench::floor::Depth;
use rollcall_bench::process::Held;
use rollcall_bench::results::{Machine, Results};
use rollcall_bench::stack::Binaries;
use rollcall_bench::{contest, emulated, faults, floor, writes};

// What stands for DynamoDB is in this process. With the system's allocator it takes half as long again, and the more
// the larger the tenant: it is not to be what a first sync is measured by.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The tenant of the faults: ten pages.
const FAULTS_SIZE: Size = Size {
    users: 3_000,
    page: 300,
    delay_ms: 0,
};
/// Where everybody is whose time is not that of what stands for AWS, when the writes are measured.
const OTHERS_PROCESSOR: usize = 1;
/// How often the same may be measured: the bench is to end within the hour.
const TIMES_MAX: i64 = 9;
/// The most users that Graph puts on a page.
const PAGE: usize = 999;

/// Measures the system beside the bare download and beside what people would use instead.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and add the figures to a file of results
    Run(Run),
    /// Measure a first sync beside its bare writes; to be started on the first processor alone
    Writes(Writes),
    /// Do the faults of Graph to everybody, and add the table to a file of results
    Faults(With),
    /// Write the tables of a file of results into a page, and draw its picture
    Tell {
        /// The file of results
        results: PathBuf,
        /// The page; what is between its markers is replaced
        #[arg(long)]
        page: PathBuf,
        /// The picture
        #[arg(long)]
        picture: PathBuf,
    },
    /// Be the emulator
    #[command(hide = true)]
    Emulate {
        #[arg(long)]
        users: usize,
        #[arg(long)]
        page: usize,
        #[arg(long)]
        delay_ms: u64,
    },
    /// Be a bare loop
    #[command(hide = true)]
    Floor { depth: Depth },
    /// Be a writer
    #[command(hide = true)]
    Write {
        #[arg(long)]
        from: String,
        #[arg(long)]
        to: String,
    },
}

/// Who takes part, and where the figures go.
#[derive(Debug, Args)]
struct With {
    /// The folder of the functions' binaries
    #[arg(long)]
    binaries: PathBuf,
    /// The folder of the peers' packages; without it, no peer takes part
    #[arg(long)]
    peers: Option<PathBuf>,
    /// The file of results; what it has of the same case is replaced
    #[arg(long)]
    results: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    with: With,
    /// Sizes of tenants
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    users: Vec<usize>,
    /// How long each answer of Graph waits, in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0")]
    delay_ms: Vec<u64>,
    /// Hold each environment of a function to so many megabytes of data
    #[arg(long)]
    megabytes_max: Option<u64>,
    /// Only a first and an unchanged sync
    #[arg(long)]
    short: bool,
    /// Measure the bare download and the unchanged sync so many times, and keep the median
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=TIMES_MAX))]
    times: u32,
}

#[derive(Debug, Args)]
struct Writes {
    /// The folder of the functions' binaries
    #[arg(long)]
    binaries: PathBuf,
    /// The file of results; what it has of the same case is replaced
    #[arg(long)]
    results: PathBuf,
    /// Sizes of tenants
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    users: Vec<usize>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(run) => measure(&run).await,
        Command::Writes(it) => do_writes(&it).await,
        Command::Faults(with) => do_faults(&with).await,
        Command::Tell {
            results,
            page,
            picture,
        } => Results::read(&results)?.tell(&page, &picture),
        Command::Emulate {
            users,
            page,
            delay_ms,
        } => {
            let size = Size {
                users,
                page,
                delay_ms,
            };
            emulated::serve(size).await
        }
        Command::Floor { depth } => {
            let with_ids = variable("BENCH_WITH_IDS").is_ok_and(|it| !it.is_empty());
            floor::run(access()?, depth, with_ids).await
        }
        Command::Write { from, to } => writes::run(&from, &to).await,
    }
}

async fn measure(run: &Run) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let mut readers = vec![
        contest::floor(&program, "download"),
        contest::floor(&program, "parse"),
    ];
    if let Some(packages) = &run.with.peers {
        readers.extend(contest::peers(packages)?);
    }
    let binaries = binaries(&run.with.binaries);
    let bench = Bench {
        program: &program,
        binaries: &binaries,
        readers: &readers,
        held: Held {
            bytes_max: run.megabytes_max.map(|megabytes| megabytes << 20),
            processor: None,
        },
        short: run.short,
        times: run.times,
    };
    let mut results = Results::read_or_new(&run.with.results)?;
    results.machine = Machine::this()?;
    for &delay_ms in &run.delay_ms {
        for &users in &run.users {
            let size = Size {
                users,
                page: PAGE,
                delay_ms,
            };
            let take = |row| {
                results.put(row, run.megabytes_max);
                results.write(&run.with.results)
            };
            bench.measure(size, take).await?;
        }
    }
    Ok(())
}

async fn do_writes(measured: &Writes) -> anyhow::Result<()> {
    // What a process may run on counts, not what the machine has.
    if std::thread::available_parallelism()?.get() > 1 {
        bail!(
            "what stands for AWS is to have the first processor for itself: start it by `taskset --cpu-list 0`"
        );
    }
    let others = Held {
        bytes_max: None,
        processor: Some(OTHERS_PROCESSOR),
    };
    let (program, binaries) = (std::env::current_exe()?, binaries(&measured.binaries));
    let mut results = Results::read_or_new(&measured.results)?;
    for &users in &measured.users {
        let size = Size {
            users,
            page: PAGE,
            delay_ms: 0,
        };
        let take = |row| {
            results.put_writes(row);
            results.write(&measured.results)
        };
        measure_writes(&program, &binaries, size, others, take).await?;
    }
    Ok(())
}

async fn do_faults(with: &With) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let mut readers = vec![contest::floor(&program, "parse")];
    if let Some(packages) = &with.peers {
        readers.extend(contest::peers(packages)?);
    }
    let binaries = binaries(&with.binaries);
    let mut results = Results::read_or_new(&with.results)?;
    results.faults = faults::table(&program, &binaries, &readers, FAULTS_SIZE).await?;
    results.write(&with.results)
}

fn binaries(folder: &Path) -> Binaries {
    Binaries {
        enumerator: folder.join("rollcall-enumerator"),
        worker: folder.join("rollcall-worker"),
        finalizer: folder.join("rollcall-finalizer"),
    }
}

fn access() -> anyhow::Result<Access> {
    Ok(Access {
        origin: variable("BENCH_ORIGIN")?,
        directory_id: variable("BENCH_DIRECTORY_ID")?,
        client_id: variable("BENCH_CLIENT_ID")?,
        client_secret: variable("BENCH_CLIENT_SECRET")?,
    })
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("the environment variable {name}"))
}
