//! A tenant's settings: what a tenant file says of one tenant, checked as it is read.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::bounds::bounded;
use crate::credential::{Credential, credential};
use crate::guard::GuardSettings;
use crate::ids::TenantId;
use crate::lease::{LEASE_SECONDS_MAX, LEASE_SECONDS_MIN};
use crate::schedule::TenantSchedule;
use crate::scim::ScimTarget;
use crate::scope::Scope;
use crate::user::AttributeMap;

/// How many batches of a tenant are worked on at a time if its settings say nothing. A worker writes some hundred users
/// a second, and eight of them more than a chain of pages brings, while the workers of the others go on.
pub const BATCHES_AT_ONCE: u32 = 8;
/// The most that a tenant may ask for: all that the stack has by far.
pub const BATCHES_AT_ONCE_MAX: u32 = 1_000;
/// The longest that one request to Graph may be tried, in seconds.
pub const GRAPH_RETRY_SECONDS_MAX: u64 = 3_600;
/// The longest that a run may take to its first deactivation, in minutes: a week.
pub const RUN_DEADLINE_MINUTES_MAX: u64 = 7 * 24 * 60;
/// The most attributes that a tenant may map: they are part of every directory item.
pub const ATTRIBUTES_MAX: usize = 20;

/// One tenant of a tenant file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TenantFileEntry")]
pub struct TenantSettings {
    /// The tenant's name here.
    pub id: TenantId,
    /// The Entra tenant. It never changes for a tenant id.
    pub directory_id: Guid,
    /// The app registration that reads it.
    pub client_id: Guid,
    /// Which of Microsoft's clouds; `None` when the roots are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// Where Graph answers, instead of a cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_url: Option<ServiceUrl>,
    /// Where tokens are given out, instead of a cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_url: Option<ServiceUrl>,
    /// How the app proves itself.
    pub credential: Credential,
    /// Who belongs.
    #[serde(default)]
    pub scope: Scope,
    /// What holds a plan.
    #[serde(default)]
    pub guards: GuardSettings,
    /// Times.
    #[serde(default)]
    pub limits: Limits,
    /// What else is mirrored.
    #[serde(default)]
    pub attributes: AttributeMap,
    /// When runs are due.
    #[serde(default, skip_serializing_if = "TenantSchedule::is_the_stacks")]
    pub schedule: TenantSchedule,
    /// Who else is told of the users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scim: Option<ScimTarget>,
}

/// The file's own form, before what concerns two keys at once is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantFileEntry {
    id: TenantId,
    directory_id: Guid,
    client_id: Guid,
    cloud: Option<Cloud>,
    graph_url: Option<ServiceUrl>,
    login_url: Option<ServiceUrl>,
    #[serde(deserialize_with = "credential")]
    credential: Credential,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    guards: GuardSettings,
    #[serde(default)]
    limits: Limits,
    #[serde(default, deserialize_with = "attributes")]
    attributes: AttributeMap,
    #[serde(default)]
    schedule: TenantSchedule,
    scim: Option<ScimTarget>,
}

impl TryFrom<TenantFileEntry> for TenantSettings {
    type Error = String;

    fn try_from(entry: TenantFileEntry) -> Result<Self, String> {
        let roots = (&entry.graph_url, &entry.login_url);
        match (entry.cloud, roots) {
            (Some(_), (None, None)) | (None, (Some(_), Some(_))) => Ok(Self {
                id: entry.id,
                directory_id: entry.directory_id,
                client_id: entry.client_id,
                cloud: entry.cloud,
                graph_url: entry.graph_url,
                login_url: entry.login_url,
                credential: entry.credential,
                scope: entry.scope,
                guards: entry.guards,
                limits: entry.limits,
                attributes: entry.attributes,
                schedule: entry.schedule,
                scim: entry.scim,
            }),
            (Some(_), _) => Err(format!(
                "tenant {}: give either cloud, or graph_url and login_url, not both",
                entry.id
            )),
            (None, _) => Err(format!(
                "tenant {}: give cloud, or both graph_url and login_url",
                entry.id
            )),
        }
    }
}

