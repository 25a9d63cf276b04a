//! Turns of the model, held to what is known of the real ones.

use std::path::Path;

use super::super::lock::path_of;
use super::*;

/// Time goes fast, and the lock's does so with it.
const FAST: u32 = 60;

fn gateway(folder: &Path, answer_ms: u64, wait: Duration) -> Old {
    let script = json!({ "answers": [{ "text": "yes", "delay_ms": [answer_ms, answer_ms] }] });
    let script = Script::parse(script.to_string().as_bytes(), 1, 1.0).expect("a script");
    let times = Times { wait, poll: Duration::from_millis(1), ..Times::REAL.compressed(FAST) };
    Old::new(folder.to_owned(), script, times, "")
}

fn keys(folder: &Path, session: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(folder, session)).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|entry| entry["idempotencyKey"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Lets a turn come to where it waits for its model, which says nothing before it is cancelled.
async fn until_message(folder: &Path, session: &str, key: &str) {
    while !keys(folder, session).iter().any(|one| one == key)
        || path_of(&path(folder, session)).exists()
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_turn_stores_its_message_and_its_answer_and_is_done_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = gateway(folder.path(), 1, Duration::from_mins(1));
    let mut toll = Toll::default();
    for _ in 0..2 {
        old.turn("s", "t", "hello", &mut toll).await.expect("answered");
    }
    assert_eq!(keys(folder.path(), "s"), ["t", "t/answer"]);
    assert_eq!((toll.acquired, toll.overlaps), (3, 0));
}

/// A heartbeat, or anything else that comes while the model thinks, costs the user the answer; it
/// can be tried again, and what was asked is there once.
#[tokio::test]
async fn what_comes_while_the_model_thinks_kills_the_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Arc::new(gateway(folder.path(), 500, Duration::from_mins(1)));
    let running = {
        let old = Arc::clone(&old);
        tokio::spawn(async move { old.turn("s", "t", "hello", &mut Toll::default()).await })
    };
    until_message(folder.path(), "s", "t").await;
    let beat = json!({ "type": "heartbeat", "note": "n", "idempotencyKey": "h" });
    old.append("s", beat, &mut Toll::default()).await.expect("the lock is free meanwhile");
    let refused = running.await.expect("ends").expect_err("the file changed");
    assert_eq!((refused.code(), refused.to_string().as_str()), ("file_changed", CHANGED));
    old.turn("s", "t", "hello", &mut Toll::default()).await.expect("answered");
    assert_eq!(keys(folder.path(), "s"), ["t", "h", "t/answer"]);
}

/// The wait is below legal hold times.
#[tokio::test]
async fn a_compaction_keeps_the_lock_and_whoever_waits_gives_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Arc::new(gateway(folder.path(), 60_000, Duration::from_millis(20)));
    let compacting = {
        let old = Arc::clone(&old);
        tokio::spawn(async move { old.compact("s", "c", &mut Toll::default()).await })
    };
    while !path_of(&path(folder.path(), "s")).exists() {
        tokio::task::yield_now().await;
    }
    let said = message("m", &json!({ "role": "user" }));
    let refused = old.append("s", said, &mut Toll::default()).await.expect_err("locked");
    assert_eq!(refused.code(), "file_lock_timeout");
    compacting.abort();
}

/// Where the parent is locked for longer, the child's result is lost for good.
#[tokio::test]
async fn an_announcement_is_tried_three_times_and_then_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Arc::new(gateway(folder.path(), 200, Duration::from_millis(20)));
    let spawning = {
        let old = Arc::clone(&old);
        let mut toll = Toll::default();
        tokio::spawn(async move { old.spawn("p", "c", "k", "do it", &mut toll).await })
    };
    until_message(folder.path(), "c", "k").await;
    let mut toll = Toll::default();
    let locks = Arc::clone(&old.locks);
    let held = locks.acquire(&path(folder.path(), "p"), locks.times.hold, &mut toll).await;
    let held = held.expect("free");
    spawning.await.expect("ends").expect("nobody is told");
    locks.release(held).await.expect("released");
    assert_eq!(keys(folder.path(), "c"), ["k", "k/answer"]);
    assert_eq!(keys(folder.path(), "p"), ["spawn/k"]);
}

#[tokio::test]
async fn a_message_arrives_once_and_is_answered_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = gateway(folder.path(), 1, Duration::from_mins(1));
    for _ in 0..2 {
        old.send("a", "b", "k", "hello", true, &mut Toll::default()).await.expect("answered");
    }
    assert_eq!(keys(folder.path(), "b"), ["a/k", "a/k/answer"]);
}
