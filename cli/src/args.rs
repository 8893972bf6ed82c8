//! What can be said on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use rollcall_core::ids::{RunRef, TenantId};
use rollcall_core::status::Status;

use crate::exit::bad_input;

/// Keeps an application's user directory in step with Microsoft 365.
///
/// Without a command, the demo runs: it needs nothing and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, about, long_about)]
#[command(after_help = "\
Exit codes: 0 done, and every run COMPLETED; 1 an unexpected failure; 2 bad input; 3 a run is HELD; \
4 a run FAILED. Of several, the highest.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the local stack keeps its data; made if missing [default: the platform's data folder]
    #[arg(long, global = true, value_name = "DIR", env = "ROLLCALL_LOCAL")]
    pub(crate) local: Option<PathBuf>,
    /// Add log lines to this file as well, as the functions write them on AWS: one JSON object a line
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) logs: Option<PathBuf>,
    /// Work on a deployed stack instead, by its name in CloudFormation; region and credentials come
    /// from the environment, as for the AWS command line
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "ROLLCALL_STACK",
        conflicts_with = "local"
    )]
    pub(crate) stack: Option<String>,
    /// Print results as one JSON object a line on stdout, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More on stderr; twice for more still
    #[arg(short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// No progress on stderr, errors alone
    #[arg(short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// How much to log: -1 for errors alone, 0 for warnings too, then more.
    pub(crate) fn verbosity(&self) -> i8 {
        if self.quiet {
            -1
        } else {
            i8::try_from(self.verbose).unwrap_or(i8::MAX)
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the system at work on two synthetic tenants, in memory
    Demo,
    /// Add, change, look at, check and remove tenants
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Sync tenants, and see their runs to the end
    Sync(SyncOptions),
    /// Keep the tenants in step by schedules, on this machine, and show it in a browser, until Ctrl-C
    Serve(ServeOptions),
    /// Look at runs
    #[command(subcommand)]
    Run(RunCommand),
    /// Look at the plans that a guard holds, release or drop one
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Take a run's changes back: every user whom nobody changed since is as before
    Revert {
        /// The run: <tenant>/<number>
        run: RunRef,
        /// Change nothing: say who would be as before, and who would be left
        #[arg(long)]
        dry_run: bool,
    },
    /// Look at the directory, and decide about a user by hand
    #[command(subcommand)]
    User(UserCommand),
    /// Say in one paragraph why a user is on or off; or tell the story of runs from their log lines
    Explain(Explain),
}

/// What to explain: a user from what is stored, or runs from a file.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The tenant's id
    #[arg(required_unless_present = "from_logs", conflicts_with = "from_logs")]
    tenant: Option<TenantId>,
    /// The user's object id, or login name in any case
    #[arg(required_unless_present = "from_logs", conflicts_with = "from_logs")]
    user: Option<String>,
    /// Tell what these log lines say of runs: lines of all functions, in any order
    #[arg(long, value_name = "FILE")]
    pub(crate) from_logs: Option<PathBuf>,
    /// Only this run: <tenant>/<number>
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<RunRef>,
}

impl Explain {
    /// The user that is asked about.
    pub(crate) fn who(self) -> anyhow::Result<Who> {
        match (self.tenant, self.user, self.run) {
            (Some(tenant), Some(user), None) => Ok(Who { tenant, user }),
            (_, _, Some(_)) => Err(bad_input("--run goes with --from-logs FILE")),
            _ => Err(bad_input("give a tenant and a user, or --from-logs FILE")),
        }
    }
}

