//! The process: the same routes as the gateway's, as far as the load uses them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::lock::Times;
use super::transcript::message;
use super::turns::{Old, Refused};
use super::{COMMAND, Toll};
use crate::provider::{Script, ScriptError};

/// Settings of a gateway with lock files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the transcripts are.
    pub folder: PathBuf,
    /// What its model says.
    pub script: PathBuf,
    /// Names what the model chooses by chance.
    pub seed: u64,
    /// Times are so many times shorter.
    pub compress: u32,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The script cannot be used.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The system refused.
    #[error("could not listen: {0}; see the operating system's message")]
    Io(#[from] std::io::Error),
}

/// Serves on loopback until it is stopped, then removes the locks that it holds. On a
/// [runtime](super::runtime) with the threads that it had.
///
/// # Errors
/// A script that cannot be used; no port.
pub async fn serve(
    settings: &Settings,
    stop: CancellationToken,
    tell: impl FnOnce(SocketAddr),
) -> Result<(), WorkerError> {
    let Settings { folder, script, seed, compress } = settings;
    let script = Script::open(script, *seed, f64::from(*compress))?;
    let times = Times::REAL.compressed((*compress).max(1));
    let old = Arc::new(Old::new(folder.clone(), Arc::new(script), times, COMMAND));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    tell(listener.local_addr()?);
    let watchdog = tokio::spawn(Arc::clone(&old.locks).watch());
    tokio::select! {
        served = axum::serve(listener, app(&old)).into_future() => served?,
        () = stop.cancelled() => {}
    }
    watchdog.abort();
    old.locks.leave().await;
    Ok(())
}

fn app(old: &Arc<Old>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "well" }))
        .route("/v1/sessions/{session}/turns/{key}", delete(cancel))
        .route("/v1/sessions/{session}/{what}", post(act))
        .with_state(Arc::clone(old))
}

async fn cancel(State(old): State<Arc<Old>>, Path((session, key)): Path<(String, String)>) {
    old.cancel(&session, &key);
}

/// What was begun goes on although nobody may wait for it any more.
async fn act(
    State(old): State<Arc<Old>>,
    Path((session, what)): Path<(String, String)>,
    body: Json<Value>,
) -> Response {
    // Somebody waits for what a model says.
    let is_answered = body["answer"] == "wait" || what == "turns";
    let acting = tokio::spawn(async move {
        let mut toll = Toll::default();
        let done = done(&old, &session, &what, &body, &mut toll).await;
        (done, toll)
    });
    match acting.await {
        Ok((done, toll)) => answer(done, is_answered, toll),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn done(
    old: &Old,
    session: &str,
    what: &str,
    body: &Value,
    toll: &mut Toll,
) -> Option<Result<(), Refused>> {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let key = text("key");
    let done = match what {
        "records" => old.append(session, message(key, &body["json"]), toll).await,
        "turns" => old.turn(session, key, text("text"), toll).await,
        "sends" => {
            let answered = text("answer") == "wait";
            old.send(session, text("to"), key, text("text"), answered, toll).await
        }
        "children" => old.spawn(session, text("child"), key, text("task"), toll).await,
        "heartbeats" => {
            let beat = json!({ "type": "heartbeat", "note": text("note") });
            old.append(session, beat, toll).await
        }
        "compactions" => old.compact(session, key, toll).await,
        _ => return None,
    };
    Some(done)
}

fn answer(done: Option<Result<(), Refused>>, is_answered: bool, toll: Toll) -> Response {
    let Toll { acquired, polls, waited, overlaps } = toll;
    let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    let lock =
        json!({ "acquired": acquired, "polls": polls, "waited_us": waited, "overlaps": overlaps });
    match done {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Ok(())) => {
            let answer = is_answered.then(|| json!({}));
            Json(json!({ "lock": lock, "answer": answer })).into_response()
        }
        Some(Err(refused)) => {
            let body =
                json!({ "code": refused.code(), "detail": refused.to_string(), "lock": lock });
            (StatusCode::CONFLICT, Json(body)).into_response()
        }
    }
}
