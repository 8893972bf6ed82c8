//! How a tenant's application proves itself, as a tenant file says it. The secret is never in there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the app proves itself to Entra. The secret itself is never in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CredentialEntry", into = "CredentialEntry")]
pub enum Credential {
    /// By a client secret.
    Secret(Kept),
    /// By a certificate with its private key, in PEM.
    Certificate(Kept),
    /// By AWS, which vouches for the process: there is no secret.
    Federated,
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In an environment variable with this name.
    Env(String),
    /// In a file with this path.
    File(String),
    /// In AWS Secrets Manager, under this ARN or name.
    SecretsManager(String),
}

#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialEntry {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secrets_manager: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pem_file: Option<String>,
}

/// The longest id of a secret that Secrets Manager takes, in characters.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
const SECRET_ID_CHARS_MAX: usize = 2_048;

impl CredentialEntry {
    /// The one place that is named; `None` if there is none.
    fn kept(self) -> Result<Option<Kept>, String> {
        let places = [
            self.env.map(in_environment).transpose()?,
            self.secrets_manager.map(in_secrets_manager).transpose()?,
            self.pem_file.map(in_file).transpose()?,
        ];
        let mut places = places.into_iter().flatten();
        match (places.next(), places.next()) {
            (_, Some(_)) => Err(format!(
                "a {} is kept in one place: give one of env, secrets_manager and pem_file",
                self.kind
            )),
            (place, None) => Ok(place),
        }
    }
}

impl TryFrom<CredentialEntry> for Credential {
    type Error = String;

    fn try_from(entry: CredentialEntry) -> Result<Self, String> {
        let kind = entry.kind.clone();
        if kind == "secret" && entry.pem_file.is_some() {
            return Err("pem_file belongs to kind = \"certificate\", not to a secret".into());
        }
        match (kind.as_str(), entry.kept()?) {
            ("secret", Some(kept)) => Ok(Self::Secret(kept)),
            ("certificate", Some(kept)) => Ok(Self::Certificate(kept)),
            ("federated", None) => Ok(Self::Federated),
            ("secret", None) => Err(
                "a secret needs env = \"NAME\", the environment variable that holds it, or \
                 secrets_manager = \"ARN\""
                    .into(),
            ),
            ("certificate", None) => Err(
                "a certificate needs pem_file = \"FILE\", or env = \"NAME\", the environment \
                 variable that holds the PEM, or secrets_manager = \"ARN\""
                    .into(),
            ),
            ("federated", Some(_)) => Err(
                "a federated credential has no secret: take away env, secrets_manager and pem_file"
                    .into(),
            ),
            _ => Err(format!(
                "credential kind {kind:?} is not one of secret, certificate, federated"
            )),
        }
    }
}

fn in_environment(name: String) -> Result<Kept, String> {
    if is_environment_name(&name) {
        return Ok(Kept::Env(name));
    }
    // It may be the secret itself, so it is not repeated.
    Err(
        "env is not the name of an environment variable (A-Z, a-z, 0-9 and _); the secret itself \
         belongs into that variable, not into the file"
            .into(),
    )
}

fn in_file(path: String) -> Result<Kept, String> {
    if path.is_empty() {
        return Err("pem_file is empty".into());
    }
    Ok(Kept::File(path))
}

/// An ARN, or a name as Secrets Manager takes it.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
fn in_secrets_manager(id: String) -> Result<Kept, String> {
    let fits = (1..=SECRET_ID_CHARS_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&b));
    if fits {
        return Ok(Kept::SecretsManager(id));
    }
    // It may be the secret itself, so it is not repeated.
    Err(
        "secrets_manager is not the ARN or name of a secret in AWS Secrets Manager (A-Z, a-z, 0-9 \
         and /_+=.@-:)"
            .into(),
    )
}

impl From<Credential> for CredentialEntry {
    fn from(credential: Credential) -> Self {
        let (kind, kept) = match credential {
            Credential::Secret(kept) => ("secret", Some(kept)),
            Credential::Certificate(kept) => ("certificate", Some(kept)),
            Credential::Federated => ("federated", None),
        };
        let mut entry = Self {
            kind: kind.into(),
            ..Self::default()
        };
        match kept {
            Some(Kept::Env(name)) => entry.env = Some(name),
            Some(Kept::File(path)) => entry.pem_file = Some(path),
            Some(Kept::SecretsManager(id)) => entry.secrets_manager = Some(id),
            None => {}
        }
        entry
    }
}

/// Takes a table and nothing else. What stands in its place may be the secret itself, so an error
/// does not repeat it, as one of serde's own would.
pub(crate) fn credential<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Credential, D::Error> {
    struct Table;
    impl<'de> serde::de::Visitor<'de> for Table {
        type Value = Credential;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table such as { kind = \"secret\", env = \"NAME\" }")
        }

        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Credential, E> {
            Err(E::custom(format_args!(
                "invalid type: string, expected {}",
                &self as &dyn serde::de::Expected
            )))
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Credential, A::Error> {
            Credential::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }
    from.deserialize_any(Table)
}

fn is_environment_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
