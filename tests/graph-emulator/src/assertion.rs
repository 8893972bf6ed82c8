//! Client assertions: a JWT that an application signed with a key whose certificate the tenant has.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use webpki::EndEntityCert;

/// How far the clock of a caller may be off, in seconds.
const SKEW_S_MAX: u64 = 300;

/// A certificate that an administrator uploaded for the application.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    thumbprint: String,
    /// As `SubjectPublicKeyInfo`.
    public_key: Vec<u8>,
}

impl Registered {
    /// `None` for what is no X.509 certificate.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let der = CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).ok()?;
        Some(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)),
            public_key: certificate.subject_public_key_info().to_vec(),
        })
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    jti: String,
    nbf: u64,
    exp: u64,
}

/// What is wrong with an assertion: the AADSTS number, and in words.
pub(crate) type Problem = (u32, &'static str);

/// Whether an assertion is the application's.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
pub(crate) fn check(
    assertion: &str,
    registered: Option<&Registered>,
    audience: &str,
    client_id: Uuid,
    now_s: u64,
) -> Result<(), Problem> {
    const NO_JWT: Problem = (50_027, "JWT token is invalid or malformed.");
    let (signed, signature) = assertion.rsplit_once('.').ok_or(NO_JWT)?;
    let (header, claims) = signed.split_once('.').ok_or(NO_JWT)?;
    let header: Header = part(header).ok_or(NO_JWT)?;
    let claims: Claims = part(claims).ok_or(NO_JWT)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NO_JWT)?;
    let algorithm: &dyn VerificationAlgorithm = match header.alg.as_str() {
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(NO_JWT),
    };
    if header.typ != "JWT" || claims.jti.is_empty() {
        return Err(NO_JWT);
    }
    let key = registered.filter(|registered| registered.thumbprint == header.thumbprint);
    let key = key.ok_or((
        700_027,
        "Client assertion failed signature validation: the key was not found.",
    ))?;
    UnparsedPublicKey::new(algorithm, &key.public_key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| (700_027, "Client assertion failed signature validation."))?;
    if claims.aud != audience {
        return Err((
            700_023,
            "Client assertion audience claim does not match Realm issuer.",
        ));
    }
    let is_client = |claim: &str| Uuid::try_parse(claim) == Ok(client_id);
    if !is_client(&claims.iss) || !is_client(&claims.sub) {
        return Err((
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        ));
    }
    if claims.nbf > now_s + SKEW_S_MAX || now_s > claims.exp + SKEW_S_MAX {
        return Err((
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    Ok(())
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
