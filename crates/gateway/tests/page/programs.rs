//! Sessions of other programs: those that the project ships, and one made by hand of each program
//! that it has none of.

use serde_json::{Value, json};

use crate::browser::{Tab, with_tab};
use crate::scene::import;
use crate::support::{Server, path};
use crate::{of, url};

/// A session, and its records.
type Read = (String, Vec<Value>);

async fn read(server: &Server, names: Vec<String>) -> Vec<Read> {
    let mut all = Vec::new();
    for session in names {
        let target = format!("{}/records?limit=1000", path(&session));
        let page = server.client().get(&target).await.well();
        all.push((session, page["records"].as_array().expect("records").clone()));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_programs_are_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = import(folder.path());
    let server = Server::on(folder.path()).await;
    let all = read(&server, names).await;
    with_tab(async |tab| {
        tab.go(&url(&server, ""));
        tab.is("#found", &format!("{} sessions", all.len()));
        let messages: usize = all.iter().map(|one| messages_are_said(tab, one)).sum();
        assert!(messages > 150, "{messages}");
        for (session, _) in &all {
            tab.turn_to(&of(session));
            tab.shows("#session .names", session);
            tab.live();
        }
        open(tab, &all, "agent-tools", "It has three lines.");
        open(tab, &all, "agent-tree", "Plan C, from a fresh root.");
        open(tab, &all, "gemini", "It says alpha.");
        let shown = tab.all("#thread");
        assert_eq!(shown.matches("Reading").count(), 1, "the last line of an id counts: {shown}");
        open(tab, &all, "codex", "It has three lines.");
        open(tab, &all, "claude-code", "Two: `notes.txt`");
    })
    .await;
    server.stop().await;
}

/// A message of any program has a role, and what its texts say is said. Gives back how many it is.
fn messages_are_said(tab: &Tab, (session, records): &Read) -> usize {
    let told = tab.ask(&format!("seen.said({})", json!(records)));
    let told = told.as_array().expect("one each");
    assert_eq!(told.len(), records.len());
    let mut messages = 0;
    for (record, told) in records.iter().zip(told) {
        let payload = record["payload"].as_str().unwrap_or_default();
        let line: Value = serde_json::from_str(payload).unwrap_or_default();
        let message = &line["message"];
        if !message["role"].is_string() || message["content"].is_null() {
            continue;
        }
        messages += 1;
        assert!(told["role"].is_string(), "{session}: {record}");
        let blocks = told["blocks"].as_array().expect("blocks");
        for text in message["content"].as_array().into_iter().flatten() {
            let Some(text) = text["text"].as_str() else { continue };
            let is_said = blocks
                .iter()
                .any(|block| block["text"].as_str().is_some_and(|it| it.contains(text)));
            assert!(is_said, "{session}: {text}: {told}");
        }
    }
    messages
}

fn open(tab: &Tab, all: &[Read], part: &str, expected: &str) {
    let (session, _) = all.iter().find(|(name, _)| name.contains(part)).expect("is there");
    tab.turn_to(&of(session));
    tab.shows("#thread", expected);
    tab.ask("seen.scroll(0)");
    tab.show(&format!("imported-{part}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_program_is_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = import(folder.path());
    let server = Server::on(folder.path()).await;
    let all = read(&server, names).await;
    // Role and blocks of each line; what the import itself keeps stands behind them.
    let programs: [(&str, &[&str]); 4] = [
        (
            "claude-code",
            &[
                "user text",
                "assistant thought",
                "assistant call",
                "tool result",
                "assistant text",
                "system text",
                "-",
            ],
        ),
        (
            "codex",
            &[
                "-",
                "-",
                "user text",
                "-",
                "assistant thought",
                "assistant call",
                "tool result",
                "assistant text",
                "summary text",
            ],
        ),
        (
            "gemini",
            &[
                "-",
                "user text",
                "assistant thought",
                "assistant thought text call result",
                "system text",
            ],
        ),
        (
            "agent-tools",
            &[
                "-",
                "-",
                "-",
                "user text",
                "assistant thought call",
                "tool result",
                "assistant text call",
                "tool result",
                "assistant call call",
                "tool result",
                "tool result",
                "assistant text",
                "tool call result",
                "tool call result",
            ],
        ),
    ];
    with_tab(async |tab| {
        tab.go(&url(&server, ""));
        for (program, expected) in programs {
            let is_it = |name: &str| name == program || name.ends_with(&format!("/{program}"));
            let (_, records) = all.iter().find(|(name, _)| is_it(name)).expect("is there");
            let told = tab.ask(&format!("seen.said({})", json!(records)));
            let told = told.as_array().expect("one each").iter().take(expected.len());
            let lines: Vec<String> = told.map(in_short).collect();
            assert_eq!(lines, expected, "{program}");
        }
    })
    .await;
    server.stop().await;
}

fn in_short(told: &Value) -> String {
    let blocks = told["blocks"].as_array().expect("blocks").iter();
    let words = blocks.map(|block| block["type"].as_str().expect("a type"));
    let words: Vec<&str> =
        [told["role"].as_str().unwrap_or("-")].into_iter().chain(words).collect();
    words.join(" ")
}
