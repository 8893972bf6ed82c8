//! Calls the binary, and gives it tenants at an emulator of Microsoft Graph.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rollcall_ambient::Ambient;
use rollcall_graph_emulator::{Emulator, Graph, Population, Tenant, TenantSpec, User};
use serde_json::Value;
use tempfile::TempDir;

/// The environment variable that the tests' tenants have their secret in.
pub(crate) const SECRET_VARIABLE: &str = "ROLLCALL_TEST_SECRET";

/// How a call of the binary ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Sees to the exit code; gives itself back.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// The objects on stdout; there is nothing else.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap();
                assert!(value.is_object(), "{line}");
                value
            })
            .collect()
    }

    /// The one object on stdout.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:#?}");
        objects.remove(0)
    }
}

/// A local stack in a directory of its own.
pub(crate) struct Local {
    dir: TempDir,
    secret: Option<String>,
}

impl Local {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            secret: None,
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Where the stack's data and files are.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A file beside the stack's data.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = binary();
        command.arg("--local").arg(self.dir()).args(args);
        if let Some(secret) = &self.secret {
            command.env(SECRET_VARIABLE, secret);
        }
        command
    }

    /// The same with another variable in its environment.
    pub(crate) fn call_with(&self, variable: (&str, &str), args: &str) -> Ended {
        let mut command = self.command(args.split_whitespace());
        Ended::of(command.env(variable.0, variable.1).output().unwrap())
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// Calls the binary with arguments that are in one text, apart by spaces.
    pub(crate) fn call(&self, args: &str) -> Ended {
        self.run(args.split_whitespace())
    }

    pub(crate) fn put(&self, file: &Path) -> Ended {
        self.run([OsStr::new("tenant"), OsStr::new("put"), file.as_os_str()])
    }

    /// An emulator's secret at hand, and a file of tenants that is not stored yet.
    pub(crate) fn with_file(entries: &str, secret: &str) -> (Self, PathBuf) {
        let mut local = Self::new();
        local.secret = Some(secret.to_owned());
        let file = local.file("tenants.toml", entries);
        (local, file)
    }

    /// Stores tenants with an emulator's secret at hand.
    pub(crate) fn with_tenants(entries: &str, secret: &str) -> Self {
        let (local, file) = Self::with_file(entries, secret);
        local.put(&file).with(0);
        local
    }
}

/// The binary, with nothing of the caller's environment that it reads.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .stdin(Stdio::null())
        .env_remove("ROLLCALL_LOCAL")
        .env_remove(SECRET_VARIABLE);
    command
}

pub(crate) fn run_binary(command: &mut Command) -> Ended {
    Ended::of(command.output().unwrap())
}

/// The one secret of all tenants of these tests.
pub(crate) const SECRET: &str = "s3cret~of+the&tests=";

/// An emulator on a port of its own.
pub(crate) async fn emulator() -> Emulator {
    Emulator::start(Ambient::system()).await.unwrap()
}

/// A tenant with members alone, all enabled, so that numbers are easy to tell.
pub(crate) fn members(graph: &Graph, domain: &str, users: usize, page: usize) -> Tenant {
    let population = Population {
        guests: 0.0,
        disabled: 0.0,
        ..Population::new(domain, users as u64, users)
    };
    let mut spec = TenantSpec::new(population);
    spec.client_secret = SECRET.to_owned();
    spec.paging.page_size_max = page;
    graph.add_tenant(spec)
}

/// What a tenant file says of an emulated tenant.
pub(crate) fn entry(id: &str, emulator: &Emulator, tenant: &Tenant) -> String {
    let origin = emulator.origin();
    format!(
        "[[tenant]]\n\
         id = \"{id}\"\n\
         directory_id = \"{}\"\n\
         client_id = \"{}\"\n\
         graph_url = \"{origin}\"\n\
         login_url = \"{origin}\"\n\
         credential = {{ kind = \"secret\", env = \"{SECRET_VARIABLE}\" }}\n\
         [tenant.limits]\n\
         graph_retry_seconds_max = 2\n\
         lease_seconds = 2\n",
        tenant.directory_id(),
        tenant.client_id(),
    )
}

/// Live users, by id.
pub(crate) fn users(tenant: &Tenant) -> Vec<User> {
    tenant.directory().users().cloned().collect()
}
