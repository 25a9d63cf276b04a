//! Listening, serving, and shutting down.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::config::Config;
use crate::layers;
use crate::metrics::Open;
use crate::patience::Patient;
use crate::redelivery::redelivery;
use crate::state::AppState;

/// After an error of the listener, such as no free file handle, it tries again after this.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Most of the idle looks for sessions to release are this far apart.
const LOOK_FOR_IDLE_MAX: Duration = Duration::from_secs(30);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The settings cannot be meant.
    #[error("the settings: {0} [invalid]")]
    Config(String),
    /// The store cannot be opened.
    #[error("{0} [{code}]", code = .0.code())]
    Store(#[from] session_journal::Error),
    /// The system refused.
    #[error("could not {what}: {source}; see the operating system's message [io]")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Stops a gateway. Clones stop the same one.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<watch::Sender<bool>>);

impl Stopper {
    /// Asks it to finish what is under way, release its sessions, and end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A gateway that listens, and serves once it is run.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    state: AppState,
    stopper: Stopper,
}

impl Gateway {
    /// Opens the store and listens.
    ///
    /// # Errors
    /// Settings that cannot be meant; a store that cannot be opened; an address that is taken.
    pub async fn bind(mut config: Config) -> Result<Self, ServeError> {
        config.check().map_err(ServeError::Config)?;
        if config.store.as_os_str().is_empty() {
            return Err(ServeError::Config("no folder is named as `store`".to_owned()));
        }
        let io = |what| move |source| ServeError::Io { what, source };
        let listen = config.listen;
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(io(format!("listen on {listen}")))?;
        config.listen = listener.local_addr().map_err(io("ask for its address".to_owned()))?;
        if config.label.is_empty() {
            config.label = format!("http://{}", config.listen);
        }
        let (stop, stopping) = watch::channel(false);
        let state = AppState::new(config, stopping)?;
        Ok(Self { listener, state, stopper: Stopper(Arc::new(stop)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.state.config.listen
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What its requests use.
    #[must_use]
    pub const fn state(&self) -> &AppState {
        &self.state
    }

    /// Serves until it is stopped, then finishes what is under way and releases all sessions.
    pub async fn run(self) {
        let Self { listener, state, stopper } = self;
        tracing::info!(address = %state.config.listen, label = state.config.label, "listening");
        let idle = tokio::spawn(release_idle(state.clone()));
        let deliveries = tokio::spawn(redelivery(state.clone()));
        let mut connections = accept(listener, &state).await;
        let grace = Duration::from_millis(state.config.shutdown_ms);
        // Whoever waits for a turn hears that it was cancelled.
        if timeout(grace, state.turns.close()).await.is_err() {
            tracing::warn!(turns = state.turns.count(), "left behind");
        }
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(grace, all).await.is_err() {
            tracing::warn!(connections = connections.len(), "cut off");
            connections.shutdown().await;
        }
        idle.abort();
        deliveries.abort();
        state.hub.close().await;
        tracing::info!("stopped");
        drop(stopper);
    }
}

/// Takes connections until it is to stop; gives back those that are still open.
async fn accept(listener: TcpListener, state: &AppState) -> JoinSet<()> {
    let places = Arc::new(Semaphore::new(state.config.limits.connections_max));
    let app = layers::app(state);
    let mut connections = JoinSet::new();
    loop {
        // Those that ended make room.
        while connections.try_join_next().is_some() {}
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let accepted = tokio::select! {
            next = next => next,
            () = state.stopped() => return connections,
        };
        match accepted {
            (Ok((stream, _)), Ok(place)) => {
                connections.spawn(serve(stream, app.clone(), state.clone(), place));
            }
            (Err(error), _) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(ACCEPT_AGAIN).await;
            }
            (Ok(_), Err(_)) => return connections,
        }
    }
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, app: Router, state: AppState, _place: OwnedSemaphorePermit) {
    let _open = Open::new(&state.metrics.connections);
    let limits = &state.config.limits;
    // Answers are small: each is sent at once.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, Duration::from_millis(limits.write_pause_ms));
    let service = app.map_request(|request: Request<Incoming>| request.map(Body::new));
    let mut connection = http1::Builder::new();
    connection
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_ms))
        .max_headers(limits.headers_max)
        .max_buf_size(limits.head_bytes_max);
    let connection =
        connection.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = state.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Releases what nobody asked for in a while, so that others can have it.
async fn release_idle(state: AppState) -> Infallible {
    let Some(idle) = state.config.release_idle() else { return std::future::pending().await };
    loop {
        sleep((idle / 2).min(LOOK_FOR_IDLE_MAX)).await;
        state.hub.release_idle(idle).await;
    }
}
