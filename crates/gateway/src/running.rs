//! The turns that run now. A turn goes on when whoever asked for it goes away; asked for again under
//! its key it is joined, not run twice. It ends, is cancelled, or the gateway shuts down.
//!
//! ```
//! use session_journal_gateway::conversation::{Message, Role};
//! use session_journal_gateway::turn::TurnRequest;
//! use session_journal_gateway::{Ask, Config, Hub, Metrics};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let config = Config { store: folder.path().join("sessions"), ..Config::default() };
//! let hub = Hub::open(&config, Metrics::default())?;
//! let turns = config.build_turns(&hub)?;
//! let session = "main/chat".parse()?;
//! hub.create(&session).await?;
//!
//! let request = || TurnRequest::new("m1", Message::text_of(Role::User, "hello"));
//! let answer = turns.run(&session, request(), turns.provider(None)?, Ask::default()).await?;
//! assert_eq!(answer.text, "hello"); // the provider is `echo`
//! let again = turns.run(&session, request(), turns.provider(None)?, Ask::default()).await?;
//! assert!(again.replayed);
//!
//! turns.close().await; // first the turns, then the sessions
//! hub.close().await;
//! # Ok(()) }
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use session_journal::SessionName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::hub::Ask;
use crate::metrics::{Kind, Metrics, Open};
use crate::problem::{Problem, Refusal, Result};
use crate::provider::Provider;
use crate::turn::{Answer, Listener, Tools, Turn, TurnRequest};

/// How a turn stands.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// How often the model began.
    pub begun: u32,
    /// What it said since it began the last time, as far as somebody listened. Records hold it.
    pub text: String,
    /// How it ended.
    pub outcome: Option<Result<Answer>>,
}

/// Watches a turn that runs.
#[derive(Clone, Debug)]
pub struct Watched {
    draft: watch::Receiver<Draft>,
    heard: Arc<watch::Sender<usize>>,
}

/// As long as this lives somebody listens to what a model says.
#[derive(Debug)]
pub struct Hearing(Arc<watch::Sender<usize>>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.send_modify(|listeners| *listeners -= 1);
    }
}

impl Watched {
    /// Listens to the model: from now on what it says, and what it said already, is stored and told
    /// before it has said all.
    #[must_use]
    pub fn hear(&self) -> Hearing {
        self.heard.send_modify(|listeners| *listeners += 1);
        Hearing(Arc::clone(&self.heard))
    }

    /// How it stands.
    #[must_use]
    pub fn draft(&mut self) -> watch::Ref<'_, Draft> {
        self.draft.borrow_and_update()
    }

    /// Waits until it stands otherwise than at the last look.
    ///
    /// # Errors
    /// `internal` where the turn came to no end.
    pub async fn changed(&mut self) -> Result<()> {
        self.draft.changed().await.map_err(|_| no_end())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As the turn.
    pub async fn outcome(mut self) -> Result<Answer> {
        let ended = self.draft.wait_for(|draft| draft.outcome.is_some()).await;
        let outcome = ended.map_err(|_| no_end())?.outcome.clone();
        outcome.unwrap_or_else(|| Err(no_end()))
    }
}

fn no_end() -> Problem {
    Problem::new(Refusal::Internal, "the turn came to no end")
}

/// The turns of a gateway. Clones share everything.
#[derive(Clone, Debug)]
pub struct Turns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tools: Tools,
    providers: BTreeMap<String, Arc<dyn Provider>>,
    default_provider: String,
    turns_max: usize,
    running: Mutex<Running>,
    /// How many run.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Running {
    turns: HashMap<Place, Entry>,
    closed: bool,
}

/// A session, and the key of a turn in it.
type Place = (SessionName, String);

#[derive(Debug)]
struct Entry {
    request: TurnRequest,
    watched: Watched,
    cancel: CancellationToken,
}

