//! What a request asks for: endpoint, query and headers.

use axum::http::{HeaderMap, Method};
use url::form_urlencoded;
use uuid::Uuid;

use crate::answer::GraphError;
use crate::property;

/// The kinds of requests, for rules, scripts and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `POST /{directory}/oauth2/v2.0/token`
    Token,
    /// `GET /v1.0/users`
    Users,
    /// `GET /v1.0/users/$count`
    UserCount,
    /// `GET /v1.0/users/delta`
    Delta,
    /// `GET /v1.0/users/{id}`
    User,
    /// `POST /v1.0/directoryObjects/getByIds`
    GetByIds,
    /// `GET /v1.0/groups/{id}`
    Group,
    /// `GET /v1.0/groups/{id}/transitiveMembers`
    GroupMembers,
    /// `POST /v1.0/users/{id}/checkMemberGroups`
    CheckMemberGroups,
    /// `GET /v1.0/directory/deletedItems/microsoft.graph.user`
    DeletedItems,
    /// `POST /v1.0/$batch`, as a whole
    Batch,
    /// One request inside a `$batch`
    BatchItem,
    /// Anything else
    Other,
}

/// An endpoint with what its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Token { directory: String },
    Users,
    UserCount,
    Delta,
    User { key: String },
    GetByIds,
    Group { key: String },
    GroupMembers { key: String },
    CheckMemberGroups { key: String },
    DeletedItems,
    Batch,
    WrongMethod { allowed: &'static str },
    Unknown { segment: String },
}

impl Target {
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let decoded: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(percent_decoded)
            .collect();
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let (allowed, target) = match segments.as_slice() {
            [directory, "oauth2", "v2.0", "token"] => (
                Method::POST,
                Self::Token {
                    directory: (*directory).to_owned(),
                },
            ),
            ["v1.0", "$batch"] => (Method::POST, Self::Batch),
            ["v1.0", rest @ ..] => Self::of_resource(rest),
            [first, ..] => (method.clone(), Self::unknown(first)),
            [] => (method.clone(), Self::unknown("")),
        };
        if *method == allowed || matches!(target, Self::Unknown { .. }) {
            target
        } else if allowed == Method::POST {
            Self::WrongMethod { allowed: "POST" }
        } else {
            Self::WrongMethod { allowed: "GET" }
        }
    }

    fn of_resource(segments: &[&str]) -> (Method, Self) {
        match segments {
            ["users"] => (Method::GET, Self::Users),
            ["users", "$count"] => (Method::GET, Self::UserCount),
            // A function can be called with or without parentheses.
            ["users", "delta" | "delta()" | "microsoft.graph.delta()"] => {
                (Method::GET, Self::Delta)
            }
            ["users", key] => (
                Method::GET,
                Self::User {
                    key: (*key).to_owned(),
                },
            ),
            ["directoryObjects", "getByIds"] => (Method::POST, Self::GetByIds),
            [
                "users",
                key,
                "checkMemberGroups" | "microsoft.graph.checkMemberGroups",
            ] => (
                Method::POST,
                Self::CheckMemberGroups {
                    key: (*key).to_owned(),
                },
            ),
            ["groups", key] => (
                Method::GET,
                Self::Group {
                    key: (*key).to_owned(),
                },
            ),
            ["groups", key, "transitiveMembers"] => (
                Method::GET,
                Self::GroupMembers {
                    key: (*key).to_owned(),
                },
            ),
            // `graph` is an alias of the namespace, which Microsoft's clients use.
            [
                "directory",
                "deletedItems",
                "microsoft.graph.user" | "graph.user",
            ] => (Method::GET, Self::DeletedItems),
            other => (
                Method::GET,
                Self::unknown(other.last().copied().unwrap_or_default()),
            ),
        }
    }

    fn unknown(segment: &str) -> Self {
        Self::Unknown {
            segment: segment.to_owned(),
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Token { .. } => Endpoint::Token,
            Self::Users => Endpoint::Users,
            Self::UserCount => Endpoint::UserCount,
            Self::Delta => Endpoint::Delta,
            Self::User { .. } => Endpoint::User,
            Self::GetByIds => Endpoint::GetByIds,
            Self::Group { .. } => Endpoint::Group,
            Self::GroupMembers { .. } => Endpoint::GroupMembers,
            Self::CheckMemberGroups { .. } => Endpoint::CheckMemberGroups,
            Self::DeletedItems => Endpoint::DeletedItems,
            Self::Batch => Endpoint::Batch,
            Self::WrongMethod { .. } | Self::Unknown { .. } => Endpoint::Other,
        }
    }

    /// What the path calls the user or group that it names.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::User { key }
            | Self::Group { key }
            | Self::GroupMembers { key }
            | Self::CheckMemberGroups { key } => Some(key),
            _ => None,
        }
    }

    /// The object id that the path names.
    pub(crate) fn object(&self) -> Option<Uuid> {
        Uuid::try_parse(self.key()?).ok()
    }

    /// What the request costs. Source: "Microsoft Graph service-specific throttling limits",
    /// section "Identity and access": 1 less with `$select`.
    pub(crate) fn units(&self, query: &Query) -> u32 {
        let selected = u32::from(query.select.is_some());
        match self {
            Self::Users => 2 - selected,
            Self::GetByIds => 3 - selected,
            Self::GroupMembers { .. } => 5 - selected,
            Self::CheckMemberGroups { .. } => 4,
            _ => 1,
        }
    }
}

