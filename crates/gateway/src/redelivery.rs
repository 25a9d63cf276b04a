//! What was left open is delivered: when the gateway starts, when it opens a session that somebody
//! else left, and now and then what a sink did not take.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_journal::SessionName;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use crate::outbox::Outbox;
use crate::state::AppState;

/// Runs as long as the gateway.
pub(crate) async fn redelivery(state: AppState) -> Infallible {
    let outbox = &state.turns.tools().outbox;
    // Listens before it looks: nothing comes in between.
    let openings = state.hub.openings();
    let pause = Duration::from_millis(state.config.turns.delivery_retry_ms);
    let on_start = state.config.turns.recover_on_start;
    let (never, _) = tokio::join!(on_opening(outbox, openings, on_start), again(outbox, pause));
    never
}

/// So many sessions are made up for at a time: a sink that is slow does not hold up the others.
const AT_A_TIME: usize = 32;

async fn on_opening(
    outbox: &Outbox,
    openings: Receiver<SessionName>,
    on_start: bool,
) -> Infallible {
    if on_start {
        recover_store(outbox).await;
    }
    let openings = stream::unfold(openings, |mut openings| async {
        let opening = openings.recv().await;
        // The hub lives as long as this.
        (!matches!(opening, Err(RecvError::Closed))).then_some((opening, openings))
    });
    let recover = |opening: Result<SessionName, RecvError>| async {
        match opening {
            Ok(session) => {
                if let Err(problem) = outbox.recover(&session).await {
                    tracing::info!(%session, %problem, "not recovered");
                }
            }
            // Some were missed.
            Err(_) => recover_store(outbox).await,
        }
    };
    openings.for_each_concurrent(AT_A_TIME, recover).await;
    std::future::pending().await
}

async fn recover_store(outbox: &Outbox) {
    match outbox.recover_store().await {
        Ok((0, 0)) => {}
        Ok((delivered, left)) => tracing::info!(delivered, left, "delivered what was left open"),
        Err(problem) => tracing::warn!(%problem, "not looked for what was left open"),
    }
}

async fn again(outbox: &Outbox, pause: Duration) -> Infallible {
    if pause.is_zero() {
        return std::future::pending().await;
    }
    loop {
        sleep(pause).await;
        outbox.retry().await;
    }
}
