//! Importing arbitrary bytes, as a source that grows: whatever they are, the export is the source,
//! importing it again does nothing, and the source is not touched.
//!
//! The first byte of an input chooses the format, the second how many parts the rest comes in.

use std::fs;
use std::io::Write;
use std::path::Path;

use session_journal::{Reader, verify};
use session_journal_import::{Export, Format, Import, ImportOptions, Outcome, SourceReport};

/// Looked at, or one of the formats.
const FORMATS: u8 = 9;

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let [format, parts, source @ ..] = bytes else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (path, store) = (folder.path().join("source.jsonl"), folder.path().join("store"));
    fs::File::create(&path).expect("creates");
    let import = Import::new(&store, options(*format));
    let part = source.len().div_ceil(1 + usize::from(parts % 4)).max(1);
    for end in (part..source.len()).step_by(part).chain([source.len()]) {
        grow(&path, &source[..end]);
        let report = import.run_file(&path);
        // A text that is no session of the format that was asked for may be refused.
        if let Some(error) = &report.error {
            assert!(format % FORMATS != 0, "what was looked at is refused: {error}");
            return;
        }
        same(&store, &report, &source[..end]);
        let again = import.run_file(&path);
        let is_same = matches!(again.outcome, Outcome::Unchanged | Outcome::Empty);
        assert!(is_same, "imported twice: {again:?}");
        assert_eq!((again.session, again.sha256), (report.session, report.sha256));
    }
    assert_eq!(fs::read(&path).expect("reads"), source, "the source is not touched");
}

fn options(format: u8) -> ImportOptions {
    let format = usize::from(format % FORMATS).checked_sub(1);
    ImportOptions {
        format: format.and_then(|format| Format::ALL.get(format).copied()),
        jobs: 1,
        ..ImportOptions::default()
    }
}

fn grow(path: &Path, source: &[u8]) {
    let there = fs::metadata(path).expect("is there").len();
    let there = usize::try_from(there).expect("a small file");
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(&source[there..]).expect("writes");
}

/// The session of a report gives the source back, and is sound.
fn same(store: &Path, report: &SourceReport, source: &[u8]) {
    assert_eq!(report.bytes, source.len() as u64);
    let session = report.session.as_ref().expect("a session");
    let journal = store.join(session.relative_path());
    let reader = Reader::open(&journal).expect("opens");
    let mut exported = Vec::new();
    let export = Export::new(&reader).expect("prepares");
    let done = export.write(&mut exported, &mut |_| true).expect("exports");
    assert!(exported == source, "the export is not the source");
    assert_eq!((done.bytes, done.gaps), (source.len() as u64, Vec::new()));
    assert!(verify(&journal, &mut |_, _| ()).expect("verifies").ok);
}
