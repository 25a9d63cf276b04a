//! Answers and delays from a file. The same seed and the same turn give the same answer, whatever
//! runs beside it, so that a load can be replayed; hours pass in seconds where time is compressed.
//!
//! ```json
//! {
//!   "answers": [
//!     { "when": "weather", "text": "It rains.", "delay_ms": [1000, 60000] },
//!     { "text": "I do not know.", "delay_ms": [10, 20] },
//!     { "error": "no credit", "status": 429, "delay_ms": [0, 0] }
//!   ]
//! }
//! ```
//!
//! Of the answers whose `when` stands in the last message one is taken by chance; where there is
//! none, of those that have no `when`. The delay is spread over the words of the answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use super::{Delta, Deltas, Finish, Provider, ProviderError, Request};

/// Answers from a file.
#[derive(Clone, Debug)]
pub struct Script {
    name: String,
    answers: Arc<[Answer]>,
    seed: u64,
    compression: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    answers: Vec<Answer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    when: Option<String>,
    text: Option<String>,
    error: Option<String>,
    status: Option<u16>,
    /// The least and the most.
    #[serde(default)]
    delay_ms: [u64; 2],
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("the script cannot be read: {0}; check its path")]
    Io(#[from] std::io::Error),
    /// It is no script.
    #[error("the script cannot be understood: {0}; correct it")]
    Syntax(#[from] serde_json::Error),
    /// It says something that cannot be meant.
    #[error("{0}; correct the script")]
    Invalid(String),
}

impl Script {
    /// Reads a script from a file. Blocks.
    ///
    /// # Errors
    /// [`ScriptError`] says what is wrong with it.
    pub fn open(path: &Path, seed: u64, compression: f64) -> Result<Self, ScriptError> {
        Self::parse(&std::fs::read(path)?, seed, compression)
    }

    /// Reads a script. Delays are divided by the compression: with 60 a minute passes in a second.
    ///
    /// # Errors
    /// [`ScriptError`] says what is wrong with it.
    pub fn parse(json: &[u8], seed: u64, compression: f64) -> Result<Self, ScriptError> {
        let file: File = serde_json::from_slice(json)?;
        let invalid = |what: String| Err(ScriptError::Invalid(what));
        if !(compression.is_finite() && compression > 0.0) {
            return invalid(format!("time cannot be compressed by {compression}"));
        }
        if !file.answers.iter().any(|answer| answer.when.is_none()) {
            return invalid("one answer must be without `when`, for all other messages".to_owned());
        }
        for (number, answer) in (1..).zip(&file.answers) {
            if answer.text.is_some() == answer.error.is_some() {
                return invalid(format!("answer {number} needs either `text` or `error`"));
            }
            if answer.delay_ms[0] > answer.delay_ms[1] {
                return invalid(format!("answer {number} has its longest delay first"));
            }
        }
        Ok(Self { name: "script".to_owned(), answers: file.answers.into(), seed, compression })
    }

    /// The same under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The answer to a message, and how long it takes, compressed.
    fn choose(&self, turn: &str, message: &str) -> (&Answer, Duration) {
        let mut chance = fastrand::Rng::with_seed(self.seed ^ hash(turn));
        let fits = |answer: &&Answer| {
            answer.when.as_ref().is_some_and(|when| message.contains(when.as_str()))
        };
        let mut fitting: Vec<&Answer> = self.answers.iter().filter(fits).collect();
        if fitting.is_empty() {
            fitting = self.answers.iter().filter(|answer| answer.when.is_none()).collect();
        }
        let answer = fitting[chance.usize(..fitting.len())];
        let delay = Duration::from_millis(chance.u64(answer.delay_ms[0]..=answer.delay_ms[1]));
        (answer, delay.div_f64(self.compression))
    }
}

impl Provider for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn complete(&self, request: Request) -> Deltas {
        let message = request.context.last().map(super::Message::text).unwrap_or_default();
        let (answer, delay) = self.choose(&request.turn, &message);
        let pieces = pieces(answer);
        let pause = delay.div_f64(f64::from(u32::try_from(pieces.len()).unwrap_or(u32::MAX)));
        Box::pin(stream::iter(pieces).then(move |piece| async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            piece
        }))
    }
}

