//! What a client needs to know of a tenant, checked before the first request.

use std::fmt;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use rollcall_core::ids::{ObjectId, RunRef};
use rollcall_core::user::AttributeMap;
use url::{Host, Url};
use uuid::Uuid;

use crate::certificate::Certificate;
use crate::error::GraphError;
use crate::identity::{Identity, Keeper};

/// Users a page: the most that Graph gives.
/// <https://learn.microsoft.com/graph/api/user-list>
const USERS_PAGE_MAX: u32 = 999;

/// Users a page when `signInActivity` is selected.
/// <https://learn.microsoft.com/graph/api/user-list>
const USERS_PAGE_WITH_SIGN_IN_MAX: u32 = 500;

/// The property with a page limit of its own.
const SIGN_IN_ACTIVITY: &str = "signInActivity";

/// What is selected of each user beside the mapped properties. `accountEnabled` is not in Graph's
/// default set.
const SELECTED: [&str; 6] = [
    "id",
    "userPrincipalName",
    "mail",
    "displayName",
    "accountEnabled",
    "userType",
];

/// The longest name of a Graph property that is taken. Directory extensions
/// (`extension_<application>_<name>`) are the longest kind.
const PROPERTY_CHARS_MAX: usize = 256;

/// A secret that no log line shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes any text.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// As a bearer token of a request; `None` if it is no text that a header takes.
    #[must_use]
    pub fn bearer(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How an application proves to the token service that it is who it says.
#[derive(Debug, Clone)]
pub enum Credential {
    /// By a client secret.
    Secret(Secret),
    /// By a certificate, whose key signs each request for a token.
    Certificate(Certificate),
    /// By a secret or certificate that is read when it is needed, and again when it is rejected.
    Kept(Kind, Arc<dyn Keeper>),
    /// By another issuer's word, which the application trusts.
    Federated(Arc<dyn Identity>),
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client secret.
    Secret,
    /// A certificate with its key, in PEM.
    Certificate,
}

/// Microsoft's clouds.
/// <https://learn.microsoft.com/graph/deployments>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide cloud.
    Global,
    /// The United States government's, L4.
    UsGov,
    /// The United States government's, L5 (Department of Defense).
    UsGovDod,
    /// China's, run by 21Vianet.
    China,
}

impl Cloud {
    /// The root of Microsoft Graph in this cloud.
    ///
    /// # Errors
    /// Never in practice: the addresses are constants.
    pub fn graph_root(self) -> Result<Url, GraphError> {
        constant_root(match self {
            Self::Global => "https://graph.microsoft.com",
            Self::UsGov => "https://graph.microsoft.us",
            Self::UsGovDod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        })
    }

    /// The root of the token service in this cloud.
    ///
    /// # Errors
    /// Never in practice: the addresses are constants.
    pub fn login_root(self) -> Result<Url, GraphError> {
        constant_root(match self {
            Self::Global => "https://login.microsoftonline.com",
            Self::UsGov | Self::UsGovDod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        })
    }
}

fn constant_root(address: &'static str) -> Result<Url, GraphError> {
    Url::parse(address).map_err(|e| GraphError::bad_config("cloud", format!("{address}: {e}")))
}

/// Where a tenant's directory is, and with what it is read.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// The root of Microsoft Graph, with or without `/v1.0` and a slash at the end.
    pub graph_root: Url,
    /// The root of the token service.
    pub login_root: Url,
    /// The Entra tenant: a GUID.
    pub directory_id: String,
    /// The application's client id: a GUID.
    pub client_id: String,
    /// What the application proves itself by.
    pub credential: Credential,
    /// Directory attribute to Graph property. The properties are selected beside the fixed ones.
    pub attributes: AttributeMap,
    /// How long one request is tried, in milliseconds.
    pub retry_ms_max: u64,
    /// How long one attempt may take, in milliseconds, from connecting to the last byte.
    pub request_ms_max: u64,
    /// How many requests the client may send, repetitions included. A loop must not use up what the
    /// application may ask for its other work.
    pub requests_max: u64,
    /// The run that is asked for, which the log names.
    pub run: Option<RunRef>,
}

/// The addresses of a config, checked and joined.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) graph_root: Url,
    pub(crate) token: Url,
    pub(crate) scope: String,
    pub(crate) users: Url,
    pub(crate) users_count: Url,
    pub(crate) delta_latest: Url,
    pub(crate) get_by_ids: Url,
    pub(crate) deleted_users: Url,
    groups: Url,
    pub(crate) batch: Url,
}

