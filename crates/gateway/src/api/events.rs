//! A session as it grows, as server-sent events. The id of an event is the mark of its record, which
//! stands in the journal itself: it means the same to every gateway, before and after a restart.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::Stream;
use serde::Deserialize;
use session_journal::{Item, Mark, Reader, Sequence, SessionName};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

use crate::api::codes::READING;
use crate::api::{Name, Operation, Query, Route};
use crate::config::Scope;
use crate::feed::{Came, Subscription};
use crate::json;
use crate::metrics::Open;
use crate::openapi::{EVENT, STREAM};
use crate::problem::{Problem, Refusal, Result};
use crate::state::AppState;

/// So many records are read from the file at once; fewer where they are large.
const READ_RECORDS: usize = 64;
const READ_BYTES: usize = 1 << 20;
/// A client that lost its stream comes back after this.
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: Method::GET,
        path: "/v1/sessions/{session}/events",
        handler: get(follow),
        operation: Operation {
            summary: "Follow a session. Events are `record` (its id is the record's mark), `gap` \
                      (records that are lost), and `end` with a problem, behind which nothing comes. \
                      With the last id that was seen, nothing is missed and nothing is repeated",
            scope: Some(Scope::Read),
            query: &[
                ("after", "mark", "A mark: go on behind this record"),
                ("from", "integer", "A sequence: begin with this record. Default: 1"),
                (
                    "follow",
                    "boolean",
                    "Whether to wait for what comes. Default: true; else it ends behind what there is",
                ),
            ],
            headers: &[(
                "Last-Event-ID",
                "mark or nothing",
                "The id of the last event that was seen; comes before `after`",
            )],
            answer: (200, STREAM, Some(EVENT)),
            problems: &[READING, &["diverged", "busy", "shutting-down"]],
            ..Operation::open("followSession")
        },
    }]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    after: Option<String>,
    from: Option<u64>,
    follow: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self { after: None, from: None, follow: true }
    }
}

/// Behind which record a stream stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    next: Sequence,
    /// None where it was told a number only.
    mark: Option<Mark>,
    /// The last missing record that was told of.
    told: u64,
    /// Whether it goes on behind what there is.
    waits: bool,
}

async fn follow(
    State(state): State<AppState>,
    Name(name): Name,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    let place = Place::of(&asked, &headers)?;
    if state.is_stopping() {
        return Err(Problem::new(Refusal::ShuttingDown, "the gateway is shutting down"));
    }
    let permit = Arc::clone(&state.streams).try_acquire_owned().map_err(|_| {
        Problem::new(Refusal::Busy, "as many streams are open as are allowed")
            .with("limit", state.config.limits.streams_max)
    })?;
    // Subscribed before it is read: nothing comes in between.
    let subscription = state.feeds.subscribe(&name).await?;
    let begun = read_on(&state, &name, place, None).await?;
    let keep_alive = Duration::from_millis(state.config.limits.keep_alive_ms);
    let stream = Following {
        _open: Open::new(&state.metrics.streams),
        state,
        name,
        subscription,
        place: begun.place,
        ready: begun.ready,
        reader: begun.reader,
        caught_up: begun.caught_up,
        ended: false,
        _permit: permit,
    };
    let keep_alive = KeepAlive::new().interval(keep_alive).text("alive");
    let answer = Sse::new(stream.events()).keep_alive(keep_alive);
    Ok(([("cache-control", "no-store"), ("x-accel-buffering", "no")], answer))
}

impl Place {
    fn of(asked: &Asked, headers: &HeaderMap) -> Result<Self> {
        let header = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
        let mark =
            match header.filter(|id| !id.is_empty()).or(asked.after.as_deref()) {
                None => None,
                Some(text) => Some(json::parse_mark(text).ok_or_else(|| {
                    Problem::invalid("the last event's id, or `after`, is no mark")
                })?),
            };
        let from = Sequence::new(asked.from.unwrap_or(1).max(1));
        let next = mark.map_or(from, |mark| mark.sequence.next());
        Ok(Self { next, mark, told: 0, waits: asked.follow })
    }

    fn step(&mut self, mark: Mark) {
        (self.next, self.mark) = (mark.sequence.next(), Some(mark));
    }
}

