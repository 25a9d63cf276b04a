//! `sjournal export`: a session as lines, or all of them as the files that they were.

mod all;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, Reader};
use session_journal_import::{Export, write_clean};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::target;
use crate::text::{count, size};

/// Write a session as JSONL; for an imported session the source, byte for byte
///
/// With --all every session is written, each as the file that it was, names included.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal export main/demo > demo.jsonl\n  \
    sjournal export main/demo -o demo.jsonl\n  \
    sjournal export damaged --gaps -o what-is-left.jsonl\n  \
    sjournal export agent:main:main --format pi > clean.jsonl\n  \
    sjournal export --all back/")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, its registry's key, or a journal file
    #[arg(required_unless_present = "all")]
    session: Option<String>,
    /// Write every session into this folder, which must be empty or not there yet
    #[arg(long, value_name = "DIR", conflicts_with_all = ["session", "output", "format"])]
    all: Option<PathBuf>,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "original")]
    format: Form,
    /// Write to this file; it is replaced when the export is complete
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on behind damage, and say what is missing, instead of stopping there
    #[arg(long)]
    gaps: bool,
}

/// What a session is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// What it was: the source, byte for byte, and what was appended since
    Original,
    /// JSON Lines that pi can read, version 3; damage is left out, and named
    Pi,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    if let Some(folder) = &args.all {
        return all::run(folder, args.gaps, context);
    }
    let path = target::find(context, args.session.as_deref().unwrap_or_default())?;
    if args.format == Form::Pi {
        return clean(args, &path, context);
    }
    let reader = Reader::open(&path)?;
    let prepare = if args.gaps { Export::over_gaps } else { Export::new };
    let export = prepare(&reader)?;
    let total = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let write: &mut Writing<'_, _> = &mut |out, go_on| export.write(out, go_on);
    let done = match &args.output {
        None => to_output(write, total, context)?,
        Some(file) => {
            not_the_journal(file, &path)?;
            let done = to_file(write, total, file, context)?;
            let what = format!("{}, {}", count(done.records, "record"), size(done.bytes));
            context.note(&format!("{}: {what}", file.display()));
            done
        }
    };
    for gap in &done.gaps {
        context.note(&format!("{} record(s) are missing from {} on", gap.records, gap.first));
    }
    Ok(if done.gaps.is_empty() { Exit::Done } else { Exit::Findings })
}

/// What writes a session: to where, told how far it is.
type Writing<'a, T> = dyn FnMut(&mut dyn Write, &mut dyn FnMut(u64) -> bool) -> session_journal_import::Result<T>
    + 'a;

fn clean(args: &Args, path: &Path, context: &mut Context) -> Result<Exit, Failure> {
    let reader = Reader::open(path)?;
    let total = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let write: &mut Writing<'_, _> = &mut |out, go_on| write_clean(&reader, out, go_on);
    let done = match &args.output {
        None => to_output(write, total, context)?,
        Some(file) => {
            not_the_journal(file, path)?;
            to_file(write, total, file, context)?
        }
    };
    for damage in &done.damage {
        context.note(&format!("left out or mended: {damage}"));
    }
    for note in &done.notes {
        context.note(note);
    }
    let is_clean = done.damage.is_empty() && done.notes.is_empty();
    Ok(if is_clean { Exit::Done } else { Exit::Findings })
}

fn to_output<T>(
    export: &mut Writing<'_, T>,
    total: u64,
    context: &mut Context,
) -> Result<T, Failure> {
    let (stop, mut progress) = (context.stop.clone(), context.progress_of_output("export"));
    let done = export(&mut context.output, &mut |bytes| {
        progress.at(bytes, total);
        !stop.is_requested()
    });
    // What came before an error is part of the answer.
    context.output.flush()?;
    finished(done?, context)
}

fn to_file<T>(
    export: &mut Writing<'_, T>,
    total: u64,
    path: &Path,
    context: &mut Context,
) -> Result<T, Failure> {
    let failed = |error: std::io::Error| about(path, &error);
    let is_special =
        path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    if is_special {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return write(export, total, file, path, context);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Its errors name the temporary file, which means nothing to anybody.
    let unfinished =
        tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(error.kind().into()))?;
    let done = write(export, total, unfinished.as_file(), path, context)?;
    unfinished.as_file().sync_all().map_err(failed)?;
    unfinished.persist(path).map_err(|error| failed(error.error))?;
    Ok(done)
}

fn write<T>(
    export: &mut Writing<'_, T>,
    total: u64,
    file: impl Write,
    path: &Path,
    context: &mut Context,
) -> Result<T, Failure> {
    let (stop, mut progress) = (context.stop.clone(), context.progress("export"));
    let mut file = BufWriter::new(file);
    let done = export(&mut file, &mut |bytes| {
        progress.at(bytes, total);
        !stop.is_requested()
    });
    match done {
        Ok(done) => finished(done, context),
        Err(session_journal_import::Error::Output(error)) => Err(about(path, &error)),
        Err(error) => Err(error.into()),
    }
}

fn finished<T>(done: T, context: &Context) -> Result<T, Failure> {
    if context.stop.is_requested() { Err(Failure::Interrupted) } else { Ok(done) }
}

fn not_the_journal(file: &Path, journal: &Path) -> Result<(), Failure> {
    let place = |path: &Path| path.canonicalize().ok();
    if place(file).is_some() && place(file) == place(journal) {
        let (what, advice) = ("is the journal itself", "write to another file");
        return Err(Failure::about(ErrorKind::Invalid, file, what, advice));
    }
    Ok(())
}

fn about(path: &Path, error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    let what = format!("could not write the export: {error}");
    Failure::about(kind, path, &what, "name a file in a folder that can be written to")
}
