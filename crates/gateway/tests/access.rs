//! Who may do what.

mod support;

use std::path::Path;

use hyper::StatusCode;
use serde_json::json;
use session_journal_gateway::config::{Scope, Token};
use session_journal_gateway::{Config, Gateway};
use sha2::{Digest, Sha256};
use support::{Client, Server, document, path};

fn token(name: &str, agents: &[&str], scopes: &[Scope]) -> Token {
    let hash = Sha256::digest(format!("secret of {name}"));
    Token {
        name: name.to_owned(),
        sha256: hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
        agents: agents.iter().map(|&agent| agent.to_owned()).collect(),
        scopes: scopes.to_vec(),
    }
}

async fn server(store: &Path) -> Server {
    let all = [Scope::Read, Scope::Write, Scope::Admin];
    Server::start(store, |config| {
        config.tokens = vec![
            token("alice", &["alice"], &all),
            token("bob", &["bob"], &all),
            token("reader", &["*"], &[Scope::Read]),
            token("root", &["*"], &all),
        ];
    })
    .await
}

fn of(server: &Server, name: &str) -> Client {
    server.client().with_token(&format!("secret of {name}"))
}

#[tokio::test]
async fn two_agents_see_nothing_of_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path()).await;
    let (alice, bob) = (of(&server, "alice"), of(&server, "bob"));
    alice.append("alice/s", "hers").await;
    bob.append("bob/s", "his").await;
    of(&server, "root").append("nobodys", "x").await;

    for (client, own, other) in [(&alice, "alice", "bob"), (&bob, "bob", "alice")] {
        let page = client.get("/v1/sessions").await.well();
        assert_eq!((&page["total"], &page["sessions"][0]["agent"]), (&json!(1), &json!(own)));
        let searched = client.get(&format!("/v1/sessions?agent={other}")).await.well();
        assert_eq!(searched["total"], 0);
        // Whether it is there makes no difference.
        for session in [
            format!("{other}/s"),
            format!("{other}/none"),
            "nobodys".to_owned(),
            format!("/{own}/s"),
        ] {
            for (method, target) in requests(&session) {
                let answer = client.ask(&method, &target, &[], body_for(&method, &target)).await;
                let said = (answer.status, answer.code());
                assert_eq!(said, (StatusCode::FORBIDDEN, "forbidden".to_owned()), "{target}");
            }
            let new = client.post("/v1/sessions", json!({ "session": session })).await;
            assert_eq!(new.code(), "forbidden");
        }
    }
    let all = of(&server, "root").get("/v1/sessions").await.well();
    assert_eq!(all["total"], 3, "and nothing was made or deleted");
    server.stop().await;
}

/// Every described request about one session.
fn requests(session: &str) -> Vec<(String, String)> {
    let operations = document().operations().into_iter();
    let about = operations.filter(|(_, path)| path.contains("{session}"));
    about
        .map(|(method, target)| (method, target.replace("/v1/sessions/{session}", &path(session))))
        .collect()
}

fn body_for(method: &str, target: &str) -> Option<String> {
    let is_append = method == "POST" && !target.ends_with("claim") && !target.ends_with("release");
    is_append.then(|| json!({ "payload": "x" }).to_string())
}

#[tokio::test]
async fn without_a_token_and_with_a_wrong_one_nothing_but_the_open_routes_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path()).await;
    of(&server, "root").append("a/s", "x").await;
    for client in [server.client(), server.client().with_token("wrong")] {
        for (method, target) in document().operations() {
            let target = target.replace("/v1/sessions/{session}", &path("a/s"));
            let answer = client.ask(&method, &target, &[], body_for(&method, &target)).await;
            if ["/healthz", "/readyz", "/openapi.json"].contains(&target.as_str()) {
                assert_eq!(answer.status, StatusCode::OK, "{target}");
                continue;
            }
            let said = (answer.status, answer.code());
            assert_eq!(said, (StatusCode::UNAUTHORIZED, "unauthorized".to_owned()), "{target}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_reader_reads_and_does_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path()).await;
    of(&server, "root").append("a/s", "x").await;
    let turn = serde_json::json!({ "key": "t", "text": "x" });
    of(&server, "root").post(&format!("{}/turns", path("a/s")), turn).await.well();
    let reader = of(&server, "reader");
    for (method, target) in document().operations() {
        let operation = &document().0["paths"][&target][method.to_lowercase()];
        let scope = operation["security"][0]["bearer"][0].as_str().unwrap_or("read").to_owned();
        let target = target.replace("/v1/sessions/{session}", &path("a/s")).replace("{key}", "t");
        let response = reader.send(&method, &target, &[], body_for(&method, &target)).await;
        let expected = if scope == "read" { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(response.status(), expected, "{method} {target}");
    }
    server.stop().await;
}

#[tokio::test]
async fn off_loopback_a_gateway_without_tokens_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        listen: "0.0.0.0:0".parse().expect("an address"),
        store: folder.path().to_owned(),
        ..Config::default()
    };
    let refused = Gateway::bind(config).await.expect_err("refused").to_string();
    assert!(refused.contains("token") && refused.ends_with("[invalid]"), "{refused}");
}

#[tokio::test]
async fn a_page_of_another_site_cannot_ask_where_there_are_no_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    client.append("a/s", "x").await;
    let release = format!("{}/release", path("a/s"));
    let own = format!("http://{}", server.address);
    for (header, value, is_meant) in [
        ("origin", "http://example.org", false),
        ("origin", "null", false),
        ("origin", own.as_str(), true),
    ] {
        let answer = client.ask("POST", &release, &[(header, value)], None).await;
        assert_eq!(answer.status == StatusCode::OK, is_meant, "{value}");
    }
    let raw = format!(
        "GET /v1/sessions HTTP/1.1\r\nhost: example.org:{}\r\nconnection: close\r\n\r\n",
        server.address.port()
    );
    assert!(support::raw(server.address, raw.as_bytes()).await.starts_with("HTTP/1.1 403 "));
    let answer = client.get("/v1/sessions").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    server.stop().await;
}
