//! Who belongs to a tenant's directory.

use serde::{Deserialize, Serialize};

use crate::ids::ObjectId;
use crate::user::GraphUser;

/// The most domains or groups that a scope may name: a settings item has to stay small.
pub const SCOPE_ENTRIES_MAX: usize = 200;

/// The `[tenant.scope]` of a tenant file. Everybody is in scope whom no rule takes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Whether guests belong.
    pub guests: bool,
    /// The domains of login names that belong; empty: all.
    #[serde(deserialize_with = "domains")]
    pub domains: Vec<String>,
    /// The groups whose members belong; empty: all.
    #[serde(deserialize_with = "groups")]
    pub groups: Vec<ObjectId>,
}

fn domains<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let domains = Vec::<String>::deserialize(from)?;
    if domains.len() > SCOPE_ENTRIES_MAX {
        return Err(serde::de::Error::custom(format!(
            "{} domains; at most {SCOPE_ENTRIES_MAX} fit",
            domains.len()
        )));
    }
    for domain in &domains {
        let fits = domain.len() <= 255
            && domain.split('.').count() >= 2
            && domain.split('.').all(|label| !label.is_empty())
            && !domain.contains(|c: char| c == '@' || c == '/' || c.is_whitespace());
        if !fits {
            return Err(serde::de::Error::custom(format!(
                "{domain:?} is not a domain such as contoso.com"
            )));
        }
    }
    Ok(domains.iter().map(|d| d.to_lowercase()).collect())
}

fn groups<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<ObjectId>, D::Error> {
    let groups = Vec::<ObjectId>::deserialize(from)?;
    if groups.is_empty() {
        Ok(groups)
    } else {
        Err(serde::de::Error::custom(
            "groups are not supported by this version: leave the list empty",
        ))
    }
}

impl Scope {
    /// Whether `user` belongs; `None` when a field that decides is null or missing.
    #[must_use]
    pub fn contains(&self, user: &GraphUser) -> Option<bool> {
        let member = if self.guests {
            Some(true)
        } else {
            user.user_type
                .as_deref()
                .map(|kind| !kind.eq_ignore_ascii_case("guest"))
        };
        let domain = if self.domains.is_empty() {
            Some(true)
        } else {
            user.user_principal_name
                .as_deref()
                .map(|name| self.domains.contains(&domain_of(name)))
        };
        match (member, domain) {
            // One rule that takes the user out is enough, whatever the other would say.
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

/// The domain of a login name, in lower case; empty when there is none.
#[must_use]
pub fn domain_of(login_name: &str) -> String {
    login_name
        .rsplit_once('@')
        .map_or_else(String::new, |(_, domain)| domain.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::user;

    #[test]
    fn guests_are_out_of_scope_until_asked_for() {
        let guest = GraphUser {
            user_type: Some("Guest".into()),
            ..user("g")
        };
        assert_eq!(Scope::default().contains(&guest), Some(false));
        let scope = Scope {
            guests: true,
            ..Scope::default()
        };
        assert_eq!(scope.contains(&guest), Some(true));
    }

    #[test]
    fn a_null_that_scope_needs_is_unknown_and_not_out() {
        let no_type = GraphUser {
            user_type: None,
            ..user("a")
        };
        assert_eq!(Scope::default().contains(&no_type), None);
        let scope = Scope {
            domains: vec!["contoso.com".into()],
            ..Scope::default()
        };
        let no_name = GraphUser {
            user_principal_name: None,
            ..user("a")
        };
        assert_eq!(scope.contains(&no_name), None);
    }

    #[test]
    fn domains_are_compared_without_case() {
        let scope = Scope {
            domains: vec!["contoso.com".into()],
            ..Scope::default()
        };
        let inside = GraphUser {
            user_principal_name: Some("A@Contoso.COM".into()),
            ..user("a")
        };
        let outside = GraphUser {
            user_principal_name: Some("a@contoso.com.evil.example".into()),
            ..user("a")
        };
        assert_eq!(scope.contains(&inside), Some(true));
        assert_eq!(scope.contains(&outside), Some(false));
    }
}
