//! Some bytes of a source, by which it is judged how much it holds before it is read.

use std::io::{self, BufRead, Read};

use crate::content::{Content, PackedFile, PlainFile};
use crate::discover::Spec;
use crate::role::Shape;

/// How much of a source is looked at, in so many places. Of a packed one it is the beginning, that much
/// unpacked: a block of zstd has up to 128 KiB, and says little of the next.
const PLAIN_BYTES: u64 = 64 << 10;
const PLAIN_PLACES: u64 = 4;
const PACKED_BYTES: u64 = 4 << 20;

/// How short the lines of a database are at least, about: each is an entry with an id, a parent, a
/// time. They are not looked at, for that would be a second reading.
const PART_LINE_BYTES: u64 = 120;

/// What some bytes of a source tell of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Bytes of the file.
    taken: u64,
    /// What they are unpacked.
    bytes: u64,
    line_feeds: u64,
}

impl Sample {
    /// Looks at a source. What cannot be read tells nothing: it is not imported either.
    pub(crate) fn of(spec: &Spec) -> Self {
        if spec.part.is_some() {
            return Self { taken: PART_LINE_BYTES, bytes: PART_LINE_BYTES, line_feeds: 1 };
        }
        let Ok(file) = PlainFile::open(&spec.path, spec.links) else { return Self::default() };
        let sample = Self::of_file(spec, &file).unwrap_or_default();
        // What is kept whole has one record, whatever is in it.
        let line_feeds = if spec.shape == Shape::Whole { 0 } else { sample.line_feeds };
        Self { line_feeds, ..sample }
    }

    fn of_file(spec: &Spec, file: &PlainFile) -> io::Result<Self> {
        let mut input = Counted { input: file.read_from(0)?, taken: 0 };
        let is_packed = spec.path.to_string_lossy().ends_with(".zst");
        if is_packed && PackedFile::recognises(input.fill_buf()?) {
            let unpacked = zstd::stream::read::Decoder::with_buffer(&mut input)?;
            let sample = Self::read(unpacked.take(PACKED_BYTES));
            return Ok(Self { taken: input.taken, ..sample });
        }
        if spec.bytes <= PLAIN_BYTES {
            return Ok(Self::read(input.take(PLAIN_BYTES)));
        }
        drop(input);
        let mut sample = Self::default();
        let length = PLAIN_BYTES / PLAIN_PLACES;
        for place in 0..PLAIN_PLACES {
            // The last of them is the end.
            let offset = (spec.bytes - length) / (PLAIN_PLACES - 1) * place;
            let here = Self::read(file.read_from(offset)?.take(length));
            sample.taken += here.taken;
            sample.bytes += here.bytes;
            sample.line_feeds += here.line_feeds;
        }
        Ok(sample)
    }

    /// Counts to the end, or to where it cannot be read any further.
    fn read(mut input: impl Read) -> Self {
        let (mut sample, mut chunk) = (Self::default(), [0; 8 << 10]);
        while let Ok(length @ 1..) = input.read(&mut chunk) {
            sample.line_feeds += memchr::memchr_iter(b'\n', &chunk[..length]).count() as u64;
            sample.bytes += length as u64;
        }
        Self { taken: sample.bytes, ..sample }
    }

    /// About how many bytes so many of the file are unpacked.
    pub(crate) fn unpacked(&self, file_bytes: u64) -> u64 {
        // What turns out to be damaged is kept as it is, packed.
        scale(file_bytes, self.bytes, self.taken).max(file_bytes)
    }

    /// About how many lines so many bytes are.
    pub(crate) fn lines(&self, bytes: u64) -> u64 {
        scale(bytes, self.line_feeds, self.bytes).saturating_add(1)
    }
}

/// So many times the numerator over the denominator, rounded up.
fn scale(number: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled =
        (u128::from(number) * u128::from(numerator)).div_ceil(u128::from(denominator.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// An input that knows how much was taken from it.
struct Counted<R> {
    input: R,
    taken: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(bytes)?;
        self.taken += length as u64;
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.taken += length as u64;
        self.input.consume(length);
    }
}
