//! Where secrets come from: the process's environment and files, and what AWS keeps or vouches for.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use rollcall_core::credential::{Credential, Kept};
use rollcall_graph::{Certificate, GraphError, Identity, Keeper, Kind, Secret};
use rollcall_scim::Bearer;

/// The longest file that is read as a secret, in bytes: a certificate with a key of 8,192 bits and a
/// chain takes a quarter.
const SECRET_BYTES_MAX: u64 = 65_536;

/// What AWS does for an application.
pub trait Aws: std::fmt::Debug + Send + Sync {
    /// The secret in Secrets Manager with this ARN or name.
    fn keeper(&self, id: &str) -> Arc<dyn Keeper>;
    /// Who vouches for the process.
    fn identity(&self) -> Arc<dyn Identity>;
}

/// Where secrets come from.
#[derive(Debug, Clone)]
pub enum Secrets {
    /// The process's environment variables and files, and AWS.
    Process(Arc<dyn Aws>),
    /// A fixed set, by the names or paths that the settings give them.
    Fixed(Arc<BTreeMap<String, Secret>>),
}

impl Secrets {
    /// The credential that the settings mean. What AWS keeps is not read yet.
    pub(crate) fn credential(
        &self,
        credential: &Credential,
    ) -> Result<rollcall_graph::Credential, GraphError> {
        match (credential, self) {
            (Credential::Federated, Self::Process(aws)) => {
                Ok(rollcall_graph::Credential::Federated(aws.identity()))
            }
            (Credential::Federated, Self::Fixed(_)) => {
                Err(bad("nobody vouches for this process".to_owned()))
            }
            (Credential::Secret(kept), _) => self.kept(Kind::Secret, kept),
            (Credential::Certificate(kept), _) => self.kept(Kind::Certificate, kept),
        }
    }

    /// The token of a service provider.
    pub(crate) fn bearer(&self, credential: &Credential) -> Result<Bearer, GraphError> {
        match self.credential(credential)? {
            rollcall_graph::Credential::Secret(token) => Ok(Bearer::Known(token)),
            rollcall_graph::Credential::Kept(Kind::Secret, keeper) => Ok(Bearer::Kept(keeper)),
            _ => Err(bad("it is no bearer token".to_owned())),
        }
    }

    fn kept(&self, kind: Kind, kept: &Kept) -> Result<rollcall_graph::Credential, GraphError> {
        let text = match (self, kept) {
            (Self::Process(aws), Kept::SecretsManager(id)) => {
                return Ok(rollcall_graph::Credential::Kept(kind, aws.keeper(id)));
            }
            (Self::Process(_), Kept::Env(name)) => {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty());
                value.map(Secret::new).ok_or_else(|| missing(kept))
            }
            (Self::Process(_), Kept::File(path)) => read_secret(path),
            (
                Self::Fixed(secrets),
                Kept::Env(key) | Kept::File(key) | Kept::SecretsManager(key),
            ) => secrets.get(key).cloned().ok_or_else(|| missing(kept)),
        }?;
        Ok(match kind {
            Kind::Secret => rollcall_graph::Credential::Secret(text),
            Kind::Certificate => {
                rollcall_graph::Credential::Certificate(Certificate::from_pem(&text)?)
            }
        })
    }
}

/// What is said of a secret that is not where the settings say.
fn missing(kept: &Kept) -> GraphError {
    bad(match kept {
        Kept::Env(name) => {
            format!("the environment variable {name} is not set; put the secret in it")
        }
        Kept::File(path) => format!("there is no file {path:?}"),
        Kept::SecretsManager(id) => format!("there is no secret {id:?}"),
    })
}

fn read_secret(path: &str) -> Result<Secret, GraphError> {
    let unreadable = |problem: String| {
        bad(format!(
            "{path:?} cannot be read: {problem}; check the path and who may read it"
        ))
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(unreadable(format!(
            "it has more than {SECRET_BYTES_MAX} bytes"
        )));
    }
    Ok(Secret::new(text))
}

fn bad(problem: String) -> GraphError {
    GraphError::BadConfig {
        setting: "credential",
        problem,
    }
}
