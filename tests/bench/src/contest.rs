//! Those who only read: the floor, and what people would use instead. Each is a process of its own,
//! which says what it found and then waits, so that the kernel's books on it can be read.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rollcall_ambient::Ambient;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::process::Command;

use crate::emulated::Access;
use crate::process::{Talker, Used};

/// How long one may take to end once it has said what it found.
const END_MS_MAX: u64 = 10_000;
/// What a machine may have for the networks beyond it. The functions are given none of it; everybody is on this
/// machine, over plain HTTP, and a program that reads more certificates or asks a proxy takes longer for nothing.
const NOT_PASSED_ON: [&str; 13] = [
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Who takes part.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// In the tables.
    pub name: String,
    /// The largest tenant that it is given.
    pub users_max: usize,
    program: PathBuf,
    arguments: Vec<String>,
    /// Where the peers' packages are.
    packages: Option<PathBuf>,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It gave so many users, and who they are, if it was asked for that.
    Gave {
        /// How many.
        users: usize,
        /// Their object ids.
        ids: Vec<String>,
    },
    /// It gave an error.
    Failed(String),
    /// It was still at it when its time was up.
    Endless,
    /// Its process ended without a word.
    Died,
}

/// What it came to, and what it took.
#[derive(Debug, Clone)]
pub struct Contested {
    /// The end.
    pub outcome: Outcome,
    /// From its start to its word, in milliseconds.
    pub wall_ms: u64,
    /// What its process used.
    pub used: Used,
}

/// The peers whose packages are in a folder: each with the file that runs it, its environment there, and
/// the largest tenant for it. What takes minutes for a hundred thousand users is given small ones.
const PEERS: [(&str, &str, &str, usize); 3] = [
    (
        "Backstage (plugin-catalog-backend-module-msgraph)",
        "backstage.mjs",
        "node_modules",
        usize::MAX,
    ),
    (
        "msgraph-sdk for Python",
        "graph_sdk.py",
        "msgraph-sdk",
        10_000,
    ),
    ("O365 for Python", "o365.py", "o365", 10_000),
];

/// A bare loop that downloads, as this very program.
#[must_use]
pub fn floor(bench: &Path, depth: &str) -> Contestant {
    Contestant {
        name: format!("bare loop, {depth}"),
        users_max: usize::MAX,
        program: bench.to_owned(),
        arguments: vec!["floor".to_owned(), depth.to_owned()],
        packages: None,
    }
}

/// The peers that are installed in a folder.
///
/// # Errors
/// When one of them is not.
pub fn peers(packages: &Path) -> anyhow::Result<Vec<Contestant>> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let peer = |(name, script, environment, users_max): (&str, &str, &str, usize)| {
        let environment = packages.join(environment);
        if !environment.is_dir() {
            bail!(
                "{} is not there: `tests/bench/run` installs the peers",
                environment.display()
            );
        }
        let program = match script.ends_with(".py") {
            true => environment.join("bin/python"),
            false => PathBuf::from("node"),
        };
        Ok(Contestant {
            name: name.to_owned(),
            users_max,
            program,
            arguments: vec![scripts.join(script).display().to_string()],
            packages: Some(packages.to_owned()),
        })
    };
    PEERS.into_iter().map(peer).collect()
}

impl Contestant {
    /// Lets it read the whole directory.
    ///
    /// # Errors
    /// When it does not start, or ends without a word.
    pub async fn read(
        &self,
        access: &Access,
        with_ids: bool,
        ms_max: u64,
        ambient: &Ambient,
    ) -> anyhow::Result<Contested> {
        let started_ms = ambient.now_ms();
        let mut talker = Talker::start(&self.name, self.command(access, with_ids))?;
        let heard = talker.hear(ms_max).await;
        let wall_ms = ambient.now_ms() - started_ms;
        let outcome = match &heard {
            Err(_) => Outcome::Died,
            Ok(None) => Outcome::Endless,
            Ok(Some(said)) => {
                outcome(said).with_context(|| format!("{} said {said}", self.name))?
            }
        };
        let used = match outcome {
            Outcome::Died => Used::default(),
            _ => talker.used()?,
        };
        let patience = match outcome {
            Outcome::Endless => 0,
            _ => END_MS_MAX,
        };
        talker.end(patience).await?;
        Ok(Contested {
            outcome,
            wall_ms,
            used,
        })
    }

    fn command(&self, access: &Access, with_ids: bool) -> Command {
        let mut command = Command::new(&self.program);
        for name in NOT_PASSED_ON {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .env("BENCH_ORIGIN", &access.origin)
            .env("BENCH_DIRECTORY_ID", &access.directory_id)
            .env("BENCH_CLIENT_ID", &access.client_id)
            .env("BENCH_CLIENT_SECRET", &access.client_secret)
            .env("BENCH_WITH_IDS", if with_ids { "1" } else { "" });
        if let Some(packages) = &self.packages {
            command.env("BENCH_PACKAGES", packages);
        }
        command
    }
}

fn outcome(said: &Value) -> anyhow::Result<Outcome> {
    if let Some(failed) = said["failed"].as_str() {
        return Ok(Outcome::Failed(failed.to_owned()));
    }
    let users = said["users"].as_u64().context("it gave no number")?;
    let ids = match said.get("ids") {
        Some(ids) => serde_json::from_value(ids.clone())?,
        None => Vec::new(),
    };
    Ok(Outcome::Gave {
        users: usize::try_from(users)?,
        ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_part_is_given_the_emulator_and_neither_a_proxy_nor_more_certificates() {
        let access = Access {
            origin: "http://127.0.0.1:1".to_owned(),
            directory_id: "directory".to_owned(),
            client_id: "client".to_owned(),
            client_secret: "secret".to_owned(),
        };
        let command = floor(Path::new("/bench"), "download").command(&access, false);
        let given: Vec<_> = command.as_std().get_envs().collect();
        let of = |wanted: &str| {
            let found = given.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.and_then(|it| it.to_str()))
        };
        assert_eq!(of("BENCH_ORIGIN"), Some(Some("http://127.0.0.1:1")));
        // Named, and without a value: taken away.
        assert_eq!(of("NODE_EXTRA_CA_CERTS"), Some(None));
        assert_eq!(of("https_proxy"), Some(None));
    }
}
