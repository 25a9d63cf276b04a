//! Turns of the model, held to what is known of the real ones.

use std::path::Path;

use futures_util::{FutureExt, stream};
use tokio::sync::Semaphore;

use super::super::lock::path_of;
use super::*;
use crate::provider::{Deltas, Finish};

/// A model that answers when the test lets it.
#[derive(Debug)]
struct Led(Arc<Semaphore>);

impl Provider for Led {
    fn name(&self) -> &'static str {
        "led"
    }

    fn complete(&self, _: Request) -> Deltas {
        let answers = Arc::clone(&self.0);
        let first = async move {
            // It is never closed.
            if let Ok(answer) = answers.acquire().await {
                answer.forget();
            }
            Ok(Delta::Text("yes".to_owned()))
        };
        let end = stream::iter([Ok(Delta::End(Finish::default()))]);
        Box::pin(first.into_stream().chain(end))
    }
}

/// A gateway, and what its model may still answer.
fn gateway(folder: &Path, answers: usize, wait: Duration) -> (Arc<Old>, Arc<Semaphore>) {
    let answers = Arc::new(Semaphore::new(answers));
    let times = Times { wait, poll: Duration::from_millis(1), ..Times::REAL };
    let model = Arc::new(Led(Arc::clone(&answers)));
    (Arc::new(Old::new(folder.to_owned(), model, times, "")), answers)
}

const PATIENT: Duration = Duration::from_mins(1);
const HASTY: Duration = Duration::from_millis(20);

fn keys(folder: &Path, session: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(folder, session)).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|entry| entry["idempotencyKey"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Until a key is there and the lock is let go.
async fn until(folder: &Path, session: &str, key: &str) {
    let is_locked = || path_of(&path(folder, session)).exists();
    while !keys(folder, session).iter().any(|one| one == key) || is_locked() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_turn_stores_its_message_and_its_answer_and_is_done_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, _) = gateway(folder.path(), 9, PATIENT);
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
    let (old, answers) = gateway(folder.path(), 0, PATIENT);
    let turn =
        |old: Arc<Old>| async move { old.turn("s", "t", "hello", &mut Toll::default()).await };
    let running = tokio::spawn(turn(Arc::clone(&old)));
    until(folder.path(), "s", "t").await;
    let beat = json!({ "type": "heartbeat", "note": "n", "idempotencyKey": "h" });
    old.append("s", beat, &mut Toll::default()).await.expect("the lock is free meanwhile");
    answers.add_permits(1);
    let refused = running.await.expect("ends").expect_err("the file changed");
    assert_eq!((refused.code(), refused.to_string().as_str()), ("file_changed", CHANGED));
    answers.add_permits(1);
    turn(Arc::clone(&old)).await.expect("answered");
    assert_eq!(keys(folder.path(), "s"), ["t", "h", "t/answer"]);
}

#[tokio::test]
async fn a_mirrored_line_may_come_while_the_model_thinks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, answers) = gateway(folder.path(), 0, PATIENT);
    let running = {
        let old = Arc::clone(&old);
        tokio::spawn(async move { old.turn("s", "t", "hello", &mut Toll::default()).await })
    };
    until(folder.path(), "s", "t").await;
    let mirror = message("m", &json!({ "role": "assistant", "mirror": true }));
    old.append("s", mirror, &mut Toll::default()).await.expect("the lock is free meanwhile");
    answers.add_permits(1);
    running.await.expect("ends").expect("answered");
}

#[tokio::test]
async fn a_cancelled_turn_leaves_its_message_and_no_lock() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, _) = gateway(folder.path(), 0, PATIENT);
    let running = {
        let old = Arc::clone(&old);
        tokio::spawn(async move { old.turn("s", "t", "hello", &mut Toll::default()).await })
    };
    until(folder.path(), "s", "t").await;
    old.cancel("s", "t");
    assert_eq!(running.await.expect("ends").expect_err("cancelled").code(), "cancelled");
    assert_eq!(keys(folder.path(), "s"), ["t"]);
    assert!(!path_of(&path(folder.path(), "s")).exists());
}

/// The wait is below legal hold times.
#[tokio::test]
async fn a_compaction_keeps_the_lock_and_whoever_waits_gives_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, answers) = gateway(folder.path(), 0, HASTY);
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
    answers.add_permits(1);
    compacting.await.expect("ends").expect("compacted");
    assert_eq!(keys(folder.path(), "s"), ["c"]);
}

/// Where the parent is locked for longer, the child's result is lost for good.
#[tokio::test]
async fn an_announcement_is_tried_three_times_and_then_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, answers) = gateway(folder.path(), 0, HASTY);
    let spawning = {
        let old = Arc::clone(&old);
        let mut toll = Toll::default();
        tokio::spawn(async move { old.spawn("p", "c", "k", "do it", &mut toll).await })
    };
    until(folder.path(), "c", "k").await;
    let (locks, mut toll) = (Arc::clone(&old.locks), Toll::default());
    let held = locks.acquire(&path(folder.path(), "p"), locks.times.hold, &mut toll).await;
    let held = held.expect("free");
    answers.add_permits(1);
    spawning.await.expect("ends").expect("nobody is told");
    locks.release(held).await.expect("released");
    assert_eq!(keys(folder.path(), "c"), ["k", "k/answer"]);
    assert_eq!(keys(folder.path(), "p"), ["spawn/k"]);
}

#[tokio::test]
async fn a_message_arrives_once_and_is_answered_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, _) = gateway(folder.path(), 9, PATIENT);
    for _ in 0..2 {
        old.send("a", "b", "k", "hello", true, &mut Toll::default()).await.expect("answered");
    }
    assert_eq!(keys(folder.path(), "b"), ["a/k", "a/k/answer"]);
}
