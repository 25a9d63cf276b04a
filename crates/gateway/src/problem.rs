//! What went wrong, as `application/problem+json`: the engine's codes and a few of the gateway's own,
//! what to do next, and the facts. Paths of this machine are never in it.

use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use session_journal::{Cause, ErrorKind, SessionName};

use crate::json;

/// The result of everything that a request asks for.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// What only a gateway can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// No token, or one that is not known.
    Unauthorized,
    /// The token does not reach so far.
    Forbidden,
    /// No such route.
    NoRoute,
    /// The route has no such method.
    MethodNotAllowed,
    /// The body is not of a type that is read here.
    UnsupportedMediaType,
    /// The request came too slowly.
    Timeout,
    /// As much is under way as is allowed.
    Busy,
    /// The gateway is shutting down.
    ShuttingDown,
    /// An argument that cannot be meant.
    Invalid,
    /// The body or a record in it is above its limit.
    TooLarge,
    /// Something in the gateway failed that should not.
    Internal,
    /// Nothing of this name here.
    NotFound,
    /// The model gave no answer.
    Provider,
    /// The turn was cancelled.
    Cancelled,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NoRoute => "no-route",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::ShuttingDown => "shutting-down",
            Self::Invalid => "invalid",
            Self::TooLarge => "too-large",
            Self::Internal => "internal",
            Self::NotFound => "not-found",
            Self::Provider => "provider",
            Self::Cancelled => "cancelled",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoRoute | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Provider => StatusCode::BAD_GATEWAY,
            Self::Cancelled => StatusCode::CONFLICT,
        }
    }

    const fn next(self) -> &'static str {
        match self {
            Self::Unauthorized => "send a token that is known here as `Authorization: Bearer …`",
            Self::Forbidden => "use a token with that scope for that agent",
            Self::NoRoute => "see /openapi.json for the routes",
            Self::MethodNotAllowed => "see /openapi.json for the methods of the route",
            Self::UnsupportedMediaType => "send `Content-Type: application/json`",
            Self::Timeout => "send the request again, without pauses",
            Self::Busy => "wait a moment, then send the request again",
            Self::ShuttingDown => "send the request again, to another gateway or after the restart",
            Self::Invalid => "correct the argument",
            Self::TooLarge => "split it, or raise the limit",
            Self::Internal => "look into the gateway's log for the request id",
            Self::NotFound => "check the key",
            Self::Provider => "try the turn again with the same key",
            Self::Cancelled => "try the turn again with the same key, if it is still wanted",
        }
    }
}

/// Why a request did not get what it asked for.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: &'static str,
    status: StatusCode,
    detail: String,
    next: &'static str,
    session: Option<SessionName>,
    facts: Map<String, Value>,
    engine: Option<session_journal::Error>,
}

impl Problem {
    /// A refusal of the gateway's own.
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code: refusal.code(),
            status: refusal.status(),
            detail: detail.into(),
            next: refusal.next(),
            session: None,
            facts: Map::new(),
            engine: None,
        }))
    }

    /// An argument that cannot be meant.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Refusal::Invalid, detail)
    }

    /// Nothing of this name here.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Refusal::NotFound, detail)
    }

    /// Says which session it is about.
    #[must_use]
    pub fn about(mut self, session: &SessionName) -> Self {
        self.0.session = Some(session.clone());
        self
    }

    /// Adds a fact, beside the standard fields.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<Value>) -> Self {
        self.0.facts.insert(name.to_owned(), fact.into());
        self
    }

    /// Says what to do, where that is more than can be said of every problem of its code.
    #[must_use]
    pub fn advising(mut self, next: &'static str) -> Self {
        self.0.next = next;
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The engine's error behind it, if there is one.
    #[must_use]
    pub fn engine(&self) -> Option<&session_journal::Error> {
        self.0.engine.as_ref()
    }

    /// What kind of error of the engine it is, if it is one.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        self.0.engine.as_ref().map(session_journal::Error::kind)
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:session-journal:problem:{}", self.0.code),
            "title": title(self.0.code),
            "status": self.0.status.as_u16(),
            "code": self.0.code,
            "detail": self.0.detail,
            "next": self.0.next,
        });
        if let Some(session) = &self.0.session {
            body["session"] = session.to_string().into();
        }
        for (name, fact) in &self.0.facts {
            body[name] = fact.clone();
        }
        body
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} [{}]", self.0.detail, self.0.next, self.0.code)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.engine.as_ref().map(|error| error as _)
    }
}

impl From<session_journal::Error> for Problem {
    fn from(error: session_journal::Error) -> Self {
        let kind = error.kind();
        Self(Box::new(Inner {
            code: kind.code(),
            status: status(kind),
            detail: detail(error.cause()),
            next: error.advice(),
            session: None,
            facts: facts(error.cause()),
            engine: Some(error),
        }))
    }
}

