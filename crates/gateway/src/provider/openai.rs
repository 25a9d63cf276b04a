//! Any local model server that speaks the OpenAI-compatible protocol: `POST …/chat/completions` with
//! `stream: true`, over plain HTTP.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::events::{Events, TooLarge};
use super::{Delta, Deltas, Finish, Provider, ProviderError, Request};
use crate::conversation::{Message, Role};

/// The largest event of a stream.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// So much of an error is told.
const MESSAGE_BYTES_MAX: usize = 500;

/// Where the server is, and how long it may be silent.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    /// What it is called here.
    pub name: String,
    /// Such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// Which model, unless a turn names one.
    pub model: String,
    /// Sent as a bearer token where present.
    pub api_key: Option<String>,
    /// The longest time without a byte. Default: 120 s.
    pub silence_max: Duration,
}

/// An OpenAI-compatible server.
#[derive(Clone)]
pub struct OpenAi {
    options: OpenAiOptions,
    client: reqwest::Client,
}

/// Without the key.
impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi")
            .field("name", &self.options.name)
            .field("base_url", &self.options.base_url)
            .field("model", &self.options.model)
            .finish_non_exhaustive()
    }
}

impl OpenAi {
    /// A client of such a server. Connects when it is asked.
    ///
    /// # Errors
    /// `Unreachable` where the address is none.
    pub fn new(options: OpenAiOptions) -> Result<Self, ProviderError> {
        let unreachable = |why: &str| ProviderError::Unreachable(why.to_owned());
        let url = reqwest::Url::parse(&options.base_url)
            .map_err(|_| unreachable("its address is none"))?;
        if url.scheme() != "http" {
            return Err(unreachable("only plain http is spoken; put a proxy in front of it"));
        }
        let client = reqwest::Client::builder().no_proxy().connect_timeout(options.silence_max);
        let client = client.redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { options, client: client.map_err(|error| unreachable(&told(&error)))? })
    }

    async fn connect(self, request: Request) -> Result<Answer, ProviderError> {
        let url = format!("{}/chat/completions", self.options.base_url.trim_end_matches('/'));
        let model = request.model.as_deref().unwrap_or(&self.options.model);
        let messages: Vec<Value> = request.context.iter().filter_map(to_json).collect();
        let body = json!({ "model": model, "messages": messages, "stream": true });
        let mut post = self.client.post(url).json(&body);
        if let Some(key) = &self.options.api_key {
            post = post.bearer_auth(key);
        }
        let silence = self.options.silence_max;
        let response = in_time(silence, post.send()).await?;
        let response = response.map_err(|error| ProviderError::Unreachable(told(&error)))?;
        if !response.status().is_success() {
            return Err(refusal(silence, response).await);
        }
        let events = Events::new(EVENT_BYTES_MAX);
        let (ready, finish) = (Vec::new().into_iter(), Finish::default());
        Ok(Answer { response, events, ready, finish, silence, ended: false })
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn complete(&self, request: Request) -> Deltas {
        let connected = self.clone().connect(request);
        let deltas = stream::once(connected).flat_map(|connected| match connected {
            Ok(answer) => stream::unfold(answer, Answer::next).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        Box::pin(deltas)
    }
}

/// Messages that say nothing are left out: some servers refuse them. What a tool said is told as the
/// user's, for a server takes a tool's message only behind the call that it knows.
fn to_json(message: &Message) -> Option<Value> {
    let text = message.text();
    let (role, text) = match message.role {
        Role::Tool => ("user", format!("[tool result]\n{text}")),
        role => (role.as_str(), text),
    };
    (!text.is_empty()).then(|| json!({ "role": role, "content": text }))
}

async fn in_time<T>(most: Duration, future: impl Future<Output = T>) -> Result<T, ProviderError> {
    let silent = |_| ProviderError::Silent { seconds: most.as_secs() };
    tokio::time::timeout(most, future).await.map_err(silent)
}

/// Without the address, which is nobody's business who only asks.
fn told(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(next) = source.source() {
        source = next;
    }
    if std::ptr::addr_eq(source, error) {
        "the request failed".to_owned()
    } else {
        source.to_string()
    }
}

async fn refusal(silence: Duration, mut response: reqwest::Response) -> ProviderError {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while body.len() < 16 * MESSAGE_BYTES_MAX
        && let Ok(Ok(Some(piece))) = in_time(silence, response.chunk()).await
    {
        body.extend_from_slice(&piece);
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = json.get("error").unwrap_or(&json);
    let message = error.get("message").unwrap_or(error).as_str();
    let message = message.map_or_else(|| String::from_utf8_lossy(&body), Into::into);
    ProviderError::Refused { status, message: cut(&message) }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MESSAGE_BYTES_MAX);
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An answer that is under way.
struct Answer {
    response: reqwest::Response,
    events: Events,
    ready: std::vec::IntoIter<Vec<u8>>,
    finish: Finish,
    silence: Duration,
    ended: bool,
}

impl Answer {
    async fn next(mut self) -> Option<(Result<Delta, ProviderError>, Self)> {
        if self.ended {
            return None;
        }
        let delta = self.delta().await;
        self.ended = !matches!(delta, Ok(Delta::Text(_)));
        Some((delta, self))
    }

    async fn delta(&mut self) -> Result<Delta, ProviderError> {
        loop {
            while let Some(event) = self.ready.next() {
                if let Some(delta) = self.read(&event)? {
                    return Ok(delta);
                }
            }
            let piece = in_time(self.silence, self.response.chunk()).await?;
            let piece = piece.map_err(|error| ProviderError::Cut(told(&error)))?;
            let Some(piece) = piece else {
                let what = if self.events.is_open() { "within an event" } else { "before its end" };
                return Err(ProviderError::Cut(format!("the stream ended {what}")));
            };
            let events = self.events.push(&piece);
            let too_large = |TooLarge| ProviderError::TooLong { limit: EVENT_BYTES_MAX };
            self.ready = events.map_err(too_large)?.into_iter();
        }
    }

    /// What an event says; `None` where it is nothing new.
    fn read(&mut self, event: &[u8]) -> Result<Option<Delta>, ProviderError> {
        if event.trim_ascii() == b"[DONE]" {
            return Ok(Some(Delta::End(std::mem::take(&mut self.finish))));
        }
        let event: Value = serde_json::from_slice(event)
            .map_err(|error| ProviderError::Garbage(format!("an event is no JSON: {error}")))?;
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            let message = error.get("message").unwrap_or(error);
            let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
            return Err(ProviderError::Refused { status: 200, message: cut(&message) });
        }
        if !event.is_object() {
            return Err(ProviderError::Garbage("an event is no object".to_owned()));
        }
        Ok(self.learn(&event))
    }

    fn learn(&mut self, event: &Value) -> Option<Delta> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        self.finish.model = text(event.get("model")).or(self.finish.model.take());
        let usage = event.get("usage").filter(|usage| usage.is_object());
        self.finish.usage = usage.cloned().or(self.finish.usage.take());
        let choice = event.get("choices")?.get(0)?;
        self.finish.reason = text(choice.get("finish_reason")).or(self.finish.reason.take());
        let said = text(choice.get("delta")?.get("content"))?;
        (!said.is_empty()).then_some(Delta::Text(said))
    }
}
