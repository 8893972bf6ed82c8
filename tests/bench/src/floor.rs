//! The floor: the same pages, by a loop that follows the next links and does nothing else. It runs in a
//! process of its own, as the others do.

use std::borrow::Cow;

use anyhow::{Context, bail};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::emulated::{Access, say};

/// What the enumerator asks for: the fixed properties and those that the bench maps.
const USERS: &str = "v1.0/users?$select=id,userPrincipalName,mail,displayName,accountEnabled,userType,\
                     department,employeeId,jobTitle&$top=999";
/// More pages than the largest tenant has; a chain that goes in a circle ends here.
const PAGES_MAX: usize = 20_000;
/// The name before the next link, in the bytes of a page.
const NEXT_LINK: &[u8] = b"\"@odata.nextLink\":\"";

/// How much of a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Depth {
    /// The bytes are thrown away, but for the next link.
    Download,
    /// Each user is parsed, and who is enabled is counted.
    Parse,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Vec<User<'a>>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    account_enabled: Option<bool>,
    // The rest is parsed as well, and not looked at.
    #[serde(borrow, rename = "userPrincipalName")]
    _user_principal_name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "mail")]
    _mail: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "displayName")]
    _display_name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "userType")]
    _user_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "department")]
    _department: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "employeeId")]
    _employee_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "jobTitle")]
    _job_title: Option<Cow<'a, str>>,
}

/// Downloads everybody, says how many, and waits until its input ends.
///
/// # Errors
/// When the output is closed.
pub async fn run(access: Access, depth: Depth, with_ids: bool) -> anyhow::Result<()> {
    let said = match download(&access, depth).await {
        Ok((count, _)) if !with_ids => json!({ "users": count }),
        Ok((count, ids)) => json!({ "users": count, "ids": ids }),
        Err(error) => json!({ "failed": format!("{error:#}") }),
    };
    say(&said)?;
    // Whoever started this reads what was used, and then closes the input.
    tokio::task::block_in_place(|| std::io::stdin().lines().count());
    Ok(())
}

async fn download(access: &Access, depth: Depth) -> anyhow::Result<(usize, Vec<String>)> {
    let client = Client::builder().build()?;
    let bearer = bearer(&client, access).await?;
    let mut next = Some(format!("{}/{USERS}", access.origin));
    let (mut count, mut ids) = (0, Vec::new());
    for _ in 0..PAGES_MAX {
        let Some(url) = next else {
            return Ok((count, ids));
        };
        let answer = client.get(&url).bearer_auth(&bearer).send().await?;
        let body = answer.error_for_status()?.bytes().await?;
        if depth == Depth::Download {
            next = next_link(&body)?;
            continue;
        }
        let page: Page<'_> = serde_json::from_slice(&body)?;
        let enabled = page
            .value
            .iter()
            .filter(|it| it.account_enabled == Some(true));
        ids.extend(enabled.map(|user| user.id.clone().into_owned()));
        count += page.value.len();
        next = page.next;
    }
    bail!("the chain of pages does not end")
}

async fn bearer(client: &Client, access: &Access) -> anyhow::Result<String> {
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        access.origin, access.directory_id
    );
    let scope = format!("{}/.default", access.origin);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &access.client_id),
        ("client_secret", &access.client_secret),
        ("scope", &scope),
    ];
    let answer = client.post(url).form(&form).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let token = answer["access_token"].as_str();
    Ok(token.context("the login gives no token")?.to_owned())
}

/// The next link in the bytes of a page, found without parsing them.
fn next_link(body: &[u8]) -> anyhow::Result<Option<String>> {
    let found = body
        .windows(NEXT_LINK.len())
        .position(|window| window == NEXT_LINK);
    let Some(at) = found else {
        return Ok(None);
    };
    // With its quotes it is a JSON string, with whatever is escaped in it.
    let from = &body[at + NEXT_LINK.len() - 1..];
    let link = serde_json::Deserializer::from_slice(from)
        .into_iter::<String>()
        .next();
    Ok(link.transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_in_the_bytes_with_its_escapes() {
        let body = br#"{"@odata.nextLink":"http://a/b?c=1\u0026d","value":[]}"#;
        assert_eq!(
            next_link(body).unwrap().as_deref(),
            Some("http://a/b?c=1&d")
        );
        assert_eq!(next_link(br#"{"value":[]}"#).unwrap(), None);
    }

    #[test]
    fn the_users_of_a_page_are_parsed() {
        let body = br#"{"value":[{"id":"a","mail":null,"accountEnabled":true}]}"#;
        let page: Page<'_> = serde_json::from_slice(body).unwrap();
        assert_eq!(page.value[0].id, "a");
        assert_eq!(page.value[0].account_enabled, Some(true));
    }
}
