//! Sessions: create, list, look at, take, release, delete.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use getrandom::fill;
use serde::Deserialize;
use serde_json::{Value, json};
use session_journal::{
    AppendOptions, HistoryEvent, Info, Listed, LocalHost, OpenReason, SessionName, history, info,
};
use session_journal_import::{Attributes, Lineage};

use crate::api::codes::{OPENING, READING};
use crate::api::extract::{TakeoverQuery, parse_name};
use crate::api::{Body, Name, Operation, Query, Route};
use crate::auth::Visitor;
use crate::config::Scope;
use crate::hub::Ask;
use crate::json;
use crate::listing::{Page, Wanted};
use crate::problem::{Problem, Refusal, Result};
use crate::state::AppState;

/// The most sessions in one answer.
const PAGE_MAX: usize = 1000;

const TAKEOVER: (&str, &str, &str) = (
    "takeover",
    "if-gone|always|never",
    "Whether to take the session from another owner: `if-gone` (the default), `always`, `never`",
);

pub(super) fn routes() -> Vec<Route> {
    let mut routes = collection();
    routes.extend(one());
    routes
}

fn collection() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/sessions",
            handler: get(list),
            operation: Operation {
                summary: "List sessions, the one that changed last first. Counts and times are as of \
                          a session's last checkpoint, opening or release",
                scope: Some(Scope::Read),
                query: &[
                    ("agent", "string", "Only this agent's"),
                    ("search", "string", "Only those whose name holds this"),
                    (
                        "key",
                        "string",
                        "Only those that their program's registry has under this key",
                    ),
                    ("limit", "integer", "How many at most, up to 1,000. Default: 100"),
                    ("after", "string", "Go on behind the page that gave this as `next`"),
                    ("order", "updated|name", "`updated` (the default) or `name`"),
                ],
                answer: (200, "application/json", Some("SessionPage")),
                ..Operation::open("listSessions")
            },
        },
        Route {
            method: Method::POST,
            path: "/v1/sessions",
            handler: post(create),
            operation: Operation {
                summary: "Create a session",
                scope: Some(Scope::Write),
                body: Some("NewSession"),
                answer: (201, "application/json", Some("Opened")),
                problems: &[&[
                    "already-exists",
                    "no-space",
                    "unsupported-filesystem",
                    "shutting-down",
                ]],
                ..Operation::open("createSession")
            },
        },
    ]
}

fn one() -> Vec<Route> {
    let path = "/v1/sessions/{session}";
    vec![
        Route {
            method: Method::GET,
            path,
            handler: get(look),
            operation: Operation {
                summary: "Who owns a session, where its end is, what is wrong with it. Writes nothing",
                scope: Some(Scope::Read),
                answer: (200, "application/json", Some("SessionInfo")),
                problems: &[READING],
                ..Operation::open("getSession")
            },
        },
        Route {
            method: Method::DELETE,
            path,
            handler: delete(remove),
            operation: Operation {
                summary: "Delete a session: take it, seal it, remove its name",
                scope: Some(Scope::Admin),
                query: &[TAKEOVER],
                answer: (204, "", None),
                problems: &[READING, OPENING],
                ..Operation::open("deleteSession")
            },
        },
        Route {
            method: Method::GET,
            path: "/v1/sessions/{session}/history",
            handler: get(past),
            operation: Operation {
                summary: "Every claim, opening, release, repair and seal, in order. Reads every byte",
                scope: Some(Scope::Read),
                answer: (200, "application/json", Some("History")),
                problems: &[READING],
                ..Operation::open("getHistory")
            },
        },
        Route {
            method: Method::POST,
            path: "/v1/sessions/{session}/claim",
            handler: post(claim),
            operation: Operation {
                summary: "Hold a session from now on. Repairs it where that is needed and allowed",
                scope: Some(Scope::Write),
                query: &[TAKEOVER],
                answer: (200, "application/json", Some("Opened")),
                problems: &[READING, OPENING],
                ..Operation::open("claimSession")
            },
        },
        Route {
            method: Method::POST,
            path: "/v1/sessions/{session}/release",
            handler: post(release),
            operation: Operation {
                summary: "Release a session, if this gateway holds it",
                scope: Some(Scope::Admin),
                answer: (200, "application/json", Some("Released")),
                problems: &[READING, OPENING],
                ..Operation::open("releaseSession")
            },
        },
    ]
}

