//! Deliveries: what a session still has to deliver, one more, and all of them again.

use axum::extract::State;
use axum::http::Method;
use axum::routing::{get, post};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::codes::{APPENDING, OPENING, READING};
use crate::api::turns::may_deliver;
use crate::api::{Body, Name, Operation, Query, Route, TakeoverQuery};
use crate::auth::Visitor;
use crate::config::Scope;
use crate::conversation::{Message, Role};
use crate::outbox::{Address, Delivery, Intent, What};
use crate::problem::{Problem, Result};
use crate::state::AppState;
use crate::turn::check_key;

const PATH: &str = "/v1/sessions/{session}/deliveries";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: PATH,
            handler: get(pending),
            operation: Operation {
                summary: "What is not delivered yet. Needs no ownership",
                scope: Some(Scope::Read),
                answer: (200, "application/json", Some("DeliveryList")),
                problems: &[READING],
                ..Operation::open("listDeliveries")
            },
        },
        Route {
            method: Method::POST,
            path: PATH,
            handler: post(deliver),
            operation: Operation {
                summary: "Deliver a message of the session, or a text. It is durable before it is \
                          delivered, and sent again with its key it is delivered once",
                scope: Some(Scope::Write),
                query: TAKEOVER,
                body: Some("NewDelivery"),
                answer: (200, "application/json", Some("Delivery")),
                problems: DELIVERING,
                ..Operation::open("deliver")
            },
        },
        Route {
            method: Method::POST,
            path: "/v1/sessions/{session}/deliveries/retry",
            handler: post(retry),
            operation: Operation {
                summary: "Deliver again what is not delivered yet, under the same keys",
                scope: Some(Scope::Write),
                query: TAKEOVER,
                answer: (200, "application/json", Some("DeliveryList")),
                problems: DELIVERING,
                ..Operation::open("retryDeliveries")
            },
        },
    ]
}

const DELIVERING: &[&[&str]] = &[READING, OPENING, APPENDING];

pub(super) const TAKEOVER: &[(&str, &str, &str)] = &[(
    "takeover",
    "if-gone|always|never",
    "Whether to take the session from another owner: `if-gone` (the default), `always`, `never`",
)];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    key: String,
    sink: String,
    #[serde(default)]
    to: String,
    /// The key of a message of the session.
    of: Option<String>,
    text: Option<String>,
}

async fn deliver(
    State(state): State<AppState>,
    Extension(visitor): Extension<Visitor>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
    Body(sent): Body<Sent>,
) -> Result<Json<Value>> {
    check_key(&sent.key)?;
    let what = match (sent.of, sent.text) {
        (Some(of), None) => What::Of(of),
        (None, Some(text)) => What::Message(Message::text_of(Role::Assistant, text)),
        _ => return Err(Problem::invalid("a delivery has one of `of` and `text`")),
    };
    let address = Address { sink: sent.sink, to: sent.to };
    may_deliver(&visitor, &address)?;
    let intent = Intent { address, what };
    let outbox = &state.turns.tools().outbox;
    let delivery = outbox.send(&name, &sent.key, &intent, query.ask()).await?;
    Ok(Json(json!(delivery)))
}

async fn pending(State(state): State<AppState>, Name(name): Name) -> Result<Json<Value>> {
    let open = state.turns.tools().outbox.pending(&name).await?;
    let open = open.into_iter().map(|(key, intent)| {
        json!({ "key": key, "sink": intent.address.sink, "to": intent.address.to, "state": "pending" })
    });
    Ok(Json(json!({ "session": name.to_string(), "deliveries": open.collect::<Value>() })))
}

async fn retry(
    State(state): State<AppState>,
    Name(name): Name,
    Query(query): Query<TakeoverQuery>,
) -> Result<Json<Value>> {
    state.hub.session(&name, query.ask()).await?;
    let deliveries: Vec<Delivery> = state.turns.tools().outbox.recover(&name).await?;
    Ok(Json(json!({ "session": name.to_string(), "deliveries": deliveries })))
}
