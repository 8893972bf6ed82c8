//! A federated credential: another issuer vouches for the application, and no secret is kept anywhere.
//! <https://learn.microsoft.com/graph/api/resources/federatedidentitycredentials-overview>

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use url::Url;

use crate::config::Secret;

/// A token under way.
pub type Vouching<'a> = Pin<Box<dyn Future<Output = Result<Secret, NoIdentity>> + Send + 'a>>;

/// An issuer whom the application trusts, and who knows the process.
pub trait Identity: fmt::Debug + Send + Sync {
    /// A fresh token that says to `audience` who the process is: the client assertion of one request.
    fn token<'a>(&'a self, audience: &'a str) -> Vouching<'a>;
}

/// Why an issuer gave no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoIdentity {
    /// What it said, without secrets.
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
