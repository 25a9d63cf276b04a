//! Sessions of other programs are contexts, too: every one of pi and `OpenClaw` among the fixtures,
//! beside a reading of its file that knows nothing of journals.

mod stage;
mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_journal_gateway::conversation::{Context, Message};
use session_journal_gateway::provider::Echo;
use session_journal_gateway::turn::TurnRequest;
use session_journal_import::{Import, ImportOptions, Outcome};
use stage::bench::{Bench, led, turn};
use support::{Server, path};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/sessions")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("one").path());
    let mut files: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files
}

/// The context by the entries of the file: from the last one along `parentId` to the root, the last
/// summary in front of what its compaction kept.
fn by_the_file(path: &Path) -> Vec<Message> {
    let text = std::fs::read(path).expect("a fixture");
    let entries: Vec<Value> = text
        .split(|byte| *byte == b'\n')
        .filter_map(entry)
        .filter(|entry| entry["type"] != "session" && entry["id"].is_string())
        .collect();
    let by_id: HashMap<&str, usize> =
        (0..).zip(&entries).map(|(at, entry)| (entry["id"].as_str().expect("an id"), at)).collect();
    let mut path = Vec::new();
    let mut at = entries.len().checked_sub(1);
    while let Some(entry) = at.map(|at| &entries[at]) {
        let next = if entry["type"] == "leaf" { &entry["targetId"] } else { &entry["parentId"] };
        path.push(entry);
        at = next.as_str().and_then(|id| by_id.get(id)).copied();
        assert!(path.len() <= entries.len(), "a loop");
    }
    path.reverse();
    let last = path.iter().rposition(|entry| entry["type"] == "compaction");
    let kept = last.map(|last| {
        let first = &path[last]["firstKeptEntryId"];
        let kept = path[..last].iter().position(|entry| entry["id"] == *first);
        let kept = kept.map_or(&path[..0], |kept| &path[kept..last]);
        let old = |entry: &&&Value| entry["type"] != "compaction";
        [path[last]]
            .into_iter()
            .chain(kept.iter().filter(old).copied())
            .chain(path[last + 1..].iter().copied())
    });
    let kept: Vec<&Value> = kept.map_or(path.clone(), Iterator::collect);
    kept.into_iter().filter_map(said).collect()
}

/// An entry of a line. Where a line is not read strictly, it holds halves of surrogate pairs: these
/// programs escape nothing else of theirs.
fn entry(line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line).ok()?;
    let without_halves = || {
        let pieces = text.split("\\ud").enumerate();
        let pieces = pieces.map(|(at, piece)| match at {
            0 => piece.to_owned(),
            _ => format!("\u{fffd}{}", &piece[3..]),
        });
        serde_json::from_str(&pieces.collect::<String>()).ok()
    };
    serde_json::from_str(text).ok().or_else(without_halves)
}

/// What an entry says, as its record would.
fn said(entry: &Value) -> Option<Message> {
    let record = session_journal::Record {
        sequence: session_journal::Sequence::ZERO,
        generation: session_journal::Generation::default(),
        offset: session_journal::Offset::default(),
        time_ms: 0,
        kind: entry["type"].as_str().map(str::to_owned),
        key: None,
        parent: None,
        payload: entry.to_string().into(),
        checksum: 0,
    };
    Message::of(&record)
}

/// Only files whose entries have ids of their own: the others have no tree to compare with.
fn has_a_tree(path: &Path) -> bool {
    let text = std::fs::read(path).expect("a fixture");
    let entries = text.split(|byte| *byte == b'\n').filter_map(entry);
    let entries: Vec<Value> = entries.filter(|entry| entry["type"] != "session").collect();
    let has_its_own = |entry: &Value| entry["id"].is_string() && entry.get("parentId").is_some();
    !entries.is_empty() && entries.iter().all(has_its_own)
}

