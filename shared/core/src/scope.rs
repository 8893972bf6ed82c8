//! Who belongs to a tenant's directory.

use serde::{Deserialize, Serialize};

use crate::ids::ObjectId;
use crate::settings::Guid;
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
    /// The groups whose members belong, nested members too; empty: all.
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
    let named = Vec::<Guid>::deserialize(from)?;
    if named.len() > SCOPE_ENTRIES_MAX {
        return Err(serde::de::Error::custom(format!(
            "{} groups; at most {SCOPE_ENTRIES_MAX} fit: put them into one group",
            named.len()
        )));
    }
    let mut groups = Vec::new();
    for group in named {
        let id = ObjectId::new(group.as_str()).map_err(serde::de::Error::custom)?;
        if groups.contains(&id) {
            return Err(serde::de::Error::custom(format!(
                "the group {id} is named twice"
            )));
        }
        groups.push(id);
    }
    Ok(groups)
}

impl Scope {
    /// Whether the rules about the user's own fields take him; `None` as for [`Self::contains`].
    fn takes(&self, user: &GraphUser) -> Option<bool> {
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

    /// Whether it depends on the groups if `user` belongs: no other rule takes him out.
    #[must_use]
    pub fn groups_decide(&self, user: &GraphUser) -> bool {
        !self.groups.is_empty() && self.takes(user) != Some(false)
    }

    /// Whether `user` is out of scope for being in none of the groups, and for nothing else.
    #[must_use]
    pub fn is_out_by_groups_alone(&self, user: &GraphUser) -> bool {
        self.groups_decide(user) && user.in_groups == Some(false)
    }

    /// Whether `user` belongs; `None` when a field that decides is null or missing, or when it is not
    /// known whether he is in a group.
    #[must_use]
    pub fn contains(&self, user: &GraphUser) -> Option<bool> {
        let in_groups = if self.groups.is_empty() {
            Some(true)
        } else {
            user.in_groups
        };
        match (self.takes(user), in_groups) {
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

    const GROUP: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";

    fn with_groups(groups: serde_json::Value) -> Result<Scope, serde_json::Error> {
        serde_json::from_value(serde_json::json!({ "groups": groups }))
    }

    #[test]
    fn who_is_in_no_group_is_out_and_who_may_be_in_one_is_unknown() {
        let scope = with_groups([GROUP].into()).unwrap();
        let with = |in_groups| GraphUser {
            in_groups,
            ..user("a")
        };
        assert_eq!(scope.contains(&with(Some(true))), Some(true));
        assert_eq!(scope.contains(&with(Some(false))), Some(false));
        assert_eq!(scope.contains(&with(None)), None);
        // Without groups it does not matter.
        assert_eq!(Scope::default().contains(&with(Some(false))), Some(true));
    }

    #[test]
    fn a_guest_of_a_group_is_out_whatever_the_groups_say() {
        let scope = with_groups([GROUP].into()).unwrap();
        for in_groups in [Some(true), Some(false), None] {
            let guest = GraphUser {
                user_type: Some("Guest".into()),
                in_groups,
                ..user("g")
            };
            assert_eq!(scope.contains(&guest), Some(false));
            assert!(!scope.is_out_by_groups_alone(&guest));
        }
        for (user_type, in_groups, expected) in [
            (Some("Member"), Some(false), true),
            (None, Some(false), true),
            (Some("Member"), Some(true), false),
            (Some("Member"), None, false),
        ] {
            let user = GraphUser {
                user_type: user_type.map(str::to_owned),
                in_groups,
                ..user("a")
            };
            assert_eq!(scope.is_out_by_groups_alone(&user), expected, "{user:?}");
        }
    }

    #[test]
    fn groups_are_named_by_their_ids_each_once_and_not_without_end() {
        let scope = with_groups([GROUP.to_uppercase()].into()).unwrap();
        assert_eq!(scope.groups[0].as_str(), GROUP);
        let many: Vec<_> = (0..=SCOPE_ENTRIES_MAX)
            .map(|nth| format!("6babcaad-604b-40ac-a9d7-{nth:012}"))
            .collect();
        assert!(with_groups(many[1..].to_vec().into()).is_ok());
        for (groups, problem) in [
            (
                ["everybody"].as_slice().into(),
                "\"everybody\" is not a GUID",
            ),
            (
                [GROUP, &GROUP.to_uppercase()].as_slice().into(),
                "named twice",
            ),
            (many.into(), "at most 200 fit"),
        ] {
            let refused = with_groups(groups).unwrap_err().to_string();
            assert!(refused.contains(problem), "{refused}");
        }
    }
}