/// The query options of OData that the emulator knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) select: Option<String>,
    pub(crate) top: Option<String>,
    pub(crate) count: bool,
    pub(crate) skip_token: Option<String>,
    pub(crate) delta_token: Option<String>,
    /// An option that would need a query engine. The scan that proves absence must not use one.
    pub(crate) unsupported: Option<String>,
}

/// The largest `$top`. Source: "List users", section "Optional query parameters".
const TOP_MAX: usize = 999;
/// The page size without `$top`, from the same place.
const TOP_DEFAULT: usize = 100;

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "$select" => query.select = Some(value.into_owned()),
                "$top" => query.top = Some(value.into_owned()),
                "$count" => query.count = value.eq_ignore_ascii_case("true"),
                "$deltatoken" => query.delta_token = Some(value.into_owned()),
                "$skiptoken" => query.skip_token = Some(value.into_owned()),
                "$filter" | "$orderby" | "$expand" | "$search" | "$skip" => {
                    query.unsupported = Some(name.into_owned());
                }
                _ => {}
            }
        }
        query
    }

    pub(crate) fn selected(&self) -> Result<Vec<String>, GraphError> {
        self.select
            .as_deref()
            .map_or_else(|| Ok(property::default_set()), property::selected)
    }

    pub(crate) fn page_size(&self) -> Result<usize, GraphError> {
        let Some(raw) = &self.top else {
            return Ok(TOP_DEFAULT);
        };
        raw.parse()
            .ok()
            .filter(|top| (1..=TOP_MAX).contains(top))
            .ok_or_else(|| {
                GraphError::new(
                    400,
                    "Request_UnsupportedQuery",
                    format!(
                        "Invalid page size specified: '{raw}'. Must be between 1 and {TOP_MAX} \
                         inclusive."
                    ),
                )
            })
    }

    pub(crate) fn check_supported(&self) -> Result<(), GraphError> {
        match &self.unsupported {
            None => Ok(()),
            Some(option) => Err(GraphError::new(
                400,
                "Request_UnsupportedQuery",
                format!("The emulator does not support the query option '{option}'."),
            )),
        }
    }

    /// The query of the next page: the same options, and the token as it is to be sent.
    pub(crate) fn with_token(&self, encoded_token: &str) -> String {
        let mut parts = Vec::new();
        if self.count {
            parts.push("$count=true".to_owned());
        }
        if let Some(select) = &self.select {
            parts.push(format!("$select={}", select.replace(',', "%2c")));
        }
        if let Some(top) = &self.top {
            parts.push(format!("$top={top}"));
        }
        parts.push(format!("$skiptoken={encoded_token}"));
        parts.join("&")
    }
}

/// The bearer of a request, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the client takes stale counts, which is what it has to say to get one.
pub(crate) fn is_eventual(headers: &HeaderMap) -> bool {
    text(headers, "consistencylevel").is_some_and(|level| level.eq_ignore_ascii_case("eventual"))
}

pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    text(headers, "accept-encoding").is_some_and(|value| value.contains("gzip"))
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A path segment without its percent-encoding. A plus is a plus in a path.
fn percent_decoded(segment: &str) -> String {
    let escaped = segment
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_name_in_a_path_is_decoded_once() {
        let path = "/v1.0/users/o'brien%2Btest%40a.com+b%2523%26=";
        let key = "o'brien+test@a.com+b%23&=".to_owned();
        assert_eq!(Target::of(&Method::GET, path), Target::User { key });
    }

    #[test]
    fn a_known_path_with_the_wrong_method_is_told_apart_from_an_unknown_one() {
        let target = Target::of(&Method::GET, "/v1.0/$batch");
        assert_eq!(target, Target::WrongMethod { allowed: "POST" });
        let target = Target::of(&Method::POST, "/v1.0/devices");
        let segment = "devices".to_owned();
        assert_eq!(target, Target::Unknown { segment });
    }
}
