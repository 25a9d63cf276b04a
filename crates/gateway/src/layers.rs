//! What every request passes: an id, a span, the browser check, counts, and answers for what is no
//! route.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::FutureExt;
use session_journal::{Host, LocalHost};
use tracing::Instrument;

use crate::api;
use crate::metrics::Answer;
use crate::page;
use crate::problem::{Problem, Refusal};
use crate::state::AppState;

/// The header that holds a request's id, in requests and answers.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Everything that is served.
pub(crate) fn app(state: &AppState) -> Router {
    api::router()
        .merge(page::router())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .layer(Extension(state.clone()))
        .with_state(state.clone())
}

async fn no_route(uri: Uri) -> Problem {
    Problem::new(Refusal::NoRoute, format!("there is no route {}", uri.path()))
}

async fn no_method() -> Problem {
    Problem::new(Refusal::MethodNotAllowed, "the route has no such method")
}

async fn around(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().to_string();
    // Not the path as it was asked for: whoever asks would decide how many there are.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let route = route.to_owned();
    let span = tracing::info_span!(
        "request",
        id,
        method,
        route,
        path = request.uri().path(),
        token = tracing::field::Empty
    );
    let request_answered = async {
        let mut response = match must_be_meant(&state, request.headers()) {
            Ok(()) => answered(next.run(request)).await,
            Err(problem) => problem.into_response(),
        };
        let took = started.elapsed();
        let status = response.status().as_u16();
        tracing::info!(status, ms = took.as_secs_f64() * 1000.0, "answered");
        state.metrics.request_seconds.observe(took.as_secs_f64());
        state.metrics.requests.get_or_create(&Answer { method, route, status }).inc();
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    request_answered.instrument(span).await
}

/// What a handler answers. One that panics has an answer, too, and takes its connection with it no more
/// than others'.
async fn answered(answer: impl Future<Output = Response>) -> Response {
    // Nothing that it had borrowed is looked at again: the request is gone with it.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        Problem::new(Refusal::Internal, "a handler did not come to its end").into_response()
    })
}

/// The id that the client chose, if it can stand in a log; else a random one.
fn request_id(headers: &HeaderMap) -> String {
    let is_plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    let chosen = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_plain);
    chosen.map_or_else(random_id, str::to_owned)
}

fn random_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness it is a poor id, and still a request.
    let _ = LocalHost.fill_random(&mut bytes);
    format!("{:016x}", u64::from_le_bytes(bytes))
}

/// Without tokens everything on this machine may ask, and so might any page in a browser on it: what
/// comes from another site, or through a name that was made to lead here, is refused.
fn must_be_meant(state: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    if !state.config.tokens.is_empty() {
        return Ok(());
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let refused = |what| Err(Problem::new(Refusal::Forbidden, what));
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return refused("without tokens only requests to a loopback address are answered");
    }
    match text(header::ORIGIN) {
        Some(origin) if origin.split_once("://").map(|(_, host)| host) != Some(host) => {
            refused("without tokens requests from other sites are not answered")
        }
        _ => Ok(()),
    }
}

/// Whether a `Host` header names this machine by an address that cannot be made to lead elsewhere.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = name.parse::<std::net::IpAddr>() {
        return address.is_loopback();
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_as_internal() {
        let panics = || async { panic!("a defect in a handler") };
        let response = answered(panics()).await;
        assert_eq!(response.status().as_u16(), 500);
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["code"], "internal");
    }

    #[test]
    fn only_loopback_is_loopback() {
        for host in ["127.0.0.1:1", "127.0.0.1", "127.9.9.9:2", "[::1]:1", "[::1]", "LocalHost:7"] {
            assert!(is_loopback(host), "{host}");
        }
        let others = [
            "",
            "example.org",
            "127.0.0.1.example.org",
            "localhost.example.org:1",
            "10.0.0.1:1",
            "localhost:x",
            "[::2]:1",
            "?",
        ];
        for host in others {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn an_id_that_could_not_stand_in_a_log_is_replaced() {
        let of = |id: &'static str| {
            request_id(&HeaderMap::from_iter([(
                header::HeaderName::from_static(REQUEST_ID),
                HeaderValue::from_static(id),
            )]))
        };
        assert_eq!(of("a-1_B.c:2"), "a-1_B.c:2");
        for id in ["", "two words", "a=b", "{}"] {
            assert_ne!(of(id), id);
        }
        let long: &'static str = Box::leak("x".repeat(65).into_boxed_str());
        assert_eq!(of(long).len(), 16);
    }
}
