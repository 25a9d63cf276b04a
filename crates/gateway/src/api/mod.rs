//! The routes. Each is described where it is defined: the router, the access check and the served
//! document are all made of the same list, so none of them can forget one.

mod access;
mod agents;
mod codes;
mod deliveries;
mod events;
mod extract;
mod operations;
mod records;
mod sessions;
mod turns;

use axum::Router;
use axum::http::Method;
use axum::routing::MethodRouter;

use crate::config::Scope;
use crate::state::AppState;

pub use extract::{Body, Name, Query, TakeoverArg, TakeoverQuery};

/// A route: one method of one path.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces. `{session}` is the name of a session.
    pub path: &'static str,
    /// What answers.
    pub handler: MethodRouter<AppState>,
    /// What it says of itself.
    pub operation: Operation,
}

/// What a route says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name in the document.
    pub id: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What a token must be allowed to do; none where it is open to all. With a `{session}` in the
    /// path it must be allowed to do it with that session.
    pub scope: Option<Scope>,
    /// The query's parameters: name, kind, what it means. A kind is `string`, `boolean`, `integer`,
    /// `mark`, or the words that it may be with bars between them.
    pub query: &'static [(&'static str, &'static str, &'static str)],
    /// Headers that are read, in the same way.
    pub headers: &'static [(&'static str, &'static str, &'static str)],
    /// The schema of the body, if it reads one.
    pub body: Option<&'static str>,
    /// Status, media type and schema of the answer.
    pub answer: (u16, &'static str, Option<&'static str>),
    /// Whether it answers with a stream of events where that is asked for.
    pub streams: bool,
    /// The codes of the problems that it may answer, in groups, beside those that every route may.
    pub problems: &'static [&'static [&'static str]],
}

impl Operation {
    /// One that is open to all, reads nothing and answers JSON: to be changed from there.
    #[must_use]
    pub const fn open(id: &'static str) -> Self {
        Self {
            id,
            summary: "",
            scope: None,
            query: &[],
            headers: &[],
            body: None,
            answer: (200, "application/json", None),
            streams: false,
            problems: &[],
        }
    }
}

/// All routes.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = operations::routes();
    routes.extend(sessions::routes());
    routes.extend(records::routes());
    routes.extend(events::routes());
    routes.extend(turns::routes());
    routes.extend(deliveries::routes());
    routes.extend(agents::routes());
    routes
}

/// The router of all routes, access checks included.
pub fn router() -> Router<AppState> {
    routes().into_iter().fold(Router::new(), |router, route| {
        router.route(route.path, access::guarded(route.handler, route.operation.scope))
    })
}