impl Turns {
    /// No turn runs yet. The providers by their names; the default is one of them.
    #[must_use]
    pub fn new(
        tools: Tools,
        providers: BTreeMap<String, Arc<dyn Provider>>,
        default_provider: impl Into<String>,
        turns_max: usize,
    ) -> Self {
        let inner = Inner {
            tools,
            providers,
            default_provider: default_provider.into(),
            turns_max,
            running: Mutex::default(),
            count: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What a turn may use.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.inner.tools
    }

    /// The provider of this name, or the default one.
    ///
    /// # Errors
    /// `invalid` where there is none of this name.
    pub fn provider(&self, name: Option<&str>) -> Result<Arc<dyn Provider>> {
        let name = name.unwrap_or(&self.inner.default_provider);
        self.inner.providers.get(name).map(Arc::clone).ok_or_else(|| {
            Problem::invalid(format!("there is no provider {name:?}; see the configuration"))
        })
    }

    /// Starts a turn, or joins it where it runs.
    ///
    /// # Errors
    /// `invalid` where a turn of this key runs with something else to say; `busy` where as many run
    /// as are allowed; `shutting-down`.
    pub fn start(
        &self,
        session: &SessionName,
        request: TurnRequest,
        provider: Arc<dyn Provider>,
        ask: Ask,
    ) -> Result<Watched> {
        let place = (session.clone(), request.key.clone());
        let mut running = self.running();
        if let Some(entry) = running.turns.get(&place) {
            if entry.request.is_same(&request) {
                return Ok(entry.watched.clone());
            }
            let what = "a turn of this key runs with another request; use a new key";
            return Err(Problem::invalid(what).about(session));
        }
        if running.closed {
            return Err(Problem::new(Refusal::ShuttingDown, "the gateway is shutting down"));
        }
        let limit = self.inner.turns_max;
        if running.turns.len() >= limit {
            return Err(Problem::new(Refusal::Busy, format!("{limit} turns run already")));
        }
        let (sender, draft) = watch::channel(Draft::default());
        let teller = Teller { draft: sender, heard: Arc::default() };
        let watched = Watched { draft, heard: Arc::clone(&teller.heard) };
        let cancel = CancellationToken::new();
        let entry =
            Entry { request: request.clone(), watched: watched.clone(), cancel: cancel.clone() };
        running.turns.insert(place.clone(), entry);
        self.inner.count.send_replace(running.turns.len());
        drop(running);
        let end = End { turns: self.clone(), place };
        tokio::spawn(run(end, request, provider, ask, teller, cancel));
        Ok(watched)
    }

    /// Runs a turn to its end, or joins it.
    ///
    /// # Errors
    /// As starting and running it.
    pub async fn run(
        &self,
        session: &SessionName,
        request: TurnRequest,
        provider: Arc<dyn Provider>,
        ask: Ask,
    ) -> Result<Answer> {
        self.start(session, request, provider, ask)?.outcome().await
    }

    /// The turn of this key, if it runs.
    #[must_use]
    pub fn watch(&self, session: &SessionName, key: &str) -> Option<Watched> {
        let running = self.running();
        let entry = running.turns.get(&(session.clone(), key.to_owned()))?;
        Some(entry.watched.clone())
    }

    /// Cancels a turn; whether it ran. It may have come to its end all the same: its outcome tells.
    #[must_use]
    pub fn cancel(&self, session: &SessionName, key: &str) -> Option<Watched> {
        let running = self.running();
        let entry = running.turns.get(&(session.clone(), key.to_owned()))?;
        entry.cancel.cancel();
        Some(entry.watched.clone())
    }

    /// The keys of the turns that run in a session.
    #[must_use]
    pub fn keys(&self, session: &SessionName) -> Vec<String> {
        let running = self.running();
        let of_it = running.turns.keys().filter(|(name, _)| name == session);
        let mut keys: Vec<String> = of_it.map(|(_, key)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// How many run.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.inner.count.borrow()
    }

    /// Starts no more, cancels those that run, and waits until they ended. Run it before the hub
    /// releases the sessions.
    pub async fn close(&self) {
        {
            let mut running = self.running();
            running.closed = true;
            running.turns.values().for_each(|entry| entry.cancel.cancel());
        }
        // The sender lives as long as this.
        let _ = self.inner.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a turn off the list, also where it panics.
struct End {
    turns: Turns,
    place: Place,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut running = self.turns.running();
        running.turns.remove(&self.place);
        self.turns.inner.count.send_replace(running.turns.len());
    }
}

async fn run(
    end: End,
    request: TurnRequest,
    provider: Arc<dyn Provider>,
    ask: Ask,
    teller: Teller,
    cancel: CancellationToken,
) {
    let turn = Turn {
        tools: &end.turns.inner.tools,
        provider: &*provider,
        session: &end.place.0,
        request: &request,
        ask,
        listener: &teller,
        cancel: &cancel,
    };
    let metrics = end.turns.inner.tools.hub.metrics().clone();
    let (started, under_way) = (Instant::now(), Open::new(&metrics.turns_running));
    let outcome = turn.run().await;
    if let Err(problem) = &outcome {
        turn.tell_of_failure(problem).await;
    }
    drop(under_way);
    count(&metrics, &outcome, started.elapsed());
    // Off the list first: whoever hears of the end may ask for the same key at once.
    drop(end);
    teller.draft.send_modify(|draft| draft.outcome = Some(outcome));
}

fn count(metrics: &Metrics, outcome: &Result<Answer>, took: Duration) {
    let kind = match outcome {
        Ok(answer) if answer.replayed => "replayed",
        Ok(answer) => {
            metrics.turn_reruns.inc_by(answer.reruns.into());
            "answered"
        }
        Err(problem) => problem.code(),
    };
    metrics.turns.get_or_create(&Kind { kind }).inc();
    metrics.turn_seconds.observe(took.as_secs_f64());
}

/// Tells those who watch a turn.
#[derive(Debug)]
struct Teller {
    draft: watch::Sender<Draft>,
    /// How many listen.
    heard: Arc<watch::Sender<usize>>,
}

impl Listener for Teller {
    fn begins(&self) {
        self.draft.send_modify(|draft| {
            draft.begun += 1;
            draft.text.clear();
        });
    }

    fn is_there(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The sender lives as long as this.
            let _ = self.heard.subscribe().wait_for(|listeners| *listeners > 0).await;
        })
    }

    fn hears(&self, text: &str) {
        self.draft.send_modify(|draft| draft.text.push_str(text));
    }
}
