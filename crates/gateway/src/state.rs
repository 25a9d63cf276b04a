//! What every request can use.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::auth::Auth;
use crate::config::Config;
use crate::feed::Feeds;
use crate::hub::Hub;
use crate::listing::Listing;
use crate::metrics::Metrics;
use crate::running::Turns;
use crate::server::ServeError;

/// What every request can use. Clones share everything.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The settings.
    pub config: Arc<Config>,
    /// The sessions that this gateway holds.
    pub hub: Hub,
    /// What comes in sessions that somebody follows.
    pub feeds: Feeds,
    /// All sessions of the store.
    pub listing: Listing,
    /// The turns that run, and what they may use.
    pub turns: Turns,
    /// Who may do what.
    pub auth: Auth,
    /// What is counted.
    pub metrics: Metrics,
    /// Places for event streams.
    pub(crate) streams: Arc<Semaphore>,
    /// True once it shuts down.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl AppState {
    /// Opens the store.
    ///
    /// # Errors
    /// What refuses: the store, or the system.
    pub(crate) fn new(config: Config, stopping: watch::Receiver<bool>) -> Result<Self, ServeError> {
        let metrics = Metrics::default();
        let hub = Hub::open(&config, metrics.clone())?;
        let turns = config.build_turns(&hub);
        let turns = turns.map_err(|error| ServeError::Config(error.to_string()))?;
        let no_thread = |source| ServeError::Io { what: "start a thread".to_owned(), source };
        Ok(Self {
            feeds: Feeds::new(hub.clone()).map_err(no_thread)?,
            listing: Listing::new(hub.clone()),
            auth: Auth::new(&config.tokens),
            streams: Arc::new(Semaphore::new(config.limits.streams_max)),
            config: Arc::new(config),
            hub,
            turns,
            metrics,
            stopping,
        })
    }

    /// Waits until the gateway shuts down.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // Whoever could say so is gone: that is the end, too.
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    /// Whether the gateway shuts down.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}
