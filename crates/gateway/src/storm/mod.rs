//! The incident, replayed: hundreds of agents, two gateways on one store, and what happens to
//! gateways. They are processes of their own that are stopped, killed and started again while a
//! seeded load goes to them over HTTP. A clerk outside of them writes down what was acknowledged;
//! in the end everything is stopped, the files are read, and the clerk's books are held against them.
//!
//! The same load goes to a [model of lock files](locks), so that one table shows both.
//!
//! What is planned depends on the seed alone: who does what, in which order, with which pauses, and
//! what befalls which gateway when. What the machine makes of it does not: two runs of a seed have
//! the same plan, not the same interleaving.

mod account;
mod chaos;
mod clerk;
mod client;
mod found;
mod late;
mod load;
pub mod locks;
mod memory;
mod peers;
mod plan;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::clerk::Clerk;
use self::client::Client;
use self::late::Watch;
use self::memory::Memory;
use self::peers::Peers;
use self::plan::Plan;
use self::report::Evidence;

pub use self::report::{Figure, Report, table};

/// After the storm, what is under way has so long to come to its end.
const CALM: Duration = Duration::from_mins(1);
/// Then every session is taken, and what waits in it is delivered, in so long at most.
const SETTLE: Duration = Duration::from_mins(5);
/// Pause between two looks at the memory of the gateways.
const LOOK: Duration = Duration::from_millis(500);

/// Who keeps the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Journals, behind `sjournal serve`.
    Journal,
    /// The model of lock files.
    Locks,
}

impl Scheme {
    /// Its name in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Locks => "locks",
        }
    }
}

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The program whose gateways are started: `sjournal` itself.
    pub program: PathBuf,
    /// How long the storm lasts.
    pub lasts: Duration,
    /// How many agents there are, each with a session.
    pub agents: u32,
    /// Names the plan.
    pub seed: u64,
    /// So many seconds of the incident pass in one.
    pub compress: u32,
    /// The longest that a session may not be writable; where `None` it is told and not judged.
    pub unwritable_max: Option<Duration>,
    /// Leave the folder with the sessions and the gateways' logs.
    pub keep: bool,
}

/// Why a storm could not be replayed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StormError {
    /// The system refused.
    #[error("could not {what}: {source}; see the operating system's message [io]")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A gateway did not come up.
    #[error("gateway {number} did not start: {why}; run it alone to see why [io]")]
    NotStarted {
        /// Which one.
        number: usize,
        /// What it said.
        why: String,
    },
    /// What the storm left cannot be read.
    #[error("{0} [{code}]", code = .0.code())]
    Store(#[from] session_journal::Error),
    /// A signal came.
    #[error("stopped by a signal before the end; run it again")]
    Interrupted,
}

impl StormError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Replays the incident on one scheme and accounts for it. `tell` hears now and then how much of it
/// is over.
///
/// # Errors
/// See [`StormError`]. A promise that was broken is no error: the report tells.
pub async fn run(
    options: &Options,
    scheme: Scheme,
    stop: &CancellationToken,
    tell: &mut dyn FnMut(Duration),
) -> Result<Report, StormError> {
    let plan = Arc::new(Plan::new(options.seed, options.agents, options.compress));
    let peers = Arc::new(Peers::start(options, scheme).await?);
    let replayed = tokio::select! {
        replayed = replay(options, scheme, &plan, &peers, tell) => replayed,
        () = stop.cancelled() => Err(StormError::Interrupted),
    };
    if replayed.is_err() {
        // Whoever still holds them must not keep them alive, nor write into a folder that goes.
        peers.kill_all().await;
    }
    replayed
}

async fn replay(
    options: &Options,
    scheme: Scheme,
    plan: &Arc<Plan>,
    peers: &Arc<Peers>,
    tell: &mut dyn FnMut(Duration),
) -> Result<Report, StormError> {
    let clerk = Arc::new(Clerk::default());
    let client = Client::new(Arc::clone(peers), Arc::clone(&clerk), scheme, options.compress)?;
    let memory = Memory::default();
    let storm = load::Storm::begin(plan, &client, &clerk).await;
    let watch = Watch::begin();
    let mishaps = tokio::select! {
        mishaps = chaos::run(plan, peers, &client, options.lasts) => mishaps?,
        never = memory.watch(peers, &client, LOOK) => match never {},
        never = tick(tell) => match never {},
    };
    storm.end(CALM).await;
    let late = watch.end().await;
    let settled = load::settle(peers, &client, &clerk, scheme, SETTLE).await;
    peers.end().await;
    let store = peers.store();
    let found = match scheme {
        Scheme::Journal => found::journals(&store)?,
        Scheme::Locks => found::transcripts(&store)?,
    };
    let books = clerk.close();
    let accounts = account::account(&books, &found);
    let memory = memory.told();
    let (books, found, accounts) = (&books, &found, &accounts);
    let evidence = Evidence { books, found, accounts, mishaps, memory, late, settled };
    Ok(Report::new(options, scheme, &evidence, peers.kept()))
}

async fn tick(tell: &mut dyn FnMut(Duration)) -> std::convert::Infallible {
    let begun = Instant::now();
    loop {
        tell(begun.elapsed());
        tokio::time::sleep(LOOK).await;
    }
}
