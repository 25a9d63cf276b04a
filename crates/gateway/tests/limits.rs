//! Clients that are slow, large or many: they are cut off, and the others are served.

mod support;

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use support::{Server, path, raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for the machine to serve others in between, short enough for a test.
const SHORT_MS: u64 = 1500;

#[tokio::test]
async fn a_hundred_slow_clients_are_cut_off_and_the_others_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| {
        config.limits.head_ms = SHORT_MS;
        config.limits.body_pause_ms = SHORT_MS;
    })
    .await;
    let client = server.client();
    client.append("a/s", "x").await;
    let mut slow = tokio::task::JoinSet::new();
    for at in 0..100 {
        let address = server.address;
        slow.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            let target = format!("{}/records", path("a/s"));
            let begun = if at % 2 == 0 {
                // Half a head.
                format!("POST {target} HTTP/1.1\r\nhost: {address}\r\n")
            } else {
                // Half a body.
                format!("POST {target} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"payload\":")
            };
            stream.write_all(begun.as_bytes()).await.expect("writes");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            (at % 2 == 1, String::from_utf8_lossy(&answer).into_owned())
        });
    }
    for at in 0..50 {
        assert_eq!(client.append("a/s", "y").await["seq"], at + 2);
    }
    while let Some(cut) = slow.join_next().await {
        let (is_body, answer) = cut.expect("ends");
        if is_body {
            assert!(
                answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"timeout\""),
                "{answer}"
            );
        }
    }
    let page = client.get(&format!("{}/records", path("a/s"))).await.well();
    assert_eq!(page["last_seq"], 51, "nothing of half a body was stored");
    server.stop().await;
}

#[tokio::test]
async fn half_a_body_that_breaks_off_stores_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let target = format!("{}/records", path("a/s"));
    let half = format!(
        "POST {target} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"payload\":\"y\"}}",
        server.address
    );
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    stream.write_all(half.as_bytes()).await.expect("writes");
    stream.shutdown().await.expect("breaks off");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text, or nothing");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(client.append("a/s", "z").await["seq"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_a_gibibyte_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let target = format!("{}/records?create=true", path("a/s"));
    let head = |length: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
            server.address
        )
    };
    // As it is announced.
    let answer = raw(server.address, head("content-length: 1073741824").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"too-large\""), "{answer}");
    // As it comes, without being announced: it is not taken to its end.
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).await.expect("writes");
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let mut sent = 0_u32;
    while sent < 1024 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "{sent} MiB were taken");
    let info = server.client().get(&path("a/s")).await;
    assert_eq!(info.code(), "not-found", "the session is not even made");
    server.stop().await;
}

