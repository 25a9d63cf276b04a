//! No name leads out of the store, however it is written.
//!
//! A failure prints its case and is kept by proptest's own regression file; `PROPTEST_CASES` sets how
//! many there are.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use session_journal::SessionName;
use support::{Server, path, raw};

/// Everything below a folder.
fn below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("reads") {
        let entry = entry.expect("reads");
        found.insert(entry.path());
        if entry.file_type().expect("reads").is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found
}

/// Pieces of names that lead elsewhere where they are taken for paths.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("/".to_owned()),
        Just("\\".to_owned()),
        Just("%2e%2e".to_owned()),
        Just("%2f".to_owned()),
        Just("%00".to_owned()),
        Just("\0".to_owned()),
        Just("~".to_owned()),
        Just("con".to_owned()),
        Just(".journal".to_owned()),
        Just("a".repeat(200)),
        "\\PC{1,3}",
        any::<char>().prop_map(String::from),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("starts")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_name_of_any_characters_stays_in_the_store(
        pieces in proptest::collection::vec(piece(), 1..8),
    ) {
        let name = pieces.concat();
        runtime().block_on(async {
            let outside = tempfile::tempdir().expect("a folder");
            let store = outside.path().join("deep/store");
            let server = Server::on(&store).await;
            let client = server.client();
            let target = format!("{}/records?create=true", path(&name));
            let answer = client.post(&target, json!({ "payload": "x" })).await;
            match name.parse::<SessionName>() {
                Ok(known) => {
                    answer.well();
                    let info = client.get(&path(&name)).await.well();
                    assert_eq!(info["session"], known.to_string());
                    assert!(store.join(known.relative_path()).is_file());
                }
                Err(_) => assert!(!answer.status.is_success(), "{name:?}"),
            }
            let around = below(outside.path());
            assert!(
                around.iter().all(|path| path.starts_with(&store) || store.starts_with(path)),
                "{name:?}: {around:?}"
            );
            let files = around.iter().filter(|path| path.is_file()).count();
            assert!(files <= 1, "{name:?}: {around:?}");
            server.stop().await;
        });
    }
}

#[tokio::test]
async fn a_target_that_is_sent_as_it_stands_stays_in_the_store() {
    let outside = tempfile::tempdir().expect("a folder");
    let store = outside.path().join("deep/store");
    std::fs::write(outside.path().join("secret.journal"), "secret").expect("writes");
    let server = Server::on(&store).await;
    for target in [
        "/v1/sessions/../../secret",
        "/v1/sessions/..%2f..%2fsecret",
        "/v1/sessions/%2e%2e%2f%2e%2e%2fsecret/records",
        "/v1/sessions/%2e%2e/%2e%2e/secret",
        "/v1/sessions/..%5c..%5csecret",
        "/v1/sessions/%00",
        "/v1/sessions/secret%00.journal",
        "/v1/sessions/%252e%252e%252fsecret",
        "/v1/sessions/%c0%ae%c0%ae",
        "/v1/sessions/%",
        "/v1/sessions/%zz",
        "/v1/sessions//",
        "/../../../../etc/passwd",
        "/v1/sessions/..;/secret",
    ] {
        for method in ["GET", "DELETE", "POST"] {
            let head = format!(
                "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                server.address
            );
            let answer = raw(server.address, head.as_bytes()).await;
            let is_refused = answer.starts_with("HTTP/1.1 4");
            assert!(is_refused && !answer.contains("secret\n"), "{method} {target}: {answer}");
        }
    }
    assert!(below(&store).is_empty(), "{:?}", below(&store));
    let secret = std::fs::read(outside.path().join("secret.journal")).expect("is still there");
    assert_eq!(secret, b"secret");
    server.stop().await;
}

#[tokio::test]
async fn a_name_that_is_cut_does_not_reach_another_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let (long, other) = (format!("a/{}", "x".repeat(300)), format!("a/{}", "y".repeat(300)));
    client.append(&long, "mine").await;
    client.ask("POST", &format!("{}/release", path(&long)), &[], None).await.well();
    // As if both names had one hash: the file says whose it is.
    let store = server.state.hub.store();
    let of = |name: &str| store.path_of(&name.parse().expect("a name"));
    std::fs::copy(of(&long), of(&other)).expect("copies");
    assert_eq!(client.get(&path(&other)).await.code(), "invalid");
    let target = format!("{}/records", path(&other));
    assert_eq!(client.post(&target, json!({ "payload": "x" })).await.code(), "invalid");
    client.append(&long, "mine, too").await;
    server.stop().await;
}
