//! Faults as text, one rule a line, so that a failure can be told, kept and played again:
//!
//! ```text
//! # which requests, how often: what goes wrong
//! users page 2 once: status 429 after 1
//! token 2 times: status 503 login 90033
//! batch-item user 87d349ed-44d7-43e1-9a83-5f2406dee5bd always: not-found
//! delta from 3 always: sync-state resync
//! ```

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::fault::{ErrorBody, Fault, NextLink, PageTokenError, SyncStateError, Who};
use crate::hooks::{FaultRule, Matcher, Times};
use crate::request::Endpoint;

/// The rules of a script, in its order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FaultScript(pub Vec<FaultRule>);

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// Which line; the first is 1.
    pub line: usize,
    /// What is wrong with it, and what was expected.
    pub problem: String,
}

const ENDPOINTS: [(&str, Endpoint); 13] = [
    ("token", Endpoint::Token),
    ("users", Endpoint::Users),
    ("count", Endpoint::UserCount),
    ("delta", Endpoint::Delta),
    ("user", Endpoint::User),
    ("get-by-ids", Endpoint::GetByIds),
    ("group", Endpoint::Group),
    ("group-members", Endpoint::GroupMembers),
    ("check-member-groups", Endpoint::CheckMemberGroups),
    ("deleted", Endpoint::DeletedItems),
    ("batch", Endpoint::Batch),
    ("batch-item", Endpoint::BatchItem),
    ("other", Endpoint::Other),
];

/// Stands for every endpoint.
const ANY: &str = "any";

const BODIES: [(&str, ErrorBody); 5] = [
    ("unknown", ErrorBody::Unknown),
    ("empty-code", ErrorBody::EmptyCode),
    ("empty", ErrorBody::Empty),
    ("html", ErrorBody::Html),
    ("plain", ErrorBody::Plain),
];

const PAGE_TOKENS: [(&str, PageTokenError); 3] = [
    ("expired", PageTokenError::Expired),
    ("not-found", PageTokenError::NotFound),
    ("invalid", PageTokenError::Invalid),
];

const SYNC_STATES: [(&str, SyncStateError); 4] = [
    ("not-found", SyncStateError::NotFound),
    ("resync", SyncStateError::Resync),
    ("apply-differences", SyncStateError::ApplyDifferences),
    ("bare", SyncStateError::Bare),
];

/// The faults that need no further word.
const PLAIN: [(&str, Fault); 14] = [
    ("expired-bearer", Fault::ExpiredBearer),
    ("claims-challenge", Fault::ClaimsChallenge),
    ("denied", Fault::Denied),
    ("not-found", Fault::NotFound),
    ("closed", Fault::Closed),
    ("reset", Fault::Reset),
    ("error-for-value", Fault::ErrorForValue),
    ("no-value", Fault::NoValue),
    ("null-value", Fault::NullValue),
    ("empty-end", Fault::EmptyEnd),
    ("empty-page", Fault::EmptyPage),
    ("truncated", Fault::Truncated),
    ("spliced", Fault::Spliced),
    ("broken", Fault::Broken),
];

type AboutSome = fn(Who) -> Fault;

/// The faults about some users of an answer.
const ABOUT: [(&str, AboutSome); 5] = [
    ("left-out", Fault::LeftOut),
    ("removed-again", Fault::RemovedAgain),
    ("twice", Fault::Twice),
    ("null-enabled", Fault::NullAccountEnabled),
    ("no-enabled", Fault::NoAccountEnabled),
];

fn find<T: Clone>(names: &[(&str, T)], word: &str) -> Option<T> {
    let found = names.iter().find(|(name, _)| *name == word);
    found.map(|(_, it)| it.clone())
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], of: &T) -> Option<&'static str> {
    let found = names.iter().find(|(_, it)| it == of);
    found.map(|(name, _)| *name)
}

