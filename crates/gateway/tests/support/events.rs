//! The client's side of server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

/// A stream on which nothing comes for so long would hang the test.
const HANGS: Duration = Duration::from_mins(1);

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The payload of a record.
    pub(crate) fn payload(&self) -> String {
        assert_eq!(self.name, "record", "{self:?}");
        self.json()["payload"].as_str().expect("a text").to_owned()
    }
}

/// A stream of them. Dropping it cuts the connection.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    buffer: String,
    ready: VecDeque<Event>,
    /// The id of the last event that was given.
    pub(crate) last: Option<String>,
}

impl Events {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, buffer: String::new(), ready: VecDeque::new(), last: None }
    }

    /// The next event; none at the end, or where the connection broke.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.id.is_some() {
                    self.last.clone_from(&event.id);
                }
                return Some(event);
            }
            let frame = timeout(HANGS, self.body.frame()).await.expect("an event, or the end");
            let frame = frame?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.buffer.push_str(std::str::from_utf8(data).expect("text"));
                self.parse();
            }
        }
    }

    /// So many records.
    pub(crate) async fn take(&mut self, records: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        while taken.len() < records {
            taken.push(self.next().await.expect("another event"));
        }
        taken
    }

    fn parse(&mut self) {
        while let Some((block, rest)) = self.buffer.split_once("\n\n") {
            let mut event = Event::default();
            for line in block.lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "id" => event.id = Some(value.to_owned()),
                    "event" => value.clone_into(&mut event.name),
                    "data" => event.data.push_str(value),
                    _ => {}
                }
            }
            let rest = rest.to_owned();
            if !event.name.is_empty() {
                self.ready.push_back(event);
            }
            self.buffer = rest;
        }
    }
}