#[tokio::test]
async fn what_is_larger_than_allowed_is_told_by_how_much() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| {
        config.limits.body_bytes_max = 2000;
        config.limits.record_bytes_max = 1000;
    })
    .await;
    let client = server.client();
    let target = format!("{}/records?create=true", path("a/s"));
    for (bytes, limit) in [(1001, 1000), (3000, 2000)] {
        let answer = client.post(&target, json!({ "payload": "x".repeat(bytes) })).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::PAYLOAD_TOO_LARGE, "too-large")
        );
        assert_eq!(answer.json()["limit"], limit);
    }
    client.post(&target, json!({ "payload": "x".repeat(1000) })).await.well();
    let key = "k".repeat(1025);
    assert_eq!(
        client.post(&target, json!({ "payload": "", "key": key })).await.code(),
        "too-large"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_or_has_too_many_headers_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let host = format!("host: {}\r\n", server.address);
    let many = "x: y\r\n".repeat(100);
    let large = format!("x: {}\r\n", "y".repeat(64 << 10));
    for headers in [many, large] {
        let head = format!("GET /healthz HTTP/1.1\r\n{host}{headers}\r\n");
        let answer = raw(server.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(server.client().get("/healthz").await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_another_type_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let target = format!("{}/records?create=true", path("a/s"));
    for kind in ["text/plain", "application/jsonx", "multipart/form-data"] {
        let headers = [("content-type", kind)];
        let answer = client.ask("POST", &target, &headers, Some("{}".to_owned())).await;
        let said = (answer.status, answer.code());
        assert_eq!(said, (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type".to_owned()));
    }
    let headers = [("content-type", "Application/JSON; charset=utf-8")];
    let body = Some(json!({ "payload": "x" }).to_string());
    client.ask("POST", &target, &headers, body).await.well();
    for wrong in ["", "{", "null", "[]", "{\"payload\":\"\\ud800\"}", "{\"payload\":\"x\"} x"] {
        let answer = client.ask("POST", &target, &[], Some(wrong.to_owned())).await;
        assert_eq!(answer.code(), "invalid", "{wrong}");
    }
    server.stop().await;
}

#[tokio::test]
async fn thousands_of_idle_streams_up_to_the_limit_and_one_more_is_told() {
    const STREAMS: usize = 2000;
    // Both ends of every connection are in this process.
    support::allow_handles(2 * STREAMS as u64 + 200);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| {
        config.limits.streams_max = STREAMS;
        config.limits.keep_alive_ms = 3_600_000;
    })
    .await;
    let client = server.client();
    client.append("a/s", "first").await;
    let mut opening = tokio::task::JoinSet::new();
    let mut streams = Vec::new();
    for at in 0..STREAMS {
        let client = client.clone();
        opening.spawn(async move {
            let mut events = client.follow("a/s", None).await;
            events.take(1).await;
            events
        });
        if at % 50 == 49 {
            while let Some(stream) = opening.join_next().await {
                streams.push(stream.expect("opens"));
            }
        }
    }
    let more = client.get(&format!("{}/events", path("a/s"))).await;
    assert_eq!((more.status, more.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    assert_eq!(more.headers["retry-after"], "1");
    assert_eq!(server.state.feeds.len(), 1, "they share one follower");
    assert_eq!(client.append("a/s", "second").await["seq"], 2);
    for events in &mut streams {
        assert_eq!(events.take(1).await[0].payload(), "second");
    }
    drop(streams.pop());
    // Its place is free once the gateway noticed.
    let again = format!("{}/events", path("a/s"));
    while client.send("GET", &again, &[], None).await.status() != StatusCode::OK {
        client.append("a/s", "third").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let server =
        Server::start(folder.path(), |config| config.limits.write_pause_ms = SHORT_MS).await;
    let client = server.client();
    let large = "x".repeat(1 << 20);
    for _ in 0..16 {
        client.append("a/s", &large).await;
    }
    let mut stuck = TcpStream::connect(server.address).await.expect("connects");
    let head = format!("GET {}/events HTTP/1.1\r\nhost: {}\r\n\r\n", path("a/s"), server.address);
    stuck.write_all(head.as_bytes()).await.expect("writes");
    while !metrics(&server).await.contains("session_journal_streams 1\n") {
        tokio::task::yield_now().await;
    }
    while !metrics(&server).await.contains("session_journal_streams 0\n") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.stop().await;
}

async fn metrics(server: &Server) -> String {
    String::from_utf8(server.client().get("/metrics").await.body.to_vec()).expect("text")
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| config.limits.connections_max = 2).await;
    let client = server.client();
    let first = TcpStream::connect(server.address).await.expect("connects");
    let second = TcpStream::connect(server.address).await.expect("connects");
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get("/healthz").await.status }
    });
    drop((first, second));
    assert_eq!(waiting.await.expect("answered"), StatusCode::OK);
    server.stop().await;
}

/// What a record holds at most, here.
const LARGE: usize = 64 << 20;

async fn with_large_records(folder: &std::path::Path) -> Server {
    Server::start(folder, |config| {
        config.limits.record_bytes_max = LARGE as u64;
        config.limits.body_bytes_max = LARGE + 1024;
        config.limits.page_bytes_max = LARGE as u64;
    })
    .await
}

/// Appends to another session and reads it, as small requests do.
async fn others_are_served(server: &Server) {
    for _ in 0..20 {
        let stored = server.client().append("b/other", "x").await;
        let target = format!("{}/records?last=1", path("b/other"));
        assert_eq!(server.client().get(&target).await.well()["last_seq"], stored["seq"]);
    }
}

/// E4: a record of the largest size is sent, appended and read, and holds up nobody: the others are
/// served while half of it is on its way, in either direction. It does not show that nobody waits while
/// the body is parsed or the page is made, for both are over or not begun when the others ask: the
/// tests in `api::extract` and `api::records` do.
#[tokio::test]
async fn a_record_of_the_largest_size_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = with_large_records(folder.path()).await;
    server.client().append("a/s", "first").await;
    let body = json!({ "payload": "x".repeat(LARGE) }).to_string();
    let (first, rest) = body.split_at(body.len() - 1);
    let target = format!("{}/records", path("a/s"));
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let (address, length) = (server.address, body.len());
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    stream.write_all(first.as_bytes()).await.expect("writes");
    // All but its last byte is there, and it cannot have been answered.
    others_are_served(&server).await;
    stream.write_all(rest.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("is answered");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"seq\":2"), "{answer}");

    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let head =
        format!("GET {target}?from=2 HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut begun = vec![0; 1 << 10];
    stream.read_exact(&mut begun).await.expect("it is answered");
    // It is larger than what the system keeps of it for who does not take it.
    others_are_served(&server).await;
    stream.read_to_end(&mut begun).await.expect("comes whole");
    let answer = String::from_utf8(begun).expect("text");
    let (_, page) = answer.split_once("\r\n\r\n").expect("a body");
    let page: serde_json::Value = serde_json::from_str(page).expect("JSON");
    assert_eq!(page["records"][0]["payload"].as_str().map(str::len), Some(LARGE));

    // A stream gives it, too.
    let mut events = server.client().follow("a/s", None).await;
    let came = events.take(2).await;
    assert_eq!(came[1].payload().len(), LARGE);
    server.stop().await;
}
