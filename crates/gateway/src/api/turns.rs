//! Turns: start one or join it, look at it, cancel it. The answer comes as JSON when it is there, or
//! as a stream of events for who asks for one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use session_journal::SessionName;
use tokio::sync::OwnedSemaphorePermit;

use crate::api::codes::{READING, TURN};
use crate::api::extract::{Key, TakeoverArg, parse_name};
use crate::api::{Body, Name, Operation, Query, Route};
use crate::auth::Visitor;
use crate::config::Scope;
use crate::conversation::{Message, Role};
use crate::hub::Ask;
use crate::metrics::Open;
use crate::openapi::STREAM;
use crate::outbox::{ANNOUNCEMENT, Address, SESSION};
use crate::problem::{Problem, Refusal, Result};
use crate::running::{Draft, Hearing, Watched};
use crate::state::AppState;
use crate::turn::{Answer, OnLoss, Policy, TurnRequest, stored};

const PATH: &str = "/v1/sessions/{session}/turns";
const ONE: &str = "/v1/sessions/{session}/turns/{key}";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::POST,
            path: PATH,
            handler: post(start),
            operation: Operation {
                summary: "Say something and have it answered. The message is durable before the model \
                          is asked. Sent again with its key, the turn is joined, finished, or its \
                          answer given back. With `Accept: text/event-stream` the events are `draft` \
                          (more text; records of the kind `turn.draft` hold it), `restart` (what was drafted does not \
                          count), then `answer` or `problem`",
                scope: Some(Scope::Write),
                query: &[
                    (
                        "takeover",
                        "if-gone|always|never",
                        "Whether to take the session from another owner: `if-gone` (the default), `always`, `never`",
                    ),
                    ("wait", "boolean", "Whether to wait for the answer. Default: true"),
                    IGNORE_GAPS,
                ],
                headers: &[("Accept", "string", "`text/event-stream` for a stream")],
                body: Some("NewTurn"),
                answer: (200, "application/json", Some("TurnState")),
                streams: true,
                problems: TURN,
                ..Operation::open("startTurn")
            },
        },
        Route {
            method: Method::GET,
            path: PATH,
            handler: get(list),
            operation: Operation {
                summary: "The turns that run in a session, on this gateway",
                scope: Some(Scope::Read),
                answer: (200, "application/json", Some("TurnList")),
                ..Operation::open("listTurns")
            },
        },
        Route {
            method: Method::GET,
            path: ONE,
            handler: get(look),
            operation: Operation {
                summary: "How a turn stands: it runs here, or its answer is stored",
                scope: Some(Scope::Read),
                headers: &[("Accept", "string", "`text/event-stream` for a stream")],
                answer: (200, "application/json", Some("TurnState")),
                streams: true,
                problems: &[READING, &["unknown", "busy"]],
                ..Operation::open("lookAtTurn")
            },
        },
        Route {
            method: Method::DELETE,
            path: ONE,
            handler: delete(cancel),
            operation: Operation {
                summary: "Cancel a turn that runs here. It leaves a record, or came to its end before",
                scope: Some(Scope::Write),
                answer: (200, "application/json", Some("TurnState")),
                problems: TURN,
                ..Operation::open("cancelTurn")
            },
        },
    ]
}

/// To go on where it cannot be known whether a key was used before.
pub(super) const IGNORE_GAPS: (&str, &str, &str) = (
    "ignore_gaps",
    "boolean",
    "Do it although a lost record may have had this key. Default: false, and then `unknown` is answered",
);

// ---- starting --------------------------------------------------------------------------------

/// A turn as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    key: String,
    text: Option<String>,
    message: Option<Message>,
    parent: Option<String>,
    #[serde(default)]
    policy: Policy,
    reruns_max: Option<u32>,
    #[serde(default)]
    harmless: Vec<String>,
    provider: Option<String>,
    model: Option<String>,
    #[serde(default)]
    deliver: Vec<Address>,
    on_loss: Option<OnLoss>,
}

