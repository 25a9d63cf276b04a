//! Many sources, a few at a time: sources of one name one after the other, so that they find each
//! other's sessions.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use session_journal::storage::Staging;
use session_journal::{Options, Reader, SessionName};

use crate::attempt::Attempt;
use crate::control::Control;
use crate::discover::{Found, Spec, discover};
use crate::error::{Error, Problem, Result};
use crate::export::Export;
use crate::format::Format;
use crate::naming::{family, session_name};
use crate::original::Original;
use crate::report::{Outcome, SourceReport, Summary};
use crate::shell::{as_format, import_command};
use crate::sources::{Copies, Registries};
use crate::space::Space;
use crate::worker::Worker;

/// How often a source that changes while it is read is read again.
const ATTEMPTS: usize = 4;

/// Sources at a time, however many processors there are: each has its own memory.
const JOBS: usize = 8;

/// What an owner that imports says about itself: so a journal whose import was cut short is known.
pub(crate) const LABEL: &str = "import";

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What the sources are; each is looked at where absent. Default: absent.
    pub format: Option<Format>,
    /// Decide and count, write nothing. Default: false.
    pub dry_run: bool,
    /// Export what was imported once more, and compare it with the source. Default: false. Costs
    /// one more read of each session.
    pub verify: bool,
    /// How many sources at a time. Default: 8, so that some are read and parsed while others wait for
    /// the disk.
    pub jobs: usize,
    /// How journals are opened. Default: records of up to 1 GiB, no sync before the receipt, which
    /// makes everything before it durable, and the label `import`; else the engine's. A rollback
    /// knows a journal whose import was cut short by that label.
    pub journal: Options,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: None,
            dry_run: false,
            verify: false,
            jobs: JOBS,
            journal: Options {
                record_bytes_max: Options::RECORD_BYTES_LIMIT,
                label: LABEL.to_owned(),
                // What is lost without a receipt is still in its source.
                sync_bytes: u64::MAX,
                sync_interval: Duration::MAX,
                ..Options::default()
            },
        }
    }
}

/// An import into the sessions of one folder.
#[derive(Debug)]
pub struct Import {
    pub(crate) folder: PathBuf,
    pub(crate) options: ImportOptions,
    pub(crate) control: Arc<Control>,
    /// Whether it decides as if nothing were stored.
    pub(crate) sees_nothing: bool,
}

/// What the sources of a run have in common.
#[derive(Default)]
pub(crate) struct Around {
    registries: Registries,
    copies: Copies,
}

/// Files of which no two may be imported at the same time, each with its place in the order.
type Group = Vec<(usize, Spec)>;

impl Import {
    /// An import into the store in this folder. It is made when something is to be written.
    pub fn new(folder: impl Into<PathBuf>, options: ImportOptions) -> Self {
        Self { folder: folder.into(), options, control: Arc::default(), sees_nothing: false }
    }

    /// One that decides as if nothing were stored, and stores nothing.
    pub(crate) fn into_nothing(folder: impl Into<PathBuf>, options: ImportOptions) -> Self {
        let options = ImportOptions { dry_run: true, verify: false, ..options };
        Self { sees_nothing: true, ..Self::new(folder, options) }
    }

    /// Whether there is room for what was planned.
    ///
    /// # Errors
    /// With the code `no-space` where there is not.
    pub fn check_space(&self, plan: &Plan) -> Result<()> {
        plan.space.check(&self.folder)
    }

    /// For watching and stopping it from another thread.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Looks for the sources that these paths mean: files, and the session files of folders.
    #[must_use]
    pub fn plan(&self, paths: &[PathBuf]) -> Plan {
        Plan::of(discover(paths, Some(&self.folder)), &self.folder)
    }

    /// Imports files, and the session files of folders; see [`run_plan`](Self::run_plan).
    pub fn run(&self, paths: &[PathBuf], each: &mut dyn FnMut(&SourceReport)) -> Summary {
        self.run_plan(self.plan(paths), each)
    }

