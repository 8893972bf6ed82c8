//! A deployed stack, found by the outputs that CloudFormation tells of it.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html>

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use rollcall_ambient::Ambient;
use rollcall_store::{Store, TableNames, said_by_aws};
use rollcall_sync::Queues;

use crate::exit::bad_input;

/// How long one try of a call may take, in milliseconds. All three services answer within some hundreds.
const ATTEMPT_MS_MAX: u64 = 10_000;

/// What CloudFormation's code for this is, and how its text ends for a stack that is not there: the code
/// means other things too.
const NOT_VALID: &str = "ValidationError";
const NOT_THERE: &str = "does not exist";

/// The store and the queues of a stack.
///
/// # Errors
/// A stack that is not there or has other outputs, which is bad input; or whatever AWS answers.
pub(crate) async fn find(name: &str, ambient: &Ambient) -> anyhow::Result<(Store, Queues)> {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(ATTEMPT_MS_MAX))
        .build();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .load()
        .await;
    let region = config.region().filter(|region| !region.as_ref().is_empty());
    let Some(region) = region else {
        return Err(bad_input(format!(
            "the stack {name} is in no region: set AWS_REGION, or AWS_PROFILE to a profile with a region"
        )));
    };
    let outputs = outputs(name, region.as_ref(), &config).await?;
    let output = |key: &str| {
        outputs.get(key).cloned().ok_or_else(|| {
            bad_input(format!(
                "the stack {name} has no output {key}: it is another application's, or its last deployment \
                 did not complete"
            ))
        })
    };
    let tables = TableNames {
        directory: output("DirectoryTableName")?,
        coordination: output("CoordinationTableName")?,
    };
    let queues = Queues {
        client: aws_sdk_sqs::Client::new(&config),
        enumerate_url: output("EnumerateQueueUrl")?,
        batch_url: output("BatchQueueUrl")?,
        finalize_url: output("FinalizeQueueUrl")?,
    };
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    Ok((Store::new(dynamodb, tables, ambient.clone()), queues))
}

/// What the stack's outputs are, by name.
async fn outputs(
    name: &str,
    region: &str,
    config: &SdkConfig,
) -> anyhow::Result<BTreeMap<String, String>> {
    let asked = aws_sdk_cloudformation::Client::new(config)
        .describe_stacks()
        .stack_name(name)
        .send()
        .await;
    let answer = asked.map_err(|error| {
        let told = error.as_service_error();
        let is = |code, text| {
            told.is_some_and(|told| {
                told.code() == Some(code) && told.message().is_some_and(|it| it.contains(text))
            })
        };
        if is(NOT_VALID, NOT_THERE) {
            return bad_input(format!(
                "there is no stack {name} in {region}: check the name, the region (AWS_REGION) and the \
                 account (AWS_PROFILE)"
            ));
        }
        anyhow!(
            "the stack {name} in {region} could not be looked up, which needs cloudformation:DescribeStacks \
             and AWS credentials: {}",
            said_by_aws(&error)
        )
    })?;
    let stack = answer.stacks().first();
    let outputs = stack.map(|stack| stack.outputs()).unwrap_or_default();
    Ok(outputs
        .iter()
        .filter_map(|output| {
            Some((
                output.output_key()?.to_owned(),
                output.output_value()?.to_owned(),
            ))
        })
        .collect())
}
