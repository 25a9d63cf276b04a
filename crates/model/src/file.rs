//! One file: what every process reads, and how much of it is on the medium.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use crate::frame::{Cell, Frame, Kind};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::scan::{Begin, Chain, Seen, Standing, len, scan};

/// How a cell stands with the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Medium {
    /// Written and not synced.
    Dirty,
    /// A sync of it failed: the kernel calls it clean, and will never write it (H9).
    CalledClean,
    /// Survives power loss.
    Durable,
}

/// A hint in the header page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Who wrote it.
    pub generation: u8,
    /// The last durable record.
    pub sequence: u8,
    /// Everything below is durable.
    pub durable_through: u8,
    /// Where a checkpoint stands; zero for none.
    pub checkpoint: u8,
}

/// Whether the cell there is one of these.
pub(crate) const fn is_hole(holes: u64, at: u8) -> bool {
    holes >> at & 1 != 0
}

/// What reading a file gives. It follows from the file, so states are not told apart by it.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything, read from the start.
    pub seen: Seen,
    /// Where readers that looked earlier have got to: chain, and who may write as of there.
    marks: Vec<(Chain, Standing)>,
    /// They all go on to where reading from the start ends.
    pub reads_on: bool,
}

/// An inode.
#[derive(Clone, Debug)]
pub struct File {
    /// What is visible.
    pub cells: Vec<Cell>,
    /// How it stands with the medium, cell by cell; empty where power is never lost.
    pub medium: Vec<Medium>,
    /// What was dropped, by its place: kept while somebody has read it who will write it again.
    pub dropped: Vec<(u8, Cell)>,
    /// The slot.
    pub slot: Option<Slot>,
    /// The slot that power loss may bring back.
    pub slot_before: Option<Slot>,
    /// What readers see.
    pub view: Arc<View>,
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        (&self.cells, &self.medium, &self.dropped, self.slot, self.slot_before)
            == (&other.cells, &other.medium, &other.dropped, other.slot, other.slot_before)
    }
}

impl Eq for File {}

impl Hash for File {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.cells, &self.medium, &self.dropped, self.slot, self.slot_before).hash(state);
    }
}

impl File {
    /// A complete and durable file that holds these frames.
    #[must_use]
    pub fn holding(frames: &[Frame], model: &Protocol) -> Self {
        let mut cells = vec![Cell::Page];
        cells.extend(frames.iter().flat_map(|frame| frame.cells()));
        let power = model.bounds.has_power();
        let medium = if power { vec![Medium::Durable; cells.len()] } else { vec![] };
        let seen = scan(&cells, Begin::default(), model.mutation);
        let view = Arc::new(View { seen, marks: Vec::new(), reads_on: true });
        let dropped = Vec::new();
        let mut file = Self { cells, medium, dropped, slot: None, slot_before: None, view };
        file.look_anew(model.mutation);
        file
    }

    /// What readers see has changed. Those that looked before go on from where they were: scan
    /// state is committed past chain frames only, so that ends where reading anew ends.
    pub fn look_anew(&mut self, mutation: Option<Mutation>) {
        let seen = scan(&self.cells, self.begin(Chain::default()), mutation);
        if !self.medium.is_empty() {
            // What readers saw may be gone: where they were is asked only where nothing goes.
            self.view = Arc::new(View { seen, marks: Vec::new(), reads_on: true });
            return;
        }
        let reads_on = self.view.reads_on
            && self.view.marks.iter().all(|(chain, standing)| {
                let begin = Begin { standing: *standing, ..self.begin(*chain) };
                self.goes_on(begin, &seen, mutation)
            });
        let mut marks = self.view.marks.clone();
        if !marks.contains(&(seen.chain, seen.settled)) {
            marks.push((seen.chain, seen.settled));
        }
        self.view = Arc::new(View { seen, marks, reads_on });
    }

    fn goes_on(&self, begin: Begin, anew: &Seen, mutation: Option<Mutation>) -> bool {
        let on = scan(&self.cells, begin, mutation);
        let behind = begin.chain.last.map_or(Some(0), |last| {
            anew.frames.iter().position(|frame| *frame == last).map(|at| at + 1)
        });
        behind.is_some_and(|at| anew.frames[at..] == on.frames)
            && (anew.chain.last, anew.standing) == (on.chain.last, on.standing)
    }

