//! A gateway on session journals: sessions, records and events over HTTP.

pub mod agents;
pub mod api;
mod auth;
pub mod config;
pub mod conversation;
pub mod failpoint;
mod hub;
pub mod json;
mod metrics;
pub mod outbox;
mod problem;
pub mod provider;
pub mod running;
mod state;
pub mod turn;

pub use auth::{Auth, Visitor};
pub use config::Config;
pub use hub::{Ask, Hub};
pub use metrics::Metrics;
pub use problem::{Problem, Refusal, Result};
pub use state::AppState;
