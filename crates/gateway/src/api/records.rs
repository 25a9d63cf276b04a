//! Records: read from a place, the last ones, backwards; append one or a batch.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use session_journal::{
    AppendOptions, Appended, Expect, Item, NewRecord, Reader, Sequence, SessionName,
};

use crate::api::codes::{APPENDING, EXPECTING, OPENING, READING};
use crate::api::extract::TakeoverArg;
use crate::api::{Body, Name, Operation, Query, Route};
use crate::config::{Scope, When};
use crate::gaps::explained;
use crate::hub::Ask;
use crate::json;
use crate::problem::{Problem, Result};
use crate::state::AppState;
use crate::turn::is_reserved;

/// Kinds with one of these in front are the engine's, its tools' and the gateway's own: an intent to
/// deliver reaches further than a session.
const RESERVED: [&str; 2] = ["sj.", "delivery."];

fn must_not_be_reserved(key: &str) -> Result<()> {
    if is_reserved(key) {
        let what = "keys that begin with `sj.`, `delivery/` or `spawn/` are not for callers";
        return Err(Problem::invalid(what));
    }
    Ok(())
}

const APPEND_QUERY: &[(&str, &str, &str)] = &[
    (
        "takeover",
        "if-gone|always|never",
        "Whether to take the session from another owner: `if-gone` (the default), `always`, `never`",
    ),
    ("create", "boolean", "Create the session where it is not there"),
    (
        "durability",
        "durable|written",
        "`durable`: answer behind the sync; `written`: behind the write",
    ),
    ("ignore_gaps", "boolean", "Append although damage may hide an earlier record with that key"),
    ("expect_seq", "integer", "Append only if the last record is this one"),
    ("expect_mark", "mark", "Append only if nothing came behind this mark"),
    ("expect_kinds", "string", "… but for records of these kinds, separated by commas"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/v1/sessions/{session}/records",
            handler: get(read),
            operation: Operation {
                summary: "Read records: from one on, the last ones, or backwards. Needs no ownership",
                scope: Some(Scope::Read),
                query: &[
                    ("from", "integer", "The first one. Default: 1"),
                    ("last", "integer", "The last so many, in order"),
                    ("before", "integer", "Those before this one, the nearest first"),
                    ("backwards", "boolean", "All of them, the last one first"),
                    ("limit", "integer", "How many at most"),
                ],
                answer: (200, "application/json", Some("RecordPage")),
                problems: &[READING],
                ..Operation::open("readRecords")
            },
        },
        Route {
            method: Method::POST,
            path: "/v1/sessions/{session}/records",
            handler: post(append),
            operation: Operation {
                summary: "Append a record. With a key it is stored once, however often it is sent",
                scope: Some(Scope::Write),
                query: APPEND_QUERY,
                headers: &[("Idempotency-Key", "string", "The record's key")],
                body: Some("NewRecord"),
                answer: (200, "application/json", Some("Appended")),
                problems: &[READING, OPENING, APPENDING, EXPECTING],
                ..Operation::open("appendRecord")
            },
        },
        Route {
            method: Method::POST,
            path: "/v1/sessions/{session}/batches",
            handler: post(append_batch),
            operation: Operation {
                summary: "Append records: all of them or none",
                scope: Some(Scope::Write),
                query: APPEND_QUERY,
                body: Some("NewBatch"),
                answer: (200, "application/json", Some("AppendedBatch")),
                problems: &[READING, OPENING, APPENDING, EXPECTING],
                ..Operation::open("appendBatch")
            },
        },
    ]
}

// ---- reading -------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    from: Option<u64>,
    last: Option<u64>,
    before: Option<u64>,
    backwards: bool,
    limit: Option<u64>,
}

/// The records of an answer, in its order.
struct Found {
    items: VecDeque<Item>,
    /// Where the next answer goes on.
    next: Option<u64>,
}

async fn read(
    State(state): State<AppState>,
    Name(name): Name,
    Query(which): Query<Which>,
) -> Result<impl IntoResponse> {
    which.check()?;
    let limits = &state.config.limits;
    let limit = which.limit.unwrap_or(100).clamp(1, limits.page_records_max);
    let bytes_max = limits.page_bytes_max;
    let of = name.clone();
    let page = state.hub.read(&name, move |reader| {
        let found = match which.backwards_from(&reader) {
            Some(before) => backwards(&reader, before, limit, bytes_max)?,
            None => match which.last {
                Some(last) => last_ones(&reader, last.min(limit.max(1)), bytes_max)?,
                None => forwards(&reader, which.from.unwrap_or(1), limit, bytes_max)?,
            },
        };
        Ok(page_text(&of, &reader, &found))
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], page.await?))
}

