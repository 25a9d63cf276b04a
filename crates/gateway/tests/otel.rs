//! Spans reach a collector. Run it with `--features otel`.

mod support;

use serde_json::{Value, json};
use session_journal_gateway::otel::Exporter;
use support::{Server, path};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt;

/// Takes what is exported, and says that all is well.
async fn collect(listener: TcpListener, told: mpsc::UnboundedSender<(String, Value)>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut reader = BufReader::new(&mut stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.expect("reads");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await.expect("reads");
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        let body = serde_json::from_slice(&body).expect("JSON");
        // Before the answer: the exporter ends when it has that.
        told.send((head, body)).expect("is read");
        stream.write_all(answer.as_bytes()).await.expect("answers");
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().expect("attributes");
    let found = attributes.iter().find(|one| one["key"] == key);
    found.map_or(&Value::Null, |one| &one["value"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_at_the_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let (told, mut collected) = mpsc::unbounded_channel();
    let collector = tokio::spawn(collect(listener, told));
    let exporter = Exporter::start(&format!("http://{address}/v1/traces")).expect("starts");
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    tracing::subscriber::set_global_default(subscriber).expect("is the first");

    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    server.client().append("a/s", "x").await;
    let named = [("x-request-id", "mine-1")];
    server.client().ask("GET", &path("a/s"), &named, None).await.well();
    server.stop().await;
    // What is left is sent when it ends.
    tokio::task::spawn_blocking(move || drop(exporter)).await.expect("ends");

    let mut spans = Vec::new();
    while let Ok((head, body)) = collected.try_recv() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        let resource = &body["resourceSpans"][0];
        let service = attribute(&resource["resource"], "service.name");
        assert_eq!(service["stringValue"], "session-journal-gateway");
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().expect("spans").clone());
    }
    let request = spans.iter().find(|span| attribute(span, "id")["stringValue"] == "mine-1");
    let request = request.unwrap_or_else(|| panic!("{spans:?}"));
    assert_eq!(request["name"], "request");
    assert_eq!(attribute(request, "method")["stringValue"], "GET");
    assert_eq!(attribute(request, "route")["stringValue"], "/v1/sessions/{session}");
    let append = spans.iter().find(|span| attribute(span, "method")["stringValue"] == "POST");
    let events = append.expect("the append")["events"].as_array().expect("events");
    let opened =
        events.iter().find(|event| event["name"] == "opened").expect("its opening is in it");
    assert_eq!(attribute(opened, "reason"), &json!({ "stringValue": "created" }));
    collector.abort();
}

#[test]
fn an_address_that_is_none_is_told() {
    for wrong in ["", "127.0.0.1:4318", "https://127.0.0.1:4318/v1/traces"] {
        let error = Exporter::start(wrong).expect_err(wrong).to_string();
        assert!(error.ends_with("[invalid]"), "{error}");
    }
}
