//! What the gateway with lock files does: appends, turns, messages between sessions, children,
//! compactions.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fence::{CHANGED, Fence};
use super::lock::{LockError, Locks};
use super::transcript::{Transcript, message, path};
use super::{Times, Toll};
use crate::conversation::{Message, Role};
use crate::provider::{Delta, Provider, Request};
use crate::turn::answer_key;

/// An announcement is tried so often, and lost then.
const ANNOUNCED_AT_MOST: u32 = 3;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Lock(#[from] LockError),
    #[error("{CHANGED}")]
    Changed,
    #[error("the turn was cancelled")]
    Cancelled,
    #[error("the model gave no answer: {0}")]
    Model(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Refused {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Lock(error) => error.code(),
            Self::Changed => "file_changed",
            Self::Cancelled => "cancelled",
            Self::Model(_) => "provider",
            Self::Io(_) => "io",
        }
    }
}

type Result<T> = std::result::Result<T, Refused>;
type Queue = Arc<tokio::sync::Mutex<()>>;

/// A gateway with lock files.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) locks: Arc<Locks>,
    folder: PathBuf,
    model: Arc<dyn Provider>,
    /// Appends of this process to one file wait for each other, beside the lock.
    appends: Mutex<HashMap<String, Queue>>,
    /// So do the turns of one session.
    lanes: Mutex<HashMap<String, Queue>>,
    running: Mutex<HashMap<(String, String), CancellationToken>>,
}

impl Old {
    pub(crate) fn new(
        folder: PathBuf,
        model: Arc<dyn Provider>,
        times: Times,
        program: &str,
    ) -> Self {
        Self {
            locks: Arc::new(Locks::new(times, program)),
            folder,
            model,
            appends: Mutex::default(),
            lanes: Mutex::default(),
            running: Mutex::default(),
        }
    }

    fn times(&self) -> Times {
        self.locks.times
    }

    /// Appends an entry, unless its key is there. Who comes from outside goes this way: messages of
    /// channels, mirrors, announcements, signs of life.
    pub(crate) async fn append(&self, session: &str, entry: Value, toll: &mut Toll) -> Result<()> {
        let queue = queue(&self.appends, session);
        let _first = queue.lock().await;
        self.store(session, entry, self.times().hold, toll).await
    }

    async fn store(
        &self,
        session: &str,
        entry: Value,
        hold: Duration,
        toll: &mut Toll,
    ) -> Result<()> {
        let file = path(&self.folder, session);
        let held = self.locks.acquire(&file, hold, toll).await?;
        let stored = async {
            let transcript = Transcript::read(&file).await?;
            let is_there = entry["idempotencyKey"].as_str().is_some_and(|key| transcript.has(key));
            if is_there { Ok(()) } else { transcript.append(&file, entry).await }
        };
        let stored = stored.await;
        self.locks.release(held).await?;
        Ok(stored?)
    }

    // ---- turns -----------------------------------------------------------------------------

    /// A turn: the message and a fence under the lock; the lock is let go, the model called;
    /// then the lock again, and the answer only if nothing happened to the file.
    pub(crate) async fn turn(
        &self,
        session: &str,
        key: &str,
        text: &str,
        toll: &mut Toll,
    ) -> Result<()> {
        let lane = queue(&self.lanes, session);
        let _first = lane.lock().await;
        let cancel = CancellationToken::new();
        let place = (session.to_owned(), key.to_owned());
        locked(&self.running).insert(place.clone(), cancel.clone());
        let done = self.turn_alone(session, key, text, &cancel, toll).await;
        locked(&self.running).remove(&place);
        done
    }