fn pieces(answer: &Answer) -> Vec<Result<Delta, ProviderError>> {
    if let Some(message) = &answer.error {
        let (status, message) = (answer.status.unwrap_or(500), message.clone());
        return vec![Err(ProviderError::Refused { status, message })];
    }
    let text = answer.text.as_deref().unwrap_or_default();
    let words = text.split_inclusive(' ').map(|word| Ok(Delta::Text(word.to_owned())));
    let finish = Finish { reason: Some("stop".to_owned()), ..Finish::default() };
    words.chain([Ok(Delta::End(finish))]).collect()
}

/// FNV-1a: the same on every machine and in every release, as a replay needs it.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Message, Role};

    const SCRIPT: &str = r#"{"answers":[
        {"when":"weather","text":"It rains.","delay_ms":[1000,60000]},
        {"text":"I do not know.","delay_ms":[60000,60000]},
        {"text":"Who does?","delay_ms":[1,1]},
        {"when":"fail","error":"no credit","status":429}]}"#;

    async fn ask(script: &Script, turn: &str, text: &str) -> Vec<Result<Delta, ProviderError>> {
        let context = [Message::text_of(Role::User, text)].into();
        script.complete(Request { turn: turn.to_owned(), context, model: None }).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_and_turn_give_the_same_answer() {
        let script = |seed| Script::parse(SCRIPT.as_bytes(), seed, 1.0).unwrap();
        let mut differ = false;
        for turn in 0..20 {
            let turn = turn.to_string();
            let first = ask(&script(7), &turn, "hello").await;
            assert_eq!(first, ask(&script(7), &turn, "hello").await);
            differ |= first != ask(&script(8), &turn, "hello").await;
        }
        assert!(differ, "another seed, other answers");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_chooses_the_answer() {
        let script = Script::parse(SCRIPT.as_bytes(), 1, 60.0).unwrap();
        let text = ask(&script, "t", "how is the weather?").await;
        assert_eq!(text[0], Ok(Delta::Text("It ".to_owned())));
        let failed = ask(&script, "t", "please fail").await;
        let (status, message) = (429, "no credit".to_owned());
        assert_eq!(failed, [Err(ProviderError::Refused { status, message })]);
    }

    /// Under a clock that only the timers move.
    #[tokio::test(start_paused = true)]
    async fn a_minute_takes_a_second_where_time_is_compressed() {
        let only = r#"{"answers":[{"text":"a b c d e","delay_ms":[60000,60000]}]}"#;
        let script = Script::parse(only.as_bytes(), 1, 60.0).unwrap();
        let before = tokio::time::Instant::now();
        ask(&script, "t", "x").await;
        let (least, most) = (Duration::from_millis(990), Duration::from_millis(1010));
        assert!((least..most).contains(&before.elapsed()), "{:?}", before.elapsed());
    }

    #[test]
    fn a_script_that_cannot_be_meant_is_refused() {
        let refused = |json: &str| Script::parse(json.as_bytes(), 1, 1.0).unwrap_err().to_string();
        assert!(refused(r#"{"answers":[]}"#).contains("without `when`"));
        assert!(refused(r#"{"answers":[{}]}"#).contains("answer 1 needs either"));
        let both = r#"{"answers":[{"text":"a","error":"b"}]}"#;
        assert!(refused(both).contains("answer 1 needs either"));
        let turned = r#"{"answers":[{"text":"a","delay_ms":[2,1]}]}"#;
        assert!(refused(turned).contains("longest delay first"));
        assert!(refused(r#"{"answers":[{"txt":"a"}]}"#).contains("txt"));
        let script = Script::parse(br#"{"answers":[{"text":"a"}]}"#, 1, 0.0);
        assert!(script.unwrap_err().to_string().contains("compressed by 0"));
    }
}
