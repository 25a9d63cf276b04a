//! `--report FILE`: what became of every source, as one JSON text, written as it goes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_journal::ErrorKind;
use tempfile::NamedTempFile;

use crate::exit::Failure;

/// How every report begins.
const BEGIN: &str = "{\"sources\":[";

/// A report on its way; it has its name when it is whole.
pub(super) struct Report {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    is_first: bool,
}

impl Report {
    pub(super) fn begin(path: &Path) -> Result<Self, Failure> {
        if !may_be_replaced(path).map_err(|error| failed(path, &error))? {
            let (what, advice) = ("is there already, and is no report", "name another file");
            return Err(Failure::about(ErrorKind::Invalid, path, what, advice));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let file = file.map_err(|error| failed(path, &error.kind().into()))?;
        let mut report = Self { path: path.to_owned(), out: BufWriter::new(file), is_first: true };
        report.put(BEGIN)?;
        Ok(report)
    }

    pub(super) fn add(&mut self, source: &Value) -> Result<(), Failure> {
        let comma = if self.is_first { "\n" } else { ",\n" };
        self.is_first = false;
        self.put(&format!("{comma}{source}"))
    }

    pub(super) fn end(mut self, summary: &Value) -> Result<(), Failure> {
        self.put(&format!("\n],\n\"summary\":{summary}}}\n"))?;
        let path = self.path;
        let file = self.out.into_inner().map_err(|error| failed(&path, error.error()))?;
        file.as_file().sync_all().map_err(|error| failed(&path, &error))?;
        file.persist(&path).map_err(|error| failed(&path, &error.error))?;
        Ok(())
    }

    fn put(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).map_err(|error| failed(&self.path, &error))
    }
}

/// Whether nothing is lost where a report takes this place: it may be mistaken for a source or a
/// journal.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Ok(false);
    }
    let mut begin = Vec::new();
    File::open(path)?.take(BEGIN.len() as u64).read_to_end(&mut begin)?;
    Ok(begin.is_empty() || begin == BEGIN.as_bytes())
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    let what = format!("could not write the report: {error}");
    Failure::about(kind, path, &what, "name a file in a folder that can be written to")
}
