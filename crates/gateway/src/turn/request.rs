//! What a turn is asked, and the keys that are made of its own.

use serde::{Deserialize, Serialize};

use crate::conversation::{Message, Role};
use crate::outbox::{Address, Outbox};
use crate::problem::{Problem, Result};

/// The longest key of a turn in bytes; keys that are made of it are longer.
pub const KEY_BYTES_MAX: usize = 512;
/// Most addresses of one answer.
pub(super) const DELIVERIES_MAX: usize = 16;

/// What to do where something came while the model was thinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Append the answer all the same: it stands behind what came.
    #[default]
    GoOn,
    /// Ask the model again with what came in the context, a bounded number of times; then tell.
    Rerun,
    /// Append nothing, and tell what came.
    Tell,
}

/// What to do about records of the context that are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Go on, and tell the model where they were.
    #[default]
    Note,
    /// Go on, and tell the model nothing.
    LeaveOut,
    /// Ask no model: `corrupt`.
    Refuse,
}

/// What a turn is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnRequest {
    /// Names the turn: the message is stored under it, so the turn can be tried again.
    pub key: String,
    /// What is said.
    pub message: Message,
    /// The record that the message follows, where it is not the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What to do about what comes in between.
    #[serde(default)]
    pub policy: Policy,
    /// How often `rerun` asks again.
    #[serde(default = "reruns")]
    pub reruns_max: u32,
    /// Kinds that may come in between, beside the control records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harmless: Vec<String>,
    /// Which model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the answer goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliver: Vec<Address>,
    /// Who learns that there is no answer, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_to: Option<Address>,
    /// What to do about records of the context that are lost; the gateway's setting where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_loss: Option<OnLoss>,
    /// Run it although a lost record may have had its key: it may have been run before.
    #[serde(default)]
    pub ignore_gaps: bool,
}

const fn reruns() -> u32 {
    2
}

impl TurnRequest {
    /// A turn that says this.
    pub fn new(key: impl Into<String>, message: Message) -> Self {
        Self {
            key: key.into(),
            message,
            parent: None,
            policy: Policy::default(),
            reruns_max: reruns(),
            harmless: Vec::new(),
            model: None,
            deliver: Vec::new(),
            failure_to: None,
            on_loss: None,
            ignore_gaps: false,
        }
    }

    /// Whether both ask for one turn.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let other = Self { ignore_gaps: self.ignore_gaps, ..other.clone() };
        *self == other
    }

    pub(super) fn check(&self, outbox: &Outbox) -> Result<()> {
        check_key(&self.key)?;
        if self.message.role == Role::Assistant {
            return Err(Problem::invalid("a turn begins with what somebody else says"));
        }
        if self.deliver.len() > DELIVERIES_MAX {
            return Err(Problem::invalid(format!("more than {DELIVERIES_MAX} addresses")));
        }
        self.deliver.iter().try_for_each(|address| outbox.check(address))
    }
}

/// Whether a key is one of the gateway's own records. A record is stored once under its key: whoever takes
/// the key of an intent, of its end or of a child keeps that record out for ever.
pub(crate) fn is_reserved(key: &str) -> bool {
    ["sj.", "delivery/", "spawn/"].iter().any(|own| key.starts_with(own))
}

/// A key that a caller may choose.
///
/// # Errors
/// `invalid` where records of the gateway's own could have it.
pub fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || is_reserved(key) || key.ends_with(ANSWER) {
        let what = format!(
            "a key has 1 to {KEY_BYTES_MAX} bytes, begins not with sj., delivery/ or spawn/, and ends not with {ANSWER}"
        );
        return Err(Problem::invalid(what));
    }
    Ok(())
}

const ANSWER: &str = "/answer";

/// The key of the answer to a turn.
#[must_use]
pub fn answer_key(key: &str) -> String {
    format!("{key}{ANSWER}")
}

pub(super) fn delivery_key(key: &str, number: usize) -> String {
    format!("{key}{ANSWER}/{number}")
}
