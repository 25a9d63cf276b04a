//! What whoever runs a gateway sees of it, and the served document.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};
use support::{Server, document, path};

#[tokio::test]
async fn health_is_told_and_readiness_ends_with_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let server = Server::on(&store).await;
    let client = server.client();
    assert_eq!(client.get("/healthz").await.well()["ok"], true);
    assert_eq!(client.get("/readyz").await.well()["ok"], true);
    std::fs::remove_dir(&store).expect("removes");
    assert_eq!(client.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get("/healthz").await.well()["ok"], true);
    server.stop().await;
}

/// H3, H8: what was not imported, cannot be read or is in the way of nobody is no reason not to start.
#[tokio::test]
async fn a_store_with_what_others_left_in_it_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let agent = folder.path().join("main");
    std::fs::create_dir(&agent).expect("makes");
    let strangers = [
        ("sessions.json", "{\"agent:main:main\":{\"sessionId\":\"gone\"}}"),
        ("one.jsonl", "{\"type\":\"session\",\"id\":\"one\"}\n{\"half"),
        ("one.jsonl.lock", "{\"pid\":1}"),
        ("one.jsonl.deleted.1", ""),
        ("broken.journal", "no journal"),
        ("empty.journal", ""),
    ];
    for (name, text) in strangers {
        std::fs::write(agent.join(name), text).expect("writes");
    }
    let server = Server::on(folder.path()).await;
    let client = server.client();
    assert_eq!(client.get("/readyz").await.well()["ok"], true);
    assert_eq!(client.append("main/one", "x").await["seq"], 1);
    let listed = client.get("/v1/sessions?order=name").await.well();
    let error = |session: &str| {
        let all = listed["sessions"].as_array().expect("sessions").iter();
        let one = all.clone().find(|one| one["session"] == session);
        one.unwrap_or_else(|| panic!("{session}: {listed}"))["error"].clone()
    };
    assert_eq!(error("main/one"), Value::Null);
    assert_eq!(error("main/broken"), "not-a-journal");
    server.stop().await;
    for (name, text) in strangers {
        assert_eq!(std::fs::read_to_string(agent.join(name)).expect("is there"), text, "{name}");
    }
}

#[tokio::test]
async fn metrics_count_what_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    for at in 0..3 {
        client.append(&format!("a/s{at}"), "four").await;
    }
    client.get(&path("a/none")).await;
    // A place in an inbox is free a moment after its request was answered.
    let scraped = async || loop {
        let answer = client.get("/metrics").await;
        let text = String::from_utf8(answer.body.to_vec()).expect("text");
        if text.contains("session_journal_inbox_depth 0\n") {
            return text;
        }
    };
    let text = tokio::time::timeout(Duration::from_mins(1), scraped()).await.expect("it empties");
    for line in [
        "session_journal_records_total 3",
        "session_journal_record_bytes_total 12",
        "session_journal_append_seconds_count 3",
        "session_journal_claims_total{kind=\"created\"} 3",
        "session_journal_sessions 3",
        "session_journal_file_handles 6",
        "session_journal_fences_total 0",
        "session_journal_repairs_total 0",
        "session_journal_connections 1",
        "session_journal_requests_total{method=\"POST\",route=\"/v1/sessions/{session}/records\",status=\"200\"} 3",
        "session_journal_requests_total{method=\"GET\",route=\"/v1/sessions/{session}\",status=\"404\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in {text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_keeps_its_id_and_gets_one_where_it_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let named = client.ask("GET", "/healthz", &[("x-request-id", "mine-1")], None).await;
    assert_eq!(named.headers["x-request-id"], "mine-1");
    let (one, other) = (client.get("/healthz").await, client.get("/nowhere").await);
    assert_ne!(one.headers["x-request-id"], other.headers["x-request-id"]);
    server.stop().await;
}

#[tokio::test]
async fn every_route_of_the_document_answers_and_no_answer_is_missing_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let turn = json!({ "key": "t", "text": "x" });
    client.post(&format!("{}/turns", path("a/s")), turn).await.well();
    let served = client.get("/openapi.json").await.well();
    assert_eq!(served, document().0);
    for (method, target) in document().operations() {
        // The last of them, so that the session is there for the others.
        if method == "DELETE" {
            continue;
        }
        let target = target.replace("{session}", "a%2Fs").replace("{key}", "t");
        // The client checks what it gets against the document.
        for body in [
            json!({ "payload": "x" }),
            json!({ "records": [{ "payload": "x" }] }),
            json!({ "agent": "a" }),
        ] {
            let body = (method == "POST").then(|| body.to_string());
            let response = client.send(&method, &target, &[], body).await;
            let status = response.status();
            assert!(![404, 405, 500].contains(&status.as_u16()), "{method} {target}: {status}");
        }
    }
    assert_eq!(client.delete(&path("a/s")).await.status, StatusCode::NO_CONTENT);
    server.stop().await;
}

#[test]
fn the_document_holds_together() {
    let document = &document().0;
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id), "{id} is there twice");
            assert!(!operation["summary"].as_str().expect("text").is_empty(), "{method} {path}");
            let parameters = operation["parameters"].as_array().expect("a list");
            let names = parameters.iter().filter(|one| one["in"] == "path").count();
            assert_eq!(names, path.matches('{').count(), "{path}");
        }
    }
    let (mut wanted, schemas) = (BTreeSet::new(), &document["components"]["schemas"]);
    references(document, &mut wanted);
    let known: BTreeSet<String> = schemas.as_object().expect("schemas").keys().cloned().collect();
    assert_eq!(wanted, known, "what is referred to is there, and nothing else is");
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.rsplit('/').next().unwrap_or_default().to_owned());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn a_route_says_which_methods_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let records = format!("{}/records", path("a/s"));
    for (target, allowed) in [(records.as_str(), "GET,HEAD,POST"), ("/healthz", "GET,HEAD")] {
        for method in ["PUT", "OPTIONS"] {
            let answer = client.ask(method, target, &[], None).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (405, "method-not-allowed")
            );
            let said = answer.headers.get("allow").and_then(|allow| allow.to_str().ok());
            assert_eq!(said, Some(allowed), "{method} {target}: {answer:?}");
        }
        let asked = format!(
            "HEAD {target} HTTP/1.1\r\nhost: {0}\r\nconnection: close\r\n\r\n",
            server.address
        );
        let head = support::raw(server.address, asked.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }
    server.stop().await;
}