impl Which {
    fn check(self) -> Result<()> {
        let ways =
            [self.from.is_some(), self.last.is_some(), self.before.is_some() || self.backwards];
        if ways.iter().filter(|way| **way).count() > 1 {
            let what = "`from`, `last` and `before` are three ways to read; choose one";
            return Err(Problem::invalid(what));
        }
        Ok(())
    }

    /// The record before which it begins, where it reads backwards.
    fn backwards_from(self, reader: &Reader) -> Option<u64> {
        let end = reader.last_sequence().get() + 1;
        (self.backwards || self.before.is_some()).then(|| self.before.unwrap_or(end).min(end))
    }
}

fn bytes_of(item: &Item) -> u64 {
    match item {
        Item::Record(record) => record.payload.len() as u64,
        Item::Gap(_) => 0,
    }
}

fn forwards(reader: &Reader, from: u64, limit: u64, bytes_max: u64) -> Result<Found> {
    let (mut items, mut bytes, mut records) = (VecDeque::new(), 0, 0);
    for item in reader.records_from(Sequence::new(from))?.with_gaps() {
        let item = item?;
        if records == limit || bytes >= bytes_max {
            let next = match &item {
                Item::Record(record) => record.sequence,
                Item::Gap(gap) => gap.first,
            };
            return Ok(Found { items, next: Some(next.get()) });
        }
        bytes += bytes_of(&item);
        records += u64::from(matches!(item, Item::Record(_)));
        items.push_back(item);
    }
    Ok(Found { items, next: None })
}

/// The records of a stretch that ends before one, the nearest first. Where records are missing there
/// are fewer of them.
fn backwards(reader: &Reader, before: u64, limit: u64, bytes_max: u64) -> Result<Found> {
    let first = before.saturating_sub(limit).max(1);
    let (mut items, mut bytes) = (VecDeque::new(), 0);
    for item in reader.records_from(Sequence::new(first))?.with_gaps() {
        let item = item?;
        let is_there = match &item {
            Item::Record(record) => record.sequence.get() < before,
            Item::Gap(gap) => gap.first.get() < before,
        };
        if !is_there {
            break;
        }
        bytes += bytes_of(&item);
        items.push_front(item);
        // The nearest ones stay.
        while bytes > bytes_max && items.len() > 1 {
            bytes -= items.pop_back().as_ref().map_or(0, bytes_of);
        }
    }
    let reached = items.back().map_or(first, |item| match item {
        Item::Record(record) => record.sequence.get(),
        Item::Gap(gap) => gap.first.get(),
    });
    Ok(Found { items, next: Some(reached).filter(|reached| *reached > 1) })
}

fn last_ones(reader: &Reader, last: u64, bytes_max: u64) -> Result<Found> {
    let (mut items, mut bytes) = (VecDeque::new(), 0);
    for item in reader.last(last)?.with_gaps() {
        let item = item?;
        bytes += bytes_of(&item);
        items.push_back(item);
        while bytes > bytes_max && items.len() > 1 {
            bytes -= items.pop_front().as_ref().map_or(0, bytes_of);
        }
    }
    Ok(Found { items, next: None })
}

/// As text already, for a page may be large.
fn page_text(name: &SessionName, reader: &Reader, found: &Found) -> String {
    let text = page_json(name, reader, found).to_string();
    #[cfg(test)]
    tests::a_page_is_made(name);
    text
}

fn page_json(name: &SessionName, reader: &Reader, found: &Found) -> Value {
    let record = |item: &Item| match item {
        Item::Record(record) => Some(json::record(record, reader.id())),
        Item::Gap(_) => None,
    };
    let gap = |item: &Item| match item {
        Item::Gap(gap) => Some(json::gap(gap)),
        Item::Record(_) => None,
    };
    json!({
        "session": name.to_string(),
        "id": reader.id().to_string(),
        "records": found.items.iter().filter_map(record).collect::<Value>(),
        "gaps": found.items.iter().filter_map(gap).collect::<Value>(),
        "next": found.next,
        "last_seq": reader.last_sequence().get(),
        "mark": json::mark(&reader.mark()),
    })
}

