//! Frames that are known to verify. Whether one does depends on its own bytes alone, so whoever has the
//! bytes can tell, in whatever order; the rule of the chain is the pass's own.

use memchr::memmem::Finder;

use crate::format::{Codec, FrameHeader, FrameKind, HEADER_LEN, MAGIC};

/// What the bytes at an offset are, as far as they go.
pub(crate) enum Check {
    /// A frame that stands in its place and verifies.
    Sound(FrameHeader),
    /// A header that verifies and stands in its place; its body is longer than the bytes.
    Longer(FrameHeader),
    /// None of these.
    Nothing,
}

/// What begins with the first of these bytes, which stand at this offset.
pub(crate) fn check(bytes: &[u8], at: u64, codec: &Codec) -> Check {
    let Ok(header) = FrameHeader::decode(bytes, codec) else { return Check::Nothing };
    match body_verifies(&header, bytes, codec) {
        _ if !header.is_self_placed(at) => Check::Nothing,
        Some(true) => Check::Sound(header),
        Some(false) => Check::Nothing,
        None => Check::Longer(header),
    }
}

/// Whether the body verifies that follows the header here; `None` where there is more of it.
#[inline]
fn body_verifies(header: &FrameHeader, bytes: &[u8], codec: &Codec) -> Option<bool> {
    let end = usize::try_from(header.frame_len()).ok()?;
    let body = bytes.get(HEADER_LEN..end)?;
    Some(codec.checksum(&[body]) == header.body_checksum)
}

/// Headers of frames that stand in their places and verify, in file order. What is not among them may
/// verify as well.
#[derive(Debug, Default)]
pub(crate) struct Sound {
    headers: Vec<FrameHeader>,
    /// Where the next one that is asked for may be.
    hint: usize,
}

impl Sound {
    /// The frame that stands here, where it is known.
    #[inline]
    pub(crate) fn at(&mut self, at: u64) -> Option<&FrameHeader> {
        if self.headers.get(self.hint).is_none_or(|header| header.offset != at) {
            self.hint = self.headers.binary_search_by_key(&at, |header| header.offset).ok()?;
        }
        let found = self.headers.get(self.hint);
        self.hint += 1;
        found
    }

    /// Walks from the frame that stands here from one to the next, up to an offset, as long as they are known
    /// and as wanted. Says how far it came, and false where one is not as wanted.
    pub(crate) fn follow(
        &self,
        mut at: u64,
        end: u64,
        wanted: &impl Fn(&FrameHeader) -> bool,
    ) -> (u64, bool) {
        let first = self.headers.partition_point(|header| header.offset < at);
        for header in self.headers.get(first..).unwrap_or_default() {
            if at >= end || header.offset != at {
                break;
            }
            if !wanted(header) {
                return (at, false);
            }
            at = header.end();
        }
        (at, true)
    }

    /// One more, behind all others; what is out of order is not worth keeping.
    pub(crate) fn remember(&mut self, header: &FrameHeader) {
        if self.headers.last().is_none_or(|last| last.offset < header.offset) {
            self.headers.push(*header);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.hint = 0;
    }

    /// Walks from frame to frame through these bytes, which stand at this offset, as far as whole
    /// frames go.
    pub(crate) fn walk(&mut self, bytes: &[u8], base: u64, codec: &Codec) {
        self.clear();
        let finder = Finder::new(&MAGIC);
        let mut from = 0;
        while let Some(rest) = bytes.get(from..).filter(|rest| rest.len() >= HEADER_LEN) {
            let length = match FrameHeader::decode(rest, codec) {
                Ok(claim) if claim.kind == FrameKind::Claim => claim.frame_len(),
                Ok(header) if header.is_self_placed(base + from as u64) => {
                    match body_verifies(&header, rest, codec) {
                        Some(true) => {
                            self.headers.push(header);
                            header.frame_len()
                        }
                        Some(false) => 0,
                        None => return,
                    }
                }
                _ => 0,
            };
            let length = match length {
                0 => match rest.get(1..).and_then(|rest| finder.find(rest)) {
                    Some(found) => 1 + found as u64,
                    None => return,
                },
                length => length,
            };
            from = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        }
    }
}
