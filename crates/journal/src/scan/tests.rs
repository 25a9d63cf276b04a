//! A pass finds the same whoever has looked at the bytes before it: with a helper, without one, and a
//! frame at a time as if nothing were known.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::identity::{Incarnation, Owner};
use crate::storage::read_only::ReadOnly;
use crate::window::CHUNK;

/// Small, fast, and the same everywhere (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn is_one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[allow(clippy::print_stdout, reason = "shown where the test fails")]
fn seed(test: &str) -> u64 {
    let given = std::env::var("SJ_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| getrandom::u64().unwrap()) | 1;
    println!("seed {seed}; replay: SJ_TEST_SEED={seed} cargo test -p session-journal --lib {test}");
    seed
}

// ---- files -----------------------------------------------------------------------------------

/// Writes a file as owners would.
struct Pen {
    codec: Codec,
    bytes: Vec<u8>,
    last: FrameHeader,
}

impl Pen {
    fn new(salt: u64) -> Self {
        let bytes = vec![0; usize::try_from(crate::format::PAGE_LEN).unwrap()];
        let last = FrameHeader { generation: 1, incarnation: 1, ..FrameHeader::BLANK };
        Self { codec: Codec::new(salt), bytes, last }
    }

    fn at(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn put(&mut self, header: &FrameHeader, body: &[u8]) {
        self.bytes.extend_from_slice(&header.encode(&self.codec));
        self.bytes.extend_from_slice(body);
    }

    /// One batch of records of these lengths.
    fn batch(&mut self, lengths: &[usize], random: &mut Random) {
        let first = self.at();
        let whole = lengths.iter().map(|len| HEADER_LEN + len).sum::<usize>();
        for len in lengths {
            let body: Vec<u8> = (0..*len).map(|i| random.0.to_le_bytes()[i % 8]).collect();
            random.next();
            let header = FrameHeader {
                kind: FrameKind::Record,
                sequence: self.last.sequence + 1,
                offset: self.at(),
                batch_before: u32::try_from(self.at() - first).unwrap(),
                batch_len: u32::try_from(whole).unwrap(),
                previous: self.last.offset,
                payload_len: u32::try_from(*len).unwrap(),
                body_checksum: self.codec.checksum(&[&body]),
                ..self.last
            };
            self.put(&header, &body);
            self.last = header;
        }
    }

    /// A frame of another kind, alone.
    fn alone(&mut self, kind: FrameKind, body: &[u8]) {
        let fields = FrameHeader { offset: self.at(), previous: self.last.offset, ..self.last };
        let header =
            FrameHeader::alone(kind, &self.codec, body, FrameHeader { batch_before: 0, ..fields });
        self.put(&header, body);
        self.last = header;
    }

    fn claim(&mut self, generation: u64) {
        let owner = Owner {
            incarnation: Incarnation::from_bytes([7; 16]),
            host: "host".to_owned(),
            boot_id: [0; 16],
            pid: 1,
            pid_namespace: 2,
            start_ticks: 3,
            started_ms: 4,
            program: String::new(),
            label: String::new(),
        };
        let body = ClaimBody { replaces: generation - 1, owner }.encode();
        let fields = FrameHeader { generation, offset: self.at(), ..self.last };
        let header = FrameHeader::alone(
            FrameKind::Claim,
            &self.codec,
            &body,
            FrameHeader { batch_before: 0, ..fields },
        );
        self.put(&header, &body);
    }

    /// What an owner would, now and then.
    fn scribble(&mut self, random: &mut Random) {
        match random.below(24) {
            0 => {
                let generation = self.last.generation + 1;
                self.claim(generation);
                self.last.generation = generation;
                self.last.incarnation += 1;
                self.alone(FrameKind::Opening, b"not what an opening holds");
            }
            1 => self.alone(FrameKind::Checkpoint, &[3; 700]),
            // Too late: it stands where it is not meant to.
            2 => {
                let kept = self.last;
                let header = FrameHeader::alone(FrameKind::Record, &self.codec, b"late", kept);
                self.put(&header, b"late");
            }
            3 => self.batch(&[200_000 + random.below(300_000)], random),
            // It reaches over more than one block, and sometimes over more than are held.
            4 => {
                let lengths: Vec<usize> = (0..300).map(|_| 900 + random.below(7000)).collect();
                self.batch(&lengths[..=random.below(299)], random);
            }
            // A payload that quotes what stands before it.
            5 => {
                let from = self.bytes.len().saturating_sub(9000);
                let quoted = self.bytes[from..].to_vec();
                self.alone(FrameKind::Checkpoint, &quoted);
            }
            _ => {
                let lengths: Vec<usize> =
                    (0..=random.below(40)).map(|_| random.below(5000)).collect();
                self.batch(&lengths, random);
            }
        }
    }
}

fn file(random: &mut Random, len: usize) -> Pen {
    let mut pen = Pen::new(random.next());
    while pen.bytes.len() < len {
        pen.scribble(random);
    }
    pen
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(12) {
        let at = 4096 + random.below(bytes.len() - 4096);
        let end = bytes.len().min(at + 1 + random.below(3000));
        match random.below(8) {
            0..3 => bytes[at] ^= 1 << random.below(8),
            3..5 => bytes[at..end].fill(0),
            5..7 => {
                let copy = bytes[at..end].to_vec();
                let to = 4096 + random.below(bytes.len() - 4096 - copy.len());
                bytes[to..to + copy.len()].copy_from_slice(&copy);
            }
            // Nothing behind it is in its place any more.
            _ => {
                let near_the_end = at.max(bytes.len() / 8 * 7);
                bytes.drain(near_the_end..end.max(near_the_end));
            }
        }
    }
    if random.is_one_in(3) {
        bytes.truncate(bytes.len() - random.below(100_000));
    }
}

// ---- storage ---------------------------------------------------------------------------------

/// A file in memory, and what becomes of reads of it.
#[derive(Debug, Default)]
struct Moody {
    bytes: Vec<u8>,
    /// Whether another thread may read it.
    shares: bool,
    home: Option<std::thread::ThreadId>,
    /// One in so many reads of another thread fails, is cut short, or takes its time; zero for none.
    moods: u64,
    /// The file ends here once so many reads were done.
    cut: Option<(usize, u64)>,
    reads: AtomicUsize,
    bytes_read: AtomicU64,
}

impl Moody {
    fn new(bytes: Vec<u8>, shares: bool) -> Self {
        Self { bytes, shares, home: Some(std::thread::current().id()), ..Self::default() }
    }

    fn stretch(&self, from: u64, end: u64) -> &[u8] {
        let place = |at: u64| usize::try_from(at).unwrap();
        let all: Range<usize> = place(from)..place(end);
        &self.bytes[all]
    }
}

impl ReadOnly for Moody {
    fn bytes_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        let mut end = self.bytes.len() as u64;
        if let Some((after, len)) = self.cut.filter(|(after, _)| reads >= *after) {
            assert!(after <= reads);
            end = len;
        }
        let mut end = end.min(offset + buffer.len() as u64).max(offset);
        if self.moods > 0 && self.home != Some(std::thread::current().id()) {
            let mood = Random(offset | 1).next() % (3 * self.moods);
            match mood {
                0 => return Err(io::Error::other("as it was told to")),
                1 => end = offset + (end - offset) / 2,
                2 => (0..1000).for_each(|_| std::thread::yield_now()),
                3 => panic!("as it was told to"),
                _ => {}
            }
        }
        let part = if end > offset { self.stretch(offset, end) } else { &[] };
        buffer[..part.len()].copy_from_slice(part);
        self.bytes_read.fetch_add(part.len() as u64, Ordering::Relaxed);
        Ok(part.len())
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn may_be_shared(&self) -> bool {
        self.shares
    }
}

// ---- passes ----------------------------------------------------------------------------------

/// What a pass came upon.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    Frame(FrameHeader, u32, Measure, Vec<Stretch>, u64),
    Claim(u64, FrameHeader),
    End(u64, Vec<Stretch>, u64),
    Error(crate::error::ErrorKind),
}

fn scanner(file: &Arc<Moody>, codec: Codec, chain: Chain, limit: u64) -> Scanner {
    let durable = KnownDurable { offset: limit / 2, sequence: 500 };
    let file = Arc::clone(file) as Arc<dyn Storage>;
    Scanner::up_to(file, Arc::from(Path::new("in memory")), codec, chain, durable, limit)
}

/// One that looks at each frame when it comes there, and keeps nothing in mind.
fn forgetful(file: &Arc<Moody>, codec: Codec, limit: u64) -> Scanner {
    let mut scanner = scanner(file, codec, Chain::empty(), limit);
    scanner.window = Window::new(Arc::clone(file) as Arc<dyn Storage>, limit, CHUNK);
    scanner
}

fn facts(scanner: &mut Scanner) -> Vec<Fact> {
    let mut facts = Vec::new();
    loop {
        let (fact, over) = match scanner.step() {
            Ok(Step::Frame) => {
                let frame = scanner.frame();
                let sum = scanner.codec.checksum(&[frame.body]);
                assert_eq!(frame.body.len() as u64, frame.header.body_len());
                let dead = frame.dead.to_vec();
                (Fact::Frame(*frame.header, sum, *frame.measure, dead, frame.skipped), false)
            }
            Ok(Step::Claim(claim)) => (Fact::Claim(claim.at, claim.header), false),
            Ok(Step::End(end)) => {
                (Fact::End(end.examined, end.dead, scanner.highest_generation()), true)
            }
            Err(error) => (Fact::Error(error.kind()), true),
        };
        facts.push(fact);
        if over {
            return facts;
        }
    }
}

/// Not one long list beside another where they are not the same.
fn must_be_same(found: &[Fact], expected: &[Fact], what: &str) {
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    assert!(
        found == expected,
        "{what}: the first {same} are the same, then {:?}, not {:?}",
        found.get(same),
        expected.get(same)
    );
}

const ROUNDS: u64 = 16;
const LONG: usize = 3 << 20;

#[test]
fn a_damaged_file_is_read_the_same_way_whoever_helps() {
    let seed = seed("a_damaged_file_is_read_the_same_way_whoever_helps");
    let mut frames = 0;
    for round in 0..ROUNDS {
        let mut random = Random(seed.wrapping_add(round * 2));
        let pen = file(&mut random, LONG);
        let mut bytes = pen.bytes;
        if round > 1 {
            damage(&mut bytes, &mut random);
        }
        let limit = bytes.len() as u64;
        let alone = Arc::new(Moody::new(bytes, false));
        let expected = facts(&mut forgetful(&alone, pen.codec, limit));
        frames += expected.iter().filter_map(offset_of).count();
        let chain = Chain::empty;
        let found = facts(&mut scanner(&alone, pen.codec, chain(), limit));
        must_be_same(&found, &expected, "without a helper");
        let bytes = alone.bytes.clone();
        for moods in [0, 2] {
            let helped = Arc::new(Moody { moods, ..Moody::new(bytes.clone(), true) });
            let found = facts(&mut scanner(&helped, pen.codec, chain(), limit));
            must_be_same(&found, &expected, "with a helper");
        }
    }
    assert!(frames > 1000, "nearly everything is dead: {frames} frames");
}

#[test]
fn a_file_that_grows_is_read_on_from_where_it_ended() {
    let seed = seed("a_file_that_grows_is_read_on_from_where_it_ended");
    for round in 0..ROUNDS / 2 {
        let mut random = Random(seed.wrapping_add(round * 2));
        let pen = file(&mut random, LONG);
        let end = pen.at();
        let file = Arc::new(Moody::new(pen.bytes, true));
        let whole = facts(&mut scanner(&file, pen.codec, Chain::empty(), end));
        let half = end / 2 + random.next() % 100_000;
        let mut first = scanner(&file, pen.codec, Chain::empty(), half);
        let mut found = facts(&mut first);
        // Behind the last chain frame everything is looked at again.
        let frames = found.iter().rposition(|fact| matches!(fact, Fact::Frame(..)));
        found.truncate(frames.map_or(0, |last| last + 1));
        let mut rest = facts(&mut scanner(&file, pen.codec, first.into_chain(), end));
        found.append(&mut rest);
        let without_highest = |facts: &[Fact]| facts[..facts.len() - 1].to_vec();
        must_be_same(&without_highest(&found), &without_highest(&whole), "read on");
    }
}

#[test]
fn a_file_that_is_cut_meanwhile_gives_what_stood_before_the_cut_and_an_end() {
    let seed = seed("a_file_that_is_cut_meanwhile_gives_what_stood_before_the_cut_and_an_end");
    for round in 0..ROUNDS {
        let mut random = Random(seed.wrapping_add(round * 2));
        let pen = file(&mut random, LONG);
        let end = pen.at();
        let file = Arc::new(Moody::new(pen.bytes, true));
        let whole = facts(&mut scanner(&file, pen.codec, Chain::empty(), end));
        let len = 4096 + random.next() % (end - 4096);
        let cut = Some((random.below(12), len));
        let bytes = file.bytes.clone();
        let file = Arc::new(Moody { cut, ..Moody::new(bytes, true) });
        let found = facts(&mut scanner(&file, pen.codec, Chain::empty(), end));
        let (last, before) = found.split_last().unwrap();
        assert!(matches!(last, Fact::End(..) | Fact::Error(crate::error::ErrorKind::Shortened)));
        let frames = |facts: &[Fact]| -> Vec<u64> { facts.iter().filter_map(offset_of).collect() };
        let (found, whole) = (frames(before), frames(&whole));
        assert!(found.iter().all(|at| whole.contains(at)), "cut at {len} of {end}");
        let kept = whole.partition_point(|at| *at < len);
        assert!(found.len() + 300 > kept, "{} of {kept} before the cut", found.len());
    }
}

fn offset_of(fact: &Fact) -> Option<u64> {
    match fact {
        Fact::Frame(header, ..) => Some(header.offset),
        _ => None,
    }
}

/// Batches that reach from block to block made the pass go back, and what was read ahead was thrown away.
#[test]
fn a_long_pass_over_batches_reads_every_byte_about_once() {
    for shares in [false, true] {
        let (mut pen, mut random) = (Pen::new(5), Random(7));
        while pen.bytes.len() < 3 * LONG {
            pen.batch(&[1075; 256], &mut random);
        }
        let end = pen.at();
        let file = Arc::new(Moody::new(pen.bytes, shares));
        let found = facts(&mut scanner(&file, pen.codec, Chain::empty(), end));
        assert_eq!(found.len() as u64 - 1, pen.last.sequence);
        // The first mebibyte is read as it comes, batch by batch, and looked ahead from each.
        let read = file.bytes_read.load(Ordering::Relaxed);
        assert!(read < end + (3 << 20), "{read} of {end}");
    }
}

/// The second half of a long pass takes no reads of its own, whoever does the blocks.
#[test]
fn a_pass_in_which_every_read_of_the_helper_fails_reads_for_itself() {
    let (mut pen, mut random) = (Pen::new(5), Random(7));
    while pen.bytes.len() < LONG {
        pen.batch(&[1075], &mut random);
    }
    let end = pen.at();
    let calm = Arc::new(Moody::new(pen.bytes.clone(), false));
    let expected = facts(&mut scanner(&calm, pen.codec, Chain::empty(), end));
    let file = Arc::new(Moody { moods: 1, ..Moody::new(pen.bytes, true) });
    let found = facts(&mut scanner(&file, pen.codec, Chain::empty(), end));
    must_be_same(&found, &expected, "with a helper that fails");
}
