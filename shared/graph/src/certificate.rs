//! A certificate as a credential: its key signs an assertion for each token that is asked for.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use url::Url;

use crate::config::Secret;
use crate::error::GraphError;

/// How long an assertion is good, in seconds: the most that the token service takes.
const ASSERTION_LIFE_S: u64 = 600;

/// A certificate with its private key. No log line shows it.
#[derive(Clone)]
pub struct Certificate(Arc<Signer>);

struct Signer {
    key: KeyPair,
    /// SHA-256 of the certificate, which tells the service whose key it was.
    thumbprint: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.0.thumbprint)
    }
}

impl Certificate {
    /// From PEM that holds the certificate and its unencrypted RSA key, in any order. Of several
    /// certificates (a chain) the first one is meant.
    ///
    /// # Errors
    /// [`GraphError::BadConfig`] that says what is missing or does not fit; it repeats nothing of the
    /// text.
    pub fn from_pem(pem: &Secret) -> Result<Self, GraphError> {
        let pem = pem.expose().as_bytes();
        let certificate = CertificateDer::from_pem_slice(pem)
            .map_err(|_| bad("has no certificate; add the block BEGIN CERTIFICATE"))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
            bad(
                "has no unencrypted private key; add the block BEGIN PRIVATE KEY (an encrypted one \
                 can be decrypted by `openssl pkcs8`)",
            )
        })?;
        let key = match &key {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(bad("has a private key that is not RSA, which Entra needs")),
        }
        .map_err(|_| bad("has a private key that is not an RSA key of 2048 to 8192 bits"))?;
        let public = key.public_key().as_ref();
        // The key stands in the certificate as it is.
        if !certificate.windows(public.len()).any(|part| part == public) {
            return Err(bad("has a private key that belongs to another certificate"));
        }
        Ok(Self(Arc::new(Signer {
            key,
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate)),
        })))
    }

    /// The claim that the application is who it says, for the service at `audience`.
    pub(crate) fn assertion(
        &self,
        audience: &Url,
        client_id: &str,
        number: &str,
        now_ms: u64,
    ) -> Result<Secret, GraphError> {
        let now_s = now_ms / 1_000;
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.0.thumbprint });
        let claims = json!({
            "aud": audience.as_str(),
            "iss": client_id,
            "sub": client_id,
            "jti": number,
            "nbf": now_s,
            "iat": now_s,
            "exp": now_s + ASSERTION_LIFE_S,
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.0.key.public_modulus_len()];
        self.0
            .key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| bad("could not sign"))?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}

fn bad(problem: &str) -> GraphError {
    GraphError::bad_config("credential", format!("the certificate's PEM {problem}"))
}
