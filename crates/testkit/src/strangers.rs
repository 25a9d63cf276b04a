//! Strangers who take a file from its path while it is owned (H5), and what must be in it then.

use std::path::Path;
use std::sync::Arc;

use session_journal::Reader;
use session_journal::format::decode_identity;

use crate::check::Found;
use crate::client::{Shared, look, recognise};
use crate::disk::SimDisk;
use crate::file::File;
use crate::history::{Aside, Loss};
use crate::simulation::Run;
use crate::world::Actor;

/// Where a file is that was moved away.
const ASIDE: &str = "/simulated/aside.journal";

impl Run<'_> {
    /// Copies a journal, or does something to it, once a run.
    pub(crate) fn stranger(&mut self) -> Result<(), String> {
        if self.shared.history.borrow().aside.is_some() || self.somebody_renames() {
            return Ok(());
        }
        let (session, way) = match &self.backup {
            Some((session, _)) => (*session, 2),
            None => self.shared.world.with(|state| {
                let sessions = u32::try_from(self.shared.workload.sessions).unwrap_or(1);
                (state.choices.below(sessions) as usize, state.choices.below(3))
            }),
        };
        let path = Shared::path(session);
        let Ok(file) = self.shared.world.with(|state| state.find(&path)) else { return Ok(()) };
        let files_until = self.shared.world.with(|state| state.files.len());
        let busy = self.shared.world.with(|state| state.files[file].busy);
        let Found::Journal { id, list, .. } = self.check_session(session, None)? else {
            return Ok(());
        };
        let may_go = self.shared.history.borrow().lives.get(&id).is_none_or(|l| l.deletion_begun);
        if busy || may_go {
            return Ok(());
        }
        // Only a copy of this very journal: what was deleted is not brought back.
        let of_this = |copy: &[u8]| decode_identity(copy).is_ok_and(|one| one.journal == id);
        self.backup = self.backup.take().filter(|(_, copy)| of_this(copy));
        match (way, self.backup.take()) {
            (0, _) => self.displace("file moved away", session, Some(Path::new(ASIDE)), None),
            (1, _) => self.displace("file removed", session, None, None),
            (_, Some((_, copy))) => self.displace("older copy restored", session, None, Some(copy)),
            (_, None) => {
                let copy = self.shared.world.with(|state| state.files[file].bytes().to_vec());
                self.backup = Some((session, copy));
                return Ok(());
            }
        }
        let (since, since_step) = (0, self.shared.world.with(|state| state.step));
        let (journal, held) = (id, list);
        let aside = Aside { file, journal, files_until, since, since_step, held };
        self.set_aside(session, aside);
        self.new_epoch(Loss::Stranger)
    }

    /// What is at a path is about to be changed by a process: strangers do not race with that, for it
    /// is detected only, and not prevented.
    fn somebody_renames(&self) -> bool {
        let workload = &self.shared.workload;
        let openers_rename = workload.compactions || workload.deletions;
        self.shared.world.with(|state| {
            state.processes.iter().any(|one| one.renames || (one.opens && openers_rename))
        })
    }

    fn displace(
        &self,
        what: &'static str,
        session: usize,
        to: Option<&Path>,
        copy: Option<Vec<u8>>,
    ) {
        let path = Shared::path(session);
        self.shared.world.with(|state| {
            state.went_wrong(what);
            let file = state.names.get(&path).copied();
            if let Some(to) = to {
                state.change_durably(to, file);
            }
            let there = copy.map(|copy| {
                state.files.push(File::durable(state.faults.page, &copy));
                state.files.len() - 1
            });
            state.change_durably(&path, there);
        });
    }

    fn set_aside(&self, session: usize, aside: Aside) {
        let found = self.look_at(session);
        let id = aside.journal;
        let mut history = self.shared.history.borrow_mut();
        let since = history.begin().begun;
        history.aside = Some(Aside { since, ..aside });
        match found {
            Ok(Found::Journal { list, .. }) => history.go_back_to(id, &list),
            _ => {
                if let Some(life) = history.lives.get_mut(&id) {
                    life.taken_away = true;
                }
            }
        }
    }

    /// A file that lost its name holds what it held, and what its owners were told since.
    pub(crate) fn check_aside(&self) -> Result<(), String> {
        let Some(aside) = self.shared.history.borrow().aside.clone() else { return Ok(()) };
        if aside.file == usize::MAX {
            return Ok(());
        }
        self.shared.world.with(|state| state.change_durably(Path::new(ASIDE), Some(aside.file)));
        let disk = Arc::new(SimDisk::new(&self.shared.world, Actor::Checker));
        let reader = Reader::open_with(ASIDE, disk).map_err(|error| error.to_string())?;
        let looked = look(&reader).map_err(|error| error.to_string())?;
        let list = recognise(&self.shared.history.borrow(), looked)?.list;
        let lost = aside.held.iter().find(|record| !list.contains(record));
        // Once: behind this no process is left that has it open.
        if let Some(aside) = &mut self.shared.history.borrow_mut().aside {
            aside.file = usize::MAX;
        }
        match lost {
            Some((sequence, tag)) => Err(format!(
                "record {sequence} (tag {tag}) is lost in a file without its name: {list:?}"
            )),
            None => Ok(()),
        }
    }
}
