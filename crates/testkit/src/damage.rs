//! Damage to bytes that were safe.

use std::path::PathBuf;

use session_journal::format::{Codec, FrameHeader, FrameKind, HEADER_LEN, decode_identity};

use crate::choices::Choices;
use crate::client::Shared;
use crate::history::{Loss, Tag};
use crate::simulation::Run;
use crate::wounds::{Before, Wound};

impl Run<'_> {
    /// The file of some session, and its length, where there is something to damage.
    fn victim(&self) -> Option<(usize, usize)> {
        if self.somebody_opens() {
            return None;
        }
        let sessions = u32::try_from(self.shared.workload.sessions).unwrap_or(1);
        self.shared.world.with(|state| {
            let session = state.choices.below(sessions) as usize;
            let index = state.find(&Shared::path(session)).ok()?;
            let len = state.files[index].len();
            (len > 4096 && !state.files[index].busy).then_some((index, len))
        })
    }

    /// Damages a stretch of a file: where, how long, and which bits (0 for all to zero).
    pub(crate) fn damage(
        &mut self,
        what: &'static str,
        place: impl Fn(&mut Choices, usize, usize) -> (usize, usize, u8),
    ) -> Result<(), String> {
        let Some((index, len)) = self.victim() else { return Ok(()) };
        let (at, bytes, bits) = self.shared.world.with(|state| {
            let (from, until) = if state.faults.header { (0, 4096) } else { (4096, len) };
            place(&mut state.choices, from, until)
        });
        self.note_damage(index, at, at + bytes);
        let path = self.path_of(index);
        let before = path
            .as_ref()
            .and_then(|path| Before::of(&self.shared.world, path, &self.shared.history.borrow()));
        let changed = self.shared.world.with(|state| {
            state.went_wrong(what);
            state.tell(|| format!("  {bytes} bytes at {at} of file {index}"));
            let change = |stretch: &mut [u8]| match bits {
                0 => stretch.fill(0),
                bits => stretch.iter_mut().for_each(|byte| *byte ^= bits),
            };
            let as_it_was = state.files[index].bytes().to_vec();
            state.files[index].damage(at, change, bytes);
            let pairs = as_it_was.iter().zip(state.files[index].bytes());
            let changed = pairs.enumerate().filter(|(_, (old, new))| old != new);
            changed.map(|(at, _)| at as u64).collect::<Vec<_>>()
        });
        // Where zeros were zeroed nothing is damaged.
        let (Some(from), Some(last)) = (changed.first(), changed.last()) else { return Ok(()) };
        let wound = Wound { from: *from, until: last + 1 };
        if let (Some(path), Some(before), true) = (&path, before, at >= 4096) {
            let history = self.shared.history.borrow();
            before.check(&self.shared.world, path, &wound, &history)?;
        }
        self.new_epoch(Loss::Damage)
    }

    fn path_of(&self, file: usize) -> Option<PathBuf> {
        self.shared.world.with(|state| {
            let mut names = state.names.iter();
            names.find(|(_, index)| **index == file).map(|(path, _)| path.clone())
        })
    }

    pub(crate) fn cut(&mut self) -> Result<(), String> {
        let Some((index, len)) = self.victim() else { return Ok(()) };
        let at = self.shared.world.with(|state| {
            let most = u32::try_from(len - 4096).unwrap_or(1);
            len - 1 - state.choices.below(most) as usize
        });
        self.note_damage(index, at, usize::MAX);
        self.shared.history.borrow_mut().was_cut = true;
        self.shared.world.with(|state| {
            state.went_wrong("cut by a stranger");
            state.tell(|| format!("  file {index} is cut from {len} to {at}"));
            state.files[index].cut(at);
        });
        self.new_epoch(Loss::Damage)
    }

    /// Slots lie behind the identity, in the first page; all that they say is found elsewhere too.
    pub(crate) fn lose_slot(&mut self) {
        let Some((index, _)) = self.victim() else { return };
        self.shared.world.with(|state| {
            state.went_wrong("header slot lost");
            let slot = state.choices.below(2);
            let at = usize::try_from(session_journal::format::slot_offset(u64::from(slot)));
            let at = at.unwrap_or(0);
            state.files[index].damage(at, |stretch| stretch.fill(0), 512);
        });
    }

    /// Takes note of the records whose bytes, or those of their batch, are about to be damaged. A run
    /// has one damage: what two of them destroy together nobody can promise.
    fn note_damage(&mut self, index: usize, from: usize, until: usize) {
        self.shared.world.with(|state| state.faults.no_more_damage());
        let bytes = self.shared.world.with(|state| state.files[index].bytes().to_vec());
        if let Ok(identity) = decode_identity(&bytes) {
            self.codecs.insert(index, Codec::new(identity.salt));
        }
        let Some(codec) = self.codecs.get(&index) else { return };
        let frames = frames_within(&bytes, codec, from, until);
        let hit: Vec<Tag> = frames.iter().filter_map(|header| tag_in(&bytes, header)).collect();
        let mut history = self.shared.history.borrow_mut();
        history.was_damaged = true;
        history.seal_was_damaged |= frames.iter().any(|frame| frame.kind == FrameKind::Seal);
        let batches: Vec<Vec<Tag>> = history
            .attempts
            .iter()
            .filter(|attempt| attempt.tags.iter().any(|tag| hit.contains(tag)))
            .map(|attempt| attempt.tags.clone())
            .collect();
        history.damaged.extend(batches.into_iter().flatten());
    }
}

/// All frames in their places with bytes within a stretch of a file.
pub(crate) fn frames_within(
    bytes: &[u8],
    codec: &Codec,
    from: usize,
    until: usize,
) -> Vec<FrameHeader> {
    let mut at = 4096;
    let mut frames = Vec::new();
    while at + HEADER_LEN <= bytes.len() {
        let header = FrameHeader::decode(&bytes[at..], codec).ok();
        let Some(header) = header.filter(|header| header.is_self_placed(at as u64)) else {
            at += 1;
            continue;
        };
        let end = usize::try_from(header.end()).unwrap_or(usize::MAX);
        if at < until && end > from {
            frames.push(header);
        }
        let body = bytes.get(at + HEADER_LEN..end);
        let whole = body.is_some_and(|body| codec.checksum(&[body]) == header.body_checksum);
        at = if whole { end } else { at + 1 };
    }
    frames
}

/// The tag of a record that stands there.
fn tag_in(bytes: &[u8], header: &FrameHeader) -> Option<Tag> {
    let at = usize::try_from(header.offset).ok()?;
    let begin = at + HEADER_LEN + usize::from(header.meta_len);
    let tag = bytes.get(begin..)?.first_chunk()?;
    (header.kind == FrameKind::Record).then(|| u64::from_le_bytes(*tag))
}
