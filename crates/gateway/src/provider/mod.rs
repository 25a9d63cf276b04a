//! Where answers come from. A provider is given a context and streams an answer; whoever drops the
//! stream cancels it. Providers know nothing of sessions and write nothing.

mod echo;
mod events;
mod openai;
mod script;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use serde::{Deserialize, Serialize};

use crate::conversation::Message;

pub use echo::Echo;
pub use openai::{OpenAi, OpenAiOptions};
pub use script::{Script, ScriptError};

/// What a provider is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The key of the turn: the same one when it is tried again.
    pub turn: String,
    /// What was said, from the oldest to the newest.
    pub context: Arc<[Message]>,
    /// Which model; the provider's own where absent.
    pub model: Option<String>,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// More text.
    Text(String),
    /// The answer is whole. A stream that ends without it was cut.
    End(Finish),
}

/// What is said about an answer at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Why it ended, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which model answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it cost, as the provider counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<serde_json::Value>,
}

/// The pieces of an answer. Dropping it cancels what the provider does.
pub type Deltas = Pin<Box<dyn Stream<Item = Result<Delta, ProviderError>> + Send>>;

/// Streams answers.
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Its name, as it is configured and kept with its answers.
    fn name(&self) -> &str;

    /// Begins an answer. Nothing is done before the stream is polled.
    fn complete(&self, request: Request) -> Deltas;
}

/// Why there is no answer. Never an error of storage: the session is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// It cannot be reached.
    #[error("the model cannot be reached: {0}; see that its server runs, then try again")]
    Unreachable(String),
    /// It answered with an error.
    #[error("the model's server answered {status}: {message}; see its logs, then try again")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// What it said, cut short.
        message: String,
    },
    /// The answer ended before it was whole.
    #[error("the model's answer was cut short: {0}; try again with the same key")]
    Cut(String),
    /// It answered something that is no answer.
    #[error("the model's answer cannot be read: {0}; see that it speaks this protocol")]
    Garbage(String),
    /// It took too long.
    #[error("the model said nothing for {seconds} s; try again, or wait longer")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// The answer is larger than allowed.
    #[error("the model's answer is longer than {limit} bytes; raise the limit, or ask for less")]
    TooLong {
        /// The most bytes of an answer.
        limit: usize,
    },
}

impl ProviderError {
    /// The stable code of an error of any provider.
    pub const CODE: &'static str = "provider";

    /// Whether the same request may succeed when it is made again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Cut(_) | Self::Silent { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Garbage(_) | Self::TooLong { .. } => false,
        }
    }
}
