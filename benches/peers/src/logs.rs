//! Write-ahead logs: raft-engine, nano-wal, okaywal, open-wal, mrecordlog.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use okaywal::{Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, LogBatch, MessageExt, ReadableSize};
use session_journal_benches::Durability;
use session_journal_benches::{Asked, Candidate, Log, Result, Role, Writer};

use crate::grouped::{Backend, Grouped};

pub(crate) const CANDIDATES: [Candidate; 5] = [
    Candidate {
        role: Role::LogCrate,
        name: "raft-engine",
        told: "one log for all sessions, an index of every entry in memory; producers of one session are batched in front of it; no compression",
        open: open_raft_engine,
    },
    Candidate {
        role: Role::LogCrate,
        name: "nano-wal",
        told: "no checksum and no recovery",
        open: open_nano_wal,
    },
    Candidate {
        role: Role::LogCrate,
        name: "okaywal",
        told: "syncs at every commit; one log for all sessions; no checkpoints here",
        open: open_okaywal,
    },
    Candidate {
        role: Role::LogCrate,
        name: "open-wal",
        told: "syncs at every commit; preallocates 128 MiB; producers of one session are batched in front of it",
        open: open_open_wal,
    },
    Candidate {
        role: Role::Other,
        name: "mrecordlog",
        told: "never syncs; keeps every record in memory; async, driven on one thread",
        open: open_mrecordlog,
    },
];

/// Larger than the largest record of the mix.
const RECORD_BYTES_MAX: u32 = 16 << 20;

// ---- raft-engine ---------------------------------------------------------------------------

type Raft = raft_engine::Engine;

/// It wants a protobuf message with a number and bytes; this one comes with the library.
struct Numbered;

impl MessageExt for Numbered {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

struct Regions {
    engine: Arc<Raft>,
    durability: Durability,
}

fn open_raft_engine(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    let dir = folder.join("raft").to_string_lossy().into_owned();
    let batch_compression_threshold = ReadableSize(0);
    let config = Config { dir, batch_compression_threshold, ..Config::default() };
    let regions = Regions { engine: Arc::new(Raft::open(config)?), durability: asked.durability };
    if asked.is_shared() && asked.sessions == 1 {
        return Ok(Some(Box::new(Grouped::new(regions.region(0)))));
    }
    Ok(Some(Box::new(regions)))
}

impl Regions {
    fn region(&self, session: usize) -> Region {
        let engine = Arc::clone(&self.engine);
        let syncs = self.durability == Durability::Durable;
        Region { engine, syncs, id: session as u64 + 1, next: 1, batch: LogBatch::default() }
    }
}

impl Log for Regions {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(self.region(session)))
    }
}

struct Region {
    engine: Arc<Raft>,
    syncs: bool,
    id: u64,
    next: u64,
    batch: LogBatch,
}

impl Backend for Region {
    fn commit(&mut self, payloads: &[Bytes]) -> Result<()> {
        let mut entry = |payload: &Bytes| {
            let mut entry = UninterpretedOption::new();
            entry.set_positive_int_value(self.next);
            entry.set_string_value(payload.to_vec());
            self.next += 1;
            entry
        };
        let entries: Vec<_> = payloads.iter().map(&mut entry).collect();
        self.batch.add_entries::<Numbered>(self.id, &entries)?;
        self.engine.write(&mut self.batch, self.syncs)?;
        Ok(())
    }
}

impl Writer for Region {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        self.commit(std::slice::from_ref(payload))
    }
}

// ---- nano-wal ------------------------------------------------------------------------------

/// A time of its own clock; all records of a run are in one segment.
const NOW_MS: i64 = 1_700_000_000_000;
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

#[derive(Clone)]
struct NanoWal {
    wals: Vec<Arc<nano_wal::Wal>>,
    durability: Durability,
    session: usize,
}

fn open_nano_wal(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    let open = |session: usize| {
        let options = nano_wal::WalOptions { retention: FOR_EVER, segment_duration: FOR_EVER };
        Ok(Arc::new(nano_wal::Wal::new(folder, &format!("session-{session}"), options)?))
    };
    let wals = (0..asked.sessions).map(open).collect::<Result<_>>()?;
    Ok(Some(Box::new(NanoWal { wals, durability: asked.durability, session: 0 })))
}

impl Log for NanoWal {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        // With the segment before two threads could make it at the same time.
        self.wals[session].ensure_segment(NOW_MS)?;
        Ok(Box::new(Self { session, ..self.clone() }))
    }
}

impl Writer for NanoWal {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let durable = self.durability == Durability::Durable;
        self.wals[self.session].append(None, payload, NOW_MS, durable)?;
        Ok(())
    }
}

// ---- okaywal -------------------------------------------------------------------------------

#[derive(Clone)]
struct OkayWal(WriteAheadLog);

#[derive(Debug)]
struct KeepsAll;

impl LogManager for KeepsAll {
    fn recover(&mut self, _entry: &mut Entry<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _wal: &WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

fn open_okaywal(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.durability == Durability::Written {
        return Ok(None);
    }
    let config = okaywal::Configuration::default_for(folder.join("okaywal"))
        .preallocate_bytes(64 << 20)
        .checkpoint_after_bytes(u64::MAX);
    Ok(Some(Box::new(OkayWal(config.open(KeepsAll)?))))
}

impl Log for OkayWal {
    fn writer(&self, _session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(self.clone()))
    }
}

impl Writer for OkayWal {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        entry.write_chunk(payload)?;
        entry.commit()?;
        Ok(())
    }
}

// ---- open-wal ------------------------------------------------------------------------------

struct OpenWal(open_wal::Wal);

fn open_open_wal(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    // A folder and 128 MiB for each session: only where there is one.
    if asked.durability == Durability::Written || asked.sessions > 1 {
        return Ok(None);
    }
    let config = open_wal::WalConfig { max_record_size: RECORD_BYTES_MAX, ..Default::default() };
    let (wal, _report) = open_wal::Wal::open(&folder.join("open-wal"), config)?;
    Ok(Some(Box::new(Grouped::new(OpenWal(wal)))))
}

impl Backend for OpenWal {
    fn commit(&mut self, payloads: &[Bytes]) -> Result<()> {
        for payload in payloads {
            self.0.append(payload)?;
        }
        self.0.commit()?;
        Ok(())
    }
}

// ---- mrecordlog ----------------------------------------------------------------------------

struct Records {
    log: mrecordlog::MultiRecordLog,
    runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Queues {
    records: Arc<Mutex<Records>>,
    queue: String,
}

fn open_mrecordlog(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.durability == Durability::Durable {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let folder = folder.join("mrecordlog");
    std::fs::create_dir_all(&folder)?;
    let log = runtime.block_on(async {
        let mut log = mrecordlog::MultiRecordLog::open(&folder).await?;
        for session in 0..asked.sessions {
            log.create_queue(&session.to_string()).await?;
        }
        Ok::<_, session_journal_benches::Error>(log)
    })?;
    let records = Arc::new(Mutex::new(Records { log, runtime }));
    Ok(Some(Box::new(Queues { records, queue: String::new() })))
}

impl Log for Queues {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Self { queue: session.to_string(), ..self.clone() }))
    }
}

impl Writer for Queues {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let mut records = self.records.lock().map_err(|_| "a producer panicked")?;
        let Records { log, runtime } = &mut *records;
        let position = runtime.block_on(log.append_record(&self.queue, None, &payload[..]))?;
        position.map(drop).ok_or_else(|| "it was not stored".into())
    }
}
