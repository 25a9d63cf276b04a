//! A gateway on session journals: sessions, records and events over HTTP.

pub mod agents;
pub mod api;
mod auth;
pub mod config;
pub mod conversation;
pub mod failpoint;
mod feed;
mod hub;
pub mod json;
mod layers;
mod listing;
mod metrics;
mod openapi;
pub mod outbox;
mod patience;
mod problem;
pub mod provider;
mod redelivery;
pub mod running;
mod server;
mod state;
#[cfg(feature = "storm")]
pub mod storm;
pub mod turn;

pub use auth::{Auth, Visitor};
pub use config::Config;
pub use feed::Feeds;
pub use hub::{Ask, Hub};
pub use listing::{Listing, Order, Page, Wanted};
pub use metrics::Metrics;
pub use openapi::document;
pub use problem::{Problem, Refusal, Result};
pub use server::{Gateway, ServeError, Stopper};
pub use state::AppState;
