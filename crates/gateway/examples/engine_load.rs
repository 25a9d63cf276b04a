//! The engine alone under the load that `scripts/http-load` puts on the gateway: so many tasks that
//! append 1 KiB at a time, for so many seconds, to so many sessions.
//!
//! `engine_load FOLDER SECONDS TASKS SESSIONS durable|written` prints a line: appends a second, the
//! latencies of which 50, 99 and 99.9 of a hundred are below in microseconds, appends, failures.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded when they are printed")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use session_journal::{Durability, NewRecord, Options, Session, SessionName, Store, StoreOptions};
use tokio::task::JoinSet;

const PAYLOAD_BYTES: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds, tasks, sessions, durability] = arguments.as_slice() else {
        return Err("engine_load FOLDER SECONDS TASKS SESSIONS durable|written".into());
    };
    let durability = match durability.as_str() {
        "durable" => Durability::Durable,
        "written" => Durability::Written,
        other => return Err(format!("{other} is neither durable nor written").into()),
    };
    let options = StoreOptions {
        journal: Options { durability, ..Options::default() },
        ..StoreOptions::default()
    };
    let store = Store::open(folder, options)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let seconds = Duration::from_secs_f64(seconds.parse()?);
    runtime.block_on(load(&store, seconds, tasks.parse()?, sessions.parse()?))
}

async fn load(
    store: &Store,
    seconds: Duration,
    tasks: usize,
    sessions: usize,
) -> Result<(), Box<dyn Error>> {
    let mut open = Vec::new();
    for number in 0..sessions {
        let name = SessionName::new(Some("engine"), &format!("s{number}"))?;
        open.push(store.create(&name).await?);
    }
    let (begin, mut running) = (Instant::now(), JoinSet::new());
    let turns = Arc::new(Turns { open, next: AtomicUsize::new(0) });
    for _ in 0..tasks {
        running.spawn(append(Arc::clone(&turns), begin + seconds));
    }
    let mut times = Vec::new();
    while let Some(done) = running.join_next().await {
        times.extend(done??);
    }
    let took = begin.elapsed();
    for session in &turns.open {
        session.clone().close().await?;
    }
    times.sort_unstable();
    let rate = times.len() as f64 / took.as_secs_f64();
    let [p50, p99, p999] = [500, 990, 999].map(|share| quantile(&times, share).as_micros());
    println!("figures {rate:.0} {p50} {p99} {p999} {} 0", times.len());
    Ok(())
}

/// The sessions, each in its turn, as `wrk` asks for them.
struct Turns {
    open: Vec<Session>,
    next: AtomicUsize,
}

impl Turns {
    fn next(&self) -> &Session {
        &self.open[self.next.fetch_add(1, Ordering::Relaxed) % self.open.len()]
    }
}

/// Appends until that moment; how long each took.
async fn append(turns: Arc<Turns>, until: Instant) -> session_journal::Result<Vec<Duration>> {
    let record = NewRecord::new(vec![b'x'; PAYLOAD_BYTES]);
    let (mut times, mut before) = (Vec::new(), Instant::now());
    while before < until {
        turns.next().append(record.clone()).await?;
        let now = Instant::now();
        times.push(now - before);
        before = now;
    }
    Ok(times)
}

/// What so many of a thousand took at most.
fn quantile(sorted: &[Duration], of_thousand: usize) -> Duration {
    let index = sorted.len().saturating_sub(1) * of_thousand / 1000;
    sorted.get(index).copied().unwrap_or_default()
}
