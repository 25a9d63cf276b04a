//! A folder with a store and sources in it, gone when the test ends.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use session_journal::{NewRecord, Options, Reader, Store, StoreOptions};
use session_journal_import::{
    Catalogue, Export, Import, ImportOptions, Outcome, SourceReport, Summary,
};
use tempfile::TempDir;

pub struct Bench {
    folder: TempDir,
    pub options: ImportOptions,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, options: ImportOptions::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn import(&self) -> Import {
        Import::new(self.store(), self.options.clone())
    }

    /// Writes a source file and gives back its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
        fs::write(&path, bytes).expect("writes the source");
        path
    }

    /// Imports a file and expects this outcome.
    pub fn run(&self, path: &Path, outcome: Outcome) -> SourceReport {
        let report = self.import().run_file(path);
        assert_eq!(report.outcome, outcome, "{report:?}");
        report
    }

    pub fn run_all(&self, paths: &[PathBuf]) -> (Vec<SourceLine>, Summary) {
        let mut lines = Vec::new();
        let summary = self.import().run(paths, &mut |report| lines.push(SourceLine::of(report)));
        (lines, summary)
    }

    pub fn journal(&self, session: &str) -> PathBuf {
        let name: session_journal::SessionName = session.parse().expect("a name");
        self.store().join(name.relative_path())
    }

    /// What is known of all sessions.
    pub fn catalogue(&self) -> Catalogue {
        let store = Store::open(self.store(), StoreOptions::default()).expect("opens");
        let listed = store.list().expect("lists").into_iter();
        let mut journals: Vec<_> = listed.map(|one| (one.name, one.path)).collect();
        journals.sort();
        Catalogue::read(journals)
    }

    pub fn reader(&self, session: &str) -> Reader {
        Reader::open(self.journal(session)).expect("opens")
    }

    pub fn export(&self, session: &str) -> Vec<u8> {
        let reader = self.reader(session);
        let mut bytes = Vec::new();
        let export = Export::new(&reader).expect("prepares");
        let done = export.write(&mut bytes, &mut |_| true).expect("exports");
        assert_eq!(done.bytes, bytes.len() as u64);
        bytes
    }

    /// Exports what a report says was imported.
    pub fn export_of(&self, report: &SourceReport) -> Vec<u8> {
        self.export(&report.session.as_ref().expect("a session").to_string())
    }

    /// Appends a record as somebody who uses the session.
    pub fn append(&self, session: &str, payload: &str) {
        let mut journal = open(&self.journal(session));
        journal.append(&NewRecord::new(payload.to_owned())).expect("appends");
        journal.close().expect("closes");
    }
}

/// Lets a source file grow.
pub fn grow(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(bytes.as_ref()).expect("writes");
}

pub fn open(path: &Path) -> session_journal::Journal {
    session_journal::Journal::open(path, &Options::default()).expect("opens")
}

/// What a test looks at in a report.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceLine {
    pub file: String,
    pub session: Option<String>,
    pub outcome: Outcome,
}

impl SourceLine {
    fn of(report: &SourceReport) -> Self {
        let name = report.source.file_name().unwrap_or_default();
        Self {
            file: name.to_string_lossy().into_owned(),
            session: report.session.as_ref().map(ToString::to_string),
            outcome: report.outcome,
        }
    }
}

/// Copies a folder with all that is in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes folders");
    for entry in fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_tree(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).expect("reads")).expect("writes");
        }
    }
}

/// All files below a folder: their paths from there, and their bytes.
pub fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("reads") {
            let path = entry.expect("reads").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let below = path.strip_prefix(root).expect("is below").to_owned();
            files.insert(below, fs::read(&path).expect("reads"));
        }
    }
    files
}

/// A folder of `tests/fixtures`.
pub fn fixtures_folder(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(folder)
}

/// All fixture files below a folder of `tests/fixtures`.
pub fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut waiting = vec![fixtures_folder(folder)];
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("the fixtures are there") {
            let path = entry.expect("reads").path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}
