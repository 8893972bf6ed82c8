//! What is on the wire, past the SDK.

use rollcall_ambient::Ambient;
use rollcall_sqs_emulator::SqsEmulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::REGION;

/// The answer to one request, head and body, in lower case.
async fn post(emulator: &SqsEmulator, target: &str, body: &str) -> String {
    let address = emulator.endpoint_url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/x-amz-json-1.0\r\nx-amz-target: {target}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.to_lowercase()
}

async fn start() -> SqsEmulator {
    SqsEmulator::start(REGION, Ambient::system()).await.unwrap()
}

#[tokio::test]
async fn an_error_has_its_shape_in_the_body_and_its_query_code_in_the_head() {
    let emulator = start().await;
    let answer = post(
        &emulator,
        "AmazonSQS.GetQueueUrl",
        r#"{"QueueName":"none"}"#,
    )
    .await;
    assert!(answer.starts_with("http/1.1 400 "), "{answer}");
    for part in [
        "content-type: application/x-amz-json-1.0\r\n",
        "x-amzn-query-error: aws.simplequeueservice.nonexistentqueue;sender\r\n",
        "x-amzn-requestid: ",
        r#""__type":"com.amazonaws.sqs#queuedoesnotexist""#,
        r#""message":"the specified queue does not exist.""#,
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
}

#[tokio::test]
async fn what_the_emulator_does_not_know_is_refused_and_named() {
    let emulator = start().await;
    let unknown = post(&emulator, "AmazonSQS.TagQueue", "{}").await;
    assert!(unknown.contains("unknownoperationexception"), "{unknown}");
    assert!(unknown.contains("tagqueue"), "{unknown}");
    let field = r#"{"QueueName":"q","tags":{"a":"b"}}"#;
    let field = post(&emulator, "AmazonSQS.CreateQueue", field).await;
    assert!(field.contains("serializationexception"), "{field}");
    assert!(field.contains("`tags`"), "{field}");
    let fifo = post(
        &emulator,
        "AmazonSQS.CreateQueue",
        r#"{"QueueName":"q.fifo"}"#,
    )
    .await;
    assert!(fifo.contains("unsupportedoperation"), "{fifo}");
}

#[tokio::test]
async fn a_request_that_is_no_request_is_refused() {
    let emulator = start().await;
    for (body, part) in [
        ("", "serializationexception"),
        ("[]", "serializationexception"),
        ("{}", "the request must contain the parameter queueurl."),
        (r#"{"QueueUrl":"here"}"#, "#invalidaddress"),
        (r#"{"QueueUrl":7}"#, "serializationexception"),
    ] {
        let answer = post(&emulator, "AmazonSQS.ReceiveMessage", body).await;
        assert!(answer.contains(part), "{body}: {answer}");
    }
    let long = format!(r#"{{"QueueName":"{}"}}"#, "q".repeat(5 << 20));
    let answer = post(&emulator, "AmazonSQS.CreateQueue", &long).await;
    assert!(answer.contains("the request cannot be read"), "{answer}");
}
