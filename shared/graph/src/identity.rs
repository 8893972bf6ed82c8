//! Who proves the application when the settings hold no secret: a store that keeps it, or another
//! issuer that vouches for the application, so that there is none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use url::Url;

use crate::config::Secret;

/// A secret or token under way.
pub type Proving<'a> = Pin<Box<dyn Future<Output = Result<Secret, NoProof>> + Send + 'a>>;

/// A store that keeps a secret.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// The secret: one that was read before, or, if it is asked for `afresh`, as the store has it now.
    fn secret(&self, afresh: bool) -> Proving<'_>;
}

/// An issuer whom the application trusts, and who knows the process.
/// <https://learn.microsoft.com/graph/api/resources/federatedidentitycredentials-overview>
pub trait Identity: fmt::Debug + Send + Sync {
    /// A fresh token that says to `audience` who the process is: the client assertion of one request.
    fn token<'a>(&'a self, audience: &'a str) -> Proving<'a>;
}

/// Why there is no secret or token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoProof {
    /// What was said, without secrets.
    pub problem: String,
    /// What a person can do; none if it may pass by itself.
    pub remedy: Option<&'static str>,
}

/// For whom such a token has to be, in the cloud that a token service belongs to.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
pub(crate) fn audience(login_root: &Url) -> &'static str {
    match login_root.host_str() {
        Some("login.microsoftonline.us") => "api://AzureADTokenExchangeUSGov",
        Some("login.chinacloudapi.cn") => "api://AzureADTokenExchangeChina",
        _ => "api://AzureADTokenExchange",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cloud;

    #[test]
    fn each_cloud_has_its_audience() {
        for (cloud, expected) in [
            (Cloud::Global, "api://AzureADTokenExchange"),
            (Cloud::UsGov, "api://AzureADTokenExchangeUSGov"),
            (Cloud::UsGovDod, "api://AzureADTokenExchangeUSGov"),
            (Cloud::China, "api://AzureADTokenExchangeChina"),
        ] {
            assert_eq!(audience(&cloud.login_root().unwrap()), expected);
        }
    }
}
