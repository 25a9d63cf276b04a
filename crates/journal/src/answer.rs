//! One answer, for one thread that waits for it.

use std::sync::Arc;

use crate::sync::{Condvar, Mutex};

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
    given: Condvar,
}

/// The end that answers.
#[derive(Debug)]
pub(crate) struct Answering<T>(Option<Arc<Shared<T>>>);

/// The end that waits.
#[derive(Debug)]
pub(crate) struct Awaiting<T>(Arc<Shared<T>>);

pub(crate) fn answer<T>() -> (Answering<T>, Awaiting<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::Awaited), given: Condvar::new() });
    (Answering(Some(Arc::clone(&shared))), Awaiting(shared))
}

impl<T> Answering<T> {
    pub(crate) fn send(mut self, answer: T) {
        self.end(State::Given(answer));
    }

    fn end(&mut self, state: State<T>) {
        if let Some(shared) = self.0.take() {
            *shared.state.lock() = state;
            shared.given.notify_one();
        }
    }
}

impl<T> Drop for Answering<T> {
    fn drop(&mut self) {
        self.end(State::Gone);
    }
}

impl<T> Awaiting<T> {
    /// Waits for the answer; `None` where there will be none.
    pub(crate) fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Gone) {
                State::Given(answer) => return Some(answer),
                State::Gone => return None,
                State::Awaited => *state = State::Awaited,
            }
            self.0.given.wait(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_had_before_and_after_it_was_waited_for() {
        let (sender, receiver) = answer();
        sender.send(7);
        assert_eq!(receiver.wait(), Some(7));
        let (sender, receiver) = answer();
        let thread = std::thread::spawn(move || receiver.wait());
        sender.send(8);
        assert_eq!(thread.join().unwrap(), Some(8));
    }

    #[test]
    fn whoever_is_gone_gives_no_answer() {
        let (sender, receiver) = answer::<u8>();
        drop(sender);
        assert_eq!(receiver.wait(), None);
        let (sender, receiver) = answer();
        drop(receiver);
        sender.send(9);
    }
}
