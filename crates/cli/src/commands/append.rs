//! `sjournal append`: a record per line of standard input.
//!
//! Records are written one by one, each on its own: one that is refused takes no other with it.
//! What is waiting already is synced together, and acknowledged when that sync is done.

use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use session_journal::{
    AppendOptions, Appended, Durability, ErrorKind, Expect, Journal, NewRecord, Options, Sequence,
    Takeover,
};
use session_journal_import::{Object, TOOL_KIND_PREFIX};

use crate::args::TakeoverArg;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::input::{self, Event};
use crate::target::{self, New};

/// The most that waits for one sync.
const WAITING_RECORDS: usize = 1024;
const WAITING_BYTES: usize = 4 << 20;

/// Append a record for each line of standard input
///
/// Each record is acknowledged when it is stored. What was acknowledged stays, whatever comes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    echo '{\"hello\":1}' | sjournal append --create main/demo\n  \
    producer | sjournal --json append main/demo --kind event --key-field id\n  \
    sjournal append main/demo --batch < turn.jsonl\n  \
    sjournal append main/demo --expect-seq 41 < answer.json")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
    /// Create the session if it is not there; then only its full name will do
    #[arg(long)]
    create: bool,
    /// The kind of the records
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// All of standard input is one batch: all of it is stored, or nothing
    #[arg(long)]
    batch: bool,
    /// What an acknowledgement promises
    #[arg(long, value_name = "WHAT", default_value = "durable")]
    durability: DurabilityArg,
    /// Whether to take it from an owner that has not released it
    #[arg(long, value_name = "WHEN", default_value = "if-gone")]
    takeover: TakeoverArg,
    /// What to do when another owner takes over
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    on_fenced: OnFenced,
    /// Append only if the last record is this one (0: there is none)
    #[arg(long, value_name = "SEQ")]
    expect_seq: Option<u64>,
    /// Take the key from this field of the line: a record whose key is there is not stored again
    #[arg(long, value_name = "NAME")]
    key_field: Option<String>,
    /// What to note about us in its history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    label: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DurabilityArg {
    /// It survives power loss
    Durable,
    /// It survives a crash of this program
    Written,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnFenced {
    /// End
    Fail,
    /// Take it back, and append again what was not stored
    Reclaim,
}

impl Args {
    /// The records of some input, read in pieces of so many bytes.
    pub(crate) fn records(
        &self,
        input: impl Read,
        piece: usize,
    ) -> Result<Vec<NewRecord>, Failure> {
        let limit = Options::RECORD_BYTES_DEFAULT;
        let lines = input::all_lines(input, piece, limit).map_err(|error| unreadable(&error))?;
        let (lines, is_too_long) = lines;
        if is_too_long {
            return Err(too_long(lines.len() as u64 + 1, limit));
        }
        lines.into_iter().zip(1..).map(|(line, number)| record(self, line, number)).collect()
    }
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    if args.kind.as_ref().is_some_and(|kind| kind.starts_with(TOOL_KIND_PREFIX)) {
        let what = format!("--kind: kinds that begin with {TOOL_KIND_PREFIX} are the tools' own");
        return Err(Failure::usage(format!("{what}; choose another")));
    }
    let options =
        Options { takeover: args.takeover.into(), label: args.label.clone(), ..Options::default() };
    let journal = open(args, &options, context)?;
    let mut appender = Appender {
        path: journal.path().to_owned(),
        journal,
        options,
        expect: args.expect_seq.map(Sequence::new),
        is_durable: args.durability == DurabilityArg::Durable,
        reclaims: args.on_fenced == OnFenced::Reclaim,
        waiting: Vec::new(),
        waiting_bytes: 0,
    };
    let appended = if args.batch {
        all_or_nothing(args, &mut appender, context)
    } else {
        line_by_line(args, &mut appender, context)
    };
    // However it ended, what is stored is synced, and the journal let go.
    let closed = appender.journal.close();
    appended?;
    closed?;
    Ok(Exit::Done)
}

fn open(args: &Args, options: &Options, context: &Context) -> Result<Journal, Failure> {
    if !args.create {
        return Ok(Journal::open(target::find(context, &args.session)?, options)?);
    }
    match target::find_or_name(context, &args.session)? {
        New::Existing(path) => Ok(Journal::open(path, options)?),
        New::Path(path, name) => {
            make_folder(&path)?;
            match Journal::create(&path, &name, options) {
                // Somebody was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    Ok(Journal::open(path, options)?)
                }
                created => Ok(created?),
            }
        }
    }
}