    /// Imports what was planned. Each source is reported as soon as it and those before it are done;
    /// one that fails stops none of the others.
    pub fn run_plan(&self, mut plan: Plan, each: &mut dyn FnMut(&SourceReport)) -> Summary {
        let begin = Instant::now();
        self.control.expect(plan.sources(), plan.bytes);
        let mut summary = Summary::default();
        let mut next = 0;
        let mut report_ready = |ready: &mut BTreeMap<usize, SourceReport>| {
            while let Some(mut report) = ready.remove(&next) {
                report.next = as_format(report.next, self.options.format);
                tracing::debug!(source = %report.source.display(), outcome = report.outcome.as_str());
                summary.count(&report);
                each(&report);
                next += 1;
            }
        };
        report_ready(&mut plan.ready);
        let around = Around::default();
        self.work(&plan.groups, &around, |index, report| {
            self.control.source_done();
            plan.ready.insert(index, report);
            report_ready(&mut plan.ready);
        });
        Summary { time: begin.elapsed(), ..summary }
    }

    /// Imports one file.
    #[must_use]
    pub fn run_file(&self, path: &Path) -> SourceReport {
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        self.run_one(&Spec::named(path, bytes), &Around::default())
    }

    /// Imports one source, whose journal has its name at once.
    pub(crate) fn run_one(&self, spec: &Spec, around: &Around) -> SourceReport {
        self.verified(self.settle_or_fail(spec, around, None))
    }

    pub(crate) fn settle_or_fail(
        &self,
        spec: &Spec,
        around: &Around,
        staging: Option<&Arc<Staging>>,
    ) -> SourceReport {
        let settled = self.settle(spec, around, staging);
        settled.unwrap_or_else(|error| SourceReport::failed(&spec.shown(), error))
    }

    fn place_of(&self, session: &SessionName) -> PathBuf {
        self.folder.join(session.relative_path())
    }

    /// Where the journal of this source will be, if it has no name yet.
    pub(crate) fn unnamed(&self, report: &SourceReport, staging: &Staging) -> Option<PathBuf> {
        let place = self.place_of(report.session.as_ref()?);
        let folder = place.parent()?.canonicalize().ok()?;
        Some(folder.join(place.file_name()?)).filter(|place| staging.holds(place))
    }

    /// The report of a source whose session was compared with it, where that is wanted.
    pub(crate) fn verified(&self, mut report: SourceReport) -> SourceReport {
        if !self.options.verify || self.options.dry_run || report.error.is_some() {
            return report;
        }
        match self.verify(&report) {
            Ok(()) => {
                report.verified = Some(true);
                report
            }
            Err(error) => SourceReport::failed(&report.source, error),
        }
    }

    /// Exports what was imported once more: it must be what was read of the source.
    fn verify(&self, report: &SourceReport) -> Result<()> {
        let Some(session) = &report.session else { return Ok(()) };
        let reader = Reader::open(self.place_of(session))?;
        let (bytes, sha256) = Export::imported(&reader)?.digest()?;
        if Some(&sha256) == report.sha256.as_ref() && bytes == report.bytes {
            return Ok(());
        }
        let how = format!("session {session} gives {bytes} bytes, its source has {}", report.bytes);
        let problem = Problem::Differs { session: session.clone(), how };
        Err(Error::file(&report.source, problem))
    }

