//! Standard output: buffered, and never in the way of a signal.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::args::When;
use crate::stop::Stop;

/// What is collected before it is written.
const BUFFER_BYTES: usize = 64 << 10;
/// A pipe that is ready takes this much without blocking.
const PIPE_BYTES: usize = 4096;
/// How long to wait for a reader before looking whether to stop.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Standard output.
pub(crate) struct Output {
    out: File,
    is_file: bool,
    buffer: Vec<u8>,
    stop: Stop,
    is_terminal: bool,
    colour: bool,
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

/// A signal came while nobody took the output.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped by a signal")
    }
}

impl std::error::Error for Stopped {}

/// Whether a write was given up because of a signal.
pub(crate) fn is_stopped(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Stopped>())
}

impl Output {
    pub(crate) fn new(stop: Stop, colour: When) -> io::Result<Self> {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let colour = match colour {
            When::Always => true,
            When::Never => false,
            When::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        let out: OwnedFd = out.as_fd().try_clone_to_owned()?;
        let out = File::from(out);
        let is_file = out.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(Self { out, is_file, buffer: Vec::new(), stop, is_terminal, colour })
    }

    /// Whether somebody reads it as it comes.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())?;
        self.write_all(b"\n")
    }

    /// A line of JSON.
    pub(crate) fn json(&mut self, value: &Value) -> io::Result<()> {
        self.line(&value.to_string())
    }

    /// Writes what was collected.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Text in a colour, where colours are wanted.
    pub(crate) fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Bold => "1",
            Colour::Dim => "2",
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes some bytes; where a reader may be slow, only when it is ready. A blocked write could
    /// not be interrupted, and would keep a journal from being released.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_file {
            return self.out.write(bytes);
        }
        loop {
            let mut ready = [PollFd::new(&self.out, PollFlags::OUT)];
            match poll(&mut ready, Some(&PATIENCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) if self.stop.is_requested() => {
                    return Err(io::Error::other(Stopped));
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.out.write(&bytes[..bytes.len().min(PIPE_BYTES)]),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.write_some(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush()
    }
}
