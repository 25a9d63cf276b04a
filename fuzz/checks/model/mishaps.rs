//! What befalls the file without any owner's doing.

use session_journal::format::PAGE_LEN;

use super::super::operations::Numbers;
use super::{Model, path};

impl Model {
    /// Power is lost: every process is gone, and so is the tail of what was not synced.
    pub(crate) fn tear(&mut self, numbers: &mut Numbers<'_>) {
        (0..Self::OWNERS).for_each(|who| self.drop_owner(who));
        let kept = usize::from(numbers.next());
        let (mut end, mut file) = (usize::MAX, 0);
        self.disk.meddle(path(), |content| {
            file = content.number;
            let unsynced = content.bytes.len() - content.synced;
            end = content.synced + (unsynced * kept).div_ceil(255);
            content.bytes.truncate(end);
        });
        // What a compaction copied was synced, and stands elsewhere now.
        self.records.retain(|one| one.file != file || one.batch_end <= end);
        (self.marks, self.follower) = (Vec::new(), None);
        self.read();
    }

    /// Bytes of no frame, as a torn write leaves them.
    pub(crate) fn append_garbage(&mut self, numbers: &mut Numbers<'_>) {
        let (len, value) = (numbers.next(), numbers.next());
        self.disk.meddle(path(), |content| {
            content.bytes.extend(std::iter::repeat_n(value, usize::from(len)));
        });
    }

    /// A copy of earlier bytes: half a frame, a whole one, or several.
    pub(crate) fn quote(&mut self, numbers: &mut Numbers<'_>) {
        let (at, len) = (usize::from(numbers.next()), usize::from(numbers.next()));
        self.disk.meddle(path(), |content| {
            let frames = content.bytes.len() - PAGE_LEN as usize;
            let from = PAGE_LEN as usize + frames * at / 256;
            let to = (from + len * 2).min(content.bytes.len());
            content.bytes.extend_from_within(from..to);
        });
    }

    pub(crate) fn flip_in_page(&mut self, numbers: &mut Numbers<'_>) {
        let at = usize::from(u16::from_le_bytes([numbers.next(), numbers.next()]));
        let bits = numbers.next();
        self.disk.meddle(path(), |content| content.bytes[at % PAGE_LEN as usize] ^= bits);
    }
}
