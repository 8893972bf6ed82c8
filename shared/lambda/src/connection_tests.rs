//! What the first call of an invocation finds: counted by a DynamoDB that has nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::config::Credentials;
use rollcall_ambient::Ambient;
use rollcall_store::TableNames;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::{Settings, started};

/// How often it was connected to, and asked.
#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// Answers every request as DynamoDB answers a read of an item that is not there.
async fn serve(listener: TcpListener, counts: Arc<Counts>) {
    while let Ok((stream, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(&counts);
        tokio::spawn(async move { answer(stream, &counts).await });
    }
}

async fn answer(stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        counts.requests.fetch_add(1, Ordering::Relaxed);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n";
        let answer = format!("{head}content-length: 2\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn the_first_call_of_an_invocation_goes_over_the_connection_that_the_start_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counts = Arc::new(Counts::default());
    tokio::spawn(serve(listener, Arc::clone(&counts)));
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(&url)
        .load()
        .await;
    let settings = Settings {
        tables: TableNames {
            directory: "directory".into(),
            coordination: "coordination".into(),
        },
        enumerate_url: format!("{url}/1/enumerate"),
        batch_url: format!("{url}/1/batch"),
        finalize_url: format!("{url}/1/finalize"),
    };
    let app = started(config, settings, &Ambient::simulated(0, 1)).await;
    assert_eq!(
        counts.connections.load(Ordering::Relaxed),
        1,
        "at the start"
    );
    let asked = counts.requests.load(Ordering::Relaxed);

    let bell = json!({ "tenant": "contoso", "run": 1, "generation": 1, "page": 1 });
    let event = json!({ "Records": [{ "messageId": "1", "body": bell.to_string() }] });
    let answer = app.worker(event, u64::MAX).await.unwrap();

    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert!(
        counts.requests.load(Ordering::Relaxed) > asked,
        "it asked DynamoDB nothing"
    );
    assert_eq!(
        counts.connections.load(Ordering::Relaxed),
        1,
        "in the invocation"
    );
}
