//! How appends are made: one at a time, by many threads, by many tasks, on a schedule.

use std::pin::pin;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use session_journal::Session;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::Result;
use crate::candidate::{Asked, Candidate, Log, Writer};
use crate::machine::folder;
use crate::race::Sample;
use crate::times::Times;

/// How much is appended in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a> {
    /// In order, again and again.
    pub(crate) payloads: &'a [Bytes],
    /// The most appends of each producer.
    pub(crate) appends: usize,
    /// No append begins later than this.
    pub(crate) time: Duration,
}

/// Opens a candidate in a new folder and lets its producers append there; none where it has no such
/// mode.
pub(crate) fn candidate(
    candidate: &Candidate,
    asked: Asked,
    turn: Turn<'_>,
) -> Result<Option<Sample>> {
    let folder = folder()?;
    let Some(log) = (candidate.open)(folder.path(), asked)? else { return Ok(None) };
    if asked.producers > 1 {
        return together(&*log, asked, turn).map(Some);
    }
    let mut writers = (0..asked.sessions).map(|n| log.writer(n)).collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let done = Done::append(&mut writers, turn)?;
    Ok(Some(done.sample(begin.elapsed())))
}

/// What producers did.
#[derive(Default)]
struct Done {
    times: Times,
    bytes: u64,
}

impl Done {
    /// Appends one at a time, to each of the sessions in turn.
    fn append(sessions: &mut [Box<dyn Writer>], turn: Turn<'_>) -> Result<Self> {
        let mut done = Self::default();
        let begin = Instant::now();
        let mut before = begin;
        let mut payloads = turn.payloads.iter().cycle();
        while done.times.count() < turn.appends {
            for session in &mut *sessions {
                let Some(payload) = payloads.next() else { return Ok(done) };
                session.append(payload)?;
                before = done.note(payload, before);
            }
            if before - begin >= turn.time {
                break;
            }
        }
        Ok(done)
    }

    /// Something was appended since then; gives the time.
    fn note(&mut self, payload: &Bytes, before: Instant) -> Instant {
        let now = Instant::now();
        self.times.push(now - before);
        self.bytes += payload.len() as u64;
        now
    }

    fn sample(&self, elapsed: Duration) -> Sample {
        Sample::of(&self.times, elapsed.as_secs_f64(), self.bytes)
    }
}

/// The sessions that a producer appends to: its share of them, or the one that it shares.
fn sessions_of(producer: usize, asked: Asked) -> Vec<usize> {
    if asked.is_shared() {
        return vec![producer % asked.sessions];
    }
    (producer..asked.sessions).step_by(asked.producers).collect()
}

/// A thread for each producer, all at once.
pub(crate) fn together(log: &dyn Log, asked: Asked, turn: Turn<'_>) -> Result<Sample> {
    let writers_of = |producer| {
        let sessions = sessions_of(producer, asked);
        sessions.into_iter().map(|n| log.writer(n)).collect::<Result<Vec<_>>>()
    };
    let producers = (0..asked.producers).map(writers_of).collect::<Result<Vec<_>>>()?;
    let ready = Barrier::new(asked.producers);
    thread::scope(|scope| {
        let spawn = |mut writers: Vec<Box<dyn Writer>>| {
            let ready = &ready;
            scope.spawn(move || {
                ready.wait();
                let begin = Instant::now();
                let done = Done::append(&mut writers, turn)?;
                Ok::<_, crate::Error>((begin, done, Instant::now()))
            })
        };
        let threads: Vec<_> = producers.into_iter().map(spawn).collect();
        let (mut all, mut span) = (Done::default(), None);
        for thread in threads {
            let (begin, done, end) = thread.join().map_err(|_| "a producer panicked")??;
            all.times.append(done.times);
            all.bytes += done.bytes;
            let (first, last) = span.unwrap_or((begin, end));
            span = Some((first.min(begin), last.max(end)));
        }
        // From the first that began to the last that ended.
        let (first, last) = span.ok_or("no producers")?;
        Ok(all.sample(last - first))
    })
}

/// A runtime as a program of two cores would have it.
pub(crate) fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_time().build()?)
}

