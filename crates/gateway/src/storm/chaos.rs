//! What befalls the gateways: one at a time, so that there is always one that could answer.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Serialize;
use tokio::time::sleep;

use super::StormError;
use super::client::Client;
use super::peers::Peers;
use super::plan::{Mishap, Plan, session_of};

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Mishaps {
    pub(super) stopped: u64,
    pub(super) killed: u64,
    pub(super) ended: u64,
    pub(super) grabbed: u64,
}

/// Lets it happen until the time is over. In the end both gateways run.
pub(super) async fn run(
    plan: &Plan,
    peers: &Peers,
    client: &Client,
    lasts: Duration,
) -> Result<Mishaps, StormError> {
    let (begun, mut mishaps) = (Instant::now(), Mishaps::default());
    for (pause, mishap) in plan.mishaps() {
        let left = lasts.saturating_sub(begun.elapsed());
        if pause >= left {
            sleep(left).await;
            break;
        }
        sleep(pause).await;
        match mishap {
            Mishap::Stopped(gateway, long) => {
                peers.signal(gateway, Signal::STOP)?;
                sleep(long).await;
                peers.signal(gateway, Signal::CONT)?;
                mishaps.stopped += 1;
            }
            Mishap::Killed(gateway) => {
                peers.kill(gateway).await?;
                mishaps.killed += 1;
            }
            Mishap::Ended(gateway) => {
                peers.restart(gateway).await?;
                mishaps.ended += 1;
            }
            Mishap::Grabs(gateway, every) => {
                let agents = (0..plan.agents).filter(|agent| agent % every == 0);
                for session in agents.map(session_of) {
                    client.grab(gateway, &session).await;
                }
                mishaps.grabbed += 1;
            }
        }
    }
    Ok(mishaps)
}
