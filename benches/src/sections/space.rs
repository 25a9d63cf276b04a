//! What the engine takes: bytes on disk, and memory. Memory is the most that a process of its own ever
//! had in use.

use std::path::{Path, PathBuf};

use session_journal::Durability::{Durable, Written};
use session_journal::{Journal, NewRecord, Reader, Sequence, Store, StoreOptions};
use session_journal_import::{Import, ImportOptions};

use super::Run;
use super::appending::open_sessions;
use super::reading::size;
use crate::Result;
use crate::bar::{Bar, Row, Unit};
use crate::child::{Child, say};
use crate::data::{fill, in_path, key, last_of_path};
use crate::drive::{runtime, tasks};
use crate::engine::{name, options};
use crate::machine::{folder, peak_memory};
use crate::workload::{Mix, RECORD_BYTES, payload};

pub(super) fn space(run: &mut Run<'_>) -> Result<()> {
    on_disk(run);
    memory(run)
}

// ---- bytes on disk -------------------------------------------------------------------------

fn on_disk(run: &mut Run<'_>) {
    let count = run.scale.counted;
    let plain = |n| {
        let _: usize = n;
        NewRecord::new(payload(RECORD_BYTES))
    };
    let work = "disk bytes per 1 KiB record, checkpoints included";
    let row = bytes_on_disk(count, plain).map(|bytes| {
        let (this, ratio) = (format!("{bytes:.0} bytes"), bytes / RECORD_BYTES as f64);
        Row::judged(work, &this, "1024 bytes", ratio, Unit::Ratio, Bar::AtMost(1.10))
    });
    run.row(work, row);
    let keyed = |n| NewRecord::new(payload(RECORD_BYTES)).kind("message").key(key(n as u64));
    let work = "… with a kind of 7 and a key of 8 bytes, indexed";
    let row = bytes_on_disk(count, keyed).map(|bytes| {
        let ratio = Unit::Ratio.text(bytes / RECORD_BYTES as f64);
        Row::told(work, &format!("{bytes:.0} bytes"), "1024 bytes", &ratio)
    });
    run.row(work, row);
}

/// Appended one at a time, and released.
fn bytes_on_disk(count: usize, record: impl Fn(usize) -> NewRecord) -> Result<f64> {
    let folder = folder()?;
    let path = folder.path().join("counted.journal");
    let mut journal = Journal::create(&path, &name(0)?, &options(Written))?;
    for n in 0..count {
        journal.append(&record(n))?;
    }
    journal.close()?;
    Ok(path.metadata()?.len() as f64 / count as f64)
}

// ---- memory --------------------------------------------------------------------------------

/// What a process of its own does: what tables call it, what the child is told, and about which file.
struct Work {
    what: String,
    child: &'static str,
    path: PathBuf,
    argument: String,
}

impl Work {
    fn new(what: &str, child: &'static str, path: &Path, argument: &dyn ToString) -> Self {
        Self { what: what.to_owned(), child, path: path.to_owned(), argument: argument.to_string() }
    }
}

/// Everything that the bar counts.
fn works(run: &Run<'_>) -> Result<Vec<Work>> {
    let (new, none) = (run.data.path(), "");
    let many = run.scale.many_sessions;
    let mut works = vec![
        Work::new("nothing", "nothing", new, &none),
        Work::new("append 1 KiB, one session", "append", new, &run.scale.appends),
        Work::new("append the mix, one of 11 MB", "mix", new, &run.scale.mix_one_in),
        Work::new(
            "append with keys, until tables are merged twice",
            "keyed",
            new,
            &run.scale.keyed,
        ),
        Work::new("64 durable producers, one session", "producers", new, &1),
        Work::new("64 durable sessions", "producers", new, &64),
        Work::new(&format!("{many} sessions, open at once"), "sessions", new, &many),
    ];
    for bytes in &run.scale.sizes {
        let ((journal, records), at) = (run.data.journal(*bytes)?, size(*bytes));
        let last = last_of_path(records);
        works.extend([
            Work::new(&format!("open + last 100, {at}"), "end", &journal, &none),
            Work::new(&format!("one key and one sequence, {at}"), "look", &journal, &records),
            Work::new(&format!("path to the root, {at}"), "path", &journal, &key(last)),
            Work::new(&format!("full scan, {at}"), "scan", &journal, &none),
            Work::new(&format!("verify, {at}"), "verify", &journal, &none),
        ]);
    }
    let (history, last) = run.data.history(run.scale.history)?;
    let of = format!("path to the root, of {}", run.scale.history);
    works.push(Work::new(&of, "path", &history, &key(last)));
    let sessions = run.scale.lists.last().copied().unwrap_or_default();
    let store = run.data.store(sessions)?;
    works.push(Work::new(&format!("list {sessions} sessions"), "list", &store, &none));
    Ok(works)
}

