//! What can go wrong with a file, and the code that says so.

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use std::sync::Arc;

use serde_json::{Value, json};
use session_journal_gateway::Ask;
use session_journal_gateway::config::WebhookSettings;
use session_journal_gateway::conversation::{Message, Role};
use session_journal_gateway::provider::{Deltas, Provider, Request};
use session_journal_gateway::turn::TurnRequest;
use support::{Answer, Server, path};
use tokio::sync::Notify;

async fn append(server: &Server, session: &str, record: Value) -> Answer {
    let target = format!("{}/records?create=true", path(session));
    let answer = server.client().post(&target, record).await;
    let folder = server.state.hub.store().dir().to_str().expect("text").to_owned();
    let said = String::from_utf8_lossy(&answer.body);
    assert!(!said.contains(&folder), "a path of the machine: {said}");
    answer
}

fn text(text: &str) -> Value {
    json!({ "payload": text })
}

/// A gateway with one session that it holds, and the session's file.
async fn holding(folder: &Path) -> (Server, PathBuf) {
    let server = Server::on(folder).await;
    append(&server, "a/s", text("one")).await.well();
    let file = server.state.hub.store().path_of(&"a/s".parse().expect("a name"));
    (server, file)
}

async fn poisonings(server: &Server, kind: &str) -> bool {
    let text =
        String::from_utf8(server.client().get("/metrics").await.body.to_vec()).expect("text");
    text.contains(&format!("session_journal_poisonings_total{{kind=\"{kind}\"}} 1\n"))
}

#[tokio::test]
async fn a_file_that_left_its_path_is_detached_and_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, file) = holding(folder.path()).await;
    fs::rename(&file, file.with_extension("moved")).expect("moves");
    assert_eq!(append(&server, "a/s", text("two")).await.code(), "detached");
    assert!(poisonings(&server, "detached").await);
    assert_eq!(append(&server, "a/s", text("new")).await.well()["seq"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_was_cut_is_shortened_and_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, file) = holding(folder.path()).await;
    append(&server, "a/s", text("two")).await.well();
    let mark = server.client().get(&path("a/s")).await.well()["mark"].clone();
    let length = fs::metadata(&file).expect("is there").len();
    OpenOptions::new().write(true).open(&file).expect("opens").set_len(length - 200).expect("cuts");
    assert_eq!(append(&server, "a/s", text("three")).await.code(), "shortened");
    assert!(poisonings(&server, "shortened").await);
    // What is left is opened again; who knew what is gone is told, and does not go on unnoticed.
    append(&server, "a/s", text("four")).await.well();
    let headers = [("last-event-id", mark.as_str().expect("a mark"))];
    let events = format!("{}/events", path("a/s"));
    assert_eq!(server.client().ask("GET", &events, &headers, None).await.code(), "diverged");
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_damage_may_hide_is_unknown_and_the_session_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, file) = holding(folder.path()).await;
    let stored = append(&server, "a/s", json!({ "payload": "two", "key": "k" })).await.well();
    append(&server, "a/s", text("three")).await.well();
    server.stop().await;
    let damaged = OpenOptions::new().read(true).write(true).open(&file).expect("opens");
    damaged
        .write_all_at(&[0xff; 8], stored["offset"].as_u64().expect("a number") + 80)
        .expect("writes");
    drop(damaged);

    let server = Server::start(folder.path(), |_| {}).await;
    let answer = append(&server, "a/s", json!({ "payload": "again", "key": "other" })).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "unknown"));
    assert_eq!(append(&server, "a/s", text("four")).await.well()["seq"], 4);
    let info = server.client().get(&path("a/s")).await.well();
    assert_eq!((&info["held_here"], &info["generation"]), (&json!(true), &json!(2)));
    server.stop().await;
}

/// A model is not asked to go on as if nothing were missing; and nobody has to say anything about
/// keys that a checkpoint knows.
#[tokio::test]
async fn a_turn_whose_context_lost_a_record_says_so_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, file) = holding(folder.path()).await;
    let message =
        |text: &str| json!({ "kind": "message", "json": { "role": "user", "content": text } });
    let lost = append(&server, "a/s", message("lost")).await.well();
    append(&server, "a/s", message("kept")).await.well();
    // So much that there is a checkpoint: what it has indexed no damage can hide.
    append(&server, "a/s", text(&"x".repeat(1 << 20))).await.well();
    server.stop().await;
    let damaged = OpenOptions::new().write(true).open(&file).expect("opens");
    damaged
        .write_all_at(&[0xff; 8], lost["offset"].as_u64().expect("a number") + 80)
        .expect("writes");
    drop(damaged);

    let server = Server::on(folder.path()).await;
    let client = server.client();
    let turns = format!("{}/turns", path("a/s"));
    let body = json!({ "key": "t1", "text": "hello", "on_loss": "refuse" });
    let answer = client.post(&turns, body).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "corrupt"), "{answer:?}");
    let answer = answer.json();
    assert_eq!((&answer["first_seq"], &answer["records_lost"]), (&json!(2), &json!(1)), "{answer}");
    let answer = client.post(&turns, json!({ "key": "t1", "text": "hello" })).await.well();
    assert_eq!(answer["answer"]["lost"], json!([{ "from": 2, "to": 2 }]));
    // Whoever reads goes on behind it, and whoever appends as well.
    let page = client.get(&format!("{}/records?from=2&limit=1", path("a/s"))).await.well();
    assert_eq!((&page["gaps"][0]["first_seq"], &page["records"][0]["seq"]), (&json!(2), &json!(3)));
    append(&server, "a/s", json!({ "payload": "two", "key": "k" })).await.well();
    server.stop().await;
}

