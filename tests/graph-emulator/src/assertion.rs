//! Client assertions: a JWT that an application signed with a key whose certificate the tenant has, or
//! that an issuer signed whom the application trusts.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>
//! <https://learn.microsoft.com/entra/workload-id/workload-identity-federation>

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

/// A federated credential of the application: whose word about whom it takes, and for which audience.
/// The real service reads the issuer's keys at its address; here it is given one.
#[derive(Debug, Clone)]
pub struct FederatedCredential {
    /// The address of the issuer.
    pub issuer: String,
    /// Whom it has to vouch for.
    pub subject: String,
    /// For whom the word has to be.
    pub audience: String,
    /// The issuer's RSA key, as `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
}

/// What an application has registered beside its secret.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trusted {
    pub(crate) certificate: Option<Registered>,
    pub(crate) federated: Option<FederatedCredential>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    jti: Option<String>,
    nbf: Option<u64>,
    exp: u64,
}

/// What is wrong with an assertion: the AADSTS number, and in words.
pub(crate) type Problem = (u32, &'static str);

const NOT_THE_CLIENTS: Problem = (700_027, "Client assertion failed signature validation.");
const NOT_THE_ISSUERS: Problem = (50_013, "Assertion failed signature validation.");

/// Whether an assertion is the application's.
/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
pub(crate) fn check(
    assertion: &str,
    trusted: &Trusted,
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
    if header.typ != "JWT" {
        return Err(NO_JWT);
    }
    let is_by_another = claims.iss.starts_with("https://");
    let (key, bad_signature) = if is_by_another {
        let credential = trusted.federated.as_ref();
        (vouched(&header, &claims, credential)?, NOT_THE_ISSUERS)
    } else {
        let certificate = trusted.certificate.as_ref();
        (signed_itself(&header, certificate)?, NOT_THE_CLIENTS)
    };
    UnparsedPublicKey::new(algorithm, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| bad_signature)?;
    if !is_by_another {
        is_for_this_client(&claims, audience, client_id)?;
    }
    let is_early = claims.nbf.is_some_and(|nbf| nbf > now_s + SKEW_S_MAX);
    if is_early || now_s > claims.exp + SKEW_S_MAX {
        return Err((
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    Ok(())
}

/// The key that the application's certificate has.
fn signed_itself<'a>(
    header: &Header,
    certificate: Option<&'a Registered>,
) -> Result<&'a [u8], Problem> {
    let is_meant = |it: &&Registered| header.thumbprint.as_deref() == Some(&it.thumbprint);
    let key = certificate.filter(is_meant).ok_or((
        700_027,
        "Client assertion failed signature validation: the key was not found.",
    ))?;
    Ok(&key.public_key)
}

fn is_for_this_client(claims: &Claims, audience: &str, client_id: Uuid) -> Result<(), Problem> {
    if claims.aud != audience {
        return Err((
            700_023,
            "Client assertion audience claim does not match Realm issuer.",
        ));
    }
    let is_client = |claim: &str| Uuid::try_parse(claim) == Ok(client_id);
    if !is_client(&claims.iss) || !is_client(&claims.sub) || claims.jti.is_none() {
        return Err((
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        ));
    }
    Ok(())
}

/// The key of the issuer, if the application trusts its word about this subject. The service takes
/// RS256 alone from others.
/// <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>
fn vouched<'a>(
    header: &Header,
    claims: &Claims,
    credential: Option<&'a FederatedCredential>,
) -> Result<&'a [u8], Problem> {
    let credential = credential.ok_or((
        70_021,
        "No matching federated identity record found for presented assertion.",
    ))?;
    if header.alg != "RS256" {
        return Err(NOT_THE_ISSUERS);
    }
    if claims.iss != credential.issuer {
        return Err((
            700_211,
            "No matching federated identity record found for presented assertion issuer.",
        ));
    }
    if claims.sub != credential.subject {
        return Err((
            700_213,
            "No matching federated identity record found for presented assertion subject.",
        ));
    }
    if claims.aud != credential.audience {
        return Err((
            700_212,
            "No matching federated identity record found for presented assertion audience.",
        ));
    }
    Ok(&credential.public_key)
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