impl Sent {
    fn message(&self) -> Result<Message> {
        match (&self.text, &self.message) {
            (Some(text), None) => Ok(Message::text_of(Role::User, text)),
            (None, Some(message)) => Ok(message.clone()),
            _ => Err(Problem::invalid("a turn has one of `text` and `message`")),
        }
    }

    fn request(self) -> Result<TurnRequest> {
        let message = self.message()?;
        let Self { key, parent, policy, harmless, model, deliver, on_loss, .. } = self;
        let plain = TurnRequest::new(key, message);
        let reruns_max = self.reruns_max.unwrap_or(plain.reruns_max);
        Ok(TurnRequest { parent, policy, reruns_max, harmless, model, deliver, on_loss, ..plain })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct How {
    takeover: TakeoverArg,
    wait: bool,
    ignore_gaps: bool,
}

impl Default for How {
    fn default() -> Self {
        Self { takeover: TakeoverArg::default(), wait: true, ignore_gaps: false }
    }
}

async fn start(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Name(name): Name,
    Query(how): Query<How>,
    headers: HeaderMap,
    Body(sent): Body<Sent>,
) -> Result<Response> {
    sent.deliver.iter().try_for_each(|address| may_deliver(&visitor, address))?;
    let provider = state.turns.provider(sent.provider.as_deref())?;
    let stream = Streaming::wanted(&state, &headers)?;
    let ask = Ask { takeover: how.takeover.into(), create: false };
    let request = TurnRequest { ignore_gaps: how.ignore_gaps, ..sent.request()? };
    let key = request.key.clone();
    let watched = state.turns.start(&name, request, provider, ask)?;
    match stream {
        Some(stream) => {
            let hearing = watched.hear();
            Ok(stream.of(watched, Some(hearing)))
        }
        None if how.wait => Ok(answer_json(&name, &watched.outcome().await?).into_response()),
        None => Ok(draft_json(&name, &key, watched).into_response()),
    }
}

/// Whoever may not write to a session has nobody else write to it.
pub(super) fn may_deliver(visitor: &Visitor, address: &Address) -> Result<()> {
    if address.sink == SESSION || address.sink == ANNOUNCEMENT {
        visitor.must_reach(Scope::Write, &parse_name(&address.to)?)?;
    }
    Ok(())
}

// ---- looking ---------------------------------------------------------------------------------

async fn list(State(state): State<AppState>, Name(name): Name) -> Json<Value> {
    let keys = state.turns.keys(&name);
    Json(json!({ "session": name.to_string(), "running": keys }))
}

async fn look(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Name(name): Name,
    Key(key): Key,
    headers: HeaderMap,
) -> Result<Response> {
    let stream = Streaming::wanted(&state, &headers)?;
    let running = state.turns.watch(&name, &key);
    match (running, stream) {
        (Some(watched), Some(stream)) => {
            // What is heard is stored for it: whoever may only read hears what others had stored.
            let hearing = visitor.must_reach(Scope::Write, &name).is_ok().then(|| watched.hear());
            Ok(stream.of(watched, hearing))
        }
        (Some(watched), None) => Ok(draft_json(&name, &key, watched).into_response()),
        (None, stream) => {
            let answer = stored(&state.hub, &name, &key).await?;
            Ok(match stream {
                Some(stream) => stream.of_one(&answer),
                None => answer_json(&name, &answer).into_response(),
            })
        }
    }
}

async fn cancel(
    State(state): State<AppState>,
    Name(name): Name,
    Key(key): Key,
) -> Result<Json<Value>> {
    let Some(watched) = state.turns.cancel(&name, &key) else {
        // It may have ended a moment ago.
        return Ok(answer_json(&name, &stored(&state.hub, &name, &key).await?));
    };
    match watched.outcome().await {
        Ok(answer) => Ok(answer_json(&name, &answer)),
        Err(problem) if problem.code() == Refusal::Cancelled.code() => {
            Ok(Json(json!({ "session": name.to_string(), "turn": key, "state": "cancelled" })))
        }
        Err(problem) => Err(problem),
    }
}

fn answer_json(name: &SessionName, answer: &Answer) -> Json<Value> {
    let turn = answer.key.strip_suffix("/answer").unwrap_or(&answer.key);
    let (session, answer) = (name.to_string(), json!(answer));
    Json(json!({ "session": session, "turn": turn, "state": "answered", "answer": answer }))
}

fn draft_json(name: &SessionName, key: &str, mut watched: Watched) -> Json<Value> {
    let Draft { begun, text, .. } = watched.draft().clone();
    let draft = json!({ "begun": begun, "text": text });
    Json(json!({ "session": name.to_string(), "turn": key, "state": "running", "draft": draft }))
}

// ---- streaming -------------------------------------------------------------------------------

/// A place for a stream.
struct Streaming {
    permit: OwnedSemaphorePermit,
    open: Open,
    keep_alive: Duration,
}

impl Streaming {
    /// A place, where a stream is asked for.
    fn wanted(state: &AppState, headers: &HeaderMap) -> Result<Option<Self>> {
        let accepts = headers.get_all(header::ACCEPT).into_iter();
        if !accepts.filter_map(|accept| accept.to_str().ok()).any(|accept| accept.contains(STREAM))
        {
            return Ok(None);
        }
        let permit = Arc::clone(&state.streams).try_acquire_owned().map_err(|_| {
            Problem::new(Refusal::Busy, "as many streams are open as are allowed")
                .with("limit", state.config.limits.streams_max)
        })?;
        let keep_alive = Duration::from_millis(state.config.limits.keep_alive_ms);
        Ok(Some(Self { permit, open: Open::new(&state.metrics.streams), keep_alive }))
    }

    fn of(self, watched: Watched, hearing: Option<Hearing>) -> Response {
        let watching = Watching {
            _hearing: hearing,
            watched,
            begun: 0,
            sent: 0,
            ready: VecDeque::new(),
            ended: false,
            _place: (self.permit, self.open),
        };
        let events = stream::unfold(watching, |mut watching| async {
            let event = watching.next().await?;
            Some((Ok(event), watching))
        });
        answer_with(events, self.keep_alive)
    }

    fn of_one(self, answer: &Answer) -> Response {
        let event = Event::default().event("answer").data(json!(answer).to_string());
        answer_with(stream::iter([Ok(event)]), self.keep_alive)
    }
}

fn answer_with(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
    keep_alive: Duration,
) -> Response {
    let keep_alive = KeepAlive::new().interval(keep_alive).text("alive");
    let headers = [("cache-control", "no-store"), ("x-accel-buffering", "no")];
    (headers, Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// A client that watches a turn.
struct Watching {
    _hearing: Option<Hearing>,
    watched: Watched,
    begun: u32,
    /// So much of the draft was sent.
    sent: usize,
    ready: VecDeque<Event>,
    ended: bool,
    _place: (OwnedSemaphorePermit, Open),
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.look();
            if self.ready.is_empty()
                && let Err(problem) = self.watched.changed().await
            {
                self.end(&Err(problem));
            }
        }
    }

    /// What is new since the last look. Whoever is slow gets more at once, and nothing piles up.
    fn look(&mut self) {
        let (more, begun, outcome) = {
            let draft = self.watched.draft();
            if draft.begun != self.begun {
                self.sent = 0;
            }
            let more = draft.text.get(self.sent..).unwrap_or_default().to_owned();
            (more, draft.begun, draft.outcome.clone())
        };
        if begun > 1 && begun != self.begun {
            self.ready.push_back(
                Event::default().event("restart").data(json!({ "begun": begun }).to_string()),
            );
        }
        self.begun = begun;
        if !more.is_empty() {
            self.sent += more.len();
            let data = json!({ "text": more }).to_string();
            self.ready.push_back(Event::default().event("draft").data(data));
        }
        if let Some(outcome) = outcome {
            self.end(&outcome);
        }
    }

    fn end(&mut self, outcome: &Result<Answer>) {
        self.ended = true;
        let (event, data) = match outcome {
            Ok(answer) => ("answer", json!(answer)),
            Err(problem) => ("problem", problem.to_json()),
        };
        self.ready.push_back(Event::default().event(event).data(data.to_string()));
    }
}
