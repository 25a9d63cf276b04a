//! An actor that is held up in a sync, so that requests pile up in its inbox.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use session_journal::{Appended, Rejected, Session};

use super::Bench;
use super::disk::Op;

/// An append under way, to be polled by hand.
pub(crate) type Pending<'a> = Pin<Box<dyn Future<Output = Result<Appended, Rejected>> + Send + 'a>>;

pub(crate) fn poll(future: &mut Pending<'_>) -> Poll<Result<Appended, Rejected>> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Holds the actor up in the sync of one append until it is let go.
pub(crate) struct HeldUp<'a> {
    first: Pending<'a>,
    go: mpsc::Sender<()>,
}

pub(crate) fn hold_up<'a>(bench: &Bench, session: &'a Session) -> HeldUp<'a> {
    let (entered, at_sync) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    bench.disk.before(Op::Sync, 1, move || {
        entered.send(()).unwrap();
        wait.recv().unwrap();
    });
    let mut first: Pending<'_> = Box::pin(session.append("first"));
    assert!(poll(&mut first).is_pending());
    at_sync.recv().unwrap();
    HeldUp { first, go }
}

impl HeldUp<'_> {
    pub(crate) fn let_go(self) {
        self.go.send(()).unwrap();
        super::runtime().block_on(self.first).unwrap();
    }
}
