//! A gateway that asks for tokens, and what else it refuses.

use serde_json::json;
use session_journal_gateway::config::{Scope, Token};
use sha2::{Digest, Sha256};

use crate::browser::with_tab;
use crate::scene::{fleet, name, store};
use crate::support::Server;
use crate::{of, url};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_and_kept_in_the_tab_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let digest = Sha256::digest("the right one");
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let (agents, scopes) = (vec!["main".to_owned()], vec![Scope::Read]);
    let token = Token { name: "reader".to_owned(), sha256, agents, scopes };
    drop(fleet(folder.path(), 40));
    let server = Server::start(folder.path(), |config| config.tokens = vec![token]).await;
    with_tab(async |tab| {
        tab.expected = vec!["401"];
        tab.go(&url(&server, ""));
        tab.wait("document.querySelector('#token').open");
        tab.show("token");
        tab.must_be_reachable();
        tab.write("a wrong one");
        tab.press("Enter");
        tab.shows("#token-why", "did not accept");
        tab.wait("document.querySelector('#token').open");
        tab.write("the right one");
        tab.press("Enter");
        tab.is("#found", "8 sessions");
        assert_eq!(tab.ask("seen.texts('#agent option')"), json!(["all", "main"]));
        assert_eq!(tab.ask("seen.kept()"), json!([["the right one"], [], ""]));
        // A stream takes the token, too.
        tab.press("Enter");
        tab.live();
        tab.click("#sign-out");
        tab.wait("document.querySelector('#token').open && sessionStorage.length === 0");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.expected = vec!["404"];
        tab.go(&url(&server, ""));
        tab.shows("#empty", "There is no session yet");
        tab.show("empty");
        tab.go(&url(&server, &of("main/missing")));
        tab.is("#trouble code", "not-found");
        tab.show("missing");
        tab.press("Escape");
        tab.wait("document.querySelector('#trouble').hidden");
        // What is made meanwhile appears by itself.
        let made = store(folder.path(), "").create_blocking(&name("main/new")).expect("creates");
        tab.is("#found", "1 session");
        drop(made);
    })
    .await;
    server.stop().await;
}
