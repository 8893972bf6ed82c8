//! Next links: opaque, and never followed to a foreign origin.

use std::fmt;

use rollcall_core::page::LINK_BYTES_MAX;
use url::Url;

use crate::config::may_carry_secrets;
use crate::error::GraphError;

/// The longest next link that is taken, in bytes. Real ones have 1 to 2 kB; servers in front of
/// Graph refuse request lines far below this.
pub const NEXT_LINK_BYTES_MAX: usize = LINK_BYTES_MAX;

/// The address of a further page, as Graph gave it. Its page token can hold a login name, so it is
/// not printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextLink(String);

impl NextLink {
    /// Takes a link of exactly the origin of `graph_root`.
    ///
    /// # Errors
    /// [`GraphError::UnsafeLink`] for a link to anywhere else, and for what is no link.
    pub fn parse(graph_root: &Url, text: &str) -> Result<Self, GraphError> {
        safe_url(graph_root, "next link", text)?;
        Ok(Self(text.to_owned()))
    }

    /// The link as Graph gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NextLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextLink({} bytes)", self.0.len())
    }
}

/// The address in `text`, if it may get the access token.
pub(crate) fn safe_url(
    graph_root: &Url,
    operation: &'static str,
    text: &str,
) -> Result<Url, GraphError> {
    let unsafe_link = |problem| GraphError::UnsafeLink { operation, problem };
    if text.len() > NEXT_LINK_BYTES_MAX {
        let bytes = text.len();
        return Err(unsafe_link(format!(
            "{bytes} bytes long, the limit is {NEXT_LINK_BYTES_MAX}"
        )));
    }
    let url = Url::parse(text).map_err(|e| unsafe_link(format!("not an absolute URL: {e}")))?;
    if url.origin() != graph_root.origin() || !may_carry_secrets(&url) {
        let to = url.origin().ascii_serialization();
        let own = graph_root.origin().ascii_serialization();
        return Err(unsafe_link(format!("it leads to {to}, not to {own}")));
    }
    // A user name would replace the bearer token by basic authentication.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unsafe_link("it holds a user name or a password".to_owned()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_of_the_own_origin_is_kept_as_it_is() {
        let graph = root("https://graph.microsoft.com/v1.0");
        for text in [
            "https://graph.microsoft.com/v1.0/users?$select=id%2cmail&$top=999&$skiptoken=RFN'a'==",
            "https://graph.microsoft.com:443/v1.0/users?$skiptoken=x",
            "HTTPS://GRAPH.microsoft.com/v1.0/users?$skiptoken=x",
        ] {
            assert_eq!(NextLink::parse(&graph, text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_link_to_anywhere_else_is_refused() {
        let graph = root("https://graph.microsoft.com");
        for text in [
            "https://graph.example.com/v1.0/users",
            "https://graph.microsoft.com.example.com/v1.0/users",
            "https://graph.microsoft.com@example.com/v1.0/users",
            "https://example.com\\@graph.microsoft.com/v1.0/users",
            "https://me@graph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com:8443/v1.0/users",
            "http://graph.microsoft.com/v1.0/users",
            "//graph.microsoft.com/v1.0/users",
            "/v1.0/users?$skiptoken=x",
            "file:///etc/passwd",
            "",
        ] {
            let error = NextLink::parse(&graph, text).unwrap_err();
            assert_eq!(error.run_reason().name(), "unsafe_link", "{text}");
        }
    }

    #[test]
    fn plain_http_is_followed_on_a_loopback_root_only() {
        let link = "http://127.0.0.1:8080/v1.0/users?$skiptoken=x";
        assert!(NextLink::parse(&root("http://127.0.0.1:8080"), link).is_ok());
        assert!(NextLink::parse(&root("http://127.0.0.1:8081"), link).is_err());
        let plain = root("http://graph.example.com");
        assert!(NextLink::parse(&plain, "http://graph.example.com/v1.0/users").is_err());
    }

    #[test]
    fn a_link_without_end_is_refused() {
        let graph = root("https://graph.microsoft.com");
        let text = format!(
            "https://graph.microsoft.com/?{}",
            "x".repeat(NEXT_LINK_BYTES_MAX)
        );
        assert!(NextLink::parse(&graph, &text).is_err());
    }

    #[test]
    fn a_page_token_is_not_printed() {
        let graph = root("https://graph.microsoft.com");
        let link =
            NextLink::parse(&graph, "https://graph.microsoft.com/?$skiptoken=adele").unwrap();
        assert!(!format!("{link:?}").contains("adele"));
    }
}
