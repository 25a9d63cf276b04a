//! Everything there is: files, names, processes, and what may still go wrong.

use crate::file::{File, Slot};
use crate::frame::{Author, Cell, Frame, Kind};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::process::{Phase, Process};
use crate::scan::Chain;

/// Generations stay below.
const GENERATIONS: usize = 12;

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The journal, and what came in its place: a compacted file, or a new journal.
    pub files: Vec<File>,
    /// Which of them the path leads to.
    pub path: Option<u8>,
    /// A compacted file lies beside the journal: whose work it is.
    pub successor: Option<Author>,
    /// The second file is, or would be, a copy of the first.
    pub is_copy: bool,
    /// Who holds the folder's lock.
    pub folder_lock: Option<u8>,
    /// The processes.
    pub processes: Vec<Process>,
    /// Whose each generation was, as far as anybody could see before power was lost.
    pub shown: [Option<Author>; GENERATIONS],
    /// How often one may still open for writing.
    pub opens: u8,
    /// Records that may still be appended.
    pub records: u8,
    /// Kills that may still happen.
    pub kills: u8,
    /// Short writes that may still happen.
    pub short_writes: u8,
    /// Seals that may still be written.
    pub seals: u8,
    /// Successors that a stranger may still remove.
    pub lost_successors: u8,
    /// Power losses that may still happen.
    pub power_losses: u8,
    /// Syncs that may still fail.
    pub failing_syncs: u8,
}

/// The first opening of a journal that this process creates.
#[must_use]
pub(crate) fn created_by(process: u8, attempt: u8) -> Frame {
    Frame {
        kind: Kind::Opening,
        author: Author { process, attempt },
        generation: 1,
        sequence: 0,
        offset: crate::scan::FIRST,
        previous: 0,
        batch_before: 0,
        batch_len: Frame::len_of(Kind::Opening),
        durable_through: 0,
        body: 0,
    }
}

impl World {
    /// The first process has created the journal; the others know nothing of it.
    #[must_use]
    pub fn new(model: &Protocol) -> Self {
        let bounds = &model.bounds;
        let opening = created_by(0, 1);
        let mut processes = vec![Process::default(); usize::from(bounds.processes)];
        processes[0] = Process {
            phase: Phase::Owner,
            attempt: 1,
            generation: 1,
            chain: Chain::behind(opening),
            tail: opening.end(),
            durable: if bounds.has_power() { opening.end() } else { 0 },
            ..Process::default()
        };
        let mut file = File::holding(&[opening], model);
        if bounds.has_power() {
            let durable_through = opening.end();
            file.slot = Some(Slot { generation: 1, sequence: 0, durable_through, checkpoint: 0 });
            file.slot_before = file.slot;
            file.look_anew(model.mutation);
        }
        Self {
            files: vec![file],
            path: Some(0),
            successor: None,
            is_copy: false,
            folder_lock: None,
            processes,
            shown: [None; GENERATIONS],
            opens: bounds.opens,
            records: bounds.records,
            kills: bounds.kills,
            short_writes: bounds.short_writes,
            seals: bounds.seals,
            lost_successors: bounds.lost_successors,
            power_losses: bounds.power_losses,
            failing_syncs: bounds.failing_syncs,
        }
    }

    /// The process.
    #[must_use]
    pub fn process(&self, process: u8) -> &Process {
        &self.processes[usize::from(process)]
    }

    /// The process, to be changed.
    pub fn process_mut(&mut self, process: u8) -> &mut Process {
        &mut self.processes[usize::from(process)]
    }

    /// The file that a process has open.
    #[must_use]
    pub fn file_of(&self, process: u8) -> &File {
        &self.files[usize::from(self.process(process).inode)]
    }

    /// The file that a process has open, to be changed.
    pub fn file_of_mut(&mut self, process: u8) -> &mut File {
        let inode = self.process(process).inode;
        &mut self.files[usize::from(inode)]
    }

    /// Whether the path leads to the file that a process has open.
    #[must_use]
    pub fn is_attached(&self, process: u8) -> bool {
        self.path == Some(self.process(process).inode)
    }

    /// The kernel writes one append to an inode at a time.
    #[must_use]
    pub fn is_being_written(&self, inode: u8) -> bool {
        let writes = |p: &Process| p.inode == inode && matches!(p.phase, Phase::Writing(..));
        self.processes.iter().any(writes)
    }

    /// A process that holds nothing and comes back no more is as good as stopped for ever: killing
    /// it tells nothing new.
    #[must_use]
    pub fn kill_tells(&self, process: u8) -> bool {
        self.opens > 0
            || matches!(self.process(process).phase, Phase::Writing(..))
            || self.folder_lock == Some(process)
    }

    /// Ends what a process has under way; its locks go with it.
    pub fn end(&mut self, process: u8) {
        if self.folder_lock == Some(process) {
            self.folder_lock = None;
        }
        self.process_mut(process).rest();
    }

    /// What nobody is about to write again stays dropped.
    pub fn forget_dropped(&mut self, mutation: Option<Mutation>) {
        let Self { files, processes, .. } = self;
        files[0].forget_dropped(|at| processes.iter().any(|p| p.has_read(at, mutation)));
    }

    /// Removes a copy that is in nobody's place.
    pub fn drop_copy(&mut self) {
        if self.successor.take().is_some() {
            self.is_copy = false;
            self.files.truncate(1);
        }
    }

    /// The same state with the processes renumbered as they first appear in the files: which one
    /// is called what means nothing.
    #[must_use]
    pub fn representative(mut self, mutation: Option<Mutation>) -> Self {
        let order = self.order();
        if order.iter().enumerate().all(|(new, old)| new == usize::from(*old)) {
            return self;
        }
        let mut names = [0; 8];
        for (new, old) in (0..).zip(&order) {
            names[usize::from(*old)] = new;
        }
        let rename = |author: &mut Author| {
            if *author != Author::STRANGER {
                author.process = names[usize::from(author.process)];
            }
        };
        self.processes = order.iter().map(|old| *self.process(*old)).collect();
        for process in &mut self.processes {
            for last in [&mut process.chain.last, &mut process.start.last].into_iter().flatten() {
                rename(&mut last.author);
            }
            if let Some((_, author)) = &mut process.settled.claim {
                rename(author);
            }
        }
        for cell in self.files.iter_mut().flat_map(File::cells_mut) {
            if let Cell::Head(frame) = cell {
                rename(&mut frame.author);
            }
        }
        self.files.iter_mut().for_each(|file| file.rebuild(mutation));
        self.shown.iter_mut().chain([&mut self.successor]).flatten().for_each(rename);
        self.folder_lock = self.folder_lock.map(|holder| names[usize::from(holder)]);
        self
    }

    /// The processes in the order in which they first appear, then those that never wrote.
    fn order(&self) -> Vec<u8> {
        let mut order = Vec::with_capacity(self.processes.len());
        let mut note = |author: &Author| {
            if *author != Author::STRANGER && !order.contains(&author.process) {
                order.push(author.process);
            }
        };
        for cell in self.files.iter().flat_map(File::all_cells) {
            if let Cell::Head(frame) = cell {
                note(&frame.author);
            }
        }
        self.shown.iter().flatten().for_each(&mut note);
        let mut silent: Vec<u8> =
            (0..).take(self.processes.len()).filter(|process| !order.contains(process)).collect();
        silent.sort_by_key(|process| *self.process(*process));
        order.extend(silent);
        order
    }
}
