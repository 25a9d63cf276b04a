//! Standard input as lines, read on a thread of its own so that a signal need not wait for it.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use crate::stop::Stop;

/// How much is read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// How many chunks wait; with the one being read, they and one line bound the memory.
const CHUNKS_WAITING: usize = 2;

/// What comes from standard input.
#[derive(Debug)]
pub(crate) enum Event {
    /// The lines of one chunk, without their line feeds.
    Lines(Vec<Vec<u8>>),
    /// A line longer than allowed.
    TooLong,
    /// The end.
    End,
    /// It cannot be read.
    Failed(io::Error),
    /// A signal came.
    Stopped,
}

/// Begins to read standard input. No line may have more bytes than this.
pub(crate) fn lines(stop: &Stop, bytes_max: u64) -> io::Result<Receiver<Event>> {
    let (events, receiver) = mpsc::sync_channel(CHUNKS_WAITING);
    let at_stop = events.clone();
    // Where there is no room, the receiver is awake and sees for itself.
    stop.then(move || drop(at_stop.try_send(Event::Stopped)));
    let read = move || read(BufReader::with_capacity(CHUNK_BYTES, io::stdin()), bytes_max, &events);
    thread::Builder::new().name("input".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// The lines of some input, read in pieces of so many bytes, up to its end or to a line that is too
/// long; whether that is why they end.
pub(crate) fn all_lines(
    input: impl Read,
    piece: usize,
    bytes_max: u64,
) -> io::Result<(Vec<Vec<u8>>, bool)> {
    let mut input = BufReader::with_capacity(piece, input);
    let (mut begun, mut all) = (Vec::new(), Vec::new());
    loop {
        match chunk(&mut input, &mut begun, bytes_max)? {
            Event::Lines(lines) => all.extend(lines),
            event => return Ok((all, matches!(event, Event::TooLong))),
        }
    }
}

fn read(mut input: impl BufRead, bytes_max: u64, events: &SyncSender<Event>) {
    let mut begun = Vec::new();
    loop {
        let event = match chunk(&mut input, &mut begun, bytes_max) {
            Ok(event) => event,
            Err(error) => Event::Failed(error),
        };
        let is_last = !matches!(event, Event::Lines(_));
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

/// The lines that end in what can be read at once; what was begun is kept for the next chunk.
fn chunk(input: &mut impl BufRead, begun: &mut Vec<u8>, bytes_max: u64) -> io::Result<Event> {
    if begun.len() as u64 > bytes_max {
        return Ok(Event::TooLong);
    }
    let chunk = match input.fill_buf() {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            return Ok(Event::Lines(vec![]));
        }
        chunk => chunk?,
    };
    let length = chunk.len();
    if length == 0 {
        let rest = std::mem::take(begun);
        return Ok(if rest.is_empty() { Event::End } else { Event::Lines(vec![rest]) });
    }
    let mut lines = Vec::new();
    for part in chunk.split_inclusive(|byte| *byte == b'\n') {
        let line = part.strip_suffix(b"\n");
        begun.extend_from_slice(line.unwrap_or(part));
        if begun.len() as u64 > bytes_max {
            // The lines before it are served first; nothing behind it is.
            break;
        }
        if line.is_some() {
            lines.push(std::mem::take(begun));
        }
    }
    input.consume(length);
    Ok(Event::Lines(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(input: &[u8], capacity: usize, bytes_max: u64) -> (Vec<Vec<u8>>, &'static str) {
        let (lines, is_too_long) = all_lines(input, capacity, bytes_max).expect("reads");
        (lines, if is_too_long { "too long" } else { "end" })
    }

    #[test]
    fn splits_the_same_however_it_comes() {
        let input = b"one\n\ntwo\r\nlast";
        let lines: Vec<_> =
            ["one", "", "two\r", "last"].map(|line| line.as_bytes().to_vec()).into();
        for capacity in 1..20 {
            assert_eq!(events(input, capacity, 5), (lines.clone(), "end"));
        }
    }

    #[test]
    fn serves_what_comes_before_a_line_that_is_too_long() {
        for capacity in 1..20 {
            let (lines, end) = events(b"one\nlonger\nx\n", capacity, 4);
            assert_eq!((lines, end), (vec![b"one".to_vec()], "too long"));
            assert_eq!(events(b"longer", capacity, 4).1, "too long");
        }
    }
}