// ---- appending -----------------------------------------------------------------------------

/// A record as it is sent: its payload is one of text, base64, or JSON that is stored as it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    payload: Option<String>,
    payload_base64: Option<Base64>,
    json: Option<Box<RawValue>>,
    kind: Option<String>,
    key: Option<String>,
    parent: Option<String>,
    time_ms: Option<i64>,
}

/// Bytes that are sent as text. They are decoded where the body is parsed, which keeps nobody else waiting.
#[derive(Debug)]
struct Base64(Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        let bytes = STANDARD.decode(text.as_ref()).map(Bytes::from);
        bytes
            .map(Self)
            .map_err(|error| serde::de::Error::custom(format!("payload_base64: {error}")))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    records: Vec<Sent>,
}

impl Sent {
    fn into_record(self) -> Result<NewRecord> {
        let is_reserved = |kind: &str| RESERVED.iter().any(|reserved| kind.starts_with(reserved));
        if self.kind.as_deref().is_some_and(is_reserved) {
            let what = "kinds that begin with `sj.` or `delivery.` are not for callers";
            return Err(Problem::invalid(what));
        }
        self.key.as_deref().map_or(Ok(()), must_not_be_reserved)?;
        let payload = match (self.payload, self.payload_base64, self.json) {
            (Some(text), None, None) => Bytes::from(text),
            (None, Some(Base64(bytes)), None) => bytes,
            (None, None, Some(json)) => Bytes::from(String::from(Box::<str>::from(json))),
            _ => {
                let what = "a record has one of `payload`, `payload_base64` and `json`";
                return Err(Problem::invalid(what));
            }
        };
        let Self { kind, key, parent, time_ms, .. } = self;
        Ok(NewRecord { payload, kind, key, parent, time_ms })
    }
}

/// How an append is meant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct How {
    takeover: TakeoverArg,
    create: bool,
    durability: Option<When>,
    ignore_gaps: bool,
    expect_seq: Option<u64>,
    expect_mark: Option<String>,
    expect_kinds: Option<String>,
}

impl How {
    fn ask(&self) -> Ask {
        Ask { takeover: self.takeover.into(), create: self.create }
    }

    fn options(&self) -> Result<AppendOptions> {
        let durability = self.durability.map(Into::into);
        let (expect, ignore_gaps) = (self.expect()?, self.ignore_gaps);
        Ok(AppendOptions { durability, expect, ignore_gaps, ..AppendOptions::default() })
    }

    fn expect(&self) -> Result<Expect> {
        let mark = match self.expect_mark.as_deref() {
            None => None,
            Some(text) => Some(
                json::parse_mark(text)
                    .ok_or_else(|| Problem::invalid("`expect_mark` is no mark"))?,
            ),
        };
        match (self.expect_seq, mark, &self.expect_kinds) {
            (None, None, None) => Ok(Expect::Anything),
            (Some(last), None, None) => Ok(Expect::LastIs(Sequence::new(last))),
            (None, Some(mark), None) => Ok(Expect::NothingSince(mark)),
            (None, Some(mark), Some(kinds)) => {
                let kinds = kinds.split(',').filter(|kind| !kind.is_empty());
                Ok(Expect::OnlyKindsSince(mark, kinds.map(str::to_owned).collect()))
            }
            _ => Err(Problem::invalid(
                "`expect_seq` and `expect_mark` are two ways to expect; `expect_kinds` needs a mark",
            )),
        }
    }
}

async fn append(
    State(state): State<AppState>,
    Name(name): Name,
    Query(how): Query<How>,
    headers: HeaderMap,
    Body(sent): Body<Sent>,
) -> Result<Json<Value>> {
    let mut record = sent.into_record()?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = std::str::from_utf8(key.as_bytes())
            .map_err(|_| Problem::invalid("the Idempotency-Key is not UTF-8"))?;
        if record.key.as_deref().is_some_and(|other| other != key) {
            return Err(Problem::invalid("the Idempotency-Key is not the record's key"));
        }
        must_not_be_reserved(key)?;
        record.key = Some(key.to_owned());
    }
    let appended = store(&state, &name, vec![record], &how).await?;
    Ok(Json(appended.first().map_or(Value::Null, |one| appended_json(&name, one))))
}

