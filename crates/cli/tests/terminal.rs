//! What a user sees on a terminal: the offer and its question, and the progress bar.

mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::process::{Command, Stdio};

use support::{Bench, Said, skip};
use terminal::{CTRL_C, CTRL_D, On, Running, Terminal};

const QUESTION: &str = "import 2 sources? Nothing in them is changed. [y/N]";

/// A home folder with sessions of two programs.
fn home() -> Bench {
    let bench = Bench::new();
    bench.write("home/.openclaw/agents/main/sessions/a.jsonl", "{}\n");
    bench.write("home/.pi/agent/sessions/--w--/b.jsonl", "{}\n");
    bench
}

fn command(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.env("HOME", bench.path("home"));
    command
}

/// Runs it on a terminal of its own; `None` where that cannot be had.
fn on_terminal(command: &Command, on: On, other: Stdio) -> Option<Running> {
    let running = Terminal::new().run(command, on, other);
    if running.is_none() {
        skip("there is no setsid, which gives a program a terminal of its own");
    }
    running
}

/// Answers the question, and gives how it ended and what was on the screen.
fn answered(bench: &Bench, keys: &[u8]) -> Option<(Option<i32>, String)> {
    answered_at(bench, QUESTION, keys)
}

/// The same, as soon as this is on the screen.
fn answered_at(bench: &Bench, text: &str, keys: &[u8]) -> Option<(Option<i32>, String)> {
    let mut running = on_terminal(&command(bench, &["import"]), On::All, Stdio::null())?;
    running.shows(text);
    running.types(keys);
    Some(running.ends())
}

#[test]
fn what_is_found_is_offered_and_who_does_not_say_yes_imports_nothing() {
    for keys in [&b"n\n"[..], b"\n", CTRL_D, b"no\n", b"nyes\n"] {
        let bench = home();
        let Some((code, screen)) = answered(&bench, keys) else { return };
        let question = screen.find(QUESTION).expect("is asked");
        for word in ["PROGRAM", "openclaw", ".openclaw/agents", "pi", ".pi/agent/sessions"] {
            assert!(screen[..question].contains(word), "{word} is offered: {screen}");
        }
        assert!(screen[question..].contains("nothing was imported"), "{keys:?}: {screen}");
        assert_eq!(code, Some(0), "{keys:?}: {screen}");
        assert!(!bench.path("store").exists(), "{keys:?}");
    }
}

#[test]
fn who_says_yes_imports_all_of_it() {
    for keys in [&b"y\n"[..], b"Y\n", b" yes \n"] {
        let bench = home();
        let Some((code, screen)) = answered(&bench, keys) else { return };
        assert_eq!(code, Some(0), "{keys:?}: {screen}");
        assert!(screen.contains("2 sources: 2 imported"), "{keys:?}: {screen}");
        assert!(!screen.contains("nothing was imported"), "{keys:?}: {screen}");
        assert_eq!(bench.done(&["--json", "ls"]).json().len(), 2);
    }
}

