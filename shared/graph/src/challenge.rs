//! What a 401 asks for beyond a token.
//! <https://learn.microsoft.com/entra/identity-platform/claims-challenge>

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::error::loggable_code;

/// The longest claims that are passed on, in bytes: a challenge names a claim or two.
const CLAIMS_BYTES_MAX: usize = 4_096;

/// Servers pad their base64, or not.
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// Claims that a token has to be asked for with: JSON, as the token service takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims(pub(crate) String);

impl Claims {
    /// Those of a `WWW-Authenticate` header, if it wants any. What is no JSON object is nothing to
    /// be passed on.
    pub(crate) fn of(header: &str) -> Option<Self> {
        let encoded = parameter(header, "claims")?;
        if encoded.len() > CLAIMS_BYTES_MAX {
            return None;
        }
        let decoded = STANDARD
            .decode(encoded)
            .or_else(|_| URL_SAFE.decode(encoded));
        let claims = String::from_utf8(decoded.ok()?).ok()?;
        let is_object = serde_json::from_str::<Map<String, Value>>(&claims).is_ok();
        is_object.then_some(Self(claims))
    }
}

/// The error of a `WWW-Authenticate` header: `insufficient_claims` and the like.
pub(crate) fn error(header: &str) -> Option<String> {
    loggable_code(parameter(header, "error")?)
}

fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NBF: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1763928902"}}}"#;

    #[test]
    fn claims_are_decoded_from_either_alphabet_with_and_without_padding() {
        for encoded in [
            STANDARD.encode(NBF),
            URL_SAFE.encode(NBF),
            STANDARD.encode(NBF).trim_end_matches('=').to_owned(),
        ] {
            let header =
                format!(r#"Bearer realm="", error="insufficient_claims", claims="{encoded}""#);
            assert_eq!(Claims::of(&header), Some(Claims(NBF.to_owned())));
            assert_eq!(error(&header).as_deref(), Some("insufficient_claims"));
        }
    }

    #[test]
    fn what_is_no_object_is_not_passed_on() {
        let long = STANDARD.encode(format!(r#"{{"a":"{}"}}"#, "x".repeat(CLAIMS_BYTES_MAX)));
        let list = STANDARD.encode("[1]");
        for claims in ["", "!", &list, &long, &STANDARD.encode([0xff])] {
            assert_eq!(Claims::of(&format!(r#"Bearer claims="{claims}""#)), None);
        }
        assert_eq!(Claims::of("Bearer"), None);
        assert_eq!(error(r#"Bearer error="a b""#), None);
    }
}
