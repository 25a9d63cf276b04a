//! One answer, for one thread that waits for it.

use std::hint::spin_loop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::mutation::races::{self, Race};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::signal::Signal;
use crate::sync::{EXPLORED, Mutex};

#[derive(Debug)]
enum State<T> {
    Awaited,
    Given(T),
    /// Whoever was to answer is gone.
    Gone,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// To be looked at without the lock.
    ended: AtomicBool,
    /// Changes behind the answer, and behind those of others.
    signal: Arc<Signal>,
}

/// The end that answers.
#[derive(Debug)]
pub(crate) struct Answering<T>(Option<Arc<Shared<T>>>);

/// The end that waits.
#[derive(Debug)]
pub(crate) struct Awaiting<T>(Arc<Shared<T>>);

/// An answer whose thread sleeps until the signal changes.
pub(crate) fn answer<T>(signal: &Arc<Signal>) -> (Answering<T>, Awaiting<T>) {
    let state = Mutex::new(State::Awaited);
    let (ended, signal) = (AtomicBool::new(false), Arc::clone(signal));
    let shared = Arc::new(Shared { state, ended, signal });
    (Answering(Some(Arc::clone(&shared))), Awaiting(shared))
}

impl<T> Answering<T> {
    pub(crate) fn send(self, answer: T) {
        if let Some(signal) = self.give(answer) {
            signal.change();
        }
    }

    /// Gives the answer, and the signal that has to change for it to be heard.
    #[must_use = "whoever waits sleeps until it changes"]
    pub(crate) fn give(mut self, answer: T) -> Option<Arc<Signal>> {
        self.end(State::Given(answer))
    }

    fn end(&mut self, state: State<T>) -> Option<Arc<Signal>> {
        let shared = self.0.take()?;
        let is_unheard = races::broken(Race::SleepersFirst) && !shared.signal.has_sleepers();
        *shared.state.lock() = state;
        shared.ended.store(true, Ordering::SeqCst);
        (!is_unheard).then(|| Arc::clone(&shared.signal))
    }
}

impl<T> Drop for Answering<T> {
    fn drop(&mut self) {
        if let Some(signal) = self.end(State::Gone) {
            signal.change();
        }
    }
}

impl<T> Awaiting<T> {
    fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::SeqCst)
    }

    /// Looks for the answer for a while, without sleeping.
    pub(crate) fn look(&self, at_most: Duration) {
        let begun = Instant::now();
        // No clock decides in an explored schedule: one look is as good as many.
        while !self.has_ended() && !EXPLORED && begun.elapsed() < at_most {
            for _ in 0..LOOKS {
                spin_loop();
            }
        }
    }

    /// Sleeps until there may be an answer, but not longer than that. True where there is one.
    pub(crate) fn wait_for(&self, at_most: Duration) -> bool {
        let seen = self.0.signal.seen();
        if !self.has_ended() {
            self.0.signal.wait(seen, Some(at_most));
        }
        self.has_ended()
    }

    /// Waits for the answer; `None` where there will be none.
    pub(crate) fn wait(self) -> Option<T> {
        loop {
            let mut seen = self.0.signal.seen();
            if self.has_ended() {
                break;
            }
            if races::broken(Race::LooksThenSees) {
                seen = self.0.signal.seen();
            }
            self.0.signal.wait(seen, None);
        }
        match std::mem::replace(&mut *self.0.state.lock(), State::Gone) {
            State::Given(answer) => Some(answer),
            State::Gone | State::Awaited => None,
        }
    }
}

/// Between two looks at the clock.
const LOOKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_had_before_and_after_it_was_waited_for() {
        let (sender, receiver) = answer(&Arc::default());
        sender.send(7);
        assert_eq!(receiver.wait(), Some(7));
        let (sender, receiver) = answer(&Arc::default());
        let thread = std::thread::spawn(move || receiver.wait());
        sender.send(8);
        assert_eq!(thread.join().unwrap(), Some(8));
    }

    #[test]
    fn whoever_is_gone_gives_no_answer() {
        let (sender, receiver) = answer::<u8>(&Arc::default());
        drop(sender);
        assert_eq!(receiver.wait(), None);
        let (sender, receiver) = answer(&Arc::default());
        drop(receiver);
        sender.send(9);
    }

    #[test]
    fn one_change_of_the_signal_wakes_all_who_wait_for_it() {
        let signal = Arc::default();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..8).map(|_| answer(&signal)).unzip();
        let threads = receivers.into_iter().map(|one| std::thread::spawn(move || one.wait()));
        let threads: Vec<_> = threads.collect();
        for (nth, sender) in senders.into_iter().enumerate() {
            assert!(sender.give(nth).is_some());
        }
        signal.change();
        for (nth, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), Some(nth));
        }
    }
}