#[test]
fn an_interrupt_at_the_question_imports_nothing() {
    let bench = home();
    // Between the offer and the question it was not heard: the question stayed.
    for text in ["PROGRAM", QUESTION].repeat(20) {
        let Some((code, screen)) = answered_at(&bench, text, CTRL_C) else { return };
        assert_eq!(code, Some(1), "ended by itself, and not by the signal: {screen}");
        assert!(!bench.path("store").exists());
        assert!(!screen.contains("panicked"), "{screen}");
    }
    let Some((code, screen)) = answered(&bench, b"y\n") else { return };
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn nobody_is_asked_where_the_question_or_the_answer_has_no_terminal() {
    let bench = home();
    let errors = bench.path("errors");
    let to = fs::File::create(&errors).expect("a file");
    let unseen = on_terminal(&command(&bench, &["import"]), On::AllButErrors, to.into());
    let Some(unseen) = unseen else { return };
    let (code, screen) = unseen.ends();
    let said = fs::read_to_string(errors).expect("reads");
    assert_eq!(code, Some(2), "{screen}{said}");
    assert!(said.contains("give --yes") && said.trim_end().ends_with("[invalid]"), "{said}");
    let said = Said::of(command(&bench, &["import"]).output().expect("runs"));
    said.fails(2, "invalid");
    assert!(said.err.contains("give --yes"), "{said:?}");
    assert!(!bench.path("store").exists());
}

#[test]
fn the_question_is_asked_where_only_the_output_goes_elsewhere() {
    let bench = home();
    let path = bench.path("said");
    let to = fs::File::create(&path).expect("a file");
    let running = on_terminal(&command(&bench, &["import"]), On::AllButOutput, to.into());
    let Some(mut running) = running else { return };
    running.shows(QUESTION);
    running.types(b"y\n");
    let (code, screen) = running.ends();
    assert_eq!(code, Some(0), "{screen}");
    let said = fs::read_to_string(path).expect("reads");
    assert!(said.contains("2 sources: 2 imported"), "{said}");
    assert!(!screen.contains("2 imported"), "{screen}");
}

/// Many small sources, for each waits for the disk; how many bytes they have.
fn sources(bench: &Bench, count: u32) -> f64 {
    let text = "{\"n\":1}\n".repeat(100);
    for n in 0..count {
        bench.write(&format!("in/s{n}.jsonl"), &text);
    }
    f64::from(count) * 800.0
}

fn import(bench: &Bench, flags: &[&str]) -> Command {
    bench.command(&[flags, &["import", "--jobs", "1", "in"]].concat())
}

/// What stood on the lines of a screen, one after the other.
fn lines(screen: &str) -> Vec<String> {
    let plain = |line: &str| line.replace("\x1b[2K", "").replace("\x1b[0m", "");
    screen.split(['\r', '\n']).map(plain).collect()
}

/// What a bar shows.
#[derive(Debug)]
struct Bar {
    files: (u64, u64),
    bytes: (f64, f64),
    rate: f64,
    left: String,
}

impl Bar {
    /// `import 3/9 files ███░░░ 3.00 KiB/9.00 KiB 1.50 KiB/s 4s left`; `None` of another line.
    fn read(line: &str) -> Option<Self> {
        let (files, rest) = line.strip_prefix("import ")?.split_once(" files ")?;
        let figures = rest.trim_start_matches(['█', '▉', '▊', '▋', '▌', '▍', '▎', '▏', '░', ' ']);
        let (bytes, rest) =
            figures.split_once("/s ")?.0.rsplit_once(' ').and_then(|(rest, unit)| {
                let (bytes, number) = rest.rsplit_once(' ')?;
                Some((bytes, format!("{number} {unit}")))
            })?;
        let (done, total) = bytes.split_once('/')?;
        let (files_done, files_total) = files.split_once('/')?;
        let left = figures.split_once("/s ")?.1.strip_suffix(" left")?.to_owned();
        Some(Self {
            files: (files_done.parse().ok()?, files_total.parse().ok()?),
            bytes: (amount(done), amount(total)),
            rate: amount(&rest),
            left,
        })
    }
}

/// An amount of bytes as a bar has it.
fn amount(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or_else(|| panic!("no amount: {text:?}"));
    let power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter().position(|one| *one == unit);
    let power = i32::try_from(power.unwrap_or_else(|| panic!("{text:?}"))).expect("small");
    number.replace(',', "").parse::<f64>().expect("a number") * 1024_f64.powi(power)
}

/// One import after the other, each of more files, until one takes long enough for a bar. The rate
/// was that of the whole time over no time at all, and the lines of the answer stood behind the bar.
#[test]
fn a_long_import_shows_bytes_files_rate_and_time_left() {
    for count in (0..8).map(|doublings| 400 << doublings) {
        let bench = Bench::new();
        let total = sources(&bench, count);
        let Some(running) = on_terminal(&import(&bench, &[]), On::All, Stdio::null()) else {
            return;
        };
        let (code, screen) = running.ends();
        assert_eq!(code, Some(0), "{screen}");
        let lines = lines(&screen);
        let bars: Vec<_> = lines.iter().filter_map(|line| Bar::read(line)).collect();
        assert!(!lines.iter().any(|line| line.contains(" left") && line.contains("imported")));
        let outcomes = lines.iter().filter(|line| line.contains("imported  ")).count();
        assert_eq!(outcomes as u64, u64::from(count), "a line each, and whole");
        let [first, .., last] = &bars[..] else { continue };
        if first.files.0 == last.files.0 {
            // It was seen at the end only.
            continue;
        }
        for bar in &bars {
            assert!(bar.files.0 <= bar.files.1 && bar.bytes.0 <= bar.bytes.1, "{bar:?}");
            assert_eq!(bar.files.1, u64::from(count), "{bar:?}");
            assert!((bar.bytes.1 - total).abs() < total / 50.0, "{bar:?}: {total} bytes");
            // It is shown after a second; all of it ten times a second would be a slip.
            assert!(bar.rate < 10.0 * total, "{bar:?}: {total} bytes");
            assert!(bar.left.starts_with(|c: char| c.is_ascii_digit()), "{bar:?}");
        }
        assert!(first.files.0 < last.files.0 && first.bytes.0 < last.bytes.0, "{first:?} {last:?}");
        assert!(last.rate > 0.0, "{last:?}");
        return no_bar_is_elsewhere(count);
    }
    panic!("so many files were imported before a bar could move");
}

/// The same import without a terminal for its errors, and one that is to be quiet.
fn no_bar_is_elsewhere(count: u32) {
    let bench = Bench::new();
    sources(&bench, count);
    let path = bench.path("errors");
    let to = fs::File::create(&path).expect("a file");
    let running = on_terminal(&import(&bench, &[]), On::AllButErrors, to.into());
    let (code, screen) = running.expect("was there before").ends();
    let said = fs::read_to_string(path).expect("reads");
    assert_eq!((code, said.lines().count()), (Some(0), 1), "what is needed, and no more: {said}");
    assert!(said.contains("are needed") && !said.contains('\x1b'), "{said}");
    assert!(!screen.contains(" left"), "{screen}");
    fs::remove_dir_all(bench.path("store")).expect("removes");
    let running = on_terminal(&import(&bench, &["--quiet"]), On::All, Stdio::null());
    let (code, screen) = running.expect("was there before").ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains(" left") && !screen.contains("are needed"), "{screen}");
}
