//! Compaction and deletion: a seal at the tail, then a rename or a removal. Whoever meets a seal
//! finishes what it names.

use crate::file::File;
use crate::frame::{Author, Frame, Kind};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::process::{Draft, Phase, Process, Purpose};
use crate::scan::{Chain, FIRST};
use crate::world::World;

impl Protocol {
    /// Copies the chain, as its owner knows it, to a new file beside; the seal is next.
    pub(crate) fn compact(&self, world: &mut World, id: u8) {
        let known = world.process(id).chain;
        let seen = &world.files[0].view.seen;
        let frames = copy_of(&seen.frames, known.end);
        world.files.push(File::holding(&frames, self));
        let attempt = world.process(id).attempt;
        world.successor = Some(Author { process: id, attempt });
        world.is_copy = true;
        self.begin_write(world, id, Draft::Seal(Purpose::Replace));
    }

    /// The file is sealed: compares it with the path, then renames, removes, or takes it back.
    pub(crate) fn go_on_with_seal(&self, world: &mut World, id: u8, purpose: Purpose, mine: bool) {
        let attached = world.is_attached(id);
        let successor = world.successor.is_some();
        match purpose {
            Purpose::Replace if mine && !attached => world.adopt(id),
            Purpose::Replace if mine || (successor && attached) => {
                world.process_mut(id).phase = Phase::Placing(mine);
            }
            Purpose::Delete if attached || self.breaks(Mutation::UnlinkWithoutComparing) => {
                world.folder_lock = Some(id);
                world.process_mut(id).phase = Phase::Removing;
            }
            Purpose::Replace if attached => {
                world.folder_lock = Some(id);
                let process = world.process_mut(id);
                process.generation = process.chain.generation();
                process.phase = Phase::Ready(Draft::Reopen);
            }
            _ => world.end(id),
        }
    }
}

impl World {
    /// Renames the successor over the path, if it is still there: its name is used once.
    pub(crate) fn place(&mut self, id: u8, mine: bool) {
        let seal = self.files[0].view.seen.chain.last.map(|seal| seal.author);
        if self.successor.is_some() && self.successor == seal {
            self.successor = None;
            self.path = Some(1);
        }
        if mine {
            self.adopt(id);
        } else {
            self.end(id);
        }
    }

    /// Whether one may seal to compact: once, and where nothing else lies beside.
    pub(crate) fn can_compact(&self) -> bool {
        self.seals > 0 && self.files.len() == 1 && self.path == Some(0)
    }

    /// Whether there is something to open; where the path leads nowhere, a journal is created anew.
    pub(crate) fn can_open(&self) -> bool {
        self.path.is_some() || self.files.len() == 1
    }

    /// Whether the folder's lock is free, for those who need it.
    pub(crate) fn can_go_on_with_seal(&self, id: u8) -> bool {
        let renames = |mine| mine || self.successor.is_some();
        match self.process(id).phase {
            Phase::Sealed(Purpose::Replace, mine) if renames(mine) => true,
            _ => self.folder_lock.is_none(),
        }
    }

    /// Whoever sealed goes on with the compacted file, where that is at the path now.
    fn adopt(&mut self, id: u8) {
        if self.path != Some(1) || !self.is_copy {
            return self.end(id);
        }
        // Others may have been there already: it knows what it copied, and no more.
        let known = self.process(id).chain;
        let end = known.last.filter(|last| last.kind == Kind::Seal).map_or(known.end, |l| l.offset);
        let copied = copy_of(&self.files[0].view.seen.frames, end);
        let written = Chain::behind(copied[copied.len() - 1]);
        let process = self.process_mut(id);
        let generation = process.generation;
        *process = Process {
            phase: Phase::Owner,
            inode: 1,
            generation,
            chain: written,
            tail: written.end,
            ..*process
        };
    }
}

/// What a copy holds of a chain up to `end`: all but checkpoints, seals, and their like.
fn copy_of(frames: &[Frame], end: u8) -> Vec<Frame> {
    let kept = |frame: &&Frame| {
        matches!(frame.kind, Kind::Record | Kind::Quote | Kind::Opening | Kind::Release)
            && frame.end() <= end
    };
    let first = frames[0];
    let front = Frame { kind: Kind::Compacted, offset: FIRST, previous: 0, sequence: 0, ..first };
    let mut copy = vec![Frame { batch_len: front.len(), batch_before: 0, ..front }];
    for frame in frames.iter().filter(kept) {
        let last = copy[copy.len() - 1];
        let offset = last.end();
        let durable_through = if frame.kind == Kind::Release { offset } else { 0 };
        copy.push(Frame {
            offset,
            previous: last.offset,
            batch_before: 0,
            batch_len: frame.len(),
            durable_through,
            ..*frame
        });
    }
    copy
}
