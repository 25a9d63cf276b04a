//! One session: its conversation, its branches, and what comes while it is read.

use serde_json::{Value, json};
use session_journal::NewRecord;

use crate::browser::{Tab, with_tab};
use crate::scene::{append_all, conversation, known, message, name, store};
use crate::support::{Server, path};
use crate::{of, url};

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_readable_with_its_branches() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = store(folder.path(), "http://10.0.4.1:7420");
    let session = writer.open_or_create_blocking(&name("main/ferry")).expect("opens");
    conversation(&session);
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, &of("main/ferry")));
        tab.live();
        let said = [
            "When does the first ferry leave",
            "06:40  Norderney",
            "Summary",
            "Branch 2 of 2",
            "a line that is no JSON at all",
            "bytes that are no text, 8 B",
        ];
        for text in said {
            tab.shows("#thread", text);
        }
        let shown = tab.all("#thread");
        assert!(!shown.contains("And on Monday?"), "it is on the other branch");
        assert!(!shown.contains("59. A step") && shown.contains("Show all"), "it is folded");
        tab.is(
            "#thread pre.code:not(.result *)",
            "# min hour dom mon dow\n30 5 * * 0  remind \"ferry at 06:40\"",
        );
        tab.wait("seen.isAtEnd()");
        tab.show("conversation-light");
        tab.must_be_reachable();
        tab.ask("seen.scroll(0)");
        tab.show("conversation-light-top");

        tab.click(".unfold");
        tab.shows("#thread", "59. A step");
        tab.click("summary:has(.icon-tool)");
        tab.shows("#thread", "\"harbour\": \"north\"");
        branches(tab);
        in_other_windows(tab);
    })
    .await;
    server.stop().await;
}

fn branches(tab: &Tab) {
    tab.press("b");
    tab.wait("document.activeElement.closest('#branches') !== null");
    tab.click("#branches .branch:not(.on)");
    tab.shows("#thread", "And on Monday?");
    assert!(!tab.all("#thread").contains("Book me a seat"));
    tab.is(".newer", "Another branch is the newest");
    tab.show("branch");
    tab.click(".fork button[aria-label='The next branch']");
    tab.shows("#thread", "Book me a seat");
    assert!(!tab.all("#thread").contains("And on Monday?"));
}

fn in_other_windows(tab: &Tab) {
    tab.prefer("dark");
    tab.ask("seen.scroll(0)");
    tab.show("conversation-dark");
    tab.size(1680, 1000);
    tab.show("conversation-dark-wide");
    tab.size(400, 800);
    tab.click(".beside summary");
    tab.show("conversation-dark-narrow");
    tab.must_be_reachable();
    tab.prefer("light");
    tab.show("conversation-light-narrow");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_shown_once_across_a_restart_of_the_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let address = server.address;
    let say = async |server: &Server, at: usize| {
        let target = format!("{}/records?create=true", path("main/live"));
        let said = json!({ "role": "user", "content": format!("message {at};") });
        server.client().post(&target, json!({ "kind": "message", "json": said })).await.well();
    };
    for at in 0..40 {
        say(&server, at).await;
    }
    let mut server = Some(server);
    with_tab(async |tab| {
        // What a browser says of a server that is away.
        tab.expected = vec!["net::ERR_", "503"];
        let running = server.take().expect("runs");
        tab.go(&url(&running, &of("main/live")));
        tab.live();
        say(&running, 40).await;
        tab.shows("#thread", "message 40;");
        tab.wait("seen.isAtEnd()");
        tab.shows("#announcements", "User: message 40;");

        // Who reads above is left there, and told.
        tab.ask("seen.scroll(200)");
        say(&running, 41).await;
        tab.is(".newer", "1 new message");
        assert_eq!(tab.ask("seen.isAtEnd()"), false);
        tab.show("live");
        tab.press("G");
        tab.wait("seen.isAtEnd() && document.querySelector('.newer').hidden");

        running.stop().await;
        tab.is(".live", "Connecting");
        {
            let other = store(folder.path(), "another gateway");
            let session = other.open_session_blocking(&name("main/live")).expect("opens");
            append_all(&session, (42..45).map(|at| message("user", &format!("message {at};"))));
            session.close_blocking().expect("closes");
        }
        let again = Server::start(folder.path(), |config| config.listen = address).await;
        tab.shows("#thread", "message 44;");
        let mark = tab.last_mark();
        assert!(mark.contains("-42-"), "it goes on behind the last record that came, not {mark}");
        say(&again, 45).await;
        tab.shows("#thread", "message 45;");
        let expected: Vec<_> = (0..46).map(|at| format!("message {at};")).collect();
        assert_eq!(tab.ask("seen.texts('#thread .message .body')"), json!(expected));
        server = Some(again);
    })
    .await;
    if let Some(server) = server {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_hundred_thousand_records_opens_at_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = store(folder.path(), "");
    let session = writer.open_or_create_blocking(&name("main/long")).expect("opens");
    for batch in 0..100 {
        let texts = (0..1000).map(|at| format!("message {};", batch * 1000 + at));
        append_all(&session, texts.map(|text| message("user", &text)));
    }
    session.close_blocking().expect("closes");
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, &of("main/long")));
        tab.live();
        tab.shows("#thread", "message 99999;");
        let drawn = tab.number("seen.all('#thread .message').length");
        assert!(drawn <= 400, "{drawn} messages");
        let asked = tab.asked().iter().filter(|url| url.contains("/records")).count();
        assert!(asked <= 4, "{asked} pages");

        // Older pages come as one scrolls up, and what is read stays where it is.
        tab.ask("seen.scroll(100)");
        let first = tab.number("seen.first()");
        let place = tab.ask(&format!("seen.place({first})")).as_f64().expect("a place");
        tab.wait(&format!("seen.all('#thread .message').length > {drawn}"));
        let now = tab.ask(&format!("seen.place({first})")).as_f64().expect("a place");
        assert!((now - place).abs() < 3.0, "what is read moved from {place} to {now}");
        tab.show("long");

        // However far one scrolls, what is far away is forgotten, and read again.
        scroll_on(tab, "seen.scroll(0)", 20);
        let drawn = tab.number("seen.all('#thread .message').length");
        assert!((1000..=1600).contains(&drawn), "{drawn} messages");
        tab.is(".live", "Not at the end");
        must_be_whole(tab);
        scroll_on(tab, "seen.scroll(1e9)", 4);
        must_be_whole(tab);
        tab.press("g");
        tab.shows("#thread", "message 0;");
        tab.is(".live", "Not at the end");
        tab.press("G");
        tab.shows("#thread", "message 99999;");
        tab.live();
        must_be_whole(tab);
    })
    .await;
    server.stop().await;
}

