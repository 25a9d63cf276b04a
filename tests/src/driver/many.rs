//! Thousands of sessions open in one process.

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use session_journal::{Session, SessionName, Store, StoreOptions};
use session_journal_tests::Spec;

use crate::flags::Flags;
use crate::said::Mouth;

pub(crate) fn run(flags: &Flags) -> ExitCode {
    let mut mouth = Mouth::of(flags);
    let mut most = (0, 0);
    let mut look = || {
        let count = |path| fs::read_dir(path).expect("this process").count();
        most.0 = most.0.max(count("/proc/self/fd"));
        most.1 = most.1.max(count("/proc/self/task"));
        most
    };
    let mut milliseconds = serde_json::Map::new();
    let mut start = Instant::now();
    let mut lap = |what: &str| {
        let now = Instant::now();
        let took = now.duration_since(std::mem::replace(&mut start, now)).as_millis();
        milliseconds.insert(what.to_owned(), json!(u64::try_from(took).unwrap_or(u64::MAX)));
    };
    let options = StoreOptions { journal: flags.options(), ..StoreOptions::default() };
    let store = Store::open(&flags.path, options).expect("a store");
    let mut sessions: Vec<Session> = Vec::new();
    for number in 0..flags.number("count", 100) {
        let name = SessionName::new(Some(&format!("agent-{}", number % 50)), &number.to_string());
        sessions.push(store.create_blocking(&name.expect("a name")).expect("a session"));
        if number % 100 == 0 {
            look();
        }
    }
    lap("created");
    for round in 0..2 {
        for (number, session) in sessions.iter().enumerate() {
            let spec = Spec { id: format!("{round}.{number}.0.1"), size: 100, keyed: round == 0 };
            let appended = session.append_blocking(spec.record()).expect("an append");
            assert_eq!(appended.sequence.get(), round + 1, "session {number}");
            if number % 100 == 0 {
                look();
            }
        }
    }
    lap("appended");
    for (number, session) in sessions.iter().enumerate().step_by(97) {
        let reader = session.reader().expect("a reader");
        let records: Result<Vec<_>, _> = reader.records().collect();
        assert_eq!(records.expect("no gaps").len(), 2, "session {number}");
        look();
    }
    lap("read");
    for session in sessions {
        session.close_blocking().expect("a session closes");
    }
    lap("closed");
    let (handles, threads) = look();
    mouth.say(&json!({
        "event": "many",
        "handles": handles,
        "threads": threads,
        "listed": store.list().expect("a list").len(),
        "milliseconds": milliseconds,
    }));
    ExitCode::SUCCESS
}