    async fn turn_alone(
        &self,
        session: &str,
        key: &str,
        text: &str,
        cancel: &CancellationToken,
        toll: &mut Toll,
    ) -> Result<()> {
        let (file, answer_key) = (path(&self.folder, session), answer_key(key));
        let held = self.locks.acquire(&file, self.times().hold_long, toll).await?;
        let begun = async {
            let transcript = Transcript::read(&file).await?;
            if transcript.has(&answer_key) {
                return Ok::<_, std::io::Error>(None);
            }
            if !transcript.has(key) {
                let said = message(key, &json!({ "role": "user", "content": text }));
                transcript.append(&file, said).await?;
            }
            Fence::of(&file).await.map(Some)
        };
        let begun = begun.await;
        // The prompt lock is let go for the model.
        self.locks.release(held).await?;
        let Some(fence) = begun? else { return Ok(()) };
        let said = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Refused::Cancelled),
            said = self.think(key, text) => said?,
        };
        let held = self.locks.acquire(&file, self.times().hold_long, toll).await?;
        let stored = async {
            if !fence.still_fits(&file).await? {
                return Err(Refused::Changed);
            }
            let answer = json!({ "role": "assistant", "content": said });
            let transcript = Transcript::read(&file).await?;
            Ok(transcript.append(&file, message(&answer_key, &answer)).await?)
        };
        let stored = stored.await;
        self.locks.release(held).await?;
        stored
    }

    /// Cancels a turn that waits for its model.
    pub(crate) fn cancel(&self, session: &str, key: &str) {
        if let Some(cancel) = locked(&self.running).get(&(session.to_owned(), key.to_owned())) {
            cancel.cancel();
        }
    }

    async fn think(&self, turn: &str, text: &str) -> Result<String> {
        let context = [Message::text_of(Role::User, text)].into();
        let mut deltas =
            self.model.complete(Request { turn: turn.to_owned(), context, model: None });
        let mut said = String::new();
        while let Some(delta) = deltas.next().await {
            match delta.map_err(|error| Refused::Model(error.to_string()))? {
                Delta::Text(more) => said.push_str(&more),
                Delta::End(_) => break,
            }
        }
        Ok(said)
    }

    // ---- between sessions ------------------------------------------------------------------

    /// A message into another session, and a turn there if it is to be answered.
    pub(crate) async fn send(
        &self,
        from: &str,
        to: &str,
        key: &str,
        text: &str,
        answered: bool,
        toll: &mut Toll,
    ) -> Result<()> {
        let arrival = format!("{from}/{key}");
        let said = json!({ "role": "user", "content": text, "from": from });
        self.append(to, message(&arrival, &said), toll).await?;
        if answered { self.turn(to, &arrival, text, toll).await } else { Ok(()) }
    }

    /// A child, whose answer is announced in its parent: three times, then it is lost.
    pub(crate) async fn spawn(
        &self,
        parent: &str,
        child: &str,
        key: &str,
        task: &str,
        toll: &mut Toll,
    ) -> Result<()> {
        let spawned = json!({ "type": "spawn", "idempotencyKey": format!("spawn/{key}") });
        self.append(parent, spawned, toll).await?;
        self.turn(child, key, task, toll).await?;
        let announcement = format!("{child}/{}/0", answer_key(key));
        let said = json!({ "role": "user", "content": "the child is done", "from": child });
        for _ in 0..ANNOUNCED_AT_MOST {
            if self.append(parent, message(&announcement, &said), toll).await.is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// A compaction keeps the lock while the model sums up, as long as that takes.
    pub(crate) async fn compact(&self, session: &str, key: &str, toll: &mut Toll) -> Result<()> {
        let lane = queue(&self.lanes, session);
        let _first = lane.lock().await;
        let file = path(&self.folder, session);
        let held = self.locks.acquire(&file, self.times().hold_long, toll).await?;
        let summary = self.think(key, "Sum up").await;
        let stored = async {
            let compacted =
                json!({ "type": "compaction", "idempotencyKey": key, "summary": summary? });
            let transcript = Transcript::read(&file).await?;
            if transcript.has(key) {
                return Ok(());
            }
            Ok(transcript.append(&file, compacted).await?)
        };
        let stored = stored.await;
        self.locks.release(held).await?;
        stored
    }
}

fn queue(queues: &Mutex<HashMap<String, Queue>>, session: &str) -> Queue {
    Arc::clone(locked(queues).entry(session.to_owned()).or_default())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
