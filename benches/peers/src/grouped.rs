//! Many producers in front of a log that takes one writer: whoever comes first commits for all that
//! wait. Logs that batch, and leave it to their caller to fill the batch, are driven as they are meant.

use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use session_journal_benches::{Log, Result, Writer};

/// A log that commits several records at once.
pub(crate) trait Backend: Send + 'static {
    /// Returns when all of them are as safe as was asked for.
    fn commit(&mut self, payloads: &[Bytes]) -> Result<()>;
}

struct State<B> {
    /// Away while somebody commits.
    backend: Option<B>,
    waiting: Vec<Bytes>,
    /// How many payloads were ever handed in, and how many of them are committed.
    handed_in: u64,
    committed: u64,
    failed: Option<String>,
}

struct Shared<B> {
    state: Mutex<State<B>>,
    changed: Condvar,
}

/// See the module.
pub(crate) struct Grouped<B>(Arc<Shared<B>>);

impl<B: Backend> Grouped<B> {
    pub(crate) fn new(backend: B) -> Self {
        let state = State {
            backend: Some(backend),
            waiting: Vec::new(),
            handed_in: 0,
            committed: 0,
            failed: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }))
    }
}

impl<B: Backend> Log for Grouped<B> {
    fn writer(&self, _session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Producer(Arc::clone(&self.0))))
    }
}

struct Producer<B>(Arc<Shared<B>>);

impl<B: Backend> Writer for Producer<B> {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let Shared { state, changed } = &*self.0;
        let mut own = state.lock().map_err(|_| "a producer panicked")?;
        own.waiting.push(payload.clone());
        own.handed_in += 1;
        let ticket = own.handed_in;
        while own.committed < ticket && own.failed.is_none() {
            let Some(mut backend) = own.backend.take() else {
                own = changed.wait(own).map_err(|_| "a producer panicked")?;
                continue;
            };
            let batch = std::mem::take(&mut own.waiting);
            drop(own);
            let committed = backend.commit(&batch);
            own = state.lock().map_err(|_| "a producer panicked")?;
            own.backend = Some(backend);
            match committed {
                Ok(()) => own.committed += batch.len() as u64,
                Err(error) => own.failed = Some(error.to_string()),
            }
            changed.notify_all();
        }
        match &own.failed {
            Some(why) => Err(why.clone().into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory(Arc<Mutex<Vec<Bytes>>>, bool);

    impl Backend for Memory {
        fn commit(&mut self, payloads: &[Bytes]) -> Result<()> {
            if self.1 {
                return Err("no room".into());
            }
            assert!(!payloads.is_empty());
            self.0.lock().expect("no panic").extend_from_slice(payloads);
            Ok(())
        }
    }

    fn produce(log: &Grouped<Memory>) -> Vec<Result<()>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|producer: u8| {
                    let mut writer = log.writer(0).expect("a writer");
                    scope.spawn(move || {
                        (0..100)
                            .try_for_each(|n: u8| writer.append(&Bytes::from(vec![producer, n])))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    #[test]
    fn every_record_of_every_producer_is_committed_once_and_in_its_order() {
        let kept = Arc::default();
        let log = Grouped::new(Memory(Arc::clone(&kept), false));
        assert!(produce(&log).iter().all(Result::is_ok));
        let kept = kept.lock().expect("no panic");
        assert_eq!(kept.len(), 800);
        for producer in 0..8 {
            let own = kept.iter().filter(|payload| payload[0] == producer);
            let numbers: Vec<u8> = own.map(|payload| payload[1]).collect();
            assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn a_commit_that_fails_is_told_to_everybody() {
        let log = Grouped::new(Memory(Arc::default(), true));
        assert!(produce(&log).iter().all(Result::is_err));
    }
}