/// Scrolls so many times, each time until other records are there.
fn scroll_on(tab: &Tab, scroll: &str, times: usize) {
    let ends = "JSON.stringify([seen.sequences()[0], seen.sequences().at(-1)])";
    for _ in 0..times {
        let before = tab.ask(ends);
        tab.ask(scroll);
        tab.wait(&format!("{ends} !== {before}"));
    }
}

/// Every record stands between those before and behind it.
fn must_be_whole(tab: &Tab) {
    let shown = tab.ask("seen.sequences()");
    let shown: Vec<u64> = serde_json::from_value(shown).expect("numbers");
    assert!(shown.windows(2).all(|two| two[0] + 1 == two[1]), "{shown:?}");
}

const EVIL: &str = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script>";

/// Records with markup wherever a text can be.
fn evil() -> Vec<NewRecord> {
    let key = |at: u32| format!("{at}{EVIL}");
    let blocks = json!({ "role": "assistant", "from": EVIL, "content": [
        { "type": "text", "text": format!("{EVIL}\n```html\n{EVIL}\n```\n") },
        { "type": "thinking", "thinking": EVIL },
        { "type": "toolCall", "name": EVIL, "arguments": { EVIL: EVIL } },
        { "type": EVIL, "text": EVIL },
        { "type": EVIL, EVIL: EVIL },
        { "type": "image", "mimeType": EVIL, "data": EVIL },
    ] });
    let result =
        json!({ "role": "toolResult", "toolName": EVIL, "isError": true, "content": EVIL });
    vec![
        known(EVIL, EVIL, EVIL),
        NewRecord::new(blocks.to_string()).kind("message").key(key(1)),
        NewRecord::new(result.to_string()).kind("message").key(key(2)).parent(key(1)),
        message("user", EVIL).key(key(3)).parent(format!("no such {EVIL}")),
        NewRecord::new(json!({ EVIL: EVIL }).to_string()).kind(EVIL).key(EVIL),
        NewRecord::new(EVIL).kind(EVIL),
        NewRecord::new(EVIL),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_any_field_is_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = store(folder.path(), EVIL);
    let session = writer.open_or_create_blocking(&name("main/evil")).expect("opens");
    append_all(&session, evil());
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        let harmless = |tab: &Tab| {
            assert_eq!(tab.ask("window.harmed ?? null"), Value::Null);
            assert_eq!(tab.number("seen.all('img, main script').length"), 0);
        };
        tab.go(&url(&server, ""));
        tab.is("#found", "1 session");
        let list = tab.all("#space");
        assert_eq!(list.matches("<img src=x onerror=").count(), 2, "title and owner: {list}");
        harmless(tab);
        tab.turn_to(&of("main/evil"));
        tab.live();
        tab.ask("for (const one of seen.all('details')) one.open = true");
        tab.ask("for (const one of seen.all('#branches .branch')) one.click()");
        tab.wait("document.querySelector('#session').textContent.split('onerror=').length > 15");
        harmless(tab);
        tab.press("h");
        tab.shows("#history", EVIL);
        harmless(tab);
        // What the page's policy would stop if the page did not.
        tab.expected = vec!["TrustedHTML"];
        assert_eq!(tab.ask("seen.takesMarkup()"), false);
    })
    .await;
    server.stop().await;
    drop(session);
}
