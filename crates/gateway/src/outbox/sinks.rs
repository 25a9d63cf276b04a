//! Where deliveries go. A sink takes every key once, however often it is given it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use session_journal::{NewRecord, SessionName};

use super::{Outgoing, locked, own};
use crate::conversation::{Message, Role};
use crate::hub::{Ask, Hub};
use crate::problem::Problem;

/// Takes deliveries. Given a key that it took before, it says that it has it, and does nothing.
pub trait Sink: Send + Sync + Debug {
    /// Delivers. Whoever drops the future learns nothing of what became of it, and tries again.
    fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Whether an address can be meant at all.
    ///
    /// # Errors
    /// `Never` with the reason where it cannot.
    fn check(&self, _to: &str) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It may be taken later.
    #[error("{0}; it is tried again")]
    Later(String),
    /// It will never be taken.
    #[error("{0}; correct the address or what is sent")]
    Never(String),
}

// ---- in memory -------------------------------------------------------------------------------

/// Keeps what it is given. For tests, and for whoever fetches from it.
#[derive(Debug, Default)]
pub struct Memory {
    kept: Mutex<HashMap<String, Kept>>,
}

/// Something that was delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What.
    pub outgoing: Outgoing,
    /// How often it was given; it counts once.
    pub times: u32,
}

impl Memory {
    /// What it has, by key.
    #[must_use]
    pub fn kept(&self) -> HashMap<String, Kept> {
        locked(&self.kept).clone()
    }
}

impl Sink for Memory {
    fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
        let mut kept = locked(&self.kept);
        let key = outgoing.key.clone();
        kept.entry(key).or_insert(Kept { outgoing, times: 0 }).times += 1;
        Box::pin(async { Ok(()) })
    }
}

// ---- over HTTP -------------------------------------------------------------------------------

/// Posts to an address that the configuration names, with the header `Idempotency-Key`.
#[derive(Debug)]
pub struct Webhook {
    url: reqwest::Url,
    client: reqwest::Client,
}

impl Webhook {
    /// A webhook; each request may take so long.
    ///
    /// # Errors
    /// `Never` where the address is none.
    pub fn new(url: &str, at_most: Duration) -> Result<Self, SinkError> {
        let never = |why: &str| SinkError::Never(why.to_owned());
        let url = reqwest::Url::parse(url).map_err(|_| never("a webhook's address is none"))?;
        if url.scheme() != "http" {
            return Err(never("webhooks speak plain http; put a proxy in front of it"));
        }
        let client = reqwest::Client::builder().no_proxy().timeout(at_most);
        let client = client.redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { url, client: client.map_err(|error| SinkError::Never(error.to_string()))? })
    }

    async fn post(&self, outgoing: Outgoing) -> Result<(), SinkError> {
        let body = serde_json::json!({
            "key": outgoing.key,
            "from": outgoing.from.to_string(),
            "to": outgoing.to,
            "message": outgoing.message,
        });
        // Header values hold no control characters, keys may.
        let key: String = outgoing.key.chars().flat_map(char::escape_default).collect();
        let post = self.client.post(self.url.clone()).header("Idempotency-Key", key).json(&body);
        let answer = post.send().await.map_err(|error| SinkError::Later(failed(&error)))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => Err(SinkError::Later(format!("it answered {status}"))),
            _ => Err(SinkError::Never(format!("it answered {status}"))),
        }
    }
}

/// Without the address.
fn failed(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() { "it took too long" } else { "it cannot be reached" };
    what.to_owned()
}

impl Sink for Webhook {
    fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.post(outgoing))
    }
}

// ---- another session -------------------------------------------------------------------------

/// Appends to another session of the store, under the delivery's key.
#[derive(Debug)]
pub struct SessionSink {
    hub: Hub,
    kind: &'static str,
}

impl SessionSink {
    pub(super) fn new(hub: Hub, kind: &'static str) -> Self {
        Self { hub, kind }
    }

    async fn append(&self, outgoing: Outgoing) -> Result<(), SinkError> {
        let name = parse(&outgoing.to)?;
        // Whatever it was there, here it is said by somebody else.
        let from = Some(outgoing.from.to_string());
        let message = Message { role: Role::User, from, reply_to: None, ..outgoing.message };
        let record = NewRecord::new(message.to_payload()).kind(self.kind).key(outgoing.key);
        // Where damage may hide that it arrived, it arrives: one of the two can be read.
        let appended = self.hub.append(&name, vec![record], own(), Ask::default()).await;
        appended.map(|_| ()).map_err(|problem| refused(&problem))
    }
}

impl Sink for SessionSink {
    fn deliver(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.append(outgoing))
    }

    fn check(&self, to: &str) -> Result<(), SinkError> {
        parse(to).map(|_| ())
    }
}

fn parse(to: &str) -> Result<SessionName, SinkError> {
    to.parse().map_err(|error| SinkError::Never(format!("{to:?} is no session: {error}")))
}

/// Whether it may pass: another gateway may let the session go, a disk may get room.
fn refused(problem: &Problem) -> SinkError {
    let why = format!("the session answered {}", problem.code());
    match problem.code() {
        "not-found" | "too-large" | "invalid" => SinkError::Never(why),
        _ => SinkError::Later(why),
    }
}