/// Makes the folder of a new journal, for this user only, and as durable as what will be in it.
fn make_folder(path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    let synced = made.and_then(|()| File::open(above.unwrap_or(Path::new(".")))?.sync_all());
    synced.map_err(|error| {
        let what = format!("could not make the folder: {error}");
        Failure::about(ErrorKind::Io, folder, &what, "choose another --store")
    })
}

/// Appends each line as it comes.
fn line_by_line(args: &Args, to: &mut Appender, context: &mut Context) -> Result<(), Failure> {
    let events = input::lines(&context.stop, to.options.record_bytes_max)?;
    let mut number = 0;
    loop {
        let event = match events.try_recv() {
            Ok(event) => event,
            Err(TryRecvError::Disconnected) => Event::End,
            Err(TryRecvError::Empty) => {
                to.settle(context)?;
                wait(&events, to)?
            }
        };
        let appended = match event {
            Event::Lines(lines) => lines.into_iter().try_for_each(|line| {
                number += 1;
                to.append(&record(args, line, number)?, context)
            }),
            Event::End | Event::Stopped => return to.settle(context),
            Event::TooLong => Err(too_long(number + 1, to.options.record_bytes_max)),
            Event::Failed(error) => Err(unreadable(&error)),
        };
        if let Err(failure) = appended {
            // What was stored before it is acknowledged all the same.
            to.settle(context)?;
            return Err(failure);
        }
        if context.stop.is_requested() {
            return to.settle(context);
        }
    }
}

/// Waits for input; syncs what was only written when none comes for a while.
fn wait(events: &Receiver<Event>, to: &mut Appender) -> Result<Event, Failure> {
    let patience = if to.journal.durable_through() < to.journal.last_sequence() {
        to.options.sync_interval
    } else {
        Duration::from_hours(1)
    };
    loop {
        match events.recv_timeout(patience) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Disconnected) => return Ok(Event::End),
            Err(RecvTimeoutError::Timeout) => to.journal.sync()?,
        }
    }
}

/// Appends all of standard input as one batch.
fn all_or_nothing(args: &Args, to: &mut Appender, context: &mut Context) -> Result<(), Failure> {
    let events = input::lines(&context.stop, to.options.record_bytes_max)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    loop {
        match events.recv().unwrap_or(Event::End) {
            Event::Lines(lines) => {
                for line in lines {
                    bytes += line.len() as u64;
                    records.push(record(args, line, records.len() as u64 + 1)?);
                }
                if bytes > to.options.batch_bytes_max {
                    let limit = to.options.batch_bytes_max;
                    let what = format!("the batch is above the limit of {limit} bytes");
                    return Err(refused(ErrorKind::TooLarge, &what, "split it"));
                }
            }
            Event::End => break,
            Event::Stopped => return Err(Failure::Interrupted),
            Event::TooLong => {
                return Err(too_long(records.len() as u64 + 1, to.options.record_bytes_max));
            }
            Event::Failed(error) => return Err(unreadable(&error)),
        }
    }
    if context.stop.is_requested() {
        return Err(Failure::Interrupted);
    }
    to.append_batch(&records, context)
}

/// The record of a line.
fn record(args: &Args, line: Vec<u8>, number: u64) -> Result<NewRecord, Failure> {
    let key = match &args.key_field {
        None => None,
        Some(field) => {
            let key = Object::parse(&line).and_then(|object| object.text(field));
            Some(key.filter(|key| !key.is_empty()).ok_or_else(|| {
                let what =
                    format!("line {number} has no text field {field:?} to take its key from");
                refused(ErrorKind::Invalid, &what, "correct the line, or leave out --key-field")
            })?)
        }
    };
    Ok(NewRecord { kind: args.kind.clone(), key, ..NewRecord::new(line) })
}

fn too_long(number: u64, limit: u64) -> Failure {
    let what = format!("line {number} is above the limit of {limit} bytes");
    refused(ErrorKind::TooLarge, &what, "split it; what came before it is stored")
}

fn unreadable(error: &std::io::Error) -> Failure {
    refused(ErrorKind::Io, &format!("could not read: {error}"), "see where it comes from")
}

