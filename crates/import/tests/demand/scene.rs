//! A row of the table, and how it is played.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use session_journal_import::{Outcome, SourceReport};

use crate::support::{Bench, copy_tree, files, fixtures_folder, grow};

/// A row of the list of demands.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// What users reported.
    pub(crate) what: &'static str,
    /// What there is.
    pub(crate) files: Vec<File>,
    /// What happens, in this order.
    pub(crate) steps: Vec<Step>,
}

/// A source, and what becomes of it when it is imported for the first time.
pub(crate) struct File {
    /// Its name in the folder of an agent's sessions, or its path from the folder of the agents.
    name: String,
    holds: Holds,
    outcome: Outcome,
    reason: &'static str,
    damage: &'static [&'static str],
}

enum Holds {
    Bytes(Vec<u8>),
    /// A session in a database, which gives these bytes.
    Part(Vec<u8>),
    /// A file of `tests/fixtures`, packed.
    Packed(&'static str),
}

/// What happens.
pub(crate) enum Step {
    /// All of it is imported into an empty store. Every file becomes what its row says.
    Import,
    /// It is imported again. These files become that, for this reason; the others are unchanged, or
    /// skipped again. Where that is all of them, not one byte of the store is another.
    Again(&'static [(&'static str, Outcome, &'static str)]),
    /// Every file is put back from a copy: another inode, another time.
    Restored,
    /// The second file is another name of the first one.
    Linked(&'static str, &'static str),
    /// This is appended to the file.
    Grown(&'static str, &'static str),
    /// The file has this instead.
    Rewritten(&'static str, String),
    /// Something of the row's own.
    Does(fn(&mut Bench)),
}

/// A file that is imported.
pub(crate) fn file(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> File {
    let holds = Holds::Bytes(bytes.into());
    let (outcome, reason) = (Outcome::Imported, reason_of(Outcome::Imported));
    File { name: name.into(), holds, outcome, reason, damage: &[] }
}

/// A database of `tests/fixtures`: it is no session itself.
pub(crate) fn database(name: &str, fixture: &'static str) -> File {
    let skipped = file(name, "").skipped("a database: its sessions follow, one by one");
    File { holds: Holds::Packed(fixture), ..skipped }
}

/// A session in a database.
pub(crate) fn part(name: impl Into<String>, bytes: Vec<u8>) -> File {
    File { holds: Holds::Part(bytes), ..file(name, "") }
}

impl File {
    /// Its lines are odd in these ways, in this order.
    pub(crate) fn odd(self, damage: &'static [&'static str]) -> Self {
        Self { damage, ..self }
    }

    pub(crate) fn skipped(self, reason: &'static str) -> Self {
        Self { outcome: Outcome::Skipped, reason, ..self }
    }

    pub(crate) fn empty(self) -> Self {
        Self { outcome: Outcome::Empty, reason: reason_of(Outcome::Empty), ..self }
    }

    pub(crate) fn failed(self, reason: &'static str) -> Self {
        Self { outcome: Outcome::Failed, reason, ..self }
    }
}

fn reason_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Imported => "it was not here before",
        Outcome::Unchanged => "its session holds exactly these bytes",
        Outcome::Empty => "it has no bytes; its session is there, and empty",
        Outcome::Extended | Outcome::Skipped | Outcome::Failed => "",
    }
}

/// The folder of all agents.
pub(crate) fn agents(bench: &Bench) -> PathBuf {
    bench.path("agents")
}

/// Where a file is.
pub(crate) fn place(bench: &Bench, name: &str) -> PathBuf {
    let is_path = name.contains('/');
    agents(bench).join(if is_path { name.to_owned() } else { format!("main/sessions/{name}") })
}

/// A row that is being played.
pub(crate) struct Scene<'a> {
    row: &'a Row,
    bench: Bench,
    imported: BTreeSet<PathBuf>,
}

impl<'a> Scene<'a> {
    /// Lays the files of a row.
    pub(crate) fn of(row: &'a Row) -> Self {
        let bench = Bench::new();
        for file in &row.files {
            let path = place(&bench, &file.name);
            match &file.holds {
                Holds::Bytes(bytes) => drop(bench.write(path.to_str().expect("text"), bytes)),
                Holds::Packed(fixture) => {
                    let packed = fs::read(fixtures_folder(fixture)).expect("the fixture is there");
                    let bytes = zstd::decode_all(&packed[..]).expect("unpacks");
                    bench.write(path.to_str().expect("text"), bytes);
                }
                Holds::Part(_) => {}
            }
        }
        Self { row, bench, imported: BTreeSet::new() }
    }

