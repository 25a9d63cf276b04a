//! The history of a session, and damage in its conversation.

use std::fs;
use std::path::Path;

use serde_json::json;
use session_journal::{Options, Store, StoreOptions};

use crate::browser::with_tab;
use crate::scene::{append_all, known, message, name, store};
use crate::support::Server;
use crate::{of, url};

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_of_takeovers_fences_repairs_and_releases() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path(), "http://10.0.4.1:7420");
    let second = store(folder.path(), "http://10.0.4.2:7420");
    let session = name("main/contested");
    let one = first.create_blocking(&session).expect("creates");
    append_all(&one, [known("A contested session", "", "")]);
    let append = |at| one.append_blocking(message("user", &format!("message {at};")));
    let appended: Vec<_> = (0..5).map(|at| append(at).expect("appends")).collect();
    let two = second.open_session_blocking(&session).expect("takes it");
    two.append_blocking(message("assistant", "mine now;")).expect("appends");
    let file = two.path().to_owned();
    two.close_blocking().expect("closes");
    drop(one);
    damage(&file, appended[2].offset.get() + 70);
    let label = "http://10.0.4.3:7420".to_owned();
    let journal = Options { full_scan: true, label, ..Options::default() };
    let options = StoreOptions { journal, ..StoreOptions::default() };
    let third = Store::open(folder.path(), options).expect("opens");
    let three = third.open_session_blocking(&session).expect("repairs");
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, &of("main/contested")));
        tab.live();
        tab.shows("#thread", "Record 4 is lost");
        tab.shows("#thread", "Generation 2 from here on");
        tab.show("gap");
        tab.press("h");
        tab.shows("#history", "Created");
        let steps = tab.ask("seen.texts('.step h3')");
        let expected = [
            "Repairedgeneration 3",
            "Openedgeneration 3",
            "Releasedgeneration 2",
            "Fencedgeneration 1",
            "Taken overgeneration 2",
            "Createdgeneration 1",
        ];
        assert_eq!(steps, json!(expected));
        tab.shows("#history", "1 record lost");
        tab.shows("#history", "http://10.0.4.2:7420");
        tab.show("history-light");
        tab.must_be_reachable();
        tab.prefer("dark");
        tab.size(400, 800);
        tab.show("history-dark-narrow");
        tab.must_be_reachable();
        tab.press("c");
        tab.wait("!document.querySelector('#conversation').hidden");

        // Events that are hard to come by.
        let of = |event: &str, generation: u64, reason: Option<&str>| {
            json!({ "event": event, "generation": generation, "reason": reason })
        };
        let events = json!([
            of("claim", 1, None),
            of("opening", 1, Some("created")),
            of("void-claim", 2, None),
            of("seal", 1, None),
            of("reopen", 1, None),
            of("compacted", 1, None),
            of("release", 1, None),
        ]);
        let steps = tab.ask(&format!("seen.steps({events})"));
        assert_eq!(steps, json!(["claim", "void-claim", "seal", "reopen", "compacted", "release"]));
    })
    .await;
    server.stop().await;
    drop(three);
}

/// Turns one byte of a file round.
fn damage(file: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().read(true).write(true).open(file).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[!byte[0]], at).expect("writes");
}