impl Endpoints {
    pub(crate) fn of(config: &GraphConfig) -> Result<Self, GraphError> {
        check(config)?;
        let root = without_version(&config.graph_root);
        let graph = |rest: &str| joined("graph_url", &format!("{root}/v1.0/{rest}"));
        let login = config.login_root.as_str().trim_end_matches('/');
        let directory = &config.directory_id;
        Ok(Self {
            graph_root: config.graph_root.clone(),
            token: joined(
                "login_url",
                &format!("{login}/{directory}/oauth2/v2.0/token"),
            )?,
            users: graph(&users_query(&config.attributes))?,
            users_count: graph("users/$count")?,
            delta_latest: graph(&format!(
                "users/delta?$select={}&$deltatoken=latest",
                selected(&config.attributes)
            ))?,
            get_by_ids: graph(
                "directoryObjects/getByIds?$select=id,accountEnabled,userPrincipalName,userType",
            )?,
            deleted_users: graph(&format!(
                "directory/deletedItems/microsoft.graph.user?$select=id&$top={USERS_PAGE_MAX}"
            ))?,
            groups: graph("groups/")?,
            batch: graph("$batch")?,
            scope: format!("{root}/.default"),
        })
    }

    /// The first page of a group's members. The most that a page has is the same as for users.
    pub(crate) fn group_members(&self, group: &ObjectId) -> Result<Url, GraphError> {
        let of_group = format!("{group}/transitiveMembers?$select=id{TOP}{USERS_PAGE_MAX}");
        joined("graph_url", &format!("{}{of_group}", self.groups))
    }

    /// The first page of at most so many users.
    pub(crate) fn users_of(&self, users_max: u32) -> Result<Url, GraphError> {
        let usual = self.users.as_str();
        let (before, _) = usual.rsplit_once(TOP).unwrap_or((usual, ""));
        joined("graph_url", &format!("{before}{TOP}{users_max}"))
    }
}

/// What comes before the size of a page, at the end of the address.
const TOP: &str = "&$top=";

fn users_query(attributes: &AttributeMap) -> String {
    let with_sign_in = attributes.values().any(|it| it == SIGN_IN_ACTIVITY);
    let top = if with_sign_in {
        USERS_PAGE_WITH_SIGN_IN_MAX
    } else {
        USERS_PAGE_MAX
    };
    format!("users?$select={}{TOP}{top}", selected(attributes))
}

fn selected(attributes: &AttributeMap) -> String {
    let mut select: Vec<&str> = SELECTED.to_vec();
    for property in attributes.values() {
        if !select.contains(&property.as_str()) {
            select.push(property);
        }
    }
    select.join(",")
}

/// The root without slashes and without a `/v1.0` at its end.
fn without_version(root: &Url) -> &str {
    let root = root.as_str().trim_end_matches('/');
    let version = "/v1.0";
    match root.len().checked_sub(version.len()) {
        Some(at)
            if root
                .get(at..)
                .is_some_and(|end| end.eq_ignore_ascii_case(version)) =>
        {
            root[..at].trim_end_matches('/')
        }
        _ => root,
    }
}

fn joined(setting: &'static str, address: &str) -> Result<Url, GraphError> {
    Url::parse(address).map_err(|e| GraphError::bad_config(setting, format!("{address:?}: {e}")))
}

fn check(config: &GraphConfig) -> Result<(), GraphError> {
    check_root("graph_url", &config.graph_root)?;
    check_root("login_url", &config.login_root)?;
    check_guid("directory_id", &config.directory_id)?;
    check_guid("client_id", &config.client_id)?;
    if matches!(&config.credential, Credential::Secret(secret) if secret.expose().is_empty()) {
        return Err(GraphError::bad_config(
            "credential",
            "the client secret is empty".to_owned(),
        ));
    }
    if config.retry_ms_max == 0 || config.request_ms_max == 0 {
        return Err(GraphError::bad_config(
            "limits",
            "the time limits of a request must be above 0".to_owned(),
        ));
    }
    for (attribute, property) in &config.attributes {
        let fits = property.len() <= PROPERTY_CHARS_MAX
            && property.starts_with(|c: char| c.is_ascii_alphabetic())
            && property
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            return Err(GraphError::bad_config(
                "attributes",
                format!(
                    "{attribute} = {property:?}: expected the name of a Graph property, such as department"
                ),
            ));
        }
    }
    Ok(())
}

fn check_guid(setting: &'static str, value: &str) -> Result<(), GraphError> {
    // The parser takes braces and URNs too; in an address only the plain form will do.
    if value.len() == 36 && Uuid::try_parse(value).is_ok() {
        Ok(())
    } else {
        Err(GraphError::bad_config(
            setting,
            format!("{value:?} is not a GUID such as 6babcaad-604b-40ac-a9d7-9fd97c0b779f"),
        ))
    }
}

fn check_root(setting: &'static str, root: &Url) -> Result<(), GraphError> {
    let problem = if !may_carry_secrets(root) {
        "must be https (plain http only on a loopback address)"
    } else if !root.username().is_empty() || root.password().is_some() {
        "must not hold a user name or a password"
    } else if root.query().is_some() || root.fragment().is_some() {
        "must not have a query or a fragment"
    } else {
        return Ok(());
    };
    // Without what may be a password.
    let scheme = root.scheme();
    let host = root.host_str().unwrap_or_default();
    Err(GraphError::bad_config(
        setting,
        format!("{scheme}://{host}: {problem}"),
    ))
}

/// Whether tokens and secrets may go to an address at all.
pub(crate) fn may_carry_secrets(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