async fn append_batch(
    State(state): State<AppState>,
    Name(name): Name,
    Query(how): Query<How>,
    Body(batch): Body<Batch>,
) -> Result<Json<Value>> {
    if batch.records.is_empty() {
        return Err(Problem::invalid("a batch has at least one record"));
    }
    let records = batch.records.into_iter().map(Sent::into_record).collect::<Result<_>>()?;
    let appended = store(&state, &name, records, &how).await?;
    let records: Value = appended.iter().map(|one| appended_json(&name, one)).collect();
    Ok(Json(json!({ "session": name.to_string(), "records": records })))
}

async fn store(
    state: &AppState,
    name: &SessionName,
    records: Vec<NewRecord>,
    how: &How,
) -> Result<Vec<Appended>> {
    let keys = records.iter().filter_map(|record| record.key.clone()).collect();
    match state.hub.append(name, records, how.options()?, how.ask()).await {
        Ok(appended) => Ok(appended),
        Err(problem) => Err(explained(&state.hub, name, keys, problem).await),
    }
}

fn appended_json(name: &SessionName, one: &Appended) -> Value {
    json!({
        "session": name.to_string(),
        "seq": one.sequence.get(),
        "generation": one.generation.get(),
        "offset": one.offset.get(),
        "durable": one.durable,
        "duplicate": one.duplicate,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;
    use tokio::sync::{Notify, watch};
    use tower::ServiceExt;

    use super::*;
    use crate::config::Config;

    /// What tells that a page is being made, and what waits until it may go on.
    type Gate = (Arc<Notify>, Receiver<()>);
    static GATE: Mutex<Option<Gate>> = Mutex::new(None);
    /// The session whose page is held.
    const HELD: &str = "held/s";

    /// A page of that session is made to its end when the test says so.
    pub(super) fn a_page_is_made(name: &SessionName) {
        let gate = (name.to_string() == HELD).then(|| GATE.lock().expect("no panic").take());
        let Some((begun, go_on)) = gate.flatten() else { return };
        begun.notify_one();
        // Longer than anything here takes: what hangs is told instead.
        go_on.recv_timeout(Duration::from_mins(1)).expect("others are answered meanwhile");
    }

    async fn answered(app: &Router, method: Method, session: &str, body: Body) -> Bytes {
        let to = format!("/v1/sessions/{}/records?create=true", session.replace('/', "%2F"));
        let to = if method == Method::GET { to.replace("?create=true", "") } else { to };
        let request = Request::builder().method(method).uri(to);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(body).expect("a request");
        let answer = app.clone().oneshot(request).await.expect("infallible");
        assert!(answer.status().is_success(), "{answer:?}");
        answer.into_body().collect().await.expect("a body").to_bytes()
    }

    /// E4, on the one thread that this test has: were the page made there, nobody would ever go on.
    #[tokio::test]
    async fn a_large_page_is_made_while_others_are_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config { store: folder.path().to_owned(), ..Config::default() };
        let state = AppState::new(config, watch::channel(false).1).expect("a state");
        let app = Router::new()
            .route("/v1/sessions/{session}/records", get(read).post(append))
            .with_state(state);
        for session in [HELD, "b/s"] {
            let payload = json!({ "payload": "x".repeat(1 << 20) }).to_string();
            answered(&app, Method::POST, session, payload.into()).await;
        }
        let (go_on, gate): (Sender<()>, _) = channel();
        let begun = Arc::new(Notify::new());
        *GATE.lock().expect("no panic") = Some((Arc::clone(&begun), gate));
        let large = tokio::spawn({
            let app = app.clone();
            async move { answered(&app, Method::GET, HELD, Body::empty()).await }
        });
        begun.notified().await;
        for _ in 0..3 {
            answered(&app, Method::POST, "b/s", json!({ "payload": "y" }).to_string().into()).await;
            answered(&app, Method::GET, "b/s", Body::empty()).await;
        }
        assert!(!large.is_finished());
        go_on.send(()).expect("it waits for that");
        assert!(large.await.expect("no panic").len() > 1 << 20);
    }
}
