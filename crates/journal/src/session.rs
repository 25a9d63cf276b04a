//! The clonable handle in front of an actor. Awaits on any runtime; every call has a blocking twin.

use std::hint::spin_loop;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;

use crate::actor::{Actor, AppendRequest, Reply, Request, gone};
use crate::answer::answer;
use crate::error::{Cause, Error, Rejected, Result};
use crate::follow::Follower;
use crate::identity::JournalId;
use crate::options::AppendOptions;
use crate::position::{Generation, Sequence};
use crate::reader::Reader;
use crate::record::{Appended, Mark, NewRecord};
use crate::replace::Compaction;
use crate::report::Opening;
use crate::sync::{EXPLORED, oneshot};

/// A session that this process owns, shared by all its producers.
///
/// Clones share one actor: appends of all of them go into the journal in the order in which they
/// entered the inbox, and everything that waits goes into one write and one sync. A record that
/// another producer appended is never an error by itself.
///
/// **Cancelling**: an append whose future is dropped before it entered the inbox was never made;
/// afterwards it runs to its end, and only its answer is lost. Give it a key to ask again.
///
/// **Dropping** the last clone writes nothing, like a crash: the next opening finds the journal
/// unreleased and settles it. [`close`](Self::close) releases it, for all clones.
///
/// **Blocking twins** do the work on the calling thread where nobody else is at it. Do not call them
/// from an async task.
#[derive(Debug)]
pub struct Session {
    actor: Arc<Actor>,
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.actor))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.actor.let_go();
    }
}

impl Session {
    pub(crate) fn new(actor: Arc<Actor>) -> Self {
        actor.hold();
        Self { actor }
    }

    /// Joins those who hold it; none where nobody does any more.
    pub(crate) fn join(actor: Arc<Actor>) -> Option<Self> {
        actor.try_hold().then(|| Self { actor })
    }

    // ---- appending -------------------------------------------------------------------------

    /// Appends one record, durable unless the store's options say otherwise.
    ///
    /// # Errors
    /// See [`Journal::append`](crate::Journal::append); the record comes back with the error.
    pub async fn append(&self, record: impl Into<NewRecord>) -> Result<Appended, Rejected> {
        self.append_all(vec![record.into()], AppendOptions::default()).await.map(first)
    }

    /// The blocking twin of [`append`](Self::append).
    ///
    /// # Errors
    /// As there.
    pub fn append_blocking(&self, record: impl Into<NewRecord>) -> Result<Appended, Rejected> {
        self.append_all_blocking(vec![record.into()], AppendOptions::default()).map(first)
    }

    /// Appends records as one batch: all of them or none. Waits while the inbox is full.
    ///
    /// # Errors
    /// See [`Journal::append_all`](crate::Journal::append_all); the records come back.
    pub async fn append_all(
        &self,
        records: Vec<NewRecord>,
        options: AppendOptions,
    ) -> Result<Vec<Appended>, Rejected> {
        if let Some(error) = self.is_forked() {
            return Err(Rejected { error, records });
        }
        self.actor.enter().await;
        self.appended(records, options).await
    }

    /// The blocking twin of [`append_all`](Self::append_all).
    ///
    /// # Errors
    /// As there.
    pub fn append_all_blocking(
        &self,
        records: Vec<NewRecord>,
        options: AppendOptions,
    ) -> Result<Vec<Appended>, Rejected> {
        if let Some(error) = self.is_forked() {
            return Err(Rejected { error, records });
        }
        self.actor.enter_blocking();
        let is_soon = self.actor.is_answered_soon(&options);
        let (reply, awaited) = answer(self.actor.signal());
        let reply = Reply::Thread(reply);
        let request = Request::Append(AppendRequest { records, options, reply });
        self.actor.post_and_serve(request, &awaited, is_soon);
        awaited.wait().unwrap_or_else(|| Err(self.unanswered()))
    }

    /// As [`append_all`](Self::append_all), but does not wait for a place in the inbox.
    ///
    /// # Errors
    /// `Busy` where the inbox is full; otherwise as there.
    pub async fn try_append_all(
        &self,
        records: Vec<NewRecord>,
        options: AppendOptions,
    ) -> Result<Vec<Appended>, Rejected> {
        if let Some(error) = self.is_forked() {
            return Err(Rejected { error, records });
        }
        if !self.actor.try_enter() {
            let waiting = self.inbox_depth();
            let error = Error::new(self.path(), Cause::Busy { waiting });
            return Err(Rejected { error, records });
        }
        self.appended(records, options).await
    }

