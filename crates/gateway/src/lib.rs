//! A gateway on session journals: a store on HTTP, for many clients and several gateways at a time.
//!
//! ```
//! use session_journal_gateway::{Config, Gateway};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let listen = "127.0.0.1:0".parse()?;
//! let config = Config { listen, store: folder.path().join("sessions"), ..Config::default() };
//! let gateway = Gateway::bind(config).await?;
//! println!("listening on http://{}", gateway.address());
//!
//! let stopper = gateway.stopper();
//! let running = tokio::spawn(gateway.run());
//! stopper.stop(); // where a signal comes
//! running.await?; // what was under way is finished, all sessions are released
//! # Ok(()) }
//! ```
//!
//! # Where to begin
//!
//! - [`Hub`]: the sessions that this process holds. It shows how the engine's handles are used from many
//!   requests at once: ask for the session each time, keep none over a pause, and let the engine's
//!   errors say when one is lost.
//! - [`api`]: the routes, each described where it is defined. Router, access checks and the served
//!   document are made of one list.
//! - [`Feeds`]: one follower a session for all its streams.
//! - [`Problem`]: the engine's errors, and the gateway's own, as answers.
//! - [`turn`]: a model answers; what came meanwhile is judged, and nothing is locked.
//! - [`outbox`]: persist before deliver, once under one key.
//! - [`agents`]: sends, children, heartbeats, compactions.
//! - [`Config`]: the settings.

pub mod agents;
pub mod api;
mod auth;
pub mod config;
pub mod conversation;
pub mod failpoint;
mod feed;
mod gaps;
mod hub;
pub mod json;
mod layers;
mod listing;
mod metrics;
mod openapi;
#[cfg(feature = "otel")]
pub mod otel;
pub mod outbox;
mod page;
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
