//! STS vouches for the process: an identity token that Entra takes as a client assertion.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>

use std::sync::Arc;

use rollcall_graph::{Identity, NoProof, Proving, Secret};

use crate::Loaded;
use crate::problem::no_proof;

/// How long a token is good, in seconds: it is used at once, and the machines' clocks may be apart.
const TOKEN_LIFE_S: i32 = 300;

/// The one algorithm that Entra takes from other issuers.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
const ALGORITHM: &str = "RS256";

#[derive(Debug)]
pub(crate) struct Sts(pub(crate) Arc<Loaded>);

impl Identity for Sts {
    fn token<'a>(&'a self, audience: &'a str) -> Proving<'a> {
        Box::pin(async move {
            let config = self.0.config().await;
            let answer = aws_sdk_sts::Client::new(config)
                .get_web_identity_token()
                .audience(audience)
                .signing_algorithm(ALGORITHM)
                .duration_seconds(TOKEN_LIFE_S)
                .send()
                .await
                .map_err(|error| no_proof("GetWebIdentityToken", &error, remedy))?;
            answer
                .web_identity_token()
                .map(Secret::new)
                .ok_or_else(|| NoProof {
                    problem: "GetWebIdentityToken gave no token".into(),
                    remedy: None,
                })
        })
    }
}

fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "OutboundWebIdentityFederationDisabledException" => {
            "this AWS account does not vouch for anybody: switch it on by `aws iam \
             enable-outbound-web-identity-federation`"
        }
        "AccessDenied" | "AccessDeniedException" => {
            "allow the role of this process sts:GetWebIdentityToken"
        }
        _ => return None,
    })
}