    /// Readers are gone with the power; those that come find what is there.
    fn forget_readers(&mut self) {
        let view = Arc::make_mut(&mut self.view);
        view.marks.clear();
    }

    /// Reads everything anew as if nobody had looked before.
    pub fn rebuild(&mut self, mutation: Option<Mutation>) {
        if !self.medium.is_empty() {
            return self.look_anew(mutation);
        }
        let cells = std::mem::take(&mut self.cells);
        self.forget_readers();
        for cell in cells {
            self.cells.push(cell);
            self.look_anew(mutation);
        }
    }

    /// Every cell, those that were dropped too.
    pub fn all_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().chain(self.dropped.iter().map(|(_, cell)| cell))
    }

    /// Every cell, those that were dropped too.
    pub fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.cells.iter_mut().chain(self.dropped.iter_mut().map(|(_, cell)| cell))
    }

    /// How long it is.
    #[must_use]
    pub fn len(&self) -> u8 {
        len(&self.cells)
    }

    /// A file has a header page at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Appends what of a write becomes visible now.
    pub fn push(&mut self, cell: Cell, model: &Protocol) {
        self.cells.push(cell);
        if model.bounds.has_power() {
            self.medium.push(Medium::Dirty);
        }
        self.look_anew(model.mutation);
    }

    /// Where an opener begins: at the checkpoint that the slot names, where it may be believed.
    #[must_use]
    pub fn start(&self) -> Chain {
        let checkpoint = self.slot.filter(|slot| slot.checkpoint != 0).and_then(|slot| {
            let frame = self.sound_frame(slot.checkpoint)?;
            let believed = frame.end() <= slot.durable_through
                && frame.generation <= slot.generation
                && frame.kind == Kind::Checkpoint;
            believed.then_some(Chain::behind(frame))
        });
        checkpoint.unwrap_or_default()
    }

    /// Reads from there to the end.
    #[must_use]
    pub fn survey(&self, start: Chain, mutation: Option<Mutation>) -> Seen {
        scan(&self.cells, self.begin(start), mutation)
    }

    /// What is known before anything is read, with this slot.
    #[must_use]
    pub fn begin(&self, chain: Chain) -> Begin {
        Begin::with(chain, Standing::of(chain.generation()), self.slot)
    }

    /// Whether this very frame stands where it says.
    #[must_use]
    pub fn holds(&self, frame: &Frame) -> bool {
        self.sound_frame(frame.offset) == Some(*frame)
    }

    /// The sound frame in its place here.
    #[must_use]
    pub fn sound_frame(&self, at: u8) -> Option<Frame> {
        let Some(Cell::Head(frame)) = self.cells.get(usize::from(at)) else { return None };
        let (rest, count) = frame.rest();
        let from = usize::from(at) + 1;
        let sound = self.cells.get(from..from + count) == Some(&rest[..count]);
        (sound && frame.offset == at).then_some(*frame)
    }

    /// What was written becomes durable; what a failed sync left behind does not.
    pub fn sync(&mut self) {
        self.leave_dirty_as(Medium::Durable);
        self.slot_before = self.slot;
    }

    /// A sync fails: the kernel calls what it could not write clean.
    pub fn fail_sync(&mut self) {
        self.leave_dirty_as(Medium::CalledClean);
    }

    fn leave_dirty_as(&mut self, becomes: Medium) {
        for medium in self.medium.iter_mut().filter(|medium| **medium == Medium::Dirty) {
            *medium = becomes;
        }
    }

    /// The cells in there that are holes, as bits by place.
    ///
    /// # Panics
    /// Where a file has more than 64 cells; the bounds keep them shorter.
    #[must_use]
    pub fn holes(&self, within: Range<u8>) -> u64 {
        let holes = within.filter(|at| self.cells[usize::from(*at)] == Cell::Hole);
        let bit = |at: u8| 1_u64.checked_shl(at.into()).expect("the bounds keep files short");
        holes.fold(0, |bits, at| bits | bit(at))
    }

    /// Writes what was read a while ago again, in place: what is called clean is dirty again, and
    /// what was dropped meanwhile is back. What the medium has already, it keeps. What was a hole
    /// is left alone, for another one may have brought back what is missing there.
    pub fn write_again(&mut self, within: Range<u8>, holes: u64, mutation: Option<Mutation>) {
        for at in within {
            let read = if is_hole(holes, at) { Cell::Hole } else { self.as_written(at) };
            if read != Cell::Hole || mutation == Some(Mutation::SettleHoles) {
                self.write(at, read);
            }
        }
        self.forget_readers();
        self.look_anew(mutation);
    }

    fn write(&mut self, at: u8, what: Cell) {
        let at = usize::from(at);
        if self.cells[at] != what || self.medium[at] != Medium::Durable {
            self.cells[at] = what;
            self.medium[at] = Medium::Dirty;
        }
    }

    /// What somebody wrote there, seen still or dropped.
    fn as_written(&self, at: u8) -> Cell {
        let dropped = self.dropped.iter().find(|(place, _)| *place == at);
        match self.cells[usize::from(at)] {
            Cell::Hole => dropped.map_or(Cell::Hole, |(_, cell)| *cell),
            cell => cell,
        }
    }

    /// Memory gets tight: pages that are called clean are dropped, and read from the medium again.
    pub fn evict(&mut self, mutation: Option<Mutation>) {
        for (at, (cell, medium)) in (0..).zip(self.cells.iter_mut().zip(&mut self.medium)) {
            if *medium == Medium::CalledClean {
                self.dropped.push((at, *cell));
                *cell = Cell::Hole;
                *medium = Medium::Durable;
            }
        }
        self.forget_readers();
        self.look_anew(mutation);
    }

    /// Forgets what nobody can bring back any more.
    pub fn forget_dropped(&mut self, is_remembered: impl Fn(u8) -> bool) {
        let cells = &self.cells;
        self.dropped.retain(|(at, _)| {
            cells.get(usize::from(*at)) == Some(&Cell::Hole) && is_remembered(*at)
        });
        self.dropped.sort_unstable();
    }

    /// The cells that power loss may take.
    pub fn unsynced(&self) -> impl Iterator<Item = usize> {
        let medium = self.medium.iter().enumerate();
        medium.filter(|(_, medium)| **medium != Medium::Durable).map(|(at, _)| at)
    }

    /// Power is lost: of the cells that are not durable, those in `lost` are gone, and perhaps the
    /// newest slot.
    pub fn lose(&mut self, lost: u16, slot_too: bool, mutation: Option<Mutation>) {
        let unsynced: Vec<usize> = self.unsynced().collect();
        for (bit, at) in unsynced.into_iter().enumerate() {
            if lost & (1 << bit) != 0 {
                self.cells[at] = Cell::Hole;
            }
        }
        self.clear_fragments();
        while self.cells.last() == Some(&Cell::Hole) {
            self.cells.pop();
        }
        self.medium = vec![Medium::Durable; self.cells.len()];
        if slot_too {
            self.slot = self.slot_before;
        }
        self.slot_before = self.slot;
        self.forget_readers();
        self.look_anew(mutation);
    }

    /// Who may write, to whoever reads this after all was lost that power can take.
    #[must_use]
    pub fn standing_without_power(&self, mutation: Option<Mutation>) -> Standing {
        let kept = |(cell, medium): (&Cell, &Medium)| {
            if *medium == Medium::Durable { *cell } else { Cell::Hole }
        };
        let cells: Vec<Cell> = self.cells.iter().zip(&self.medium).map(kept).collect();
        let begin = Begin::with(Chain::default(), Standing::default(), self.slot_before);
        scan(&cells, begin, mutation).standing
    }

    /// The rest of a frame whose head is gone says nothing to anybody: as good as lost.
    fn clear_fragments(&mut self) {
        let mut belongs = 0;
        for cell in &mut self.cells {
            match cell {
                Cell::Head(frame) => belongs = belongs.max(frame.len()),
                Cell::Rest if belongs == 0 => *cell = Cell::Hole,
                Cell::Hole => belongs = 0,
                _ => {}
            }
            belongs = belongs.saturating_sub(1);
        }
    }

    /// Leaves a hint.
    pub fn write_slot(&mut self, slot: Slot, mutation: Option<Mutation>) {
        self.slot = Some(slot);
        self.forget_readers();
        self.look_anew(mutation);
    }

    /// Cuts it off.
    pub fn truncate(&mut self, end: u8, mutation: Option<Mutation>) {
        self.cells.truncate(usize::from(end));
        self.medium.truncate(usize::from(end));
        self.look_anew(mutation);
    }
}