#[test]
fn the_context_of_an_imported_session_is_that_of_its_file() {
    let mut compared = Vec::new();
    for file in files(&fixtures()).into_iter().filter(|file| has_a_tree(file)) {
        let folder = tempfile::tempdir().expect("a folder");
        let import = Import::new(folder.path(), ImportOptions::default());
        let mut session = None;
        import.run(std::slice::from_ref(&file), &mut |report| {
            session = Some(report.session.clone()).filter(|_| report.outcome == Outcome::Imported);
        });
        let Some(session) = session.flatten() else { continue };
        let path = folder.path().join(session.relative_path());
        let reader = session_journal::Reader::open(path).expect("a journal");
        let mut context = Context::at_end();
        for record in reader.backwards() {
            if !context.feed(&record.expect("sound")) {
                break;
            }
        }
        let found: Vec<Message> = context.into_said().into_iter().map(|one| one.message).collect();
        let expected = by_the_file(&file);
        assert_eq!(found.len(), expected.len(), "{}", file.display());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(
                (found.role, found.text()),
                (expected.role, expected.text()),
                "{}",
                file.display()
            );
        }
        compared.push(file);
    }
    let names: Vec<String> = compared
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for must in
        ["branched-tree.jsonl", "compaction.jsonl", "leaf-after-branch.jsonl", "unicode.jsonl"]
    {
        assert!(names.iter().any(|name| name == must), "{must} was not compared: {names:?}");
    }
}

#[tokio::test]
async fn an_imported_session_is_gone_on_with() {
    let bench = Bench::new();
    let file = fixtures().join("pi-0.73.1/branched-tree.jsonl");
    let before = by_the_file(&file);
    let import = Import::new(bench.folder.path().join("store"), ImportOptions::default());
    let mut session = None;
    import.run(&[file], &mut |report| session.clone_from(&report.session));
    let session = session.expect("imported");
    let gateway = bench.gateway();
    gateway.run(&Echo, &session, &turn("m1", "and on it goes")).await.expect("an answer");
    let (model, mut questions) = led();
    let request: TurnRequest = turn("m2", "further");
    let run = { tokio::spawn(async move { gateway.run(&*model, &session, &request).await }) };
    let asked = questions.next().await;
    let context = &asked.request.context;
    assert_eq!(context.len(), before.len() + 3);
    let texts: Vec<String> = context[before.len()..].iter().map(Message::text).collect();
    assert_eq!(texts, ["and on it goes", "and on it goes", "further"]);
    asked.answers("so");
    run.await.unwrap().expect("an answer");
}

/// A gateway on a network tells nobody how the folders of its machine are named.
#[tokio::test]
async fn no_answer_holds_the_path_of_a_source() {
    let (folder, home) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let sources = home.path().join("of-somebody");
    std::fs::create_dir(&sources).expect("made");
    let of = |name: &str| fixtures().join("pi-0.73.1").join(name);
    for name in ["branched-tree.jsonl", "compaction.jsonl"] {
        std::fs::copy(of(name), sources.join(name)).expect("copied");
    }
    let import = Import::new(folder.path(), ImportOptions::default());
    let mut sessions = Vec::new();
    import.run(std::slice::from_ref(&sources), &mut |report| {
        sessions.extend(report.session.clone());
    });
    assert_eq!(sessions.len(), 2);
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let mut answers = vec![client.get("/v1/sessions").await.body];
    let mut withheld = Vec::new();
    for session in &sessions {
        let place = path(&session.to_string());
        for what in ["", "/history", "/records?limit=1000", "/records?backwards=true&limit=1000"] {
            answers.push(client.get(&format!("{place}{what}")).await.body);
        }
        let page = client.get(&format!("{place}/records?limit=1000")).await.well();
        let records = page["records"].as_array().expect("records");
        let own = |one: &&Value| one["kind"].as_str().is_some_and(|kind| kind.starts_with("sj."));
        for record in records.iter().filter(own) {
            withheld.push(record["withheld"].clone());
            let said: Value = serde_json::from_str(record["payload"].as_str().expect("a text"))
                .expect("it is JSON as before");
            assert!(said.as_object().is_some_and(|said| !said.is_empty()), "{record}");
        }
        // Streams, from the file and as it comes.
        let mut events = client.follow(&session.to_string(), None).await;
        let count = usize::try_from(page["last_seq"].as_u64().expect("a number")).expect("few");
        for event in events.take(count).await {
            answers.push(event.data.into());
        }
    }
    let mine = sources.to_str().expect("text");
    for answer in &answers {
        let text = String::from_utf8_lossy(answer);
        assert!(!text.contains(mine) && !text.contains("of-somebody"), "{text}");
    }
    assert!(withheld.len() >= 4, "attributes and receipts: {withheld:?}");
    assert!(withheld.iter().all(|one| one[0] == "source"), "{withheld:?}");
    server.stop().await;
}
