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
    /// A claim, which floats; its header verifies.
    Claim(FrameHeader),
    /// None of these.
    Nothing,
}

/// What begins with the first of these bytes, which stand at this offset.
#[inline]
pub(crate) fn check(bytes: &[u8], at: u64, codec: &Codec) -> Check {
    let Ok(header) = FrameHeader::decode(bytes, codec) else { return Check::Nothing };
    if header.kind == FrameKind::Claim {
        return Check::Claim(header);
    }
    if !header.is_self_placed(at) {
        return Check::Nothing;
    }
    let end = usize::try_from(header.frame_len()).unwrap_or(usize::MAX);
    match bytes.get(HEADER_LEN..end) {
        Some(body) if codec.checksum(&[body]) == header.body_checksum => Check::Sound(header),
        Some(_) => Check::Nothing,
        None => Check::Longer(header),
    }
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
            let length = match check(rest, base + from as u64, codec) {
                Check::Sound(header) => {
                    self.headers.push(header);
                    header.frame_len()
                }
                Check::Claim(header) => header.frame_len(),
                Check::Longer(_) => return,
                Check::Nothing => match rest.get(1..).and_then(|rest| finder.find(rest)) {
                    Some(found) => 1 + found as u64,
                    None => return,
                },
            };
            from = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        }
    }
}
