//! What the page is shown with: a store of sessions as a gateway has them after a while.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use session_journal::{
    AppendOptions, NewRecord, Options, Session, SessionName, Store, StoreOptions, Takeover,
};
use session_journal_import::{Attributes, Import, ImportOptions};

pub(crate) fn store(folder: &Path, label: &str) -> Store {
    let journal =
        Options { label: label.to_owned(), takeover: Takeover::Always, ..Options::default() };
    Store::open(folder, StoreOptions { journal, ..StoreOptions::default() }).expect("opens")
}

pub(crate) fn name(session: &str) -> SessionName {
    session.parse().expect("a name")
}

pub(crate) fn message(role: &str, text: &str) -> NewRecord {
    NewRecord::new(json!({ "role": role, "content": text }).to_string()).kind("message")
}

pub(crate) fn append_all(session: &Session, records: impl IntoIterator<Item = NewRecord>) {
    let records = records.into_iter().collect();
    session.append_all_blocking(records, AppendOptions::default()).expect("appends");
}

/// What is known of a session: its title, key and channel.
pub(crate) fn known(title: &str, key: &str, channel: &str) -> NewRecord {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let attributes = Attributes {
        title: some(title),
        session_key: some(key),
        channel: some(channel),
        model: Some("local/some-model".to_owned()),
        ..Attributes::default()
    };
    attributes.to_record(1)
}

const TITLES: [&str; 8] = [
    "Ferry times to the islands",
    "Invoice 2214, second reminder",
    "Nightly backup of the archive",
    "Translate the safety leaflet",
    "Garden sensors are silent",
    "Plan the move of the library",
    "Why is the build slow?",
    "Reading group, chapter four",
];
const AGENTS: [&str; 5] = ["main", "support", "research", "ops", "night-watch"];

/// So many sessions: some that were made, in all states, and copies of them under other names. Gives
/// back those that are held, which stay open while it is kept.
pub(crate) fn fleet(folder: &Path, count: usize) -> Vec<Session> {
    let stores = ["http://10.0.4.1:7420", "http://10.0.4.2:7420"].map(|label| store(folder, label));
    let (mut held, mut made): (Vec<Session>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    let mut make = |at: usize, made: &mut Vec<PathBuf>| {
        let agent = AGENTS[at % AGENTS.len()];
        let name = name(&format!("{agent}/seed-{at:02}"));
        let session = stores[at % 2].open_or_create_blocking(&name).expect("opens");
        let title = format!("{} {}", TITLES[at % TITLES.len()], at / TITLES.len() + 1);
        let channel = ["telegram", "web", "mail"][at % 3];
        let title = if at % 7 == 3 { "" } else { &title };
        let about = known(title, &format!("agent:{agent}:{channel}:{}", 1000 + at * 37), channel);
        let said = (0..at * 3 % 50).map(|at| message("user", &format!("message {at}")));
        append_all(&session, [about].into_iter().chain(said));
        made.push(session.path().to_owned());
        match at % 4 {
            0 => held.push(session),
            1 => drop(session),
            _ => session.close_blocking().expect("closes"),
        }
    };
    (0..28.min(count)).for_each(|at| make(at, &mut made));
    for at in 40..count {
        let name = name(&format!("{}/session-{at:05}", AGENTS[at % AGENTS.len()]));
        let copy = folder.join(name.relative_path());
        fs::create_dir_all(copy.parent().expect("a folder")).expect("makes it");
        fs::copy(&made[at * 11 % made.len()], copy).expect("copies");
    }
    // These changed last.
    (28..40.min(count)).for_each(|at| make(at, &mut made));
    held
}

/// The sessions of other programs that the project ships, and one each of those it has none of.
/// Gives back their names.
pub(crate) fn import(folder: &Path) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources =
        ["../../tests/fixtures/sessions", "../../tests/fixtures/damaged", "tests/page/programs"];
    let sources: Vec<PathBuf> = sources.iter().map(|source| root.join(source)).collect();
    let import = Import::new(folder, ImportOptions::default());
    let summary = import.run(&sources, &mut |_| {});
    assert!(summary.imported > 40, "{summary:?}");
    let mut names: Vec<String> =
        store(folder, "").list().expect("lists").iter().map(|one| one.name.to_string()).collect();
    names.sort();
    names
}

