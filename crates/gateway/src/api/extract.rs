//! What handlers take from a request; what cannot be taken is a problem with words.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use session_journal::{SessionName, Takeover};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Limits;
use crate::hub::Ask;
use crate::problem::{Problem, Refusal, Result};
use crate::state::AppState;

/// The session that the path names: `agent/id` with the slash as `%2F`, or `id`.
#[derive(Clone, Debug)]
pub struct Name(pub SessionName);

/// The key that the path names, behind the session.
#[derive(Clone, Debug)]
pub(super) struct Key(pub(super) String);

/// The query.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

/// The body, from JSON.
#[derive(Clone, Debug)]
pub struct Body<T>(pub T);

/// Whether a session may be taken from another owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakeoverArg {
    /// Whoever has it.
    Always,
    /// Only if its owner is provably gone.
    #[default]
    IfGone,
    /// Only if it was released.
    Never,
}

impl From<TakeoverArg> for Takeover {
    fn from(arg: TakeoverArg) -> Self {
        match arg {
            TakeoverArg::Always => Self::Always,
            TakeoverArg::IfGone => Self::IfGone,
            TakeoverArg::Never => Self::Never,
        }
    }
}

/// A query that says nothing else.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TakeoverQuery {
    /// Whether the session may be taken from another owner.
    pub takeover: TakeoverArg,
}

impl TakeoverQuery {
    /// How to ask for the session.
    #[must_use]
    pub fn ask(self) -> Ask {
        Ask { takeover: self.takeover.into(), create: false }
    }
}

/// The query of what is done once under a key.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyedQuery {
    takeover: TakeoverArg,
    /// Whether to do it although a lost record may have had the key.
    pub(super) ignore_gaps: bool,
}

impl KeyedQuery {
    /// How to ask for the session.
    pub(super) fn ask(self) -> Ask {
        Ask { takeover: self.takeover.into(), create: false }
    }
}

/// The name of a session as it stands in a path or body.
///
/// # Errors
/// `invalid`.
pub(crate) fn parse_name(text: &str) -> Result<SessionName> {
    text.parse().map_err(|error: session_journal::InvalidName| Problem::invalid(error.to_string()))
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // The path may have parameters behind it.
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| Problem::invalid(error.body_text()))?;
        let session = params.iter().find(|(name, _)| *name == "session").map(|(_, value)| value);
        parse_name(session.unwrap_or_default()).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| Problem::invalid(error.body_text()))?;
        let key = params.iter().find(|(name, _)| *name == "key").map(|(_, value)| value);
        Ok(Self(key.unwrap_or_default().to_owned()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|error| Problem::invalid(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self> {
        must_be_json(request.headers())?;
        let body = read(request, &state.config.limits).await?;
        // A list in the order of the members would be read as well, and mean something by accident.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::invalid("the body is no JSON object"));
        }
        let parsed = if body.len() < APART_BYTES { parse(&body) } else { apart(body).await? };
        parsed.map(Self).map_err(|error| Problem::invalid(format!("the body: {error}")))
    }
}

/// A body from this size on is parsed on a thread for it: whoever else is served on this one would wait.
const APART_BYTES: usize = 64 << 10;

fn parse<T: DeserializeOwned>(body: &Bytes) -> serde_json::Result<T> {
    serde_json::from_slice(body)
}

async fn apart<T: DeserializeOwned + Send + 'static>(body: Bytes) -> Result<serde_json::Result<T>> {
    let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
    parsed.map_err(|_| Problem::new(Refusal::Internal, "a body was not parsed to its end"))
}

fn must_be_json(headers: &HeaderMap) -> Result<()> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let what = format!("a body of type {essence:?} is not read here");
    Err(Problem::new(Refusal::UnsupportedMediaType, what))
}

/// Reads a body, not larger and not slower than is allowed.
async fn read(request: Request, limits: &Limits) -> Result<Bytes> {
    let limit = limits.body_bytes_max;
    let too_large = || {
        Problem::new(Refusal::TooLarge, format!("the body is above the limit of {limit} bytes"))
            .with("limit", limit)
    };
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        return Err(too_large());
    }
    let end = Instant::now() + Duration::from_millis(limits.body_ms);
    let pause = Duration::from_millis(limits.body_pause_ms);
    let slow = |_| Problem::new(Refusal::Timeout, "the body came too slowly");
    let (mut body, mut read) = (request.into_body(), BytesMut::new());
    loop {
        let frame = timeout_at(end, timeout(pause, body.frame())).await;
        let Some(frame) = frame.map_err(slow)?.map_err(slow)? else { return Ok(read.freeze()) };
        let frame = frame.map_err(|_| Problem::invalid("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limit {
            return Err(too_large());
        }
        read.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::routing::post;
    use serde_json::Value;
    use tokio::sync::{Notify, watch};
    use tower::ServiceExt;

    use super::*;
    use crate::config::Config;

    /// What tells that a body is being parsed, and what waits until it may go on.
    type Gate = (Arc<Notify>, Receiver<()>);
    static GATE: Mutex<Option<Gate>> = Mutex::new(None);

    /// Is parsed to its end when the test says so.
    struct Held;

    impl<'de> Deserialize<'de> for Held {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(from)?;
            let (begun, go_on) = GATE.lock().expect("no panic").take().expect("one body");
            begun.notify_one();
            // Longer than anything here takes: what hangs is told instead.
            go_on.recv_timeout(Duration::from_mins(1)).expect("others are answered meanwhile");
            Ok(Self)
        }
    }

    fn body_of(bytes: usize, to: &str) -> Request {
        let body = format!("{{\"of\":\"{}\"}}", "x".repeat(bytes));
        let request = Request::post(to).header("content-type", "application/json");
        request.body(body.into()).expect("a request")
    }

    /// E4, on the one thread that this test has: were it parsed there, nobody would ever go on.
    #[tokio::test]
    async fn a_large_body_is_parsed_while_others_are_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config { store: folder.path().to_owned(), ..Config::default() };
        let state = AppState::new(config, watch::channel(false).1).expect("a state");
        let (go_on, gate): (Sender<()>, _) = channel();
        let begun = Arc::new(Notify::new());
        *GATE.lock().expect("no panic") = Some((Arc::clone(&begun), gate));
        let app = Router::new()
            .route("/large", post(|_: Body<Held>| async { "parsed" }))
            .route("/small", post(|_: Body<Value>| async { "at once" }))
            .with_state(state);
        let large = tokio::spawn(app.clone().oneshot(body_of(8 << 20, "/large")));
        begun.notified().await;
        for _ in 0..3 {
            let small = app.clone().oneshot(body_of(1, "/small")).await.expect("infallible");
            assert!(small.status().is_success(), "{small:?}");
        }
        assert!(!large.is_finished());
        go_on.send(()).expect("it waits for that");
        let answered = large.await.expect("no panic").expect("infallible");
        assert!(answered.status().is_success(), "{answered:?}");
    }
}
