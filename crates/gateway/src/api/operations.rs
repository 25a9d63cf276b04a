//! Routes for whoever runs the gateway.

use std::sync::OnceLock;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};

use crate::api::{self, Operation, Route};
use crate::config::Scope;
use crate::problem::{Problem, Refusal, Result};
use crate::state::AppState;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route {
            method: Method::GET,
            path: "/healthz",
            handler: get(health),
            operation: Operation {
                summary: "Whether the gateway runs",
                answer: (200, "application/json", Some("Health")),
                ..Operation::open("health")
            },
        },
        Route {
            method: Method::GET,
            path: "/readyz",
            handler: get(ready),
            operation: Operation {
                summary: "Whether the gateway takes requests: its store can be read, and it is not shutting down",
                answer: (200, "application/json", Some("Health")),
                problems: &[&["busy", "shutting-down"]],
                ..Operation::open("ready")
            },
        },
        Route {
            method: Method::GET,
            path: "/openapi.json",
            handler: get(document),
            operation: Operation {
                summary: "This document",
                answer: (200, "application/json", None),
                ..Operation::open("openapi")
            },
        },
        Route {
            method: Method::GET,
            path: "/metrics",
            handler: get(metrics),
            operation: Operation {
                summary: "Counters, gauges and histograms, as Prometheus reads them",
                scope: Some(Scope::Admin),
                answer: (200, "application/openmetrics-text", None),
                ..Operation::open("metrics")
            },
        },
    ]
}

async fn health() -> Json<Value> {
    Json(json!({ "ok": true }))
}

async fn ready(State(state): State<AppState>) -> Result<Json<Value>> {
    if state.is_stopping() {
        return Err(Problem::new(Refusal::ShuttingDown, "the gateway is shutting down"));
    }
    let can_read = state.hub.file_job(|store| std::fs::read_dir(store.dir()).is_ok()).await?;
    if can_read {
        return Ok(Json(json!({ "ok": true })));
    }
    Err(Problem::new(Refusal::Busy, "the store cannot be read"))
}

async fn document() -> Json<Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| crate::openapi::document(&api::routes()));
    Json(document.clone())
}

async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    state.hub.measure();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.render())
}
