//! What agents do beside answering: sends, children, heartbeats, compactions.

use axum::extract::State;
use axum::http::Method;
use axum::routing::post;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use session_journal::SessionName;

use crate::agents::{self, CompactRequest, Send, Spawn};
use crate::api::codes::{APPENDING, ASKING, EXPECTING, OPENING, READING, TURN};
use crate::api::deliveries::TAKEOVER;
use crate::api::extract::{KeyedQuery, parse_name};
use crate::api::turns::IGNORE_GAPS;
use crate::api::{Body, Name, Operation, Query, Route, TakeoverQuery};
use crate::auth::Visitor;
use crate::config::Scope;
use crate::problem::Result;
use crate::running::Watched;
use crate::state::AppState;

pub(super) fn routes() -> Vec<Route> {
    let route = |path, handler, operation| Route { method: Method::POST, path, handler, operation };
    let writes = |id| Operation {
        scope: Some(Scope::Write),
        query: TAKEOVER,
        problems: TURN,
        ..Operation::open(id)
    };
    vec![
        route(
            "/v1/sessions/{session}/sends",
            post(send),
            Operation {
                summary: "Send to another session. It is durable here before it arrives there, once",
                body: Some("NewSend"),
                answer: (200, "application/json", Some("Sent")),
                ..writes("sendToSession")
            },
        ),
        route(
            "/v1/sessions/{session}/children",
            post(spawn),
            Operation {
                summary: "Begin a child session. Its answer is announced here, once",
                query: SPAWNING,
                body: Some("NewChild"),
                answer: (200, "application/json", Some("Child")),
                ..writes("spawnSession")
            },
        ),
        route(
            "/v1/sessions/{session}/heartbeats",
            post(heartbeat),
            Operation {
                summary: "Append a sign of life, which no turn conflicts with",
                body: Some("NewHeartbeat"),
                answer: (200, "application/json", Some("Heartbeat")),
                problems: &[READING, OPENING, APPENDING],
                ..writes("beatHeart")
            },
        ),
        route(
            "/v1/sessions/{session}/compactions",
            post(compact),
            Operation {
                summary: "Have a summary stand for the beginning of the conversation. Nothing is \
                          rewritten",
                body: Some("NewCompaction"),
                answer: (200, "application/json", Some("Compacted")),
                problems: &[READING, OPENING, APPENDING, EXPECTING, ASKING],
                ..writes("compactSession")
            },
        ),
    ]
}

const SPAWNING: &[(&str, &str, &str)] = &[TAKEOVER[0], IGNORE_GAPS];

/// What to do about an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answering {
    /// Nobody answers.
    None,
    /// Somebody does, and nobody waits for it.
    Start,
    /// The request waits for it.
    #[default]
    Wait,
}

impl Answering {
    async fn of(self, watched: Option<Watched>) -> Result<Value> {
        match watched {
            Some(watched) if self == Self::Wait => Ok(json!(watched.outcome().await?)),
            _ => Ok(Value::Null),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSend {
    to: String,
    key: String,
    text: String,
    #[serde(default)]
    answer: Answering,
    provider: Option<String>,
}

async fn send(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
    Body(sent): Body<NewSend>,
) -> Result<Json<Value>> {
    let to = reachable(&visitor, &sent.to)?;
    let answerer = match sent.answer {
        Answering::None => None,
        _ => Some(state.turns.provider(sent.provider.as_deref())?),
    };
    let message = Send { from: name, to, key: sent.key, text: sent.text, answerer };
    let done = agents::send(&state.turns, message, query.ask()).await?;
    let answer = sent.answer.of(done.turn).await?;
    Ok(Json(json!({ "delivery": done.delivery, "answer": answer })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewChild {
    child: String,
    key: String,
    task: String,
    title: Option<String>,
    provider: Option<String>,
    /// Whether to wait for its answer.
    #[serde(default)]
    wait: bool,
}

async fn spawn(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Name(parent): Name,
    Query(query): Query<KeyedQuery>,
    Body(new): Body<NewChild>,
) -> Result<Json<Value>> {
    let child = reachable(&visitor, &new.child)?;
    let provider = state.turns.provider(new.provider.as_deref())?;
    let name = child.to_string();
    let NewChild { key, task, title, .. } = new;
    let ignore_gaps = query.ignore_gaps;
    let spawn = Spawn { parent, child, key, task, title, ignore_gaps };
    let watched = agents::spawn(&state.turns, spawn, provider, query.ask()).await?;
    let answering = if new.wait { Answering::Wait } else { Answering::Start };
    let answer = answering.of(Some(watched)).await?;
    Ok(Json(json!({ "child": name, "answer": answer })))
}

/// The session of this name, which the visitor may write to.
fn reachable(visitor: &Visitor, name: &str) -> Result<SessionName> {
    let name = parse_name(name)?;
    visitor.must_reach(Scope::Write, &name)?;
    Ok(name)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewHeartbeat {
    note: String,
}

async fn heartbeat(
    State(state): State<AppState>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
    Body(new): Body<NewHeartbeat>,
) -> Result<Json<Value>> {
    let seq = agents::heartbeat(&state.hub, &name, &new.note, query.ask()).await?;
    Ok(Json(json!({ "session": name.to_string(), "seq": seq })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCompaction {
    key: String,
    keep: Option<usize>,
    summary: Option<String>,
    provider: Option<String>,
    model: Option<String>,
}

async fn compact(
    State(state): State<AppState>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
    Body(new): Body<NewCompaction>,
) -> Result<Json<Value>> {
    let provider = state.turns.provider(new.provider.as_deref())?;
    let NewCompaction { key, keep, summary, model, .. } = new;
    let keep = keep.unwrap_or(CompactRequest::KEEP);
    let request = CompactRequest { key, keep, summary, model };
    let done = agents::compact(&state.turns, &name, &request, &*provider, query.ask()).await?;
    Ok(Json(json!(done)))
}