/// A conversation as a gateway writes one: two branches, a tool, a code block, a long text, control
/// records, a summary.
pub(crate) fn conversation(session: &Session) {
    let line = |key: &str, parent: Option<&str>, record: NewRecord| {
        let record = record.key(key);
        match parent {
            Some(parent) => record.parent(parent),
            None => record,
        }
    };
    let thought = "The timetable of the harbour office has to be read first; it changes on Sunday.";
    let asked = json!({ "harbour": "north", "day": "Sunday" });
    let call = json!({ "role": "assistant", "content": [
        { "type": "thinking", "thinking": thought },
        { "type": "text", "text": "I look it up." },
        { "type": "toolCall", "id": "t1", "name": "fetch_timetable", "arguments": asked },
    ] });
    let times = "06:40  Norderney\n09:15  Norderney\n11:30  Baltrum\n17:05  Norderney";
    let result = json!({ "role": "tool", "toolName": "fetch_timetable", "content": times });
    let failed = json!({
        "role": "toolResult",
        "toolName": "book_seat",
        "isError": true,
        "content": "the booking office answers 503",
    });
    let step = "A step that is described at some length, so that it takes its line.";
    let long = (1..60).map(|at| format!("{at:>2}. {step}\n"));
    let code = [
        "Here is a crontab that reminds you:",
        "```sh",
        "# min hour dom mon dow",
        "30 5 * * 0  remind \"ferry at 06:40\"",
        "```",
        "It runs every Sunday at half past five.",
    ];
    let code = code.join("\n");
    let summary = "The user wants to take the first ferry on Sunday. The timetable was read.";
    let summary = json!({ "summary": summary, "first_kept": "m5" });
    let intent = json!({ "sink": "telegram", "to": "42", "what": { "of": "m7" } });
    let records = vec![
        known("Ferry times to the islands", "agent:main:telegram:42", "telegram"),
        line("m0", None, message("system", "You are brief, and you never guess a time.")),
        line("m1", Some("m0"), message("user", "When does the first ferry leave on Sunday?")),
        line("m2", Some("m1"), NewRecord::new(call.to_string()).kind("message")),
        line("m3", Some("m2"), NewRecord::new(result.to_string()).kind("message")),
        NewRecord::new(json!({ "note": "alive" }).to_string()).kind("heartbeat"),
        line(
            "m4",
            Some("m3"),
            message("assistant", "At 06:40, to Norderney. The ticket office opens at six."),
        ),
        line("x1", Some("m4"), message("user", "And on Monday?")),
        line("x2", Some("x1"), message("assistant", "On Monday the first one leaves at 07:10.")),
        line("m5", Some("m4"), message("user", "Book me a seat and remind me in time.")),
        line("m6", Some("m5"), NewRecord::new(failed.to_string()).kind("message")),
        NewRecord::new(intent.to_string()).kind("delivery.intent").key("d1"),
        line("m7", Some("m6"), message("assistant", &code)),
        NewRecord::new(json!({ "outcome": "delivered" }).to_string())
            .kind("delivery.done")
            .key("d1/done"),
        line("c1", Some("m7"), NewRecord::new(summary.to_string()).kind("compaction")),
        line("m8", Some("c1"), message("assistant", &long.collect::<String>())),
        NewRecord::new(vec![0, 159, 146, 150, 255, 1, 2, 3]).kind("thumbnail"),
        NewRecord::new("a line that is no JSON at all"),
        line("m9", Some("m8"), message("user", "Thank you. Wake me at half past five.")),
    ];
    append_all(session, records);
}