/// A user of a tenant.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// The tenant's id
    pub(crate) tenant: TenantId,
    /// The user's object id, or login name in any case
    pub(crate) user: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Add or change the tenants of a TOML file: all of them, or none if one is wrong
    Put {
        /// The tenant file
        file: PathBuf,
    },
    /// List the tenants
    List,
    /// Show a tenant's settings
    Show {
        /// The tenant's id
        tenant: TenantId,
    },
    /// Ask Graph whether a sync would work: credential, permissions, one page, a count
    Check {
        /// The tenant's id
        tenant: TenantId,
    },
    /// Stop syncing a tenant; its users stay as they are
    Remove {
        /// The tenant's id
        tenant: TenantId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SyncOptions {
    /// Only this tenant; can be given several times [default: all]
    #[arg(long = "tenant", value_name = "T")]
    pub(crate) tenants: Vec<TenantId>,
    /// How to learn what changed
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    pub(crate) mode: Mode,
    /// Change nothing: say who would change and why, and what the guards would hold
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// The port of the page, on the loopback address; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 7655)]
    pub(crate) port: u16,
    /// When the full run of each day begins, in UTC
    #[arg(long, value_name = "HH:MM", default_value = "02:00")]
    pub(crate) full_at: TimeOfDay,
    /// How many minutes lie between the delta runs; the first is at once
    #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub(crate) delta_minutes: u32,
}

/// A time of day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeOfDay {
    /// The minute of the day, from 0 to 1,439.
    pub(crate) minute: u16,
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let two = |digits: &str, max: u16| {
            let is_two = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit());
            let number: u16 = digits.parse().ok()?;
            (is_two && number <= max).then_some(number)
        };
        let parts = text.split_once(':');
        let parts = parts.and_then(|(hour, minute)| Some((two(hour, 23)?, two(minute, 59)?)));
        let (hour, minute) = parts.ok_or("give a time from 00:00 to 23:59, such as 02:30")?;
        Ok(Self {
            minute: hour * 60 + minute,
        })
    }
}

/// How a sync learns what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Read the whole directory: the only mode that can find an absence
    Full,
    /// Ask what changed since the last run; a full run where there is nothing to go on from
    Delta,
}

impl Mode {
    /// Its name in an event.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List runs, the oldest first
    List {
        /// Only this tenant's
        #[arg(long, value_name = "T")]
        tenant: Option<TenantId>,
    },
    /// Show one run with its batches, leases and evidence
    Show {
        /// The run: <tenant>/<number>
        run: RunRef,
    },
    /// Write a page of HTML about one run: what happened, why, and what to type next
    Report(ReportOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ReportOptions {
    /// The run: <tenant>/<number>
    pub(crate) run: RunRef,
    /// The file to write; one that is there is replaced as a whole
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Say what the directory calls the users now, too: without it, the page has object ids alone
    #[arg(long)]
    pub(crate) names: bool,
    /// Add what these log lines say of the run: leases from when to when, Graph's latency, its throttling
    #[arg(long, value_name = "FILE")]
    pub(crate) from_logs: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// List the runs whose plans wait for a person, each with its plan's hash and numbers
    List {
        /// Only this tenant's
        #[arg(long, value_name = "T")]
        tenant: Option<TenantId>,
    },
    /// Release exactly this plan, once: its users are asked about anew, and those whose evidence still
    /// stands are switched off
    Approve {
        /// The run: <tenant>/<number>
        run: RunRef,
        /// The plan's hash, whole, as `hold list` shows it
        #[arg(long, value_name = "HASH")]
        plan: String,
    },
    /// Drop the plan: nobody is switched off by it
    Reject {
        /// The run: <tenant>/<number>
        run: RunRef,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List users
    List {
        /// Only this tenant's
        #[arg(long, value_name = "T")]
        tenant: Option<TenantId>,
        /// Only those with this status
        #[arg(long, value_name = "S", ignore_case = true)]
        status: Option<StatusName>,
    },
    /// Show one user with his history
    Show(Who),
    /// Switch a user off by hand; no sync switches him on before he is released
    Deactivate(Who),
    /// Switch a user on, or keep him on, by hand; no sync switches him off before he is released
    Activate(Who),
    /// Give a user back to the sync: the next run that sees him decides
    Release(Who),
}

/// A status, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum StatusName {
    /// May log in
    Active,
    /// May not
    Inactive,
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Active => Self::Active,
            StatusName::Inactive => Self::Inactive,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_time_of_day_has_two_digits_twice() {
        for (text, minute) in [("00:00", 0), ("02:30", 150), ("23:59", 1_439)] {
            assert_eq!(text.parse(), Ok(TimeOfDay { minute }));
        }
        for text in [
            "", "2:30", "24:00", "12:60", "12", "+1:30", "12:30:00", "1２:30",
        ] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_arguments_contradict_themselves_nowhere() {
        Cli::command().debug_assert();
    }
}