// ---- create --------------------------------------------------------------------------------

/// What a new session is to be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewSession {
    /// `agent/id`, instead of the two.
    session: Option<String>,
    agent: Option<String>,
    /// A random one where it is not given.
    id: Option<String>,
    title: Option<String>,
    /// The key that it can be searched by.
    key: Option<String>,
    channel: Option<String>,
    model: Option<String>,
}

impl NewSession {
    fn name(&self) -> Result<SessionName> {
        match (&self.session, &self.agent, &self.id) {
            (Some(session), None, None) => parse_name(session),
            (Some(_), _, _) => Err(Problem::invalid("`session` stands for `agent` and `id`")),
            (None, agent, id) => {
                let id = id.clone().map_or_else(random_id, Ok)?;
                SessionName::new(agent.as_deref(), &id)
                    .map_err(|error| Problem::invalid(error.to_string()))
            }
        }
    }

    /// What is to be kept of it beside its name; nothing where nothing was said.
    fn attributes(self, name: &SessionName) -> Option<Attributes> {
        let Self { title, key, channel, model, .. } = self;
        let said = title.is_some() || key.is_some() || channel.is_some() || model.is_some();
        said.then(|| Attributes {
            title,
            session_key: key,
            channel,
            model,
            agent: name.agent().map(str::to_owned),
            ..Attributes::default()
        })
    }
}

fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    fill(&mut bytes).map_err(|_| Problem::new(Refusal::Internal, "no randomness to be had"))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

async fn create(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Body(new): Body<NewSession>,
) -> Result<(StatusCode, Json<Value>)> {
    let name = new.name()?;
    visitor.must_reach(Scope::Write, &name)?;
    let session = state.hub.create(&name).await?;
    if let Some(attributes) = new.attributes(&name) {
        let records = vec![attributes.to_record(1)];
        state.hub.append(&name, records, AppendOptions::default(), Ask::default()).await?;
    }
    Ok((StatusCode::CREATED, Json(opened(&name, &session))))
}

fn opened(name: &SessionName, session: &session_journal::Session) -> Value {
    let mut answer = json::opening(session.opening());
    answer["session"] = name.to_string().into();
    answer["id"] = session.id().to_string().into();
    answer["mark"] = json::mark(&session.mark()).into();
    answer
}

// ---- list and look -------------------------------------------------------------------------

