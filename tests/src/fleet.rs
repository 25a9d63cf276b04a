//! Session files as a busy gateway leaves them, made from a seed: thousands of them, and few events
//! that hold most of the bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::chance::Chance;

/// Of a thousand events, so many hold four fifths of the bytes.
const LARGE_OF_THOUSAND: u64 = 13;
/// A small event, on average, its fields included.
const SMALL_BYTES: u64 = 1000;
/// A large one: four fifths of the bytes over 13 of 1,000 events.
const LARGE_BYTES: u64 = 4 * SMALL_BYTES * (1000 - LARGE_OF_THOUSAND) / LARGE_OF_THOUSAND;
/// Of so many files, one is of a session that went on ten times as long.
const LONG_OF: u64 = 50;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// So many files.
    pub files: u64,
    /// About so many bytes in all.
    pub bytes: u64,
    /// The same seed makes the same bytes.
    pub seed: u64,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Made {
    /// Bytes of all files.
    pub bytes: u64,
    /// Events in them, headers included.
    pub events: u64,
    /// How many of the events are large.
    pub large: u64,
    /// Bytes of those.
    pub large_bytes: u64,
}

impl Fleet {
    /// As users report it: 14,000 files, 1.7 GB.
    pub const REPORTED: Self = Self { files: 14_000, bytes: 1_700_000_000, seed: 98_980 };

    /// Makes the files in the folder of one agent below this one.
    #[must_use]
    pub fn make(self, root: &Path) -> Made {
        let folder = sessions_folder(root);
        let mut chance = Chance::of(self.seed);
        let text = text(&mut chance);
        // Nine of ten bytes of a long session are beyond those of a usual one.
        let events = self.bytes / average_bytes() * LONG_OF / (LONG_OF + 9) / self.files;
        let mut made = Made::default();
        for _ in 0..self.files {
            let times = if chance.below(LONG_OF) == 0 { 10 } else { 1 };
            let events = times * (1 + chance.below((2 * events).max(2) - 1));
            let mut session = Session::new(&folder, &text, &mut chance);
            for _ in 0..events {
                session.event(length(&mut chance), &mut chance);
            }
            made.add(&session.end());
        }
        made
    }
}

impl Made {
    fn add(&mut self, more: &Self) {
        self.bytes += more.bytes;
        self.events += more.events;
        self.large += more.large;
        self.large_bytes += more.large_bytes;
    }
}

/// One session of so many events of so many bytes each, in the folder of one agent below this one.
#[must_use]
pub fn long_session(root: &Path, events: u64, bytes: usize, seed: u64) -> Made {
    let mut chance = Chance::of(seed);
    let text = text(&mut chance);
    let mut session = Session::new(&sessions_folder(root), &text, &mut chance);
    for _ in 0..events {
        session.event(bytes, &mut chance);
    }
    session.end()
}

fn sessions_folder(root: &Path) -> PathBuf {
    let folder = root.join("agents/main/sessions");
    fs::create_dir_all(&folder).expect("makes folders");
    folder
}

fn average_bytes() -> u64 {
    (SMALL_BYTES * (1000 - LARGE_OF_THOUSAND) + LARGE_BYTES * LARGE_OF_THOUSAND) / 1000
}

/// How long the text of an event is.
fn length(chance: &mut Chance) -> usize {
    let length = if chance.below(1000) < LARGE_OF_THOUSAND {
        // Three of four up to the half of the average, the fourth makes up for it.
        match chance.below(4) {
            0 => LARGE_BYTES + chance.below(3 * LARGE_BYTES),
            _ => LARGE_BYTES / 4 + chance.below(LARGE_BYTES / 2),
        }
    } else {
        chance.below(2 * (SMALL_BYTES - FIELDS_BYTES))
    };
    usize::try_from(length).expect("fits")
}

/// What an event takes without its text.
const FIELDS_BYTES: u64 = 200;

/// Text to cut events from: words, with what JSON must escape and what is not ASCII.
fn text(chance: &mut Chance) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "session ",
        "append ",
        "the ",
        "\\n",
        "journal ",
        "\\\"quoted\\\" ",
        "ä€ ",
        "0x7f ",
        "line ",
        "of ",
        "tool ",
        "result ",
    ];
    let mut text = String::new();
    while text.len() < 1 << 20 {
        text.push_str(WORDS[usize::try_from(chance.below(12)).expect("small")]);
    }
    text.into_bytes()
}

/// A file that is being written.
struct Session<'a> {
    file: BufWriter<File>,
    text: &'a [u8],
    parent: String,
    made: Made,
}

impl<'a> Session<'a> {
    fn new(folder: &Path, text: &'a [u8], chance: &mut Chance) -> Self {
        let id = format!("{:016x}{:016x}", chance.number(), chance.number());
        let id =
            format!("{}-{}-7{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..]);
        let file = File::create(folder.join(format!("{id}.jsonl"))).expect("makes a file");
        let file = BufWriter::with_capacity(1 << 18, file);
        let mut session = Self { file, text, parent: "null".to_owned(), made: Made::default() };
        session.line(&format!(
            "{{\"type\":\"session\",\"version\":3,\"id\":\"{id}\",\
             \"timestamp\":\"2026-05-21T09:00:00.000Z\",\"cwd\":\"/home/user/project\"}}\n"
        ));
        session
    }

    /// One message with a text of about so many bytes.
    fn event(&mut self, length: usize, chance: &mut Chance) {
        let id = format!("\"{:08x}\"", chance.number() >> 32);
        let begin = format!(
            "{{\"type\":\"message\",\"id\":{id},\"parentId\":{},\
             \"timestamp\":\"2026-05-21T09:10:00.000Z\",\"message\":{{\"role\":\"user\",\
             \"content\":[{{\"type\":\"text\",\"text\":\"",
            self.parent
        );
        let before = self.made.bytes;
        self.write(begin.as_bytes());
        self.text(length, chance);
        self.line("\"}],\"timestamp\":1779354600000}}\n");
        let bytes = self.made.bytes - before;
        if bytes >= LARGE_BYTES / 4 {
            self.made.large += 1;
            self.made.large_bytes += bytes;
        }
        self.parent = id;
    }

    /// Text from anywhere, cut where nothing is torn.
    fn text(&mut self, length: usize, chance: &mut Chance) {
        let text = self.text;
        let from = usize::try_from(chance.below(1 << 19)).expect("fits");
        let from = from + text[from..].iter().position(|byte| *byte == b' ').expect("a blank") + 1;
        let mut rest = length;
        while rest > 0 {
            let part = &text[from..text.len().min(from + rest)];
            let end = part.iter().rposition(|byte| *byte == b' ').map_or(0, |at| at + 1);
            self.write(&part[..end]);
            rest = if end == 0 { 0 } else { rest - end };
            if rest < 32 {
                break;
            }
        }
    }

    fn line(&mut self, text: &str) {
        self.write(text.as_bytes());
        self.made.events += 1;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).expect("writes");
        self.made.bytes += bytes.len() as u64;
    }

    fn end(mut self) -> Made {
        self.file.flush().expect("writes");
        self.made
    }
}
