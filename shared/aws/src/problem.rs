//! What an error of AWS means for the credential.

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_sdk_sts::error::SdkError;
use rollcall_graph::NoProof;

/// What a person can do when nothing better is known.
const CHECK_ENVIRONMENT: &str =
    "check the AWS region and credentials of this process (AWS_REGION, AWS_PROFILE)";

/// Why a call gave nothing. A refusal is for good; no answer, throttling and server errors pass. The
/// service's text is not repeated, its code is.
pub(crate) fn no_proof<E: ProvideErrorMetadata>(
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
    remedy: fn(&str) -> Option<&'static str>,
) -> NoProof {
    match error {
        SdkError::ServiceError(told) => {
            let code = told.err().code().unwrap_or("an error without a code");
            let status = told.raw().status().as_u16();
            let passes = status >= 500 || status == 429 || is_throttling(code);
            NoProof {
                problem: format!("{operation}, status {status}, code {code}"),
                remedy: (!passes).then(|| remedy(code).unwrap_or(CHECK_ENVIRONMENT)),
            }
        }
        // No region, no credentials: nothing was sent.
        SdkError::ConstructionFailure(_) => NoProof {
            problem: format!("{operation} could not be asked"),
            remedy: Some(CHECK_ENVIRONMENT),
        },
        SdkError::DispatchFailure(failed) if !failed.is_timeout() && !failed.is_io() => NoProof {
            problem: format!("{operation} could not be asked"),
            remedy: Some(CHECK_ENVIRONMENT),
        },
        _ => NoProof {
            problem: format!("{operation} was not answered"),
            remedy: None,
        },
    }
}

/// The codes by which AWS throttles, which come with status 400 too.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "SlowDown"
    )
}