/// One append at a time through the async handle, from a task of a runtime.
pub(crate) fn task_alone(runtime: &Runtime, session: &Session, turn: Turn<'_>) -> Result<Sample> {
    let (session, payloads) = (session.clone(), turn.payloads.to_vec());
    let task = async move {
        let mut done = Done::default();
        let begin = Instant::now();
        let mut before = begin;
        for payload in payloads.iter().cycle().take(turn.appends) {
            session.append(payload.clone()).await?;
            before = done.note(payload, before);
            if before - begin >= turn.time {
                break;
            }
        }
        Ok(done.sample(begin.elapsed()))
    };
    runtime.block_on(runtime.spawn(task))?
}

/// A task for each producer, each with so many appends in flight. Tells the rate alone.
pub(crate) fn tasks(
    runtime: &Runtime,
    sessions: &[Session],
    producers: usize,
    in_flight: usize,
    turn: Turn<'_>,
) -> Result<Sample> {
    let begin = Instant::now();
    let count: Result<u64> = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for producer in 0..producers {
            let session = sessions[producer % sessions.len()].clone();
            let (payloads, appends, time) = (turn.payloads.to_vec(), turn.appends, turn.time);
            tasks.spawn(async move {
                let due = (0..appends).take_while(|_| begin.elapsed() < time);
                let payload = |n: usize| payloads[n % payloads.len()].clone();
                let append = |n| session.append(payload(n));
                let mut answers = pin!(stream::iter(due.map(append)).buffered(in_flight));
                let mut count = 0;
                while let Some(answer) = answers.next().await {
                    answer?;
                    count += 1;
                }
                Ok(count)
            });
        }
        let mut all = 0;
        while let Some(done) = tasks.join_next().await {
            all += done?.map_err(|error: session_journal::Rejected| error.error)?;
        }
        Ok(all)
    });
    let (count, seconds) = (count? as f64, begin.elapsed().as_secs_f64());
    let size =
        turn.payloads.iter().map(Bytes::len).sum::<usize>() as f64 / turn.payloads.len() as f64;
    let unknown = f64::NAN;
    let (rate, bytes) = (count / seconds, count * size / seconds);
    Ok(Sample { p50: unknown, p99: unknown, mean: unknown, rate, bytes })
}

/// The runtime's timers count milliseconds, and are late by up to two of them.
const TIMER: Duration = Duration::from_millis(2);

/// Waits until then, and says from when the time of what follows counts: from when it was due, but for
/// what a timer is late by its nature.
async fn wait_until(due: Instant) -> Instant {
    if Instant::now() >= due {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    let now = Instant::now();
    if now - due <= TIMER { now } else { due }
}

/// So many records a second, on a schedule that does not wait for answers that are late: a time is
/// counted from when its record was due. With the longest one, in microseconds.
pub(crate) fn on_schedule(
    runtime: &Runtime,
    sessions: &[Session],
    rate: f64,
    payload: &Bytes,
    time: Duration,
) -> Result<(Sample, f64)> {
    let begin = Instant::now() + Duration::from_millis(10);
    let producers = sessions.len();
    let done: Result<Done> = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (producer, session) in sessions.iter().enumerate() {
            let (session, payload) = (session.clone(), payload.clone());
            tasks.spawn(async move {
                let mut done = Done::default();
                for n in 0_u32.. {
                    let number = f64::from(n) * producers as f64 + producer as f64;
                    let due = Duration::from_secs_f64(number / rate);
                    if due >= time {
                        break;
                    }
                    let from = wait_until(begin + due).await;
                    session.append(payload.clone()).await.map_err(|error| error.error)?;
                    done.times.push(from.elapsed());
                    done.bytes += payload.len() as u64;
                }
                Ok::<_, session_journal::Error>(done)
            });
        }
        let mut all = Done::default();
        while let Some(done) = tasks.join_next().await {
            let done = done??;
            all.times.append(done.times);
            all.bytes += done.bytes;
        }
        Ok(all)
    });
    let done = done?;
    Ok((done.sample(begin.elapsed()), done.times.quantile(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_journal::Durability;

    #[test]
    fn every_session_has_exactly_the_producers_that_it_should_have() {
        for (sessions, producers) in [(1, 1), (1, 8), (64, 64), (1000, 8), (7, 3)] {
            let asked = Asked { durability: Durability::Written, sessions, producers };
            let mut all: Vec<usize> =
                (0..producers).flat_map(|producer| sessions_of(producer, asked)).collect();
            assert_eq!(all.len(), sessions.max(producers), "{asked:?}");
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), sessions, "{asked:?}");
        }
    }
}
