//! Server-sent events as they arrive: cut anywhere, with any line ends. Only the data is kept.

/// Puts events together from pieces.
#[derive(Debug)]
pub(super) struct Events {
    /// What came of a line that is not whole.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, which may be half of a line end.
    after_return: bool,
    limit: usize,
}

/// An event is larger than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Events {
    pub(super) fn new(limit: usize) -> Self {
        let (line, data) = (Vec::new(), Vec::new());
        Self { line, data, has_data: false, after_return: false, limit }
    }

    /// Takes a piece, gives the events that it makes whole.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, TooLarge> {
        let mut events = Vec::new();
        for &byte in piece {
            let is_second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ if self.line.len() + self.data.len() >= self.limit => return Err(TooLarge),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// Whether something came that no empty line ended.
    pub(super) fn is_open(&self) -> bool {
        self.has_data || !self.line.is_empty()
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        if name == b"data" {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b": hello\n\ndata: one\r\n\r\nevent: x\ndata:two\ndata:  lines\n\nid: 7\rdata\r\rdata: cut";

    #[test]
    fn events_are_the_same_wherever_they_are_cut() {
        let expected: [&[u8]; 3] = [b"one", b"two\n lines", b""];
        for at in 0..=STREAM.len() {
            let mut events = Events::new(100);
            let mut found = events.push(&STREAM[..at]).unwrap();
            found.extend(events.push(&STREAM[at..]).unwrap());
            assert_eq!(found, expected, "cut at {at}");
            assert!(events.is_open());
        }
        let mut events = Events::new(100);
        let one_by_one = STREAM.iter().flat_map(|byte| events.push(&[*byte]).unwrap());
        assert_eq!(one_by_one.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::new(10);
        assert_eq!(events.push(b"data: 0123\n\ndata: 0123\n\n").map(|all| all.len()), Ok(2));
        assert_eq!(events.push(b"data: 01234567"), Err(TooLarge));
    }
}