impl From<session_journal::Rejected> for Problem {
    fn from(rejected: session_journal::Rejected) -> Self {
        rejected.error.into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.0.status.is_server_error() {
            tracing::warn!(code = self.0.code, detail = self.0.detail, "answered with a problem");
        }
        let body = self.to_json().to_string();
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        let mut set =
            |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
        set(header::CONTENT_TYPE, "application/problem+json");
        match self.0.status {
            StatusCode::UNAUTHORIZED => {
                set(header::WWW_AUTHENTICATE, "Bearer");
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                set(header::RETRY_AFTER, "1");
            }
            // Whoever is too slow or sends too much is not listened to any longer.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
                set(header::CONNECTION, "close");
            }
            _ => {}
        }
        response
    }
}

/// Every refusal.
const REFUSALS: [Refusal; 14] = [
    Refusal::Unauthorized,
    Refusal::Forbidden,
    Refusal::NoRoute,
    Refusal::MethodNotAllowed,
    Refusal::UnsupportedMediaType,
    Refusal::Timeout,
    Refusal::Busy,
    Refusal::ShuttingDown,
    Refusal::Invalid,
    Refusal::TooLarge,
    Refusal::Internal,
    Refusal::NotFound,
    Refusal::Provider,
    Refusal::Cancelled,
];

/// Every kind of error of the engine.
const KINDS: [ErrorKind; 22] = [
    ErrorKind::Fenced,
    ErrorKind::HeldBy,
    ErrorKind::Conflict,
    ErrorKind::Corrupt,
    ErrorKind::NeedsRepair,
    ErrorKind::NoSpace,
    ErrorKind::UnsupportedFilesystem,
    ErrorKind::UnsupportedFormat,
    ErrorKind::NotAJournal,
    ErrorKind::NotFound,
    ErrorKind::TooLarge,
    ErrorKind::Poisoned,
    ErrorKind::Detached,
    ErrorKind::Shortened,
    ErrorKind::Sealed,
    ErrorKind::Unknown,
    ErrorKind::Diverged,
    ErrorKind::Io,
    ErrorKind::AlreadyExists,
    ErrorKind::Closed,
    ErrorKind::Invalid,
    ErrorKind::Busy,
];

/// The status that problems with this code are answered with.
pub(crate) fn status_of(code: &str) -> u16 {
    let refusal = REFUSALS.iter().find(|refusal| refusal.code() == code);
    let kind = KINDS.iter().find(|kind| kind.code() == code);
    let found = refusal.map(|refusal| refusal.status()).or(kind.map(|kind| status(*kind)));
    found.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).as_u16()
}

/// The code as words.
fn title(code: &str) -> String {
    code.replace('-', " ")
}

/// The status of an error of the engine.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Fenced
        | ErrorKind::HeldBy
        | ErrorKind::Conflict
        | ErrorKind::NeedsRepair
        | ErrorKind::Detached
        | ErrorKind::Shortened
        | ErrorKind::Sealed
        | ErrorKind::Diverged
        | ErrorKind::AlreadyExists => StatusCode::CONFLICT,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Busy | ErrorKind::Closed | ErrorKind::Poisoned => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        // Corrupt, Unknown, Io, and files that this gateway cannot use.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The engine's own words, but for those that hold a path.
fn detail(cause: &Cause) -> String {
    match cause {
        Cause::Sealed { purpose, .. } => format!("sealed to be {purpose} in another place"),
        Cause::Io { operation, source } => format!("could not {operation}: {}", source.kind()),
        other => other.to_string(),
    }
}

fn facts(cause: &Cause) -> Map<String, Value> {
    let facts = match cause {
        Cause::Fenced { held, current, owner } => json!({
            "held_generation": held.get(),
            "generation": current.get(),
            "owner": json::owner(owner.as_ref()),
        }),
        Cause::HeldBy { generation, owner, .. } => json!({
            "generation": generation.get(),
            "owner": json::owner(owner.as_ref()),
        }),
        Cause::Conflict { since, last, came } => json!({
            "since_seq": since.get(),
            "last_seq": last.get(),
            "came": came.iter().map(json::came).collect::<Value>(),
        }),
        Cause::Corrupt { sequence, records, .. } => json!({
            "first_seq": sequence.get(),
            "records_lost": records,
        }),
        Cause::NeedsRepair { report } => json!({ "report": json::report(report) }),
        Cause::TooLarge { bytes, limit, .. } => json!({ "bytes": bytes, "limit": limit }),
        Cause::Diverged { last_common, .. } => json!({
            "last_common": last_common.as_ref().map(json::mark),
        }),
        _ => Value::Null,
    };
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}
