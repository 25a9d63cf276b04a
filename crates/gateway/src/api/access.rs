//! Nobody reaches a handler who may not.

use axum::extract::{RawPathParams, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;

use crate::api::extract::parse_name;
use crate::config::Scope;
use crate::problem::{Problem, Result};
use crate::state::AppState;

/// The handler behind a check of token, scope and agent. Who asks is then among the request's
/// extensions.
pub(crate) fn guarded(
    handler: MethodRouter<AppState>,
    scope: Option<Scope>,
) -> MethodRouter<AppState> {
    let Some(scope) = scope else { return handler };
    handler.layer(middleware::from_fn(move |params, request, next| {
        check(scope, params, request, next)
    }))
}

async fn check(
    scope: Scope,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    let Some(state) = request.extensions().get::<AppState>() else {
        return Err(Problem::new(crate::Refusal::Internal, "a request without its state"));
    };
    let visitor = state.auth.visitor(request.headers())?;
    if let Some(name) = visitor.name() {
        tracing::Span::current().record("token", name);
    }
    visitor.must(scope)?;
    if let Some((_, session)) = params.iter().find(|(name, _)| *name == "session") {
        visitor.must_reach(scope, &parse_name(session)?)?;
    }
    request.extensions_mut().insert(visitor);
    Ok(next.run(request).await)
}