fn listed<T>(names: &[(&str, T)]) -> String {
    let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

// === Reading ===

impl FromStr for FaultScript {
    type Err = ScriptError;

    /// Blank lines, and those that begin with `#`, say nothing.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let told = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let lines = (1..).zip(text.lines().map(str::trim));
        let rules = lines.filter(|(_, line)| told(line)).map(|(line, rule)| {
            rule.parse()
                .map_err(|problem| ScriptError { line, problem })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for FaultRule {
    type Err = String;

    fn from_str(rule: &str) -> Result<Self, String> {
        let (requests, fault) = rule
            .split_once(':')
            .ok_or_else(|| format!("{rule:?}: expected `<requests>: <fault>`"))?;
        let mut words = Words::of(requests);
        let when = words.matcher()?;
        let times = words.times()?;
        words.end()?;
        let mut words = Words::of(fault);
        let fault = words.fault()?;
        words.end()?;
        Ok(Self { when, times, fault })
    }
}

/// The words of a part of a rule that are not read yet.
struct Words<'a>(std::iter::Peekable<std::str::SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().peekable())
    }

    fn next(&mut self, expected: &str) -> Result<&'a str, String> {
        let word = self.0.next();
        word.ok_or_else(|| format!("the rule ends where {expected} was expected"))
    }

    /// The next word, if it is this one.
    fn takes(&mut self, word: &str) -> bool {
        self.0.next_if_eq(&word).is_some()
    }

    fn parsed<T: FromStr>(&mut self, expected: &str) -> Result<T, String> {
        let word = self.next(expected)?;
        let parsed = word.parse();
        parsed.map_err(|_| format!("{word:?}: expected {expected}"))
    }

    fn one_of<T: Clone>(&mut self, names: &[(&str, T)]) -> Result<T, String> {
        let expected = format!("one of {}", listed(names));
        let word = self.next(&expected)?;
        find(names, word).ok_or_else(|| format!("{word:?}: expected {expected}"))
    }

    fn end(&mut self) -> Result<(), String> {
        match self.0.next() {
            None => Ok(()),
            Some(word) => Err(format!("{word:?}: expected the end")),
        }
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let mut when = Matcher::any();
        if !self.takes(ANY) {
            when = Matcher::endpoint(self.one_of(&ENDPOINTS)?);
        }
        if self.takes("of") {
            when = when.tenant(self.parsed("a directory id")?);
        }
        if self.takes("page") {
            when = when.page(self.parsed("the number of a page")?);
        }
        if self.takes("user") {
            when = when.user(self.parsed("an object id")?);
        }
        if self.takes("from") {
            when = when.nth(self.parsed("the number of a request")?);
        }
        Ok(when)
    }

    fn times(&mut self) -> Result<Times, String> {
        const EXPECTED: &str = "once, <number> times, alternately or always";
        if self.takes("once") {
            return Ok(Times::Once);
        }
        if self.takes("alternately") {
            return Ok(Times::Alternately);
        }
        if self.takes("always") {
            return Ok(Times::Forever);
        }
        let times = self.parsed(EXPECTED)?;
        match self.takes("times") {
            true => Ok(Times::Times(times)),
            false => Err(format!("{times}: expected {EXPECTED}")),
        }
    }

    fn fault(&mut self) -> Result<Fault, String> {
        let word = self.next("a fault")?;
        if let Some(fault) = find(&PLAIN, word) {
            return Ok(fault);
        }
        if let Some(about) = find(&ABOUT, word) {
            return Ok(about(self.who()?));
        }
        Ok(match word {
            "status" => Fault::Status {
                status: self.parsed("an HTTP status")?,
                retry_after_s: match self.takes("after") {
                    true => Some(self.parsed("seconds")?),
                    false => None,
                },
                body: self.body()?,
            },
            "page-token" => Fault::PageToken(self.one_of(&PAGE_TOKENS)?),
            "sync-state" => Fault::SyncState(self.one_of(&SYNC_STATES)?),
            "redirect" => Fault::Redirect {
                to: self.next("an address")?.to_owned(),
            },
            "next-link" => Fault::NextLink(self.next_link()?),
            "delay" => Fault::Delay {
                ms: self.parsed("milliseconds")?,
            },
            other => {
                return Err(format!(
                    "{other:?}: expected a fault: {}, {}, status, page-token, sync-state, \
                     redirect, next-link or delay",
                    listed(&PLAIN),
                    listed(&ABOUT)
                ));
            }
        })
    }

    fn body(&mut self) -> Result<ErrorBody, String> {
        if self.takes("login") {
            return Ok(ErrorBody::Login(self.parsed("the number after AADSTS")?));
        }
        match self.0.peek() {
            None => Ok(ErrorBody::Graph),
            Some(_) => self.one_of(&BODIES),
        }
    }

    fn next_link(&mut self) -> Result<NextLink, String> {
        match self.next("itself, missing, page, to or exactly")? {
            "itself" => Ok(NextLink::Itself),
            "missing" => Ok(NextLink::Missing),
            "page" => Ok(NextLink::Page(self.parsed("the number of a page")?)),
            "to" => Ok(NextLink::Origin(self.next("an origin")?.to_owned())),
            "exactly" => Ok(NextLink::Exactly(self.next("an address")?.to_owned())),
            other => Err(format!(
                "{other:?}: expected itself, missing, page, to or exactly"
            )),
        }
    }

    fn who(&mut self) -> Result<Who, String> {
        match self.next("all, first or ids")? {
            "all" => Ok(Who::All),
            "first" => Ok(Who::First(self.parsed("a number of users")?)),
            "ids" => {
                let ids = self.next("object ids")?.split(',');
                let ids: Result<Vec<Uuid>, _> = ids.map(Uuid::try_parse).collect();
                ids.map(Who::Ids)
                    .map_err(|_| "expected object ids with commas between them".to_owned())
            }
            other => Err(format!("{other:?}: expected all, first or ids")),
        }
    }
}

// === Writing ===

impl fmt::Display for FaultScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.when)?;
        match self.times {
            Times::Once => f.write_str("once")?,
            Times::Times(times) => write!(f, "{times} times")?,
            Times::Forever => f.write_str("always")?,
            Times::Alternately => f.write_str("alternately")?,
        }
        write!(f, ": {}", self.fault)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.and_then(|it| name_of(&ENDPOINTS, &it));
        f.write_str(endpoint.unwrap_or(ANY))?;
        if let Some(tenant) = self.tenant {
            write!(f, " of {tenant}")?;
        }
        if let Some(page) = self.page {
            write!(f, " page {page}")?;
        }
        if let Some(user) = self.user {
            write!(f, " user {user}")?;
        }
        if let Some(nth) = self.nth {
            write!(f, " from {nth}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |f: &mut fmt::Formatter<'_>, make: AboutSome, who: &Who| {
            let of_all = make(Who::All);
            let found = ABOUT.iter().find(|(_, make)| make(Who::All) == of_all);
            write!(f, "{} {who}", found.map_or("", |(name, _)| name))
        };
        match self {
            Self::Status {
                status,
                retry_after_s,
                body,
            } => {
                write!(f, "status {status}")?;
                if let Some(seconds) = retry_after_s {
                    write!(f, " after {seconds}")?;
                }
                match body {
                    ErrorBody::Graph => Ok(()),
                    ErrorBody::Login(aadsts) => write!(f, " login {aadsts}"),
                    other => write!(f, " {}", name_of(&BODIES, other).unwrap_or_default()),
                }
            }
            Self::PageToken(kind) => {
                let kind = name_of(&PAGE_TOKENS, kind).unwrap_or_default();
                write!(f, "page-token {kind}")
            }
            Self::SyncState(kind) => {
                let kind = name_of(&SYNC_STATES, kind).unwrap_or_default();
                write!(f, "sync-state {kind}")
            }
            Self::Redirect { to } => write!(f, "redirect {to}"),
            Self::NextLink(NextLink::Itself) => f.write_str("next-link itself"),
            Self::NextLink(NextLink::Missing) => f.write_str("next-link missing"),
            Self::NextLink(NextLink::Page(page)) => write!(f, "next-link page {page}"),
            Self::NextLink(NextLink::Origin(origin)) => write!(f, "next-link to {origin}"),
            Self::NextLink(NextLink::Exactly(link)) => write!(f, "next-link exactly {link}"),
            Self::Delay { ms } => write!(f, "delay {ms}"),
            Self::LeftOut(who) => about(f, Self::LeftOut, who),
            Self::RemovedAgain(who) => about(f, Self::RemovedAgain, who),
            Self::Twice(who) => about(f, Self::Twice, who),
            Self::NullAccountEnabled(who) => about(f, Self::NullAccountEnabled, who),
            Self::NoAccountEnabled(who) => about(f, Self::NoAccountEnabled, who),
            plain => f.write_str(name_of(&PLAIN, plain).unwrap_or_default()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::First(count) => write!(f, "first {count}"),
            Self::Ids(ids) => {
                let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
                write!(f, "ids {}", ids.join(","))
            }
        }
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
