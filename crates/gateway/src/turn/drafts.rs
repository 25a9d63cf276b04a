//! What a model says while it says it. Whoever hears it hears what a record holds already: so after
//! a crash nobody saw text that is nowhere. Where nobody listens nothing is stored.

use std::time::Duration;

use serde_json::json;
use session_journal::NewRecord;
use tokio::time::Instant;

use super::Turn;
use crate::conversation::DRAFT;
use crate::failpoint::{Point, pass};
use crate::outbox::durable;

/// What a model says within this time is one record.
const TOGETHER: Duration = Duration::from_millis(100);

/// The draft of one answer.
pub(super) struct Drafts<'a> {
    turn: &'a Turn<'a>,
    begun: u32,
    /// What the model said and nobody heard.
    unheard: String,
    /// The first record is due at once.
    due: Instant,
    /// It cannot be stored, so nobody hears it.
    over: bool,
}

impl<'a> Drafts<'a> {
    pub(super) fn new(turn: &'a Turn<'a>, begun: u32) -> Self {
        turn.listener.begins();
        Self { turn, begun, unheard: String::new(), due: Instant::now(), over: false }
    }

    pub(super) fn says(&mut self, text: &str) {
        if !self.over {
            self.unheard.push_str(text);
        }
    }

    /// Ends when there is something to be heard, somebody who hears it, and a while since the last time.
    pub(super) async fn due(&self) {
        if self.over || self.unheard.is_empty() {
            return std::future::pending().await;
        }
        self.turn.listener.is_there().await;
        tokio::time::sleep_until(self.due).await;
    }

    /// Stores what was not heard yet, and has it heard. Dropped in between it is stored and not heard.
    /// Nothing is opened for it: in a session that was released it waits until somebody has it again.
    pub(super) async fn tell(&mut self) {
        let (key, session) = (&self.turn.request.key, self.turn.session);
        let payload = json!({ "turn": key, "begun": self.begun, "text": self.unheard }).to_string();
        let record = NewRecord::new(payload).kind(DRAFT);
        match self.turn.tools.hub.append_if_held(session, record, durable()).await {
            Ok(true) => {
                pass(Point::DraftStored);
                self.turn.listener.hears(&std::mem::take(&mut self.unheard));
            }
            Ok(false) => {}
            Err(problem) => {
                tracing::info!(%session, %problem, "a draft is not stored, and nobody hears it");
                self.over = true;
            }
        }
        self.due = Instant::now() + TOGETHER;
    }
}