async fn list(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>> {
    let Page { sessions, total, next } = state.listing.page(wanted, visitor, PAGE_MAX).await?;
    let one = |(listed, attributes): &(Listed, Option<_>)| {
        let held = state.hub.held(&listed.name).is_some();
        listed_json(listed, attributes.as_deref(), held)
    };
    let sessions: Value = sessions.iter().map(one).collect();
    Ok(Json(json!({ "sessions": sessions, "total": total, "next": next })))
}

fn listed_json(listed: &Listed, attributes: Option<&Attributes>, held: bool) -> Value {
    json!({
        "session": listed.name.to_string(),
        "agent": listed.name.agent(),
        "id": listed.id.map(|id| id.to_string()),
        "generation": listed.generation.get(),
        "state": listed.state.as_str(),
        "owner": json::owner(listed.owner.as_ref()),
        "held_here": held,
        "records": listed.records,
        "bytes": listed.bytes,
        "created_ms": listed.created_ms,
        "updated_ms": listed.updated_ms,
        "damaged": listed.damaged,
        "error": listed.error.as_ref().map(session_journal::Error::code),
        "attributes": attributes_json(attributes),
    })
}

/// What is known of a session beside its records, without the paths of files and folders.
pub(crate) fn attributes_json(attributes: Option<&Attributes>) -> Value {
    let Some(known) = attributes else { return Value::Null };
    json!({
        "role": known.role.as_str(),
        "key": known.session_key,
        "title": known.title,
        "agent": known.agent,
        "channel": known.channel,
        "provider": known.provider,
        "model": known.model,
        "status": known.status,
        "counters": known.counters,
        "updated_ms": known.updated_ms,
        "lineage": known.lineage.iter().map(lineage_json).collect::<Value>(),
    })
}

fn lineage_json(one: &Lineage) -> Value {
    json!({
        "relation": one.relation.as_str(),
        "session": one.session,
        "id": one.id,
        "key": one.key,
        "at_ms": one.at_ms,
        "inferred": one.inferred,
    })
}

async fn look(State(state): State<AppState>, Name(name): Name) -> Result<Json<Value>> {
    let read = state.hub.read(&name, |reader| {
        let info = info(reader.path(), &LocalHost)?;
        let attributes = Attributes::of(&reader).ok().flatten();
        Ok((info, attributes, reader.mark()))
    });
    let (info, attributes, mark) = read.await?;
    let held = state.hub.held(&name);
    let mut answer = info_json(&name, &info);
    answer["mark"] = json::mark(&mark).into();
    answer["attributes"] = attributes_json(attributes.as_ref());
    answer["held_here"] = held.is_some().into();
    answer["inbox_depth"] = held.map_or(0, |session| session.inbox_depth()).into();
    Ok(Json(answer))
}

fn info_json(name: &SessionName, info: &Info) -> Value {
    json!({
        "session": name.to_string(),
        "agent": name.agent(),
        "id": info.id.to_string(),
        "format": info.format,
        "generation": info.generation.get(),
        "state": info.state.as_str(),
        "owner": json::owner(info.owner.as_ref()),
        "records": info.records,
        "last_seq": info.last_sequence.get(),
        "bytes": info.bytes,
        "tail": info.tail.get(),
        "void_bytes": info.void_bytes,
        "durable_through": info.durable_through.get(),
        "header_damaged": info.header_damaged,
        "torn": json::holes(&info.torn),
        "damage": json::holes(&info.damage),
        "created_ms": info.created_ms,
        "updated_ms": info.updated_ms,
    })
}

async fn past(State(state): State<AppState>, Name(name): Name) -> Result<Json<Value>> {
    let events = state.hub.read(&name, |reader| Ok(history(reader.path())?)).await?;
    let events: Value = events.iter().map(event_json).collect();
    Ok(Json(json!({ "session": name.to_string(), "events": events })))
}

fn event_json(event: &HistoryEvent) -> Value {
    json!({
        "time_ms": event.time_ms,
        "event": event.event.as_str(),
        "generation": event.generation.get(),
        "previous_generation": event.previous_generation.map(session_journal::Generation::get),
        "reason": event.reason.map(OpenReason::as_str),
        "owner": json::owner(event.owner.as_ref()),
        "report": event.report.as_ref().map(json::report),
        "offset": event.offset.get(),
    })
}

// ---- take, release, delete -----------------------------------------------------------------

async fn claim(
    State(state): State<AppState>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
) -> Result<Json<Value>> {
    let session = state.hub.claim(&name, query.ask()).await?;
    Ok(Json(opened(&name, &session)))
}

async fn release(State(state): State<AppState>, Name(name): Name) -> Result<Json<Value>> {
    let released = state.hub.release(&name).await?;
    Ok(Json(json!({ "session": name.to_string(), "released": released })))
}

async fn remove(
    State(state): State<AppState>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
) -> Result<StatusCode> {
    state.hub.delete(&name, query.ask()).await?;
    state.turns.tools().outbox.forget(&name);
    Ok(StatusCode::NO_CONTENT)
}
