//! `--report FILE`: what became of every source, as one JSON text, written as it goes.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_journal::ErrorKind;
use tempfile::NamedTempFile;

use crate::exit::Failure;

/// A report on its way; it has its name when it is whole.
pub(super) struct Report {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    is_first: bool,
}

impl Report {
    pub(super) fn begin(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let file = file.map_err(|error| failed(path, &error.kind().into()))?;
        let mut report = Self { path: path.to_owned(), out: BufWriter::new(file), is_first: true };
        report.put("{\"sources\":[")?;
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

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    let what = format!("could not write the report: {error}");
    Failure::about(kind, path, &what, "name a file in a folder that can be written to")
}
