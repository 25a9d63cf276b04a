//! What is asked of an actor, and where its answers go.

use std::sync::Arc;

use crate::answer::Answering;
use crate::error::{Error, Rejected, Result};
use crate::options::AppendOptions;
use crate::record::{Appended, NewRecord};
use crate::replace::{Compaction, Copy};
use crate::sync::oneshot;
use crate::sync::signal::Signal;

/// Where an answer goes: to a task, or to a thread.
pub(crate) enum Reply<T> {
    Task(oneshot::Sender<T>),
    Thread(Answering<T>),
}

impl<T> Reply<T> {
    /// Nobody may be waiting any more; that is theirs to decide.
    pub(super) fn send(self, answer: T) {
        match self {
            Self::Task(sender) => drop(sender.send(answer)),
            Self::Thread(sender) => sender.send(answer),
        }
    }

    /// As [`send`](Self::send), but leaves it to the caller to wake the threads of many answers at once.
    fn give(self, answer: T) -> Option<Arc<Signal>> {
        match self {
            Self::Task(sender) => {
                drop(sender.send(answer));
                None
            }
            Self::Thread(sender) => sender.give(answer),
        }
    }
}

pub(crate) type AppendAnswer = Result<Vec<Appended>, Rejected>;

pub(crate) struct AppendRequest {
    pub(crate) records: Vec<NewRecord>,
    pub(crate) options: AppendOptions,
    pub(crate) reply: Reply<AppendAnswer>,
}

pub(crate) enum Request {
    Append(AppendRequest),
    Sync(Reply<Result<()>>),
    Close(Reply<Result<()>>),
    Delete(Reply<Result<()>>),
    Compacted(Box<Result<Copy>>, Reply<Result<Compaction>>),
    BeginCompaction(Reply<Result<Compaction>>),
}

/// What is served in one turn.
pub(super) enum Taken {
    One(Option<Request>),
    Many(Vec<Request>),
}

impl Taken {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(request) => usize::from(request.is_some()),
            Self::Many(requests) => requests.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IntoIterator for Taken {
    type Item = Request;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Request>, std::vec::IntoIter<Request>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::One(request) => (request, Vec::new()),
            Self::Many(requests) => (None, requests),
        };
        one.into_iter().chain(many)
    }
}

pub(super) type Answered = (Reply<AppendAnswer>, AppendAnswer);

/// What appends of one turn are answered.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) one: Option<Answered>,
    pub(super) many: Vec<Answered>,
}

impl Answers {
    pub(super) fn are_for_threads(&self) -> bool {
        let first = self.one.as_ref().or(self.many.first());
        matches!(first, Some((Reply::Thread(_), _)))
    }

    /// Gives all of them first and wakes the threads behind that: one call for those who wait together.
    pub(super) fn send(self) {
        let mut last: Option<Arc<Signal>> = None;
        for (reply, answer) in self.one.into_iter().chain(self.many) {
            let Some(signal) = reply.give(answer) else { continue };
            match &last {
                Some(before) if Arc::ptr_eq(before, &signal) => {}
                _ => {
                    if let Some(before) = last.replace(signal) {
                        before.change();
                    }
                }
            }
        }
        if let Some(last) = last {
            last.change();
        }
    }
}

/// Answers all of them with one error.
pub(super) fn refuse(requests: Taken, error: &Error) {
    for request in requests {
        let error = error.clone();
        match request {
            Request::Append(AppendRequest { records, reply, .. }) => {
                reply.send(Err(Rejected { error, records }));
            }
            Request::Sync(reply) | Request::Close(reply) | Request::Delete(reply) => {
                reply.send(Err(error));
            }
            Request::BeginCompaction(reply) | Request::Compacted(_, reply) => {
                reply.send(Err(error));
            }
        }
    }
}
