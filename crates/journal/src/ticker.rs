//! One thread that rings bells once a second, for whoever waits for files.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Condvar, Mutex};

use crate::sync;
use crate::watch::{Bell, LOOK_INTERVAL};

#[derive(Default)]
struct Ticker {
    bells: Mutex<Vec<Weak<Bell>>>,
    filled: Condvar,
}

/// Rings this bell about once a second for as long as it exists.
pub(crate) fn ring_every_second(bell: &Arc<Bell>) {
    static TICKER: OnceLock<Arc<Ticker>> = OnceLock::new();
    if sync::EXPLORED {
        // A ring that was lost must show, not be made up for.
        return;
    }
    let ticker = TICKER.get_or_init(|| {
        let ticker = Arc::new(Ticker::default());
        let running = Arc::clone(&ticker);
        // Without the thread followers still wake by the system's notices.
        let _ =
            std::thread::Builder::new().name("sj-ticker".to_owned()).spawn(move || run(&running));
        ticker
    });
    ticker.bells.lock().push(Arc::downgrade(bell));
    ticker.filled.notify_one();
}

fn run(ticker: &Ticker) {
    loop {
        {
            let mut bells = ticker.bells.lock();
            // Nobody waits: no idle wake-ups.
            while bells.is_empty() {
                ticker.filled.wait(&mut bells);
            }
            bells.retain(|bell| {
                let bell = bell.upgrade();
                if let Some(bell) = &bell {
                    bell.ring();
                }
                bell.is_some()
            });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
