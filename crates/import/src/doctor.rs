//! A legacy folder, explained: its locks, its damaged transcripts, what its registry and its files
//! say of each other, and what an import would do and need. Everything is only read.

mod code;
mod index;
mod lock;
mod process;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::control::Control;
use crate::discover::{Found, discover};
use crate::import::{Import, ImportOptions, Plan};
use crate::role::Role;
use crate::shell::shell_path;
use crate::sources::REGISTRY_NAME;

pub use code::{Code, Severity};

/// Something worth knowing about a legacy folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file or folder that it is about.
    pub path: PathBuf,
    /// How much it matters.
    pub severity: Severity,
    /// Its stable name.
    pub code: &'static str,
    /// What it is, in plain words.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// Looks at legacy folders and changes nothing.
#[derive(Debug)]
pub struct Doctor {
    import: Import,
}

impl Doctor {
    /// For an import into the store in this folder, which need not be there.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        let options = ImportOptions::default();
        Self { import: Import::into_nothing(store, options) }
    }

    /// For watching and stopping it from another thread.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        self.import.control()
    }

    /// Tells what it finds in files and folders: locks and registries first, then what is to be
    /// known of each source, then what an import would need.
    pub fn examine(&self, paths: &[PathBuf], each: &mut dyn FnMut(Finding)) {
        let (locks, found): (Vec<_>, Vec<_>) = discover(paths, Some(&self.import.folder))
            .into_iter()
            .partition(|one| lock::is_lock(path_of(one)));
        for lock in &locks {
            each(lock::examine(path_of(lock)));
        }
        for registry in found.iter().filter(|one| is_registry(one)) {
            index::examine(path_of(registry), each);
        }
        let plan = Plan::of(found, &self.import.folder);
        let needs = self.needs(paths, &plan);
        self.import.run_plan(plan, &mut |report| source::tell(report, each));
        each(needs);
    }

    /// What an import of it all takes.
    fn needs(&self, paths: &[PathBuf], plan: &Plan) -> Finding {
        let (sources, bytes, space) = (plan.sources(), plan.bytes(), plan.space());
        let code = if space.needed > space.free { Code::NoSpace } else { Code::ImportNeeds };
        let what = format!(
            "an import reads {sources} sources of {bytes} bytes in all and changes none of them; \
             {} bytes are not here yet, about {} bytes are needed here, and {} are free",
            space.sources, space.needed, space.free
        );
        let paths: Vec<_> = paths.iter().map(|path| shell_path(path)).collect();
        let next = match code {
            Code::NoSpace => "free some space, or name a --store on another disk".to_owned(),
            _ => format!("sjournal import {}", paths.join(" ")),
        };
        code.about(&self.import.folder, what, next)
    }
}

fn path_of(found: &Found) -> &Path {
    match found {
        Found::Source(spec) => &spec.path,
        Found::Skipped(path, ..) | Found::Failed(path, _) => path,
    }
}

fn is_registry(found: &Found) -> bool {
    let Found::Source(spec) = found else { return false };
    spec.role == Role::Registry && spec.path.ends_with(REGISTRY_NAME)
}