/// A client that follows a session.
struct Following {
    state: AppState,
    name: SessionName,
    subscription: Subscription,
    place: Place,
    /// What was read and not sent yet.
    ready: VecDeque<Event>,
    /// Kept until it has caught up: opening a file costs reading what came since its last checkpoint.
    reader: Option<Reader>,
    /// Nothing was left in the file when it was read last.
    caught_up: bool,
    ended: bool,
    _open: Open,
    _permit: OwnedSemaphorePermit,
}

impl Following {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let first = Event::default().retry(RETRY).comment("following");
        let rest = futures_util::stream::unfold(self, |mut this| async {
            let event = this.next().await?;
            this.state.metrics.events.inc();
            Some((Ok(event), this))
        });
        futures_util::StreamExt::chain(futures_util::stream::iter([Ok(first)]), rest)
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            if !self.caught_up {
                if let Err(problem) = self.catch_up().await {
                    return Some(self.end(&problem));
                }
                continue;
            }
            if !self.place.waits {
                return None;
            }
            match self.wait().await {
                Ok(Came::Record { mark, text }) if mark.sequence == self.place.next => {
                    self.place.step(mark);
                    return Some(record_event(&mark, &text));
                }
                Ok(Came::Record { mark, .. }) if mark.sequence < self.place.next => {}
                Ok(Came::Record { .. } | Came::Look) => self.caught_up = false,
                Ok(Came::End(problem)) => return Some(self.end(&problem)),
                Err(problem) => return Some(self.end(&problem)),
            }
        }
    }

    async fn wait(&mut self) -> Result<Came> {
        let stopped = pin!(self.state.stopped());
        tokio::select! {
            came = self.subscription.receiver.recv() => match came {
                Ok(came) => Ok(came),
                Err(RecvError::Lagged(_)) => Ok(Came::Look),
                Err(RecvError::Closed) => {
                    Err(Problem::new(Refusal::Internal, "the session is not followed any more"))
                }
            },
            () = stopped => {
                Err(Problem::new(Refusal::ShuttingDown, "the gateway is shutting down"))
            }
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        if self.state.is_stopping() {
            return Err(Problem::new(Refusal::ShuttingDown, "the gateway is shutting down"));
        }
        let read = read_on(&self.state, &self.name, self.place, self.reader.take()).await?;
        (self.place, self.ready) = (read.place, read.ready);
        (self.reader, self.caught_up) = (read.reader, read.caught_up);
        Ok(())
    }

    fn end(&mut self, problem: &Problem) -> Event {
        self.ended = true;
        Event::default().event("end").data(problem.to_json().to_string())
    }
}

fn record_event(mark: &Mark, text: &str) -> Event {
    Event::default().id(json::mark(mark)).event("record").data(text)
}

/// What reading on in the file gave.
struct Read {
    place: Place,
    ready: VecDeque<Event>,
    /// To read on with, where there is more.
    reader: Option<Reader>,
    caught_up: bool,
}

async fn read_on(
    state: &AppState,
    name: &SessionName,
    place: Place,
    reader: Option<Reader>,
) -> Result<Read> {
    let Some(mut reader) = reader else {
        return state.hub.read(name, move |reader| read_some(reader, place)).await;
    };
    let read = state.hub.file_job(move |_| {
        reader.refresh()?;
        read_some(reader, place)
    });
    read.await?.map_err(|problem| problem.about(name))
}

/// The next records in the file.
fn read_some(reader: Reader, mut place: Place) -> Result<Read> {
    let records = match &place.mark {
        Some(mark) => reader.records_after(mark)?,
        None => reader.records_from(place.next)?,
    };
    let (mut ready, mut bytes) = (VecDeque::new(), 0);
    for item in records.with_gaps() {
        match item? {
            Item::Record(record) => {
                let mark = record.mark(reader.id());
                place.step(mark);
                let text = json::record(&record, reader.id()).to_string();
                ready.push_back(record_event(&mark, &text));
                bytes += text.len();
                if ready.len() >= READ_RECORDS || bytes >= READ_BYTES {
                    return Ok(Read { place, ready, reader: Some(reader), caught_up: false });
                }
            }
            // What the end of the file lost is told where the next record measures it, if one is
            // waited for.
            Item::Gap(gap) if place.waits && gap.first > reader.last_sequence() => break,
            Item::Gap(gap) => {
                let last = gap.first.get() + gap.records.saturating_sub(1);
                if last > place.told {
                    place.told = last;
                    let gap = json::gap(&gap).to_string();
                    ready.push_back(Event::default().event("gap").data(gap));
                }
            }
        }
    }
    Ok(Read { place, ready, reader: None, caught_up: true })
}
