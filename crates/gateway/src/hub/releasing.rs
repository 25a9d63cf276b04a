//! Letting sessions go: released, deleted, one or all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use session_journal::SessionName;

use super::{ATTEMPTS, Ask, Hub, RELEASES, Slot, is_ending, is_same, is_worth_asking_again};
use crate::problem::{Problem, Refusal, Result};

impl Hub {
    /// Releases a session, if this gateway holds it; whether it did.
    ///
    /// # Errors
    /// As [`Session::close`](session_journal::Session::close).
    pub async fn release(&self, name: &SessionName) -> Result<bool> {
        let Some(slot) = self.slots().get(name).map(Arc::clone) else { return Ok(false) };
        let mut place = Arc::clone(&slot.session).lock_owned().await;
        let Some(session) = place.take() else { return Ok(false) };
        // The place stays locked: whoever wants the session opens it behind the release.
        let closed = Self::to_its_end(async move {
            let closed = session.close().await;
            drop(place);
            closed
        });
        let closed = closed.await?;
        tracing::info!(session = name.to_string(), "released");
        match closed {
            // It was lost before; there is nothing to release.
            Err(error) if is_ending(error.kind()) => Ok(false),
            closed => closed.map(|()| true).map_err(|e| Problem::from(e).about(name)),
        }
    }

    /// Releases what nobody asked for in this time.
    pub async fn release_idle(&self, idle: Duration) {
        let names: Vec<SessionName> = {
            let mut slots = self.slots();
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_empty());
            let is_idle = |slot: &Slot| slot.idle() >= idle;
            slots.iter().filter(|(_, slot)| is_idle(slot)).map(|(name, _)| name.clone()).collect()
        };
        self.release_all_of(names).await;
    }

    /// Releases everything and opens nothing any more.
    pub async fn close(&self) {
        let names: Vec<SessionName> = {
            let slots = self.slots();
            self.inner.closing.store(true, Ordering::SeqCst);
            slots.keys().cloned().collect()
        };
        self.release_all_of(names).await;
    }

    async fn release_all_of(&self, names: Vec<SessionName>) {
        let release = |name: SessionName| async move {
            if let Err(problem) = self.release(&name).await {
                tracing::warn!(
                    session = name.to_string(),
                    problem = problem.to_string(),
                    "not released"
                );
            }
        };
        futures_util::stream::iter(names).for_each_concurrent(RELEASES, release).await;
    }

    /// Deletes a session: takes it as `ask` says, seals it, removes its name.
    ///
    /// # Errors
    /// As opening and deleting answer.
    pub async fn delete(&self, name: &SessionName, ask: Ask) -> Result<()> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let session = self.session(name, ask).await?;
            let (_, mut place) = self.place(name).await?;
            if attempt < ATTEMPTS && !place.as_ref().is_some_and(|held| is_same(held, &session)) {
                // It was released or taken in between.
                continue;
            }
            let deleted = Self::to_its_end(async move {
                let deleted = session.clone().delete().await;
                if deleted.is_ok() || session.sync().await.is_err() {
                    *place = None;
                }
                deleted
            });
            let Err(error) = deleted.await? else {
                tracing::info!(session = name.to_string(), "deleted");
                return Ok(());
            };
            if is_ending(error.kind()) {
                self.tell_of_end(name, &error);
            }
            if !is_worth_asking_again(&error, ask) || attempt == ATTEMPTS {
                return Err(Problem::from(error).about(name));
            }
        }
    }

    /// Does what was begun although nobody may wait for it any more.
    async fn to_its_end<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let stopped = |_| Problem::new(Refusal::Internal, "it did not come to its end");
        tokio::spawn(work).await.map_err(stopped)
    }
}
