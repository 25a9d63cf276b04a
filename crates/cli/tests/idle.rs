//! Many streams on one `sjournal serve` on which hardly anything comes: others are served meanwhile,
//! each stream hears what comes in its session, and when they are gone nothing of them is left.
//!
//! `SESSION_JOURNAL_LONG=1` opens ten thousand.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use support::Bench;
use support::gateway::{Gateway, command};

/// Streams are spread over so many sessions, and opened by so many threads.
const SESSIONS: usize = 100;
const THREADS: usize = 8;
/// Handles of this process and of the server that are no stream's.
const OTHER_HANDLES: usize = 500;
/// What takes longer hangs.
const HANGS: Duration = Duration::from_mins(2);
/// What a process frees its allocator keeps, and so many rounds pass until it has as much as it ever wants.
const FIRST_ROUNDS: usize = 4;
/// Behind them the process is as large as before, or something leaks.
const ROUNDS: usize = 3;

/// A stream of events of one session.
struct Stream {
    session: usize,
    lines: BufReader<TcpStream>,
}

impl Stream {
    /// Follows a session from this record on; it is there when the head of the answer has come.
    fn open(gateway: &Gateway, session: usize, from: usize) -> Self {
        let mut stream = TcpStream::connect(gateway.address).expect("connects");
        stream.set_read_timeout(Some(HANGS)).expect("is set");
        let head = format!(
            "GET /v1/sessions/idle%2Fs{session}/events?from={from} HTTP/1.1\r\nhost: {}\r\n\r\n",
            gateway.address
        );
        stream.write_all(head.as_bytes()).expect("writes");
        let mut lines = BufReader::with_capacity(512, stream);
        let mut line = String::new();
        lines.read_line(&mut line).expect("answers");
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        while line.trim_end() != "" {
            line.clear();
            lines.read_line(&mut line).expect("answers");
        }
        Self { session, lines }
    }

    /// The payload of the next event.
    fn next(&mut self) -> String {
        let mut line = String::new();
        while !line.starts_with("data: ") {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).expect("an event"), 0, "the stream ended");
        }
        let record: Value = serde_json::from_str(&line["data: ".len()..]).expect("an object");
        record["payload"].as_str().unwrap_or_else(|| panic!("no record: {record}")).to_owned()
    }
}

/// What the server takes of the machine.
#[derive(Clone, Copy, Debug)]
struct Use {
    handles: usize,
    kib: u64,
}

impl Use {
    fn of(gateway: &Gateway) -> Self {
        let process = format!("/proc/{}", gateway.process.id());
        let handles = std::fs::read_dir(format!("{process}/fd")).expect("is there").count();
        let status = std::fs::read_to_string(format!("{process}/status")).expect("is there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
        let kib = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        Self { handles, kib }
    }
}

fn open(gateway: &Gateway, streams: usize, from: usize) -> Vec<Stream> {
    let open = |first: usize| {
        let all = (first..streams).step_by(THREADS);
        all.map(|at| Stream::open(gateway, at % SESSIONS, from)).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || open(first))).collect();
        openers.into_iter().flat_map(|opener| opener.join().expect("opens")).collect()
    })
}

fn append(gateway: &Gateway, session: &str, text: &str) {
    let target = format!("/v1/sessions/idle%2F{session}/records?create=true&durability=written");
    let (status, answer) = gateway.ask("POST", &target, Some(&json!({ "payload": text })));
    assert_eq!(status, 200, "{answer}");
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.text("/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("session_journal_{name} ")));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name}: {text}"))
}

/// Asks until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + HANGS;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Opens streams, has others served, has each stream told two things, and closes them; the most that
/// the server took meanwhile.
fn round(gateway: &Gateway, streams: usize, round: usize) -> Use {
    let from = 2 + 2 * round;
    let mut all = open(gateway, streams, from);
    assert_eq!(metric(gateway, "streams"), streams as u64);
    for at in 0..50 {
        append(gateway, "other", &format!("{round}:{at}"));
    }
    for word in ["one", "and no more"] {
        let said = |session: usize| format!("round {round}, session {session}: {word}");
        for session in 0..SESSIONS {
            append(gateway, &format!("s{session}"), &said(session));
        }
        for stream in &mut all {
            assert_eq!(stream.next(), said(stream.session));
        }
    }
    let most = Use::of(gateway);
    drop(all);
    wait_until("all streams are gone", || metric(gateway, "streams") == 0);
    most
}

/// Lets this process and its children open so many files; how many it may.
fn allow_handles(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(wanted as u64, |most| most.min(wanted as u64));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).expect("more file handles");
    }
    usize::try_from(wanted).expect("fits")
}

#[test]
fn idle_streams_disturb_nobody_and_leave_nothing_behind() {
    let is_long = std::env::var("SESSION_JOURNAL_LONG").is_ok_and(|long| long == "1");
    let wanted = if is_long { 10_000 } else { 800 };
    let streams = allow_handles(wanted + OTHER_HANDLES) - OTHER_HANDLES;
    if streams < wanted {
        say(&format!("SKIPPED: {streams} streams, not {wanted}: the hard limit of file handles"));
    }
    let bench = Bench::new();
    let sets = [("limits.streams_max", streams), ("limits.connections_max", streams + 100)];
    let sets: Vec<String> = sets.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let arguments = ["--log", "json", "--set", &sets[0], "--set", &sets[1]];
    let gateway = Gateway::start(command(&bench.path("store"), &arguments));
    for session in 0..SESSIONS {
        append(&gateway, &format!("s{session}"), "first");
    }
    append(&gateway, "other", "first");
    // What it opens once, to be told of changes of files, it has from the first stream on.
    drop(open(&gateway, 1, 1));
    wait_until("the first stream is gone", || metric(&gateway, "streams") == 0);
    let before = Use::of(&gateway);
    let (mut most, mut first, mut last) = (before, before, before);
    for at in 0..FIRST_ROUNDS + ROUNDS {
        most = round(&gateway, streams, at);
        assert!(most.handles >= before.handles + streams, "{most:?}");
        wait_until("handles are closed", || Use::of(&gateway).handles <= before.handles);
        last = Use::of(&gateway);
        if at < FIRST_ROUNDS {
            first = last;
        }
    }
    let taken = most.kib - before.kib;
    say(&format!(
        "{streams} streams; {} KiB before, {} with them, {} behind {FIRST_ROUNDS} rounds, {} behind {ROUNDS} more; \
         {} handles before, {} with them, {} behind",
        before.kib, most.kib, first.kib, last.kib, before.handles, most.handles, last.handles
    ));
    let grown = last.kib.saturating_sub(first.kib);
    assert!(grown < taken / 10 + 2048, "{grown} KiB more behind {ROUNDS} more rounds");
    gateway.signal("-TERM");
    let (code, errors) = gateway.end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Also where the test passes.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