    /// What becomes of an append that has its place in the inbox.
    async fn appended(
        &self,
        records: Vec<NewRecord>,
        options: AppendOptions,
    ) -> Result<Vec<Appended>, Rejected> {
        let (reply, mut answer) = oneshot::channel();
        let reply = Reply::Task(reply);
        let is_soon = self.actor.is_answered_soon(&options);
        let is_seen = self.actor.post(Request::Append(AppendRequest { records, options, reply }));
        if is_seen
            && is_soon
            && let Some(answer) = look_for(&mut answer)
        {
            return answer.unwrap_or_else(|_| Err(self.unanswered()));
        }
        answer.await.unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// In a forked child the engine's threads do not exist: nobody would ever answer.
    fn is_forked(&self) -> Option<Error> {
        self.actor.shared().is_forked(self.path())
    }

    fn unanswered(&self) -> Rejected {
        let why = "the engine stopped before it answered".to_owned();
        let error = Error::new(self.path(), Cause::Unknown { why });
        Rejected { error, records: Vec::new() }
    }

    // ---- everything else that the actor does -----------------------------------------------

    async fn ask<T>(&self, request: impl FnOnce(Reply<Result<T>>) -> Request) -> Result<T> {
        if let Some(error) = self.is_forked() {
            return Err(error);
        }
        self.actor.enter().await;
        let (reply, answer) = oneshot::channel();
        self.actor.post(request(Reply::Task(reply)));
        answer.await.unwrap_or_else(|_| Err(gone(self.path())))
    }

    fn ask_blocking<T>(&self, request: impl FnOnce(Reply<Result<T>>) -> Request) -> Result<T> {
        if let Some(error) = self.is_forked() {
            return Err(error);
        }
        self.actor.enter_blocking();
        let (reply, awaited) = answer(self.actor.signal());
        self.actor.post_and_serve(request(Reply::Thread(reply)), &awaited, false);
        awaited.wait().unwrap_or_else(|| Err(gone(self.path())))
    }

    /// Makes everything durable that was appended before.
    ///
    /// # Errors
    /// `Unknown` where the sync failed; the session is finished then.
    pub async fn sync(&self) -> Result<()> {
        self.ask(Request::Sync).await
    }

    /// The blocking twin of [`sync`](Self::sync).
    ///
    /// # Errors
    /// As there.
    pub fn sync_blocking(&self) -> Result<()> {
        self.ask_blocking(Request::Sync)
    }

    /// Replaces the file by one without dead bytes; appends go on meanwhile.
    ///
    /// # Errors
    /// See [`Journal::compact`](crate::Journal::compact).
    pub async fn compact(&self) -> Result<Compaction> {
        self.ask(Request::BeginCompaction).await
    }

    /// The blocking twin of [`compact`](Self::compact).
    ///
    /// # Errors
    /// As there.
    pub fn compact_blocking(&self) -> Result<Compaction> {
        self.ask_blocking(Request::BeginCompaction)
    }

    /// Serves what waits, then syncs and releases the journal. Every clone answers `Closed` then.
    ///
    /// # Errors
    /// As [`append`](Self::append). Nothing that was acknowledged is lost either way.
    pub async fn close(self) -> Result<()> {
        self.ask(Request::Close).await
    }

    /// The blocking twin of [`close`](Self::close).
    ///
    /// # Errors
    /// As there.
    pub fn close_blocking(self) -> Result<()> {
        self.ask_blocking(Request::Close)
    }

    /// Deletes the journal: seals it, then removes its name. Every clone answers `Closed` then.
    ///
    /// # Errors
    /// As [`append`](Self::append); a deletion that was sealed is finished by the next opening.
    pub async fn delete(self) -> Result<()> {
        self.ask(Request::Delete).await
    }

    /// The blocking twin of [`delete`](Self::delete).
    ///
    /// # Errors
    /// As there.
    pub fn delete_blocking(self) -> Result<()> {
        self.ask_blocking(Request::Delete)
    }

    // ---- what can be told at once ----------------------------------------------------------

    /// The place of the last acknowledged record: take it before a turn, append under it after.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.actor.published().mark
    }

    /// The last acknowledged record.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.mark().sequence
    }

    /// Every record up to this one is durable.
    #[must_use]
    pub fn durable_through(&self) -> Sequence {
        Sequence::new(self.actor.published().durable_sequence)
    }

    /// How many requests wait or are being served.
    #[must_use]
    pub fn inbox_depth(&self) -> usize {
        self.actor.depth()
    }

    /// How this process came to own the journal, and what it found.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        self.actor.opening()
    }

    /// The generation that this session holds.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.opening().generation
    }

    /// The journal's identity.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.mark().journal
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.actor.path()
    }

    /// A reader of the journal as it is now. Opens the file, on this thread.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Reader> {
        Reader::open_with(self.path(), self.actor.shared().disk())
    }

    /// Follows the journal from behind a mark; appends of this process wake it at once.
    ///
    /// # Errors
    /// As [`Follower::new`].
    pub fn follow(&self, after: Mark) -> Result<Follower> {
        let follower = Follower::new(self.reader()?, after)?;
        self.actor.add_bell(follower.bell());
        Ok(follower)
    }
}

/// How long an append looks for its answer before it lets its task sleep. A write takes less, and putting a
/// thread of the runtime to sleep and waking it takes more.
const LOOK: Duration = Duration::from_micros(5);

/// The answer, where it comes at once, or that there will be none: that is told once, and whoever awaited the
/// receiver behind it would panic.
fn look_for<T>(answer: &mut oneshot::Receiver<T>) -> Option<Result<T, TryRecvError>> {
    let begun = Instant::now();
    loop {
        match answer.try_recv() {
            // No clock decides in an explored schedule.
            Err(TryRecvError::Empty) if !EXPLORED && begun.elapsed() < LOOK => spin_loop(),
            Err(TryRecvError::Empty) => return None,
            known => return Some(known),
        }
    }
}

/// One record went in, so one answer came out.
fn first(mut answers: Vec<Appended>) -> Appended {
    answers.swap_remove(0)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// Whoever awaits a receiver that has told this once panics.
    #[test]
    fn that_there_will_be_no_answer_is_told_where_it_was_looked_for() {
        let (sender, mut receiver) = oneshot::channel::<u8>();
        assert_eq!(look_for(&mut receiver), None, "it may come");
        drop(sender);
        assert_eq!(look_for(&mut receiver), Some(Err(TryRecvError::Closed)));
        let (sender, mut receiver) = oneshot::channel();
        sender.send(7).unwrap();
        assert_eq!(look_for(&mut receiver), Some(Ok(7)));
    }
}
