//! `sjournal export`: a session as lines.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, Reader};
use session_journal_import::{Export, Exported};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::target;
use crate::text::{count, size};

/// Write a session as JSONL; for an imported session the source, byte for byte
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal export main/demo > demo.jsonl\n  \
    sjournal export main/demo -o demo.jsonl\n  \
    sjournal export damaged --gaps -o what-is-left.jsonl")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
    /// Write to this file; it is replaced when the export is complete
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on behind damage, and say what is missing, instead of stopping there
    #[arg(long)]
    gaps: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let path = target::find(context, &args.session)?;
    let reader = Reader::open(&path)?;
    let prepare = if args.gaps { Export::over_gaps } else { Export::new };
    let export = prepare(&reader)?;
    let total = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let done = match &args.output {
        None => to_output(&export, total, context)?,
        Some(file) => {
            not_the_journal(file, &path)?;
            let done = to_file(&export, total, file, context)?;
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

fn to_output(export: &Export<'_>, total: u64, context: &mut Context) -> Result<Exported, Failure> {
    let (stop, mut progress) = (context.stop.clone(), context.progress("export"));
    let done = export.write(&mut context.output, &mut |bytes| {
        progress.at(bytes, total);
        !stop.is_requested()
    });
    // What came before an error is part of the answer.
    context.output.flush()?;
    finished(done?, context)
}

fn to_file(
    export: &Export<'_>,
    total: u64,
    path: &Path,
    context: &mut Context,
) -> Result<Exported, Failure> {
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

fn write(
    export: &Export<'_>,
    total: u64,
    file: impl Write,
    path: &Path,
    context: &mut Context,
) -> Result<Exported, Failure> {
    let (stop, mut progress) = (context.stop.clone(), context.progress("export"));
    let mut file = BufWriter::new(file);
    let done = export.write(&mut file, &mut |bytes| {
        progress.at(bytes, total);
        !stop.is_requested()
    });
    match done {
        Ok(done) => finished(done, context),
        Err(session_journal_import::Error::Output(error)) => Err(about(path, &error)),
        Err(error) => Err(error.into()),
    }
}

fn finished(done: Exported, context: &Context) -> Result<Exported, Failure> {
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
