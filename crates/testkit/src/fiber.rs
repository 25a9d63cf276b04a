//! Threads of control that take turns on one thread of the system: a simulated process runs the
//! engine's own blocking code on one, and pauses before every step that it takes on the disk.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, Yielder};

/// The engine keeps what is large on the heap; unoptimised code needs more than optimised.
const STACK_BYTES: usize = 512 << 10;

thread_local! {
    /// Of the fiber that runs on this thread right now.
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(ptr::null()) };
}

type Job = Box<dyn FnOnce()>;

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It pauses before its next step.
    Paused,
    /// The job is done, and the fiber waits for another one.
    Done,
    /// The job panicked, with these words.
    Panicked(String),
}

#[derive(Default)]
struct Slot {
    job: Option<Job>,
    panic: Option<String>,
    busy: bool,
}

/// One thread of control; used again for job after job, for its stack is dear.
pub(crate) struct Fiber {
    slot: Rc<RefCell<Slot>>,
    coroutine: Coroutine<(), (), ()>,
}

impl std::fmt::Debug for Fiber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fiber").field("busy", &self.is_busy()).finish_non_exhaustive()
    }
}

impl Fiber {
    pub(crate) fn new() -> Self {
        let slot = Rc::<RefCell<Slot>>::default();
        let own = Rc::clone(&slot);
        let stack = DefaultStack::new(STACK_BYTES).expect("room for a stack");
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            loop {
                YIELDER.set(yielder);
                let job = own.borrow_mut().job.take();
                if let Some(job) = job
                    && let Err(panic) = catch_unwind(AssertUnwindSafe(job))
                {
                    own.borrow_mut().panic = Some(words(&*panic));
                }
                own.borrow_mut().busy = false;
                yielder.suspend(());
            }
        });
        Self { slot, coroutine }
    }

    /// Whether a job is not done yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.slot.borrow().busy
    }

    /// Gives it a job, to be begun at its next turn.
    pub(crate) fn give(&mut self, job: Job) {
        let mut slot = self.slot.borrow_mut();
        assert!(!slot.busy, "one job at a time");
        slot.job = Some(job);
        slot.busy = true;
    }

    /// Lets it run up to its next pause.
    pub(crate) fn turn(&mut self) -> Turn {
        self.coroutine.resume(());
        let mut slot = self.slot.borrow_mut();
        match slot.panic.take() {
            Some(words) => Turn::Panicked(words),
            None if slot.busy => Turn::Paused,
            None => Turn::Done,
        }
    }
}

/// Ends the turn of the fiber that runs this.
///
/// # Panics
/// Where no fiber runs.
#[allow(unsafe_code, reason = "a library call deep in the engine has to find its fiber")]
pub(crate) fn pause() {
    let yielder = YIELDER.get();
    assert!(!yielder.is_null(), "only a fiber can pause");
    // SAFETY: it was set by the fiber that runs now, here or at the beginning of its job, and the
    // yielder lives in the frame of that fiber's own loop, below this one on the same stack.
    unsafe { &*yielder }.suspend(());
    // Others ran meanwhile.
    YIELDER.set(yielder);
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