fn refused(kind: ErrorKind, what: &str, advice: &str) -> Failure {
    Failure::about(kind, Path::new("standard input"), what, advice)
}

/// A journal that is appended to, and what waits for an acknowledgement.
struct Appender {
    path: PathBuf,
    journal: Journal,
    options: Options,
    /// The first append is conditional; the others follow it.
    expect: Option<Sequence>,
    is_durable: bool,
    reclaims: bool,
    waiting: Vec<(NewRecord, Appended)>,
    waiting_bytes: usize,
}

impl Appender {
    /// Appends a record, and acknowledges it if that takes no sync.
    fn append(&mut self, record: &NewRecord, context: &mut Context) -> Result<(), Failure> {
        let appended = loop {
            let records = std::slice::from_ref(record);
            match self.journal.append_all(records, &self.how(Durability::Written)) {
                Ok(appended) => break appended,
                Err(error) => self.reclaim(error)?,
            }
        };
        self.expect = None;
        for appended in appended {
            if self.is_durable {
                self.waiting_bytes += record.payload.len();
                self.waiting.push((record.clone(), appended));
            } else {
                acknowledge(&appended, context)?;
            }
        }
        if self.waiting.len() >= WAITING_RECORDS || self.waiting_bytes >= WAITING_BYTES {
            self.settle(context)?;
        }
        Ok(())
    }

    /// Appends records as one batch.
    fn append_batch(
        &mut self,
        records: &[NewRecord],
        context: &mut Context,
    ) -> Result<(), Failure> {
        if records.is_empty() {
            return Ok(());
        }
        let durability = if self.is_durable { Durability::Durable } else { Durability::Written };
        let appended = loop {
            match self.journal.append_all(records, &self.how(durability)) {
                Ok(appended) => break appended,
                Err(error) => self.reclaim(error)?,
            }
        };
        appended.iter().try_for_each(|appended| acknowledge(appended, context))?;
        Ok(context.output.flush()?)
    }

    /// Syncs what waits and acknowledges it.
    fn settle(&mut self, context: &mut Context) -> Result<(), Failure> {
        while !self.waiting.is_empty() {
            match self.journal.sync() {
                Ok(()) => break,
                Err(error) => self.reclaim(error)?,
            }
        }
        self.waiting_bytes = 0;
        for (_, mut appended) in self.waiting.drain(..) {
            appended.durable = true;
            acknowledge(&appended, context)?;
        }
        Ok(context.output.flush()?)
    }

    fn how(&self, durability: Durability) -> AppendOptions {
        AppendOptions {
            durability: Some(durability),
            expect: self.expect.map_or(Expect::Anything, Expect::LastIs),
            ..AppendOptions::default()
        }
    }

    /// Takes the journal back from whoever took it, if that was asked for. What waits was stored
    /// before the takeover, or is appended again: its key tells whether somebody else did so.
    fn reclaim(&mut self, error: session_journal::Error) -> Result<(), Failure> {
        if !self.reclaims || error.kind() != ErrorKind::Fenced {
            return Err(error.into());
        }
        let options = Options { takeover: Takeover::Always, ..self.options.clone() };
        self.journal = Journal::open(&self.path, &options)?;
        let reader = self.journal.reader()?;
        for (record, appended) in &mut self.waiting {
            let stored = reader.get(appended.sequence)?;
            if stored.is_some_and(|stored| stored.payload == record.payload) {
                continue;
            }
            let again = self.journal.append_all(
                std::slice::from_ref(record),
                &AppendOptions {
                    durability: Some(Durability::Written),
                    ..AppendOptions::default()
                },
            )?;
            *appended = again.first().copied().unwrap_or(*appended);
        }
        Ok(())
    }
}

fn acknowledge(appended: &Appended, context: &mut Context) -> Result<(), Failure> {
    if context.json {
        return Ok(context.output.json(&to_json(appended))?);
    }
    let durable = if appended.durable { "durable" } else { "written" };
    let duplicate = if appended.duplicate { ", was there already" } else { "" };
    Ok(context.output.line(&format!("{} {durable}{duplicate}", appended.sequence))?)
}

fn to_json(appended: &Appended) -> Value {
    let mut value = json!({
        "seq": appended.sequence.get(),
        "generation": appended.generation.get(),
        "offset": appended.offset.get(),
        "durable": appended.durable,
    });
    if appended.duplicate {
        value["duplicate"] = true.into();
    }
    value
}
