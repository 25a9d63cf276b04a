//! Many files, long files and long lines through the shipped program: how fast, in how much memory,
//! and complete although it is killed on the way.
//!
//! With `SESSION_JOURNAL_LONG=1` it is what users report: 14,000 files of 1.7 GB, a session of
//! 2,000,000 lines, a line of 64 MiB. The times are printed beside what the machine takes to read and
//! write the same bytes; no test asserts one.
#![allow(missing_docs, reason = "test names are sentences")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded when they are printed")]

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use session_journal_tests::{Chance, Fleet, Made, Program, is_long, long_session, say};
use tempfile::TempDir;

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// What an import may use beside the longest line.
const MEMORY_MAX: u64 = 64 << 20;

/// Sources and a store, gone with the test.
struct Scene {
    folder: TempDir,
    program: Program,
}

/// How an import ended.
struct Done {
    summary: Value,
    seconds: f64,
    memory: u64,
}

impl Scene {
    fn new() -> Self {
        let parent = std::env::var_os("SESSION_JOURNAL_BENCH_DIR");
        let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        Self { folder, program: Program::beside(DRIVER) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.program.command(arguments);
        command.env("SESSION_JOURNAL_STORE", self.path("store")).current_dir(self.folder.path());
        // Thousands of lines would fill a pipe that nobody empties.
        let said = File::create(self.path("said")).expect("a file");
        command.stdout(said).stderr(Stdio::null()).spawn().expect("starts")
    }

    /// Imports it all; the most memory that it had in use is looked at while it runs.
    fn import(&self, arguments: &[&str]) -> Done {
        let begin = Instant::now();
        let mut child = self.start(&[&["--json", "import"], arguments].concat());
        let mut memory = 0;
        let status = loop {
            memory = memory.max(peak_memory(&child).unwrap_or_default());
            if let Some(status) = child.try_wait().expect("looks") {
                break status;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let seconds = begin.elapsed().as_secs_f64();
        assert!(status.success(), "{status}");
        let said = fs::read_to_string(self.path("said")).expect("reads");
        let last = said.lines().last().expect("a summary");
        Done { summary: serde_json::from_str(last).expect("JSON"), seconds, memory }
    }

    fn number(&self, done: &Done, field: &str) -> u64 {
        let _ = self;
        done.summary[field].as_u64().unwrap_or_else(|| panic!("{field} in {}", done.summary))
    }

    /// The next import begins with nothing. The store is not removed: for some seconds ext4 steps over
    /// every file that was, whenever one is made.
    fn set_store_aside(&self) {
        let mut aside = (0..).map(|n| self.path(&format!("aside-{n}")));
        let aside = aside.find(|path| !path.exists()).expect("a free name");
        match fs::rename(self.path("store"), aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.expect("renames"),
        }
    }

    /// Every source is there, once, and nothing else.
    fn is_complete(&self, files: u64) {
        let done = self.import(&["--verify", "in"]);
        assert_eq!(self.number(&done, "verified"), files, "{}", done.summary);
        let journals = fs::read_dir(self.path("store/main")).expect("reads");
        assert_eq!(journals.count() as u64, files, "a journal each");
    }
}

fn assert_little_memory(done: &Done, longest_line: usize) {
    let most = MEMORY_MAX + longest_line as u64;
    assert!(done.memory < most, "{} of {} MiB", done.memory >> 20, most >> 20);
}

/// The most memory that a process ever had in use; `None` where the system does not tell.
fn peak_memory(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Where the sources are before they are read.
#[derive(Clone, Copy, Debug)]
enum Sources {
    /// On the disk only, as those of last month.
    Cold,
    /// In memory.
    Warm,
}

fn files(root: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(root.join("agents/main/sessions")).expect("reads");
    files.map(|entry| entry.expect("reads").path()).collect()
}

/// Waits until the file system has written everything; what was just made shall not be in the way of
/// what is measured. Then puts the sources where they are to be.
fn prepare(root: &Path, sources: Sources) {
    rustix::fs::syncfs(File::open(root).expect("opens")).expect("syncs");
    for path in files(root) {
        let mut file = File::open(path).expect("opens");
        match sources {
            Sources::Cold => {
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("forgets");
            }
            Sources::Warm => drop(io::copy(&mut file, &mut io::sink()).expect("reads")),
        }
    }
}

/// What the machine takes to `cat` all files to nowhere, and their bytes into one file: without a
/// sync, and with one at the end.
fn read_and_write_once(root: &Path, copy: &Path, sources: Sources) -> (f64, f64) {
    let names = copy.with_extension("names");
    let paths = files(root).into_iter();
    let list: Vec<u8> =
        paths.flat_map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    fs::write(&names, list).expect("writes");
    let cat = |to: Stdio| {
        let mut cat = Command::new("xargs");
        cat.args(["-0", "cat"]).stdin(File::open(&names).expect("opens")).stdout(to);
        assert!(cat.status().expect("xargs runs").success());
    };
    prepare(root, sources);
    let file = File::create(copy).expect("makes a file");
    let begin = Instant::now();
    cat(Stdio::null());
    cat(file.try_clone().expect("a descriptor").into());
    let written = begin.elapsed().as_secs_f64();
    file.sync_data().expect("syncs");
    let synced = begin.elapsed().as_secs_f64();
    drop(file);
    fs::remove_file(copy).expect("removes");
    (written, synced)
}

/// Imports it all into a new store, and tells how fast, beside what the machine takes.
fn measured(scene: &Scene, what: &str, bytes: u64, sources: Sources) -> Done {
    let (root, copy) = (scene.path("in"), scene.path("copy"));
    let (written, synced) = read_and_write_once(&root, &copy, sources);
    scene.set_store_aside();
    prepare(&root, sources);
    let done = scene.import(&["in"]);
    let seconds = done.seconds;
    say(&format!(
        "{what}, {sources:?}: imported in {seconds:.2} s, {:.0} MB/s, at most {} MiB in memory; cat and \
         writing once: {written:.2} s, ratio {:.2}; with a sync at the end: {synced:.2} s, ratio {:.2}",
        bytes as f64 / 1e6 / seconds,
        done.memory >> 20,
        written / seconds,
        synced / seconds,
    ));
    done
}

fn tell(what: &str, made: &Made) {
    say(&format!(
        "{what}: {} events, {:.0} MB; {:.1} % of the events hold {:.0} % of the bytes",
        made.events,
        made.bytes as f64 / 1e6,
        100.0 * made.large as f64 / made.events as f64,
        100.0 * made.large_bytes as f64 / made.bytes as f64,
    ));
}

#[test]
fn a_fleet_of_sessions_is_imported_in_little_memory_and_completed_after_ten_kills() {
    let scene = Scene::new();
    let usual = Fleet { files: 150, bytes: 18_000_000, ..Fleet::REPORTED };
    let fleet = if is_long() { Fleet::REPORTED } else { usual };
    let made = fleet.make(&scene.path("in"));
    tell("fleet", &made);
    assert!(made.bytes.abs_diff(fleet.bytes) * 100 <= fleet.bytes, "as many as were asked for");
    measured(&scene, "fleet", made.bytes, Sources::Warm);
    let done = measured(&scene, "fleet", made.bytes, Sources::Cold);
    assert_eq!(scene.number(&done, "imported"), fleet.files);
    assert_eq!(scene.number(&done, "bytes"), made.bytes);
    assert_little_memory(&done, 1 << 20);
    let again = scene.import(&["in"]);
    assert_eq!(scene.number(&again, "unchanged"), fleet.files);
    say(&format!("fleet: once more, unchanged, in {:.2} s", again.seconds));
    scene.set_store_aside();

    let mut chance = Chance::of_test("fleet", "a_fleet_of_sessions");
    let mut kills = 0;
    while kills < 10 {
        let mut child = scene.start(&["--json", "import", "in"]);
        // Ten of these fit into the time that the whole took.
        let part = done.seconds * 1e6 / 10.0;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small")]
        chance.nap(part.max(2.0) as u64);
        if child.try_wait().expect("looks").is_none() {
            child.kill().expect("kills");
            kills += 1;
        } else {
            // It was done before: there is nothing left to cut short.
            scene.set_store_aside();
        }
        child.wait().expect("ends");
    }
    scene.is_complete(fleet.files);
}

#[test]
fn a_session_of_very_many_lines_needs_little_memory() {
    let scene = Scene::new();
    let lines = if is_long() { 2_000_000 } else { 20_000 };
    let made = long_session(&scene.path("in"), lines - 1, 100, 88_983);
    assert_eq!(made.events, lines);
    tell("long session", &made);
    let done = measured(&scene, "long session", made.bytes, Sources::Cold);
    assert_eq!(scene.number(&done, "records"), lines);
    assert_little_memory(&done, 100);
    scene.is_complete(1);
}

#[test]
fn a_very_long_line_is_one_record_and_needs_little_more_than_itself() {
    let scene = Scene::new();
    let length = if is_long() { 64 << 20 } else { 4 << 20 };
    let made = long_session(&scene.path("in"), 1, length, 64);
    tell("long line", &made);
    let done = measured(&scene, "long line", made.bytes, Sources::Cold);
    assert_eq!(scene.number(&done, "records"), 2);
    assert_little_memory(&done, length);
    scene.is_complete(1);
}

/// Only one of these lines is in memory at a time, and only once; and what it took is given back, whatever
/// the C library does with blocks of that size.
#[test]
fn long_lines_of_many_sessions_are_in_memory_one_at_a_time() {
    let sessions = if is_long() { 16 } else { 6 };
    for length in [8 << 20, 40 << 20] {
        let scene = Scene::new();
        let mut bytes = 0;
        for seed in 0..sessions {
            bytes += long_session(&scene.path("in"), 1, length, seed).bytes;
        }
        let done = measured(&scene, "long lines", bytes, Sources::Cold);
        assert_little_memory(&done, length);
        scene.is_complete(sessions);
    }
}
