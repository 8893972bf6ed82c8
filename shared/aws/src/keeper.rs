//! Secrets Manager keeps a secret.
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>

use std::collections::HashMap;
use std::sync::Arc;

use rollcall_graph::{Keeper, NoProof, Proving, Secret};
use tokio::sync::Mutex;

use crate::Loaded;
use crate::problem::no_proof;

/// The secrets that were read, by ARN or name. As many as there are tenants at most.
#[derive(Debug, Default)]
pub(crate) struct SecretsManager(Mutex<HashMap<String, Secret>>);

/// One of its secrets.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) config: Arc<Loaded>,
    pub(crate) manager: Arc<SecretsManager>,
}

impl Keeper for Kept {
    fn secret(&self, afresh: bool) -> Proving<'_> {
        Box::pin(async move {
            // Held while the secret is read, so that it is read once for all who wait.
            let mut read = self.manager.0.lock().await;
            if !afresh && let Some(secret) = read.get(&self.id) {
                return Ok(secret.clone());
            }
            let secret = self.read().await?;
            read.insert(self.id.clone(), secret.clone());
            Ok(secret)
        })
    }
}

impl Kept {
    async fn read(&self) -> Result<Secret, NoProof> {
        let config = self.config.config().await;
        let answer = aws_sdk_secretsmanager::Client::new(config)
            .get_secret_value()
            .secret_id(&self.id)
            .send()
            .await
            .map_err(|error| no_proof("GetSecretValue", &error, remedy))?;
        let text = answer.secret_string().filter(|text| !text.is_empty());
        text.map(Secret::new).ok_or_else(|| NoProof {
            problem: format!("the secret {} holds no text", self.id),
            remedy: Some("store the secret as text: the client secret, or the PEM"),
        })
    }
}

fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "ResourceNotFoundException" => {
            "there is no such secret in this account and region: check secrets_manager"
        }
        "AccessDeniedException" => {
            "allow the role of this process secretsmanager:GetSecretValue on the secret"
        }
        "DecryptionFailure" => "allow the role of this process kms:Decrypt with the secret's key",
        "InvalidRequestException" => {
            "the secret is marked for deletion: restore it, or name another"
        }
        _ => return None,
    })
}
