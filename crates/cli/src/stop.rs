//! Signals: SIGINT and SIGTERM ask a command to stop, and it does so where it leaves nothing undone.

use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

type Hook = Box<dyn FnOnce() + Send>;

/// Whether the command is to stop.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Shared>);

struct Shared {
    requested: AtomicBool,
    at_once: AtomicBool,
    hooks: Mutex<Vec<Hook>>,
}

impl Stop {
    /// Listens for the signals, on a thread of its own.
    pub(crate) fn install() -> io::Result<Self> {
        // Writing beyond the file size limit shall answer an error, not kill the owner of a journal.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let stop = Self(Arc::new(Shared {
            requested: AtomicBool::new(false),
            at_once: AtomicBool::new(false),
            hooks: Mutex::default(),
        }));
        let shared = stop.clone();
        let listen = move || signals.forever().for_each(|_| shared.request());
        thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
        Ok(stop)
    }

    /// Whether a signal came.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Calls this when a signal comes, or now if one came.
    pub(crate) fn then(&self, hook: impl FnOnce() + Send + 'static) {
        self.hooks().push(Box::new(hook));
        if self.is_requested() {
            self.call();
        }
    }

    /// For work that only reads: a signal ends the program there and then.
    pub(crate) fn at_once<T>(&self, read: impl FnOnce() -> T) -> T {
        self.0.at_once.store(true, Ordering::SeqCst);
        // It may have come before, and nobody else would look.
        if self.is_requested() {
            process::exit(1);
        }
        let read = read();
        self.0.at_once.store(false, Ordering::SeqCst);
        read
    }

    fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        if self.0.at_once.load(Ordering::SeqCst) {
            process::exit(1);
        }
        self.call();
    }

    fn call(&self) {
        let hooks = std::mem::take(&mut *self.hooks());
        for hook in hooks {
            hook();
        }
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<Hook>> {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