/// One of Microsoft's clouds.
/// <https://learn.microsoft.com/graph/deployments>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The public cloud.
    Global,
    /// US Government L4.
    Usgov,
    /// US Government L5 (DOD).
    UsgovDod,
    /// China, operated by 21Vianet.
    China,
}

/// A GUID, in lower case with dashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid(String);

impl Guid {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Guid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = (text.len() == 36)
            .then(|| uuid::Uuid::try_parse(&text).ok())
            .flatten();
        parsed.map_or_else(
            || {
                Err(format!(
                    "{text:?} is not a GUID such as 6babcaad-604b-40ac-a9d7-9fd97c0b779f"
                ))
            },
            |guid| Ok(Self(guid.hyphenated().to_string())),
        )
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.0
    }
}

/// The root of a service: https, or plain http on a loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceUrl(Url);

impl ServiceUrl {
    /// The URL.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for ServiceUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = Url::parse(&text).map_err(|e| format!("{text:?} is not a URL: {e}"))?;
        let loopback = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match url.scheme() {
            _ if !plain => Err(format!(
                "{text:?}: a root URL has no user, query or fragment"
            )),
            "https" => Ok(Self(url)),
            "http" if loopback => Ok(Self(url)),
            "http" => Err(format!(
                "{text:?}: plain http is for a loopback address only; use https"
            )),
            _ => Err(format!("{text:?} is not an https URL")),
        }
    }
}

impl From<ServiceUrl> for String {
    fn from(url: ServiceUrl) -> Self {
        url.0.into()
    }
}

/// The `[tenant.limits]` of a tenant file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long one request to Graph is tried, in seconds.
    #[serde(deserialize_with = "graph_retry_seconds")]
    pub graph_retry_seconds_max: u64,
    /// How long a run may take to its first deactivation, in minutes.
    #[serde(deserialize_with = "run_deadline_minutes")]
    pub run_deadline_minutes: u64,
    /// How long a lease runs without being renewed, in seconds.
    #[serde(deserialize_with = "lease_seconds")]
    pub lease_seconds: u64,
    /// How many batches of the tenant are worked on at a time; [`BATCHES_AT_ONCE`] if it is not given.
    #[serde(
        deserialize_with = "batches_at_once",
        skip_serializing_if = "Option::is_none"
    )]
    pub batches_at_once: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            graph_retry_seconds_max: 300,
            run_deadline_minutes: 360,
            lease_seconds: 60,
            batches_at_once: None,
        }
    }
}

impl Limits {
    /// The lease in milliseconds.
    #[must_use]
    pub const fn lease_ms(&self) -> u64 {
        self.lease_seconds * 1_000
    }

    /// How many batches are worked on at a time.
    #[must_use]
    pub fn batches_at_once(&self) -> u32 {
        self.batches_at_once.unwrap_or(BATCHES_AT_ONCE)
    }
}

fn graph_retry_seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    bounded(from, 1, GRAPH_RETRY_SECONDS_MAX, "seconds")
}

fn run_deadline_minutes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    bounded(from, 1, RUN_DEADLINE_MINUTES_MAX, "minutes")
}

fn lease_seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    bounded(from, LEASE_SECONDS_MIN, LEASE_SECONDS_MAX, "seconds")
}

fn batches_at_once<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    bounded(from, 1, BATCHES_AT_ONCE_MAX, "batches").map(Some)
}

fn attributes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<AttributeMap, D::Error> {
    let map = BTreeMap::<String, String>::deserialize(from)?;
    if map.len() > ATTRIBUTES_MAX {
        return Err(serde::de::Error::custom(format!(
            "{} attributes; at most {ATTRIBUTES_MAX} can be mapped",
            map.len()
        )));
    }
    let is_name = |name: &str| {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    for (name, property) in &map {
        if !is_name(name) {
            return Err(serde::de::Error::custom(format!(
                "{name:?} is not a name for an attribute: letters, digits and _, a letter first"
            )));
        }
        if !is_name(property) {
            return Err(serde::de::Error::custom(format!(
                "{property:?} is not the name of a Graph property such as department"
            )));
        }
    }
    Ok(map)
}