    /// Imports the groups, a few at a time, and hands each report to the calling thread.
    fn work(&self, groups: &[Group], around: &Around, mut each: impl FnMut(usize, SourceReport)) {
        let next = AtomicUsize::new(0);
        let (reports, done) = mpsc::channel();
        let workers = self.options.jobs.clamp(1, groups.len().max(1));
        thread::scope(|scope| {
            for _ in 0..workers {
                let (reports, next) = (reports.clone(), &next);
                scope.spawn(move || {
                    let mut worker = Worker::new(self, around, reports, workers);
                    while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                        worker.import(group);
                    }
                    worker.publish();
                });
            }
            drop(reports);
            for (index, report) in done {
                each(index, report);
            }
        });
    }

    /// Attempts until the source held still from the first to the last byte.
    fn settle(
        &self,
        spec: &Spec,
        around: &Around,
        mut staging: Option<&Arc<Staging>>,
    ) -> Result<SourceReport> {
        let path = &spec.shown();
        let mut settled: Option<SourceReport> = None;
        for _ in 0..ATTEMPTS {
            self.control.check(path)?;
            let original = Original::open(spec, &around.copies)?;
            let name = session_name(original.place(), spec.agent.as_deref())?;
            let registries = &around.registries;
            let attempt =
                Attempt { import: self, registries, original: &original, name: &name, staging };
            let Some(report) = attempt.run()? else {
                // It may wait for a name that only `staging` knows of: that is found out in the end.
                staging = None;
                continue;
            };
            let report = match settled.take() {
                Some(before) => merge(before, report),
                None => report,
            };
            if self.options.dry_run || original.is_unchanged() {
                return Ok(report);
            }
            // The next attempt looks for the session of this one, or begins anew where it has no name.
            let unnamed = staging.and_then(|staging| self.unnamed(&report, staging));
            match staging.take().zip(unnamed) {
                Some((all, path)) => all.retain(|waiting| waiting != path),
                None => settled = Some(report),
            }
        }
        let mut report = settled.ok_or_else(|| Error::file(path, Problem::KeepsChanging))?;
        report.warnings.push("changed while it was read; run the import again".to_owned());
        report.next = import_command(path);
        Ok(report)
    }
}

/// What there is to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Reports that are ready, each with its place in the order.
    ready: BTreeMap<usize, SourceReport>,
    groups: Vec<Group>,
    bytes: u64,
    space: Space,
}

impl Plan {
    /// How many sources are to be read.
    #[must_use]
    pub fn sources(&self) -> u64 {
        self.groups.iter().map(|group| group.len() as u64).sum()
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// About how much room it takes, and how much there is.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    pub(crate) fn of(all: Vec<Found>, store: &Path) -> Self {
        let mut plan = Self::default();
        let mut group_of = HashMap::new();
        for (index, found) in all.into_iter().enumerate() {
            match found {
                Found::Skipped(path, why, next, bytes) => {
                    let report = SourceReport::skipped(&path, why, next, bytes);
                    plan.ready.insert(index, report);
                }
                Found::Failed(path, error) => {
                    plan.ready.insert(index, SourceReport::failed(&path, error));
                }
                Found::Source(spec) => {
                    plan.bytes += spec.bytes;
                    let group = *group_of.entry(key_of(&spec)).or_insert(plan.groups.len());
                    plan.groups.resize_with(plan.groups.len().max(group + 1), Group::new);
                    plan.groups[group].push((index, spec));
                }
            }
        }
        let specs = plan.groups.iter().flatten().map(|(_, spec)| spec);
        plan.space = Space::of(store, specs);
        plan
    }
}

/// What two attempts at a source did together.
fn merge(before: SourceReport, mut after: SourceReport) -> SourceReport {
    if before.session != after.session {
        let session = before.session.as_ref().map(SessionName::to_string).unwrap_or_default();
        after
            .warnings
            .push(format!("was rewritten while it was read; session {session} has the old"));
        return after;
    }
    after.added_records += before.added_records;
    after.added_bytes += before.added_bytes;
    after.added_payload += before.added_payload;
    after.added_line_feeds += before.added_line_feeds;
    if matches!(before.outcome, Outcome::Imported | Outcome::Extended | Outcome::Empty) {
        after.outcome = match (before.outcome, after.bytes) {
            (Outcome::Empty, 1..) => Outcome::Imported,
            (outcome, _) => outcome,
        };
    }
    let mut warnings = before.warnings;
    warnings.retain(|warning| !after.warnings.contains(warning));
    after.warnings.splice(0..0, warnings);
    after
}

/// What files that must wait for each other have in common: the session's name, without a number.
fn key_of(spec: &Spec) -> (Option<String>, String) {
    let place = spec.plain_place();
    let name = session_name(&place, spec.agent.as_deref()).ok();
    name.map_or_else(|| (None, place.to_string_lossy().into_owned()), |name| family(&name))
}