#[tokio::test]
async fn another_name_of_a_deleted_file_is_sealed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, file) = holding(folder.path()).await;
    fs::hard_link(&file, file.with_file_name("link.journal")).expect("links");
    server.client().delete(&path("a/s")).await.well();
    assert_eq!(append(&server, "a/link", text("two")).await.code(), "sealed");
    server.stop().await;
}

#[tokio::test]
async fn a_newer_format_is_told_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, file) = holding(folder.path()).await;
    server.stop().await;
    let mut bytes = fs::read(&file).expect("reads");
    with_version(&mut bytes, 2);
    fs::write(&file, &bytes).expect("writes");
    let server = Server::on(folder.path()).await;
    let code = "unsupported-format";
    assert_eq!(append(&server, "a/s", text("two")).await.code(), code);
    for suffix in ["", "/records", "/history", "/events"] {
        assert_eq!(server.client().get(&format!("{}{suffix}", path("a/s"))).await.code(), code);
    }
    assert_eq!(server.client().get("/v1/sessions").await.well()["sessions"][0]["error"], code);
    assert!(fs::read(&file).expect("reads") == bytes, "it is left alone");
    server.stop().await;
}

#[tokio::test]
async fn what_the_system_refuses_is_io() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("a/s.journal")).expect("makes");
    let server = Server::on(folder.path()).await;
    let answer = append(&server, "a/s", text("one")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "io"));
    assert_eq!(server.client().get(&path("a/s")).await.code(), "io");
    server.stop().await;
}

/// Whatever goes wrong in the gateway itself, whoever waits for it is told.
#[tokio::test]
async fn a_turn_that_comes_to_no_end_is_internal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, _) = holding(folder.path()).await;
    let model = Arc::new(Defect::default());
    let request = TurnRequest::new("t1", Message::text_of(Role::User, "hello"));
    let name = "a/s".parse().expect("a name");
    let asked = Arc::clone(&model);
    let begun = server.state.turns.start(&name, request, asked, Ask::default()).expect("begins");
    model.asked.notified().await;
    let answer = server.client().delete(&format!("{}/turns/t1", path("a/s"))).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal"));
    assert_eq!(begun.outcome().await.expect_err("no answer").code(), "internal");
    let running = server.client().get(&format!("{}/turns", path("a/s"))).await.well();
    assert_eq!(running["running"], json!([]), "it does not stay in the way");
    server.stop().await;
}

/// A model that thinks for ever, and panics when it is told to stop.
#[derive(Debug, Default)]
struct Defect {
    asked: Notify,
}

struct PanicsAtItsEnd;

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a defect in a model");
    }
}

impl Provider for Defect {
    fn name(&self) -> &'static str {
        "defect"
    }

    fn complete(&self, _: Request) -> Deltas {
        self.asked.notify_one();
        let ends_badly = PanicsAtItsEnd;
        Box::pin(futures_util::stream::once(async move {
            let _ends_badly = ends_badly;
            std::future::pending().await
        }))
    }
}

/// A handle that somebody closed is told to whoever had it; an append opens the session again.
#[tokio::test]
async fn a_session_that_is_closed_under_a_delivery_is_closed_and_opens_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), |config| {
        config.turns.delivery_retry_ms = 0;
        config.webhooks = vec![WebhookSettings {
            name: "nowhere".to_owned(),
            url: "http://127.0.0.1:1/".to_owned(),
            timeout_ms: 1000,
        }];
    })
    .await;
    append(&server, "a/s", text("one")).await.well();
    let deliveries = format!("{}/deliveries", path("a/s"));
    let one = json!({ "key": "d1", "sink": "nowhere", "text": "x" });
    let open = server.client().post(&deliveries, one.clone()).await.well();
    assert_eq!(open["state"], "pending");
    let held = server.state.hub.held(&"a/s".parse().expect("a name")).expect("it is held");
    held.close().await.expect("closes");
    let retry = format!("{deliveries}/retry");
    let answer = server.client().ask("POST", &retry, &[], None).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "closed"));
    assert_eq!(answer.headers["retry-after"], "1");
    append(&server, "a/s", text("two")).await.well();
    server.client().ask("POST", &retry, &[], None).await.well();
    server.stop().await;
}

/// Makes a journal say that it is of another version, as a newer program would: its front verifies.
fn with_version(bytes: &mut [u8], version: u16) {
    bytes[16..18].copy_from_slice(&version.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..8]);
    sum.update(&bytes[12..3072]);
    bytes[8..12].copy_from_slice(&sum.finalize().to_le_bytes());
}
