//! Persist before deliver. What is to be delivered is a durable record first, the *intent*; then it
//! is delivered; then a second record says that it is done. After a crash in between it is delivered
//! again under the same key, to a *sink* that takes every key once. So nobody ever saw text that no
//! record holds, and nobody sees it twice.
//!
//! What is delivered is read back from the journal. Text that is not stored cannot be sent.

mod records;
mod sinks;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use session_journal::{AppendOptions, Durability, NewRecord, Reader, SessionName};

use crate::conversation::{ANNOUNCE, MESSAGE, Message};
use crate::failpoint::{Point, pass};
use crate::gaps::hides;
use crate::hub::{Ask, Hub};
use crate::metrics::Kind;
use crate::problem::{Problem, Result};
use records::{Settled, done_at, done_record, intent_key, look, or_hidden};

pub(crate) use records::{deliveries, intent_at, intent_records, outgoing_key};
pub use sinks::{Kept, Memory, SessionSink, Sink, SinkError, Webhook};

/// The sink that delivers a message into another session of the store.
pub const SESSION: &str = "session";
/// The sink that announces a result in another session of the store.
pub const ANNOUNCEMENT: &str = "announce";

/// So many deliveries that were left open are made at a time.
const AT_A_TIME: usize = 32;
/// Whoever reads more records than this to find what is open says in the journal how far all is done.
const SETTLED_AFTER: u64 = 512;

/// Where something goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The name of a sink of this gateway.
    pub sink: String,
    /// Whom it should reach there: a chat, a session.
    #[serde(default)]
    pub to: String,
}

/// What is to be delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The message of this key, in the same session.
    Of(String),
    /// This one, which the intent itself keeps.
    Message(Message),
}

/// The payload of a `delivery.intent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Where it goes.
    #[serde(flatten)]
    pub address: Address,
    /// What goes there.
    pub what: What,
}

/// The payload of a `delivery.done`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Done {
    /// The sink has it.
    Delivered,
    /// The sink will never take it.
    Refused {
        /// Why, in the sink's words.
        why: String,
    },
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// The sink has it.
    Delivered,
    /// The sink will never take it.
    Refused {
        /// Why, in the sink's words.
        why: String,
    },
    /// It is tried again at the next opening, or when somebody asks for it.
    Pending {
        /// Why it is not done.
        why: String,
    },
}

impl From<Done> for State {
    fn from(done: Done) -> Self {
        match done {
            Done::Delivered => Self::Delivered,
            Done::Refused { why } => Self::Refused { why },
        }
    }
}

/// A delivery and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delivery {
    /// Its key: the sink gets the same one each time.
    pub key: String,
    /// Where it goes.
    #[serde(flatten)]
    pub address: Address,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
}

/// What a sink gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Unique over all sessions: the journal's id and the delivery's key.
    pub key: String,
    /// From which session.
    pub from: SessionName,
    /// Whom it should reach.
    pub to: String,
    /// What it says.
    pub message: Message,
}

/// Delivers what sessions hold. Clones share everything.
#[derive(Clone, Debug)]
pub struct Outbox {
    hub: Hub,
    sinks: Arc<HashMap<String, Arc<dyn Sink>>>,
    /// What is being delivered now, so that it is tried once at a time.
    at_it: Arc<Mutex<HashMap<Place, Arc<tokio::sync::Mutex<()>>>>>,
    /// What a sink did not take yet.
    waiting: Arc<Mutex<BTreeSet<Place>>>,
}

/// A session, and the key of a delivery in it.
type Place = (SessionName, String);

/// An intent as it stands in its journal.
struct Stored {
    intent: Intent,
    outgoing: Outgoing,
}

/// What a look at the journal finds.
enum Found {
    Open(Box<Stored>),
    Closed(Address, Done),
    /// The record that is to be delivered is damaged.
    Lost(Address),
}

impl Outbox {
    /// An outbox with these sinks. [`SESSION`] and [`ANNOUNCEMENT`] are always there: they deliver
    /// into other sessions of the store.
    #[must_use]
    pub fn new(hub: Hub, sinks: Vec<(String, Arc<dyn Sink>)>) -> Self {
        let own = [(SESSION, MESSAGE), (ANNOUNCEMENT, ANNOUNCE)].map(|(name, kind)| {
            let sink: Arc<dyn Sink> = Arc::new(SessionSink::new(hub.clone(), kind));
            (name.to_owned(), sink)
        });
        let sinks = sinks.into_iter().chain(own).collect();
        Self { hub, sinks: Arc::new(sinks), at_it: Arc::default(), waiting: Arc::default() }
    }