    pub(crate) fn play(&mut self, step: &Step) {
        match step {
            Step::Import => self.import(&[], true),
            Step::Again(those) => self.import(those, false),
            Step::Restored => self.restore(),
            Step::Linked(from, to) => {
                let to = place(&self.bench, to);
                fs::remove_file(&to).expect("removes");
                fs::hard_link(place(&self.bench, from), to).expect("links");
            }
            Step::Grown(name, more) => grow(&place(&self.bench, name), more),
            Step::Rewritten(name, text) => {
                fs::write(place(&self.bench, name), text).expect("writes");
            }
            Step::Does(it) => it(&mut self.bench),
        }
    }

    /// Whether every file of the row is in a session, but for those that are none.
    pub(crate) fn has_imported(&self) -> bool {
        let sessions = self.row.files.iter().filter(|file| file.outcome != Outcome::Skipped);
        sessions
            .map(|file| place(&self.bench, &file.name))
            .all(|path| self.imported.contains(&path))
    }

    fn restore(&self) {
        let (agents, copy) = (agents(&self.bench), self.bench.path("copy"));
        copy_tree(&agents, &copy);
        fs::remove_dir_all(&agents).expect("removes");
        fs::rename(&copy, &agents).expect("renames");
    }

    /// Imports it all, as far as there is room. The sources are as before, and the room that it took
    /// was announced.
    fn import(&mut self, those: &[(&str, Outcome, &str)], is_first: bool) {
        let sources = files(&agents(&self.bench));
        let stored = self.stored();
        let import = self.bench.import();
        let plan = import.plan(&[agents(&self.bench)]);
        import.check_space(&plan).expect("there is room for so little");
        let needed = plan.space().needed;
        let mut reports = Vec::new();
        let summary = import.run_plan(plan, &mut |report| reports.push(copy_of(report)));
        let Row { id, what, .. } = self.row;
        assert!(summary.is_balanced(), "{id}: {what}: {summary:?}");
        assert_eq!(reports.len(), self.row.files.len(), "{id}: {what}: {reports:?}");
        for file in &self.row.files {
            let other = those.iter().find(|(name, ..)| *name == file.name);
            let expected = match (other, is_first, file.outcome) {
                (Some((_, outcome, reason)), ..) => (*outcome, *reason),
                (None, true, _) | (None, _, Outcome::Skipped) => (file.outcome, file.reason),
                (None, ..) => (Outcome::Unchanged, reason_of(Outcome::Unchanged)),
            };
            self.became(file, &reports, expected, is_first);
        }
        assert!(files(&agents(&self.bench)) == sources, "{id}: the sources are as they were");
        let now = self.stored();
        if is_first {
            let used: usize = now.values().map(Vec::len).sum();
            assert!(used as u64 <= needed, "{id}: {used} bytes were used, {needed} announced");
        } else if those.is_empty() {
            assert!(now == stored, "{id}: the store is as it was");
        }
    }

    fn stored(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let store = self.bench.store();
        if store.exists() { files(&store) } else { BTreeMap::new() }
    }

    /// What became of a file: its outcome, why, what to do next, its damage, its bytes.
    fn became(
        &mut self,
        file: &File,
        reports: &[SourceReport],
        (outcome, reason): (Outcome, &str),
        is_first: bool,
    ) {
        let (id, path) = (self.row.id, place(&self.bench, &file.name));
        let all: Vec<_> = reports.iter().filter(|report| report.source == path).collect();
        let [report] = &all[..] else { panic!("{id}: {} has {} ends", file.name, all.len()) };
        assert_eq!(report.outcome, outcome, "{id}: {}: {report:?}", file.name);
        assert!(!reason.is_empty() && report.reason.contains(reason), "{id}: {report:?}");
        assert!(!report.next.is_empty(), "{id}: {report:?}");
        if is_first {
            let damage: Vec<_> = report.damage.iter().map(|one| one.what.as_str()).collect();
            assert_eq!(damage, file.damage, "{id}: {}", file.name);
        }
        if report.session.is_some() {
            let source = match &file.holds {
                Holds::Part(bytes) => bytes.clone(),
                _ => fs::read(&path).expect("reads"),
            };
            assert!(self.bench.export_of(report) == source, "{id}: {} comes back", file.name);
            self.imported.insert(path);
        }
    }
}

/// What is looked at in a report; its error is in its reason.
fn copy_of(report: &SourceReport) -> SourceReport {
    assert_eq!(report.error.is_some(), report.outcome == Outcome::Failed, "{report:?}");
    SourceReport {
        source: report.source.clone(),
        session: report.session.clone(),
        reason: report.reason.clone(),
        next: report.next.clone(),
        sha256: report.sha256.clone(),
        damage: report.damage.clone(),
        warnings: report.warnings.clone(),
        attributes: report.attributes.clone(),
        error: None,
        ..*report
    }
}
