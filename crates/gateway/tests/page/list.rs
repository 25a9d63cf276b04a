//! The list of sessions.

use serde_json::json;

use crate::browser::{Tab, with_tab};
use crate::scene::fleet;
use crate::support::Server;
use crate::url;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sessions_are_listed_and_only_those_that_are_seen_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = fleet(folder.path(), 10_000);
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, ""));
        tab.is("#found", "10,000 sessions");
        let rows = tab.number("seen.all('#space .row').length");
        assert!((5..60).contains(&rows), "{rows} rows");
        tab.show("list-light");
        tab.must_be_reachable();

        // How long the frames took is told, not judged.
        let scrolled = tab.ask("seen.scrollThrough()");
        eprintln!("10,000 sessions scrolled through: {scrolled}");
        assert!(scrolled["most"].as_u64().is_some_and(|most| most < 80), "{scrolled}");
        tab.wait("seen.row(9999) !== null");

        by_keys_alone(tab);
        chosen_and_ordered(tab);
        in_other_windows(tab);
    })
    .await;
    server.stop().await;
    drop(held);
}

fn by_keys_alone(tab: &Tab) {
    tab.press("/");
    tab.write("session-0123");
    tab.is("#found", "10 of 10,000 sessions");
    tab.press("Enter");
    tab.press("j");
    tab.press("ArrowDown");
    tab.press("k");
    let second = tab.ask("seen.active()");
    assert_ne!(second, tab.ask("seen.row(0).querySelector('a').hash"));
    tab.press("Enter");
    tab.live();
    assert_eq!(tab.ask("location.hash"), second);
    tab.press("Escape");
    tab.wait("document.activeElement.id === 'grid'");
    assert_eq!(tab.ask("seen.active()"), second, "the list is where it was left");
    tab.press("Enter");
    tab.live();
    tab.press("/");
    tab.wait("document.activeElement.id === 'search' && document.activeElement.checkVisibility()");
    tab.press("ArrowDown");
    tab.press("?");
    tab.wait("document.querySelector('#help').open");
    tab.show("keys");
    tab.press("Escape");
    tab.wait("!document.querySelector('#help').open");
}

fn chosen_and_ordered(tab: &Tab) {
    tab.choose("search", "");
    tab.choose("agent", "ops");
    tab.is("#found", "2,000 of 10,000 sessions");
    tab.choose("state", "orphaned");
    tab.wait("seen.texts('#space .state').every(state => state === 'orphaned')");
    let some = tab.text("#found");
    assert!(some.ends_with("of 10,000 sessions") && !some.starts_with("2,000"), "{some}");
    tab.choose("search", "no session is called that");
    tab.is("#empty", "No session is like that.");
    tab.choose("search", "");
    tab.choose("agent", "");
    tab.choose("state", "");
    tab.click(".head .cell-records button");
    tab.wait("document.querySelector('.head .cell-records').ariaSort === 'ascending'");
    let records: Vec<u64> = serde_json::from_value(tab.ask("seen.records()")).expect("numbers");
    assert!(records[0] > 40 && records.is_sorted_by(|a, b| a >= b), "{records:?}");
}

fn in_other_windows(tab: &Tab) {
    tab.prefer("dark");
    tab.size(1680, 1000);
    tab.wait("getComputedStyle(document.body).backgroundColor === 'rgb(18, 21, 27)'");
    tab.show("list-dark-wide");
    tab.size(400, 800);
    tab.wait("getComputedStyle(document.querySelector('.row.head')).display === 'none'");
    tab.wait("seen.touch()");
    tab.show("list-dark-narrow");
    tab.must_be_reachable();
    tab.press("t");
    tab.wait("document.documentElement.dataset.theme === 'light'");
    tab.show("list-light-narrow");
    assert_eq!(tab.ask("seen.kept()"), json!([[], ["light"], ""]), "the colours alone are kept");
}