    /// Whether there is such a sink.
    ///
    /// # Errors
    /// `invalid` where there is none.
    pub fn check(&self, address: &Address) -> Result<()> {
        let sink = &address.sink;
        let sink = self.sinks.get(sink).ok_or_else(|| {
            Problem::invalid(format!("there is no sink {sink:?}; see the configuration"))
        })?;
        sink.check(&address.to).map_err(|error| Problem::invalid(error.to_string()))
    }

    /// Stores what is to be delivered, then delivers it. A key that was stored before is not stored
    /// again; where it was delivered, nothing happens.
    ///
    /// # Errors
    /// As appending answers; `invalid` where the key was used for something else.
    pub async fn send(
        &self,
        session: &SessionName,
        key: &str,
        intent: &Intent,
        ask: Ask,
    ) -> Result<Delivery> {
        self.check(&intent.address)?;
        self.must_be_there(session, &intent.what).await?;
        // Held first: whoever may not write learns that and nothing else.
        self.hub.session(session, ask).await?;
        let records = intent_records(key, intent);
        let records = without_second_begin(&self.hub, session, records).await?;
        let appended = self.hub.append(session, records, own(), ask).await?;
        if appended.last().is_some_and(|intent| intent.duplicate) {
            self.must_be_the_same(session, key, intent).await?;
        }
        pass(Point::IntentStored);
        self.deliver(session, key).await
    }

    /// What is to be delivered is a message before it is announced.
    async fn must_be_there(&self, name: &SessionName, what: &What) -> Result<()> {
        let What::Of(of) = what.clone() else { return Ok(()) };
        let record = read(&self.hub, name, move |reader| reader.by_key(&of)).await?;
        if record.as_ref().and_then(Message::of).is_some() {
            return Ok(());
        }
        Err(Problem::not_found("no message of this key to deliver").about(name))
    }

    async fn must_be_the_same(&self, name: &SessionName, key: &str, intent: &Intent) -> Result<()> {
        let stored = intent_key(key);
        let record = read(&self.hub, name, move |reader| reader.by_key(&stored)).await?;
        let before =
            record.and_then(|record| serde_json::from_slice::<Intent>(&record.payload).ok());
        if before.as_ref() == Some(intent) {
            return Ok(());
        }
        let what = format!("the key {key:?} was used for another delivery; use a new one");
        Err(Problem::invalid(what).about(name))
    }

    /// Delivers what an intent says, unless that is done.
    ///
    /// # Errors
    /// `not-found` where there is no such intent; as reading and appending answer. That a sink does
    /// not take it is no error: it stays pending.
    pub async fn deliver(&self, session: &SessionName, key: &str) -> Result<Delivery> {
        let place = (session.clone(), key.to_owned());
        // First of all: whoever drops this in the middle leaves it to be tried again.
        locked(&self.waiting).insert(place.clone());
        let alone = Alone::at(self, &place);
        let turn = alone.lock.lock().await;
        let delivery = self.deliver_alone(session, key).await;
        drop(turn);
        if is_settled(&delivery) {
            locked(&self.waiting).remove(&place);
        }
        delivery
    }

    async fn deliver_alone(&self, session: &SessionName, key: &str) -> Result<Delivery> {
        let delivery = |address, state| Delivery { key: key.to_owned(), address, state };
        let stored = match self.look_up(session, key).await? {
            Found::Open(stored) => *stored,
            Found::Closed(address, done) => return Ok(delivery(address, done.into())),
            Found::Lost(address) => {
                let done = Done::Refused { why: "what it delivers was damaged".to_owned() };
                self.close(session, key, &done).await?;
                return Ok(delivery(address, done.into()));
            }
        };
        let Stored { intent: Intent { address, .. }, outgoing } = stored;
        let Some(sink) = self.sinks.get(&address.sink) else {
            let why = format!("this gateway has no sink {:?}", address.sink);
            return Ok(delivery(address, State::Pending { why }));
        };
        pass(Point::Delivering);
        let taken = sink.deliver(outgoing).await;
        let kind = match &taken {
            Ok(()) => "delivered",
            Err(SinkError::Never(_)) => "refused",
            Err(SinkError::Later(_)) => "pending",
        };
        self.hub.metrics().deliveries.get_or_create(&Kind { kind }).inc();
        let done = match taken {
            Ok(()) => Done::Delivered,
            Err(SinkError::Never(why)) => Done::Refused { why },
            Err(SinkError::Later(why)) => {
                tracing::warn!(%session, key, sink = address.sink, why, "not delivered yet");
                return Ok(delivery(address, State::Pending { why }));
            }
        };
        pass(Point::Delivered);
        self.close(session, key, &done).await?;
        pass(Point::DeliveryDone);
        Ok(delivery(address, done.into()))
    }

