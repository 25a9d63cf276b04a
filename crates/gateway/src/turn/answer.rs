//! An answer that is stored, and how it is read back.

use serde::{Deserialize, Serialize};
use session_journal::{Came, Reader, Record, SessionName};

use super::request::{answer_key, delivery_key};
use crate::conversation::{Lost, Message};
use crate::gaps::behind;
use crate::hub::Hub;
use crate::json;
use crate::outbox::{self, Delivery, read};
use crate::problem::{Problem, Result};
use crate::provider::Finish;

/// An answer that is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The key of its record.
    pub key: String,
    /// The number of its record.
    pub seq: u64,
    /// What it says.
    pub text: String,
    /// Which provider gave it.
    pub provider: String,
    /// What that one says of it.
    #[serde(flatten)]
    pub finish: Finish,
    /// How often the model was asked again.
    pub reruns: u32,
    /// Records that are lost, and that the model has not seen for that.
    pub lost: Vec<Lost>,
    /// Records that came while the model was thinking, and that it has not seen.
    #[serde(serialize_with = "came_json")]
    pub came: Vec<Came>,
    /// It was there already.
    pub replayed: bool,
    /// Where it went.
    pub deliveries: Vec<Delivery>,
}

fn came_json<S: serde::Serializer>(came: &[Came], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(came.iter().map(json::came))
}

/// The payload of an answer's record: a message, and what made it.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    #[serde(flatten)]
    pub(super) message: Message,
    pub(super) provider: String,
    #[serde(flatten)]
    pub(super) finish: Finish,
    #[serde(default)]
    pub(super) reruns: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<Lost>,
}

/// The answer that is stored to a turn, with how its deliveries stand.
///
/// # Errors
/// As reading answers; `not-found` where there is none.
pub async fn stored(hub: &Hub, session: &SessionName, key: &str) -> Result<Answer> {
    let of = key.to_owned();
    let found = read(hub, session, move |reader| {
        let Some(record) = answer_of(reader, &of)? else { return Ok(None) };
        let deliveries = outbox::deliveries(reader, |number| delivery_key(&of, number))?;
        Ok(Some((record, deliveries)))
    });
    let none = || {
        let what = "no turn of this key runs here, and none was answered";
        Problem::not_found(what).about(session)
    };
    let (record, deliveries) = found.await?.ok_or_else(none)?;
    // A record of somebody's own under such a key is no answer.
    let answer = replayed(&record).map_err(|_| none())?;
    Ok(Answer { deliveries, ..answer })
}

/// An answer stands behind its message: where nothing is lost there, none is missing.
fn answer_of(reader: &Reader, key: &str) -> session_journal::Result<Option<Record>> {
    let found = reader.by_key(&answer_key(key));
    match reader.by_key(key) {
        Ok(Some(message)) => behind(reader, message.sequence.get(), found),
        _ => found,
    }
}

pub(super) fn replayed(record: &Record) -> Result<Answer> {
    let payload: Payload = serde_json::from_slice(&record.payload)
        .map_err(|_| Problem::invalid("the key of the answer was used for something else"))?;
    Ok(Answer {
        key: record.key.clone().unwrap_or_default(),
        seq: record.sequence.get(),
        text: payload.message.text(),
        provider: payload.provider,
        finish: payload.finish,
        reruns: payload.reruns,
        lost: payload.lost,
        came: Vec::new(),
        replayed: true,
        deliveries: Vec::new(),
    })
}