fn memory(run: &mut Run<'_>) -> Result<()> {
    let mut peaks = Vec::new();
    for Work { what, child, path, argument } in works(run)? {
        let work = format!("memory: {what}");
        match peak_of(child, &path, &argument) {
            Ok(peak) => peaks.push((work, peak)),
            Err(error) => run.row(&work, Err(error)),
        }
    }
    let work = "memory, the most of any of these";
    let most = peaks.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let row = most.ok_or_else(|| "no process told".into()).map(|(what, peak)| {
        let this = format!("{peak:.1} MiB ({})", what.trim_start_matches("memory: "));
        Row::judged(work, &this, "", *peak, Unit::Mebibytes, Bar::AtMost(64.0)).for_users()
    });
    run.row(work, row);
    for (work, peak) in peaks {
        run.row(&work, Ok(Row::told(&work, &format!("{peak:.1} MiB"), "", "")));
    }
    let (files, lines) = run.scale.import;
    let (home, _) = run.data.sessions(files, lines, run.seed)?;
    let work = format!("memory: import {files} session files");
    let peak = peak_of("import", &home, "");
    run.row(&work, peak.map(|peak| Row::told(&work, &format!("{peak:.1} MiB"), "", "")));
    Ok(())
}

fn peak_of(what: &str, path: &Path, argument: &str) -> Result<f64> {
    let mut child = Child::start("memory", path, &format!("{what} {argument}"))?;
    let peak = child.number()?;
    child.end()?;
    Ok(peak)
}

/// A child: does one thing, and says how much memory that took.
pub(super) fn memory_of(path: &Path, argument: &str) -> Result<()> {
    let (what, argument) = argument.split_once(' ').unwrap_or((argument, ""));
    let folder = folder()?;
    match what {
        "nothing" => (),
        "append" => append(folder.path(), argument.parse()?)?,
        "keyed" => keyed(folder.path(), argument.parse()?)?,
        "mix" => mix(folder.path(), argument.parse()?)?,
        "producers" => producers(folder.path(), argument.parse()?)?,
        "sessions" => sessions(folder.path(), argument.parse()?)?,
        "end" => drop(Reader::open(path)?.last(100)?.collect::<Result<Vec<_>, _>>()?),
        "look" => look(path, argument.parse()?)?,
        "path" => {
            let entries = Reader::open(path)?.path_to_root(argument)?;
            drop(entries.collect::<Result<Vec<_>, _>>()?);
        }
        "scan" => Reader::open(path)?.records().try_for_each(|record| record.map(drop))?,
        "verify" => drop(session_journal::verify(path, &mut |_, _| ())?),
        "list" => drop(Store::open(path, StoreOptions::default())?.list()?),
        "import" => {
            let import = Import::new(folder.path().join("store"), ImportOptions::default());
            let summary = import.run(&[path.to_owned()], &mut |_| ());
            if summary.failed > 0 {
                return Err(format!("{} sources failed", summary.failed).into());
            }
        }
        what => return Err(format!("no memory of {what:?}").into()),
    }
    say(peak_memory())
}

fn append(folder: &Path, count: usize) -> Result<()> {
    let session = &open_sessions(folder, Written, 1)?[0];
    let payload = payload(RECORD_BYTES);
    for _ in 0..count {
        session.append_blocking(payload.clone())?;
    }
    Ok(())
}

fn keyed(folder: &Path, records: u64) -> Result<()> {
    let payload = payload(RECORD_BYTES);
    fill(&folder.join("keyed.journal"), records, |n| in_path(&payload, n, records))
}

/// The text that all payloads are slices of is there as well: 11 MiB that are not the engine's.
fn mix(folder: &Path, one_in: usize) -> Result<()> {
    let session = &open_sessions(folder, Written, 1)?[0];
    for payload in Mix::new(1, one_in).payloads() {
        session.append_blocking(payload.clone())?;
    }
    Ok(())
}

fn producers(folder: &Path, count: usize) -> Result<()> {
    let payloads = [payload(RECORD_BYTES)];
    let time = std::time::Duration::from_millis(300);
    let turn = crate::drive::Turn { payloads: &payloads, appends: 100_000, time };
    tasks(&runtime()?, &open_sessions(folder, Durable, count)?, 64, 1, turn)?;
    Ok(())
}

fn sessions(folder: &Path, count: usize) -> Result<()> {
    let sessions = open_sessions(folder, Written, count)?;
    let payload = payload(RECORD_BYTES);
    for _ in 0..3 {
        for session in &sessions {
            session.append_blocking(payload.clone())?;
        }
    }
    Ok(())
}

fn look(path: &Path, records: u64) -> Result<()> {
    let middle = records / 2;
    let reader = Reader::open(path)?;
    let by_key = reader.by_key(&key(middle))?.ok_or("no such key")?;
    let by_sequence = reader.get(Sequence::new(middle))?.ok_or("no such sequence")?;
    if by_key == by_sequence { Ok(()) } else { Err("two records where one was due".into()) }
}
