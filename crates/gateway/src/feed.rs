//! What comes in a session, for however many follow it: one follower a session, and everybody who
//! falls behind reads on from the file.
//!
//! Followers read files, so they have a thread of their own.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use session_journal::{ErrorKind, Follower, Mark, Record, SessionName};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, oneshot};
use tokio::task::AbortHandle;

use crate::hub::Hub;
use crate::json;
use crate::problem::{Problem, Result};

/// So many records wait for a stream before it reads from the file again.
const WAITING_MAX: usize = 64;
/// A record with more bytes than this is told of, not passed on.
const PASSED_BYTES_MAX: usize = 32 << 10;

/// What came.
#[derive(Clone, Debug)]
pub(crate) enum Came {
    /// A record, as JSON.
    Record { mark: Mark, text: Arc<str> },
    /// Something that is to be read from the file: a large record, or damage.
    Look,
    /// Nothing more comes.
    End(Arc<Problem>),
}

type Map = Mutex<HashMap<SessionName, Feed>>;

/// See the module. Clones share everything.
#[derive(Clone, Debug)]
pub struct Feeds {
    hub: Hub,
    runtime: Handle,
    known: Arc<Map>,
    /// The thread ends when the last clone drops it.
    _running: Arc<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Feed {
    sender: broadcast::Sender<Came>,
    /// Tells this feed from another one of the same session.
    number: u64,
    streams: usize,
    task: AbortHandle,
}

/// One who follows a session.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) receiver: broadcast::Receiver<Came>,
    name: SessionName,
    number: u64,
    feeds: Weak<Map>,
}

impl Feeds {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn new(hub: Hub) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel();
        let run = move || drop(runtime.block_on(ended));
        thread::Builder::new().name("feeds".to_owned()).spawn(run)?;
        Ok(Self { hub, runtime: handle, known: Arc::default(), _running: Arc::new(running) })
    }

    /// Everything that comes in the session from now on.
    pub(crate) async fn subscribe(&self, name: &SessionName) -> Result<Subscription> {
        if let Some(joined) = self.join(name) {
            return Ok(joined);
        }
        let follower = self.hub.read(name, |reader| {
            let mark = reader.mark();
            Follower::new(reader, mark).map_err(Problem::from)
        });
        Ok(self.enter(name, follower.await?))
    }

    fn join(&self, name: &SessionName) -> Option<Subscription> {
        let mut feeds = lock(&self.known);
        feeds.get_mut(name).map(|feed| self.subscription(name, feed))
    }

    fn enter(&self, name: &SessionName, follower: Follower) -> Subscription {
        let mut feeds = lock(&self.known);
        let feed = feeds.entry(name.clone()).or_insert_with(|| {
            static NUMBER: AtomicU64 = AtomicU64::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let sender = broadcast::channel(WAITING_MAX).0;
            let leave = Leave { feeds: Arc::downgrade(&self.known), name: name.clone(), number };
            let task = self.runtime.spawn(run(follower, sender.clone(), leave)).abort_handle();
            Feed { sender, number, streams: 0, task }
        });
        self.subscription(name, feed)
    }

    fn subscription(&self, name: &SessionName, feed: &mut Feed) -> Subscription {
        feed.streams += 1;
        Subscription {
            receiver: feed.sender.subscribe(),
            name: name.clone(),
            number: feed.number,
            feeds: Arc::downgrade(&self.known),
        }
    }

    /// How many sessions are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.known).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(feeds) = self.feeds.upgrade() else { return };
        let mut feeds = lock(&feeds);
        let Some(feed) = feeds.get_mut(&self.name).filter(|feed| feed.number == self.number) else {
            return;
        };
        feed.streams -= 1;
        if feed.streams == 0 {
            feed.task.abort();
            feeds.remove(&self.name);
        }
    }
}

/// The end of a feed that ends by itself: nobody joins it any more.
struct Leave {
    feeds: Weak<Map>,
    name: SessionName,
    number: u64,
}

impl Leave {
    fn leave(self) {
        let Some(feeds) = self.feeds.upgrade() else { return };
        let mut feeds = lock(&feeds);
        if feeds.get(&self.name).is_some_and(|feed| feed.number == self.number) {
            feeds.remove(&self.name);
        }
    }
}

/// Passes on what comes until nothing more can.
async fn run(mut follower: Follower, sender: broadcast::Sender<Came>, leave: Leave) {
    let error = loop {
        // Whoever has gone is told nothing; the task ends with the last one.
        match follower.next().await {
            Ok(record) => drop(sender.send(pass_on(&record, follower.mark()))),
            Err(error) if error.kind() == ErrorKind::Corrupt => drop(sender.send(Came::Look)),
            Err(error) => break error,
        }
    };
    let problem = Problem::from(error).about(&leave.name);
    leave.leave();
    drop(sender.send(Came::End(Arc::new(problem))));
}

fn pass_on(record: &Record, mark: Mark) -> Came {
    if record.payload.len() > PASSED_BYTES_MAX {
        return Came::Look;
    }
    let text = json::record(record, mark.journal).to_string();
    Came::Record { mark, text: Arc::from(text) }
}

fn lock(feeds: &Map) -> MutexGuard<'_, HashMap<SessionName, Feed>> {
    feeds.lock().unwrap_or_else(PoisonError::into_inner)
}