    async fn close(&self, session: &SessionName, key: &str, done: &Done) -> Result<()> {
        let record = done_record(key, done);
        self.hub.append(session, vec![record], own(), Ask::default()).await.map(drop)
    }

    /// Reads an intent and what it delivers back from the journal, once that is durable.
    async fn look_up(&self, name: &SessionName, key: &str) -> Result<Found> {
        let held = self.hub.session(name, Ask::default()).await?;
        // What others appended may wait for its sync.
        held.sync().await.map_err(|error| Problem::from(error).about(name))?;
        let (from, key) = (name.clone(), key.to_owned());
        let found = read(&self.hub, name, move |reader| {
            let Some(intent) = intent_at(reader, &key)? else { return Ok(None) };
            // Where damage may hide that it is done, the sink has the key and says so.
            if let Some(done) = or_hidden(done_at(reader, &key))? {
                return Ok(Some(Found::Closed(intent.address, done)));
            }
            let message = match &intent.what {
                What::Message(message) => Some(message.clone()),
                What::Of(of) => or_hidden(reader.by_key(of))?.as_ref().and_then(Message::of),
            };
            let Some(message) = message else { return Ok(Some(Found::Lost(intent.address))) };
            let outgoing_key = outgoing_key(reader.id(), &key);
            let to = intent.address.to.clone();
            let outgoing = Outgoing { key: outgoing_key, from, to, message };
            Ok(Some(Found::Open(Box::new(Stored { intent, outgoing }))))
        });
        let missing = || Problem::not_found("no delivery of this key");
        found.await?.ok_or_else(|| missing().about(name))
    }

    /// Delivers again what a crash, or a sink that was not there, left open. Run it for each session
    /// that is opened. One that cannot be tried does not hold up the others. Where many records had to
    /// be read, it is written down how far all is done, and the next one need not.
    ///
    /// # Errors
    /// As reading and appending answer; the first of them, after all were tried.
    pub async fn recover(&self, session: &SessionName) -> Result<Vec<Delivery>> {
        let Some(found) = read(&self.hub, session, look).await? else { return Ok(Vec::new()) };
        let (mut deliveries, mut first) = (Vec::new(), None);
        for (key, _) in found.open {
            match self.deliver(session, &key).await {
                Ok(delivery) => deliveries.push(delivery),
                Err(problem) => drop(first.get_or_insert(problem)),
            }
        }
        if let Some(settled) = found.settled.filter(|_| found.read > SETTLED_AFTER) {
            self.settle(session, &settled).await;
        }
        first.map_or(Ok(deliveries), Err)
    }

    /// It only saves the next one time.
    async fn settle(&self, session: &SessionName, settled: &Settled) {
        let options = AppendOptions { ignore_gaps: true, ..AppendOptions::default() };
        let records = vec![settled.record()];
        if let Err(problem) = self.hub.append(session, records, options, Ask::default()).await {
            tracing::info!(%session, %problem, "not written down how far all is delivered");
        }
    }

    /// Tries again what a sink did not take before; gives how many are left. What another gateway has
    /// taken over since is that one's.
    pub async fn retry(&self) -> usize {
        let mut waiting: Vec<Place> = locked(&self.waiting).iter().cloned().collect();
        // Those that are tried at this moment have no need of it.
        waiting.retain(|place| !locked(&self.at_it).contains_key(place));
        let again = |(session, key): Place| async move {
            if let Err(problem) = self.deliver(&session, &key).await {
                tracing::info!(%session, key, %problem, "not delivered");
            }
        };
        stream::iter(waiting).for_each_concurrent(AT_A_TIME, again).await;
        locked(&self.waiting).len()
    }

    /// Nothing of this session is to be tried again: it was deleted.
    pub fn forget(&self, session: &SessionName) {
        locked(&self.waiting).retain(|(name, _)| name != session);
    }

