//! Bytes as lines: split at the line feed and nowhere else, hashed as they are read.

use std::io::{self, BufRead, Read};

use sha2::{Digest, Sha256};

use crate::turn::{LONG_LINE, Turn, Turns};

/// How far a source was read: the offset, and the hash of everything before it.
#[derive(Clone, Default)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) hash: Sha256,
}

impl Place {
    /// Steps over these bytes.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.offset += bytes.len() as u64;
    }

    /// The hash of everything before it, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        format!("{:x}", self.hash.clone().finalize())
    }
}

/// Steps over what is written to it.
impl io::Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pass(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes between two line feeds, or before the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    /// False for a last line without a line feed.
    pub(crate) terminated: bool,
}

/// Why there is no next line.
#[derive(Debug)]
pub(crate) enum LineError {
    TooLong,
    Io(io::Error),
}

/// Reads line by line and holds one line at a time.
pub(crate) struct Lines<'a, R> {
    input: R,
    place: Place,
    limit: u64,
    turns: &'a Turns,
    /// Held as long as the line that it gave last is a long one.
    turn: Option<Turn<'a>>,
    /// Whether the end was seen. A source that grows goes on behind it, in the middle of a line
    /// perhaps: that is for the next look at it.
    is_over: bool,
}

impl<'a, R: BufRead> Lines<'a, R> {
    /// Lines of an input that stands at this place; none may be longer than the limit.
    pub(crate) fn new(input: R, place: Place, limit: u64, turns: &'a Turns) -> Self {
        Self { input, place, limit, turns, turn: None, is_over: false }
    }

    /// Whether the line that it gave last is a long one. Others wait until the next is asked for.
    pub(crate) fn is_long(&self) -> bool {
        self.turn.is_some()
    }

    /// The next line, or `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, LineError> {
        if self.is_over {
            return Ok(None);
        }
        self.turn = None;
        let mut bytes = Vec::new();
        let room = self.limit.saturating_add(1);
        self.read_on(&mut bytes, room.min(LONG_LINE)).map_err(LineError::Io)?;
        let is_cut = bytes.last() != Some(&b'\n') && bytes.len() as u64 == LONG_LINE;
        if is_cut && room > LONG_LINE {
            self.turn = Some(self.turns.take());
            self.read_on(&mut bytes, room - LONG_LINE).map_err(LineError::Io)?;
        }
        if bytes.is_empty() {
            self.is_over = true;
            return Ok(None);
        }
        self.place.pass(&bytes);
        let terminated = bytes.last() == Some(&b'\n');
        if terminated {
            bytes.pop();
        } else if bytes.len() as u64 > self.limit {
            return Err(LineError::TooLong);
        } else {
            self.is_over = true;
        }
        Ok(Some(Line { bytes, terminated }))
    }

    fn read_on(&mut self, bytes: &mut Vec<u8>, most: u64) -> io::Result<usize> {
        (&mut self.input).take(most).read_until(b'\n', bytes)
    }

    /// Steps over a line feed, if that is what comes next.
    pub(crate) fn skip_line_feed(&mut self) -> io::Result<bool> {
        let is_next = self.input.fill_buf()?.first() == Some(&b'\n');
        if is_next {
            self.input.consume(1);
            self.place.pass(b"\n");
        }
        Ok(is_next)
    }

    /// How far it read.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let turns = Turns::default();
        let mut lines = Lines::new(bytes, Place::default(), 100, &turns);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("reads") {
            all.push((line.bytes, line.terminated));
        }
        assert_eq!(lines.place().offset, bytes.len() as u64);
        all
    }

    #[test]
    fn splits_at_line_feeds_only() {
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), [(b"".to_vec(), true)]);
        assert_eq!(
            lines(b"a\r\n\n\x85b\x0b\0"),
            [(b"a\r".to_vec(), true), (b"".to_vec(), true), (b"\x85b\x0b\0".to_vec(), false)]
        );
    }

    #[test]
    fn bounds_a_line() {
        let turns = Turns::default();
        let mut exact = Lines::new(&b"abc\n"[..], Place::default(), 3, &turns);
        assert!(matches!(exact.next_line(), Ok(Some(line)) if line.bytes == b"abc"));
        let mut long = Lines::new(&b"abcd\n"[..], Place::default(), 3, &turns);
        assert!(matches!(long.next_line(), Err(LineError::TooLong)));
    }

    /// An input that is at its end between its parts, as a file is that somebody appends to.
    struct Growing(Vec<&'static [u8]>);

    impl Read for Growing {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let Some(part) = self.0.first_mut() else { return Ok(0) };
            let read = part.read(bytes)?;
            if read == 0 {
                self.0.remove(0);
            }
            Ok(read)
        }
    }

    /// The two halves of a line that was written meanwhile were two lines: an export put a line feed
    /// between them.
    #[test]
    fn what_grows_behind_half_a_line_is_not_another_line() {
        let growing = Growing(vec![b"a\nhal", b"f\n"]);
        let turns = Turns::default();
        let mut lines = Lines::new(io::BufReader::new(growing), Place::default(), 100, &turns);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("reads") {
            all.push((line.bytes, line.terminated));
        }
        assert_eq!(all, [(b"a".to_vec(), true), (b"hal".to_vec(), false)]);
        assert_eq!(lines.place().offset, 5, "the rest is for the next look");
    }

    #[test]
    fn a_long_line_has_its_turn_until_the_next_is_asked_for() {
        let turns = Turns::default();
        let long = usize::try_from(LONG_LINE).expect("fits");
        let text = [&vec![b'x'; long][..], b"\ny\n", &vec![b'z'; long - 1][..], b"\n"].concat();
        let mut lines = Lines::new(&text[..], Place::default(), u64::MAX, &turns);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().expect("reads") {
            assert_eq!(lines.is_long(), turns.is_taken());
            all.push((line.bytes.len(), lines.is_long()));
        }
        assert_eq!(all, [(long, true), (1, false), (long - 1, false)]);
        assert_eq!(lines.place().offset, text.len() as u64);
    }

    #[test]
    fn hashes_what_it_read() {
        let turns = Turns::default();
        let mut lines = Lines::new(&b"abc"[..], Place::default(), 9, &turns);
        lines.next_line().expect("reads");
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(lines.place().sha256(), sha256);
    }
}
