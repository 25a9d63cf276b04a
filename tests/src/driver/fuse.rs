//! A FUSE file system with one file in it, read-only: enough of the kernel's protocol for a journal
//! to be found on a file system that is not the machine's own. See fuse(4).

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, ExitCode, Stdio};

use serde_json::json;

use crate::flags::Flags;
use crate::said::Mouth;

const ROOT: u64 = 1;
const FILE: u64 = 2;
const NO_ENTRY: i32 = -2;
const READ_ONLY: i32 = -30;
const NO_CALL: i32 = -38;
/// The longest request, and the room for one that the kernel asks for.
const REQUEST_MAX: usize = 256 << 10;

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    let at = flags.get("at").expect("a place to mount at");
    let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let mounted = fuse.and_then(|fuse| {
        // The descriptor to serve is the mounting program's standard input.
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o"]).arg("fd=0,rootmode=40000,user_id=0,group_id=0");
        mount.arg("session-journal-test").arg(at).stdin(Stdio::from(fuse.try_clone()?));
        Ok((mount.stderr(Stdio::null()).status()?.success(), fuse))
    });
    let (is_mounted, fuse) = match mounted {
        Ok((true, fuse)) => (true, Some(fuse)),
        _ => (false, None),
    };
    mouth.say(&json!({ "event": "mounted", "is": is_mounted }));
    if let Some(fuse) = fuse {
        let name = flags.path.file_name().expect("a name").to_string_lossy().into_owned();
        let file = File::open(&flags.path).expect("a file to show");
        Server { fuse, name, file }.serve();
    }
    ExitCode::SUCCESS
}

struct Server {
    fuse: File,
    name: String,
    file: File,
}

/// Numbers as the kernel wants them.
#[derive(Default)]
struct Answer(Vec<u8>);

impl Answer {
    fn long(mut self, values: &[u64]) -> Self {
        self.0.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        self
    }

    fn short(mut self, values: &[u32]) -> Self {
        self.0.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        self
    }
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

fn short(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

impl Server {
    /// Serves until the file system is unmounted.
    fn serve(&mut self) {
        let mut request = vec![0; REQUEST_MAX];
        while let Ok(read) = self.fuse.read(&mut request) {
            let request = &request[..read];
            let (operation, unique, node) =
                (short(request, 4), long(request, 8), long(request, 16));
            // Forgetting and interrupting want no answer.
            if [2, 36, 42].contains(&operation) {
                continue;
            }
            let body = request.get(40..).unwrap_or_default();
            let (error, answer) = match self.answer(operation, node, body) {
                Ok(answer) => (0, answer.0),
                Err(error) => (error, Vec::new()),
            };
            let len = u32::try_from(16 + answer.len()).unwrap_or_default();
            let head = Answer::default().short(&[len, error.cast_unsigned()]).long(&[unique]);
            let _ = self.fuse.write(&[head.0, answer].concat());
        }
    }

    fn answer(&self, operation: u32, node: u64, body: &[u8]) -> Result<Answer, i32> {
        let answer = Answer::default();
        match operation {
            // LOOKUP
            1 if node == ROOT && body.strip_suffix(&[0]) == Some(self.name.as_bytes()) => {
                let entry = answer.long(&[FILE, 0, 0, 0]).short(&[0, 0]);
                Ok(self.attributes(FILE, entry))
            }
            1 => Err(NO_ENTRY),
            // GETATTR
            3 => Ok(self.attributes(node, answer.long(&[0]).short(&[0, 0]))),
            // OPEN, OPENDIR: not to be written.
            14 if short(body, 0) & 3 != 0 => Err(READ_ONLY),
            14 | 27 => Ok(answer.long(&[0]).short(&[0, 0])),
            // READ
            15 => {
                let mut bytes = vec![0; short(body, 16) as usize];
                let read = self.file.read_at(&mut bytes, long(body, 8)).map_err(|_| -5)?;
                bytes.truncate(read);
                Ok(Answer(bytes))
            }
            // STATFS
            17 => Ok(answer.long(&[0; 5]).short(&[4096, 255, 4096, 0]).short(&[0; 6])),
            // RELEASE, FLUSH, READDIR, RELEASEDIR, ACCESS
            18 | 25 | 28 | 29 | 34 => Ok(answer),
            // INIT: version 7.31, and nothing out of the ordinary.
            26 => {
                let most = 128 << 10;
                Ok(answer.short(&[7, 31, most, 0, 0, most, 1, 0]).short(&[0; 8]))
            }
            _ => Err(NO_CALL),
        }
    }

    fn attributes(&self, node: u64, answer: Answer) -> Answer {
        let len = self.file.metadata().map_or(0, |metadata| metadata.len());
        let (mode, size) = if node == ROOT { (0o40_755, 0) } else { (0o100_600, len) };
        answer
            .long(&[node, size, size.div_ceil(512), 0, 0, 0])
            .short(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])
    }
}