    /// The deliveries that are not done, in the order of their intents. Cost: a session that never
    /// delivered is asked for one key; of any other the records from its first delivery on are read,
    /// or from the place where [`recover`](Self::recover) found that all before is done.
    ///
    /// # Errors
    /// As reading answers.
    pub async fn pending(&self, session: &SessionName) -> Result<Vec<(String, Intent)>> {
        let found = read(&self.hub, session, look).await?;
        Ok(found.map_or_else(Vec::new, |found| found.open))
    }

    /// Recovers every session of the store that this gateway may have, and skips those that another
    /// one holds. Run it once when the gateway starts. Gives how many it delivered, and how many are
    /// left pending.
    ///
    /// # Errors
    /// `io` where the store cannot be listed.
    pub async fn recover_store(&self) -> Result<(usize, usize)> {
        let open = self.hub.file_job(|store| {
            let names = store.list()?.into_iter().map(|listed| listed.name);
            let has_open = |name: &SessionName| {
                let found = store.reader(name).and_then(|reader| look(&reader));
                found.is_ok_and(|found| found.is_some_and(|found| !found.open.is_empty()))
            };
            Ok::<_, session_journal::Error>(names.filter(has_open).collect::<Vec<_>>())
        });
        let recover = |name: SessionName| async move {
            match self.recover(&name).await {
                Ok(deliveries) => {
                    let pending = |one: &&Delivery| matches!(one.state, State::Pending { .. });
                    let left = deliveries.iter().filter(pending).count();
                    (deliveries.len() - left, left)
                }
                Err(problem) => {
                    tracing::info!(session = %name, %problem, "not recovered");
                    (0, 1)
                }
            }
        };
        let recovered = stream::iter(open.await??).map(recover).buffer_unordered(AT_A_TIME);
        let sum = |(a, b), (c, d)| async move { (a + c, b + d) };
        let (delivered, left) = recovered.fold((0, 0), sum).await;
        Ok((delivered, left))
    }
}

/// One that delivers something, alone.
struct Alone<'a> {
    outbox: &'a Outbox,
    place: &'a Place,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<'a> Alone<'a> {
    fn at(outbox: &'a Outbox, place: &'a Place) -> Self {
        let lock = Arc::clone(locked(&outbox.at_it).entry(place.clone()).or_default());
        Self { outbox, place, lock }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut at_it = locked(&self.outbox.at_it);
        // This one and the map's: nobody waits.
        if Arc::strong_count(&self.lock) == 2 {
            at_it.remove(self.place);
        }
    }
}

/// Whether trying again is for nobody, or for somebody else.
fn is_settled(delivery: &Result<Delivery>) -> bool {
    match delivery {
        Ok(delivery) => !matches!(delivery.state, State::Pending { .. }),
        // What has room again, or was only in a hurry, is tried again.
        Err(problem) => !matches!(
            problem.code(),
            "no-space" | "io" | "closed" | "unknown" | "busy" | "poisoned"
        ),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a session on a thread for it.
pub(crate) async fn read<T: Send + 'static>(
    hub: &Hub,
    name: &SessionName,
    run: impl FnOnce(&Reader) -> session_journal::Result<T> + Send + 'static,
) -> Result<T> {
    let of = name.clone();
    let read = hub.file_job(move |store| run(&store.reader(&of)?)).await?;
    read.map_err(|error| Problem::from(error).about(name))
}

/// Where the record may be lost that says where deliveries begin, a second one would say that there are
/// none before it; without any everything is looked through.
pub(crate) async fn without_second_begin(
    hub: &Hub,
    name: &SessionName,
    mut records: Vec<NewRecord>,
) -> Result<Vec<NewRecord>> {
    let begin = records.first().and_then(|begin| begin.key.clone());
    let hidden = read(hub, name, move |reader| begin.map_or(Ok(false), |key| hides(reader, &key)));
    if hidden.await? {
        records.remove(0);
    }
    Ok(records)
}

pub(crate) fn durable() -> AppendOptions {
    AppendOptions { durability: Some(Durability::Durable), ..AppendOptions::default() }
}

/// For the records of the outbox itself. Where damage may hide one of the same key it is written all
/// the same: then there is one that can be read, and the sink knows the key.
fn own() -> AppendOptions {
    AppendOptions { ignore_gaps: true, ..durable() }
}
