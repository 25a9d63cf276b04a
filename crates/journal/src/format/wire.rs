//! Little-endian fields, read with bounds and written without surprises.

/// The bytes verify but do not have the shape that their kind demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Takes fields off the front of a slice.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A generation, sequence, offset or length: below 2^48.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        self.u64().and_then(|number| {
            if number < super::NUMBER_LIMIT { Ok(number) } else { Err(self.malformed()) }
        })
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// 48 bits: enough for any offset in a file.
    pub(super) fn u48(&mut self) -> Result<u64, Malformed> {
        let low = self.u32()?;
        let high = self.u16()?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// Bytes behind a length of 16 bits.
    pub(super) fn short_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }

    pub(super) fn short_text(&mut self) -> Result<String, Malformed> {
        let bytes = self.short_bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.malformed())
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}

pub(super) fn put_u48(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    out.extend_from_slice(bytes.first_chunk::<6>().unwrap_or(&[0; 6]));
}

/// Writes a length of 16 bits and the bytes; what is longer than that is cut.
pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or(bytes));
}

/// The text, cut to at most `max` bytes at a character.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or(text)
}
