//! The page in a real browser. Screenshots are kept in `target/page`.
#![allow(clippy::print_stderr, reason = "a test that has no browser says so, and figures are told")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures of a window")]

mod browser;
mod support;

use std::fs;
use std::path::Path;

use browser::scene::{append_all, conversation, fleet, import, known, message, name, store};
use browser::{Tab, with_tab};
use serde_json::{Value, json};
use session_journal::{NewRecord, Session};
use session_journal_gateway::config::{Scope, Token};
use sha2::{Digest, Sha256};
use support::{Server, path};

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/assets");

fn url(server: &Server, place: &str) -> String {
    format!("http://{}/{place}", server.address)
}

fn of(session: &str) -> String {
    format!("#/session/{}", session.replace('/', "%2F"))
}

/// Every text that can be seen, whose colour does not stand out from its ground as WCAG AA asks.
fn must_stand_out(tab: &Tab) {
    let pale = tab.ask(include_str!("browser/contrast.js"));
    assert_eq!(pale, json!([]), "texts that are too pale");
}

/// Nothing that can be used is without a name, and nothing stands over the edge of the window.
fn must_be_reachable(tab: &Tab) {
    let roles = ["button", "link", "textbox", "searchbox", "combobox", "grid", "dialog", "tab", "region"];
    for (role, name) in tab.heard() {
        assert!(!roles.contains(&role.as_str()) || !name.is_empty(), "a {role} without a name");
    }
    let wide = tab.ask(
        "document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('body *')] \
         .filter(one => one.getBoundingClientRect().right > innerWidth + 1) \
         .map(one => `${one.tagName}.${one.getAttribute('class')}`)",
    );
    assert_eq!(wide, json!([]), "what is wider than its window");
}

fn payload(record: &Value) -> &str {
    record["payload"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_strictly_and_kept_by_its_tag() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let ask = async |target: &str, headers: &[(&str, &str)]| client.ask("GET", target, headers, None).await;
    let mut targets: Vec<String> = fs::read_dir(ASSETS)
        .expect("reads")
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .filter(|file| file != "index.html")
        .map(|file| format!("/page/{file}"))
        .collect();
    targets.push("/".to_owned());
    assert!(targets.len() > 10);
    for target in &targets {
        let answer = ask(target, &[]).await;
        assert_eq!(answer.status, 200, "{target}");
        let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let again = ask(target, &[("if-none-match", &header("etag"))]).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{target}");
        assert_eq!(ask(target, &[("if-none-match", "\"other\"")]).await.status, 200);
    }
    let html = fs::read_to_string(Path::new(ASSETS).join("index.html")).expect("reads");
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains(" onclick"));
    assert_eq!(html.matches("<script").count(), html.matches("<script ").count(), "none is inline");
    assert_eq!(ask("/page/none.js", &[]).await.status, 404);
    assert_eq!(ask("/page/..%2Fpage.rs", &[]).await.status, 404);
    assert_eq!(client.ask("POST", "/", &[], None).await.status, 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sessions_are_listed_and_only_those_that_are_seen_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = fleet(folder.path(), 10_000);
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, ""));
        tab.wait("document.querySelector('#found').innerText === '10,000 sessions'");
        let rows = "document.querySelectorAll('#space .row').length";
        assert!(tab.number(rows) < 60, "{} rows", tab.number(rows));
        tab.picture("list-light");
        must_stand_out(tab);
        must_be_reachable(tab);

        // From one end to the other, a step a frame; how long the frames took is told, not judged.
        let scroll = "new Promise(done => { const box = document.querySelector('#rows'); \
            const frames = []; let last = performance.now(); let most = 0; const step = now => { \
            frames.push(now - last); last = now; \
            most = Math.max(most, document.querySelectorAll('#space .row').length); \
            box.scrollTop += 2600; \
            if (box.scrollTop + box.clientHeight < box.scrollHeight - 1) requestAnimationFrame(step); \
            else { frames.sort((a, b) => a - b); \
            done({ most, frames: frames.length, median: frames[frames.length >> 1], \
            p99: frames[Math.floor(frames.length * .99)] }); } }; requestAnimationFrame(step); })";
        let scrolled = tab.ask(scroll);
        eprintln!("10,000 sessions scrolled through: {scrolled}");
        assert!(scrolled["most"].as_u64().expect("a number") < 80, "{scrolled}");
        tab.wait("[...document.querySelectorAll('#space .row')].some(row => row.dataset.at === '9999')");

        // Nothing but keys from here on.
        tab.press("/");
        tab.write("night-watch 00987");
        tab.press("/");
        assert_eq!(tab.ask("document.activeElement.id"), "search");
        tab.ask("document.querySelector('#search').value = ''");
        tab.write("session-0123");
        tab.wait("document.querySelector('#found').innerText === '10 of 10,000 sessions'");
        tab.press("Enter");
        tab.press("j");
        tab.press("ArrowDown");
        tab.press("k");
        let active = "document.getElementById(document.querySelector('#grid').getAttribute('aria-activedescendant')).querySelector('a').hash";
        let second = tab.ask(active);
        tab.press("Enter");
        tab.wait("!document.querySelector('#session').hidden && document.querySelector('.live').innerText === 'Live'");
        assert_eq!(tab.ask("location.hash"), second);
        tab.press("Escape");
        tab.wait("document.activeElement.id === 'grid'");
        assert_eq!(tab.ask(active), second, "the list is where it was left");
        tab.press("?");
        tab.wait("document.querySelector('#help').open");
        tab.picture("keys");
        must_stand_out(tab);
        tab.press("Escape");
        tab.wait("!document.querySelector('#help').open");

        choose(tab, "search", "");
        choose(tab, "agent", "ops");
        tab.wait("document.querySelector('#found').innerText === '2,000 of 10,000 sessions'");
        choose(tab, "state", "orphaned");
        tab.wait("[...document.querySelectorAll('#space .state')].every(one => one.innerText === 'orphaned')");
        let some = tab.text("#found");
        assert!(some.ends_with("of 10,000 sessions") && !some.starts_with("2,000"), "{some}");
        choose(tab, "agent", "");
        choose(tab, "state", "");
        tab.click(".head .cell-records button");
        tab.wait("document.querySelector('.head .cell-records').ariaSort === 'ascending'");
        let records = "Array.from({ length: 10 }, (_, at) => Number.parseInt(document.querySelector(`#space #row-${at} .cell-records`).innerText))";
        let records: Vec<u64> = serde_json::from_value(tab.ask(records)).expect("numbers");
        assert!(records[0] > 40 && records.is_sorted_by(|a, b| a >= b), "{records:?}");

        tab.prefer("dark");
        tab.size(1680, 1000);
        tab.wait("getComputedStyle(document.body).backgroundColor === 'rgb(18, 21, 27)'");
        tab.picture("list-dark-wide");
        must_stand_out(tab);
        tab.size(400, 800);
        tab.wait("getComputedStyle(document.querySelector('.row.head')).display === 'none'");
        let place = "Array.from({ length: 6 }, (_, at) => document.querySelector(`#space #row-${at}`).getBoundingClientRect())";
        tab.wait(&format!("{place}.every((one, at, all) => at === 0 || Math.abs(one.top - all[at - 1].bottom) < 1)"));
        tab.picture("list-dark-narrow");
        must_stand_out(tab);
        must_be_reachable(tab);
        tab.press("t");
        tab.wait("document.documentElement.dataset.theme === 'light'");
        tab.picture("list-light-narrow");
        must_stand_out(tab);
    })
    .await;
    server.stop().await;
    drop(held);
}

fn choose(tab: &Tab, id: &str, value: &str) {
    tab.ask(&format!(
        "{{ const it = document.getElementById('{id}'); it.value = '{value}'; it.dispatchEvent(new Event('input', {{ bubbles: true }})); }}"
    ));
}

const LIVE: &str = "document.querySelector('.live')?.innerText === 'Live'";

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_readable_with_its_branches() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = store(folder.path(), "http://10.0.4.1:7420");
    let session = writer.open_or_create_blocking(&name("main/ferry")).expect("opens");
    conversation(&session);
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, &of("main/ferry")));
        tab.wait(LIVE);
        let thread = tab.all("#thread");
        for text in ["When does the first ferry leave", "06:40  Norderney", "Summary", "Branch 2 of 2"] {
            assert!(thread.contains(text), "{text} in {thread}");
        }
        assert!(!thread.contains("And on Monday?"), "it is on the other branch");
        assert!(thread.contains("a line that is no JSON at all") && thread.contains("bytes that are no text, 8 B"));
        assert!(!thread.contains("59. A step") && thread.contains("Show all"), "a long text is folded");
        assert_eq!(tab.text("#thread pre.code:not(.result *)"), "# min hour dom mon dow\n30 5 * * 0  remind \"ferry at 06:40\"");
        tab.picture("conversation-light");
        must_stand_out(tab);
        must_be_reachable(tab);
        tab.ask("document.querySelector('#conversation').scrollTop = 0");
        tab.picture("conversation-light-top");

        tab.click(".unfold");
        tab.wait("document.querySelector('#thread').textContent.includes('59. A step')");
        tab.click("summary:has(.icon-tool)");
        tab.wait("document.querySelector('#thread').textContent.includes('\"harbour\": \"north\"')");
        tab.press("b");
        assert_eq!(tab.ask("document.activeElement.closest('#branches') !== null"), true);
        tab.click("#branches .branch:not(.on)");
        tab.wait("document.querySelector('#thread').textContent.includes('And on Monday?')");
        assert!(!tab.all("#thread").contains("Book me a seat"));
        assert_eq!(tab.text(".newer"), "Another branch is the newest");
        tab.picture("branch");
        tab.click(".fork button[aria-label='The next branch']");
        tab.wait("document.querySelector('#thread').textContent.includes('Book me a seat')");

        tab.prefer("dark");
        tab.ask("document.querySelector('#conversation').scrollTop = 0");
        tab.picture("conversation-dark");
        must_stand_out(tab);
        tab.size(1680, 1000);
        tab.picture("conversation-dark-wide");
        tab.size(400, 800);
        tab.click(".beside summary");
        tab.picture("conversation-dark-narrow");
        must_stand_out(tab);
        must_be_reachable(tab);
        tab.prefer("light");
        tab.picture("conversation-light-narrow");
        must_stand_out(tab);
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_shown_once_across_a_restart_of_the_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let say = async |server: &Server, at: usize| {
        let target = format!("{}/records?create=true", path("main/live"));
        let text = json!({ "kind": "message", "json": { "role": "user", "content": format!("message {at};") } });
        server.client().post(&target, text).await.well();
    };
    for at in 0..40 {
        say(&server, at).await;
    }
    let address = server.address;
    let mut server = Some(server);
    with_tab(async |tab| {
        tab.expected = vec!["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "503"];
        let running = server.take().expect("runs");
        tab.go(&url(&running, &of("main/live")));
        tab.wait(LIVE);
        let there = |at: usize| format!("document.querySelector('#thread').textContent.includes('message {at};')");
        let bottom = "(box => box.scrollHeight - box.scrollTop - box.clientHeight < 60)(document.querySelector('#conversation'))";
        say(&running, 40).await;
        tab.wait(&there(40));
        tab.wait(bottom);
        tab.wait("document.querySelector('#announcements').innerText.includes('User: message 40;')");

        // Who reads above is left there, and told.
        tab.ask("document.querySelector('#conversation').scrollTop = 200");
        say(&running, 41).await;
        tab.wait("document.querySelector('.newer').innerText === '1 new message'");
        assert_eq!(tab.ask(bottom), false);
        tab.picture("live");
        must_stand_out(tab);
        tab.press("G");
        tab.wait(bottom);

        running.stop().await;
        tab.wait("document.querySelector('.live').innerText === 'Connecting'");
        {
            let other = store(folder.path(), "another gateway");
            let session = other.open_session_blocking(&name("main/live")).expect("opens");
            let texts = (42..45).map(|at| message("user", &format!("message {at};")));
            append_all(&session, texts);
            session.close_blocking().expect("closes");
        }
        let again = Server::start(folder.path(), |config| config.listen = address).await;
        tab.wait(&there(44));
        say(&again, 45).await;
        tab.wait(&there(45));
        let shown = tab.ask("[...document.querySelectorAll('#thread .message .body')].map(one => one.textContent)");
        let expected: Vec<_> = (0..46).map(|at| format!("message {at};")).collect();
        assert_eq!(shown, json!(expected));
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
        let texts = (0..1000).map(|at| message("user", &format!("message {};", batch * 1000 + at)));
        append_all(&session, texts);
    }
    session.close_blocking().expect("closes");
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, &of("main/long")));
        tab.wait(LIVE);
        tab.wait("document.querySelector('#thread').textContent.includes('message 99999;')");
        let messages = "document.querySelectorAll('#thread .message').length";
        assert!(tab.number(messages) <= 400, "{}", tab.number(messages));
        let asked = tab.asked().iter().filter(|url| url.contains("/records")).count();
        assert!(asked <= 4, "{asked} pages");

        // Older pages come as one scrolls up, and what is read stays where it is.
        let (before, top) = (tab.number(messages), "document.querySelector('#conversation').getBoundingClientRect().top");
        tab.ask("document.querySelector('#conversation').scrollTop = 100");
        let place = format!("[...document.querySelectorAll('#thread article')].map(one => [one.dataset.seq, one.getBoundingClientRect().top - {top}]).find(([, at]) => at > 0)");
        let read = tab.ask(&place);
        tab.wait(&format!("{messages} > {before}"));
        let now = tab.ask(&format!("document.querySelector('#thread article[data-seq=\"{}\"]').getBoundingClientRect().top - {top}", read[0].as_str().expect("a number")));
        let moved = (now.as_f64().expect("a place") - read[1].as_f64().expect("a place")).abs();
        assert!(moved < 3.0, "what is read moved by {moved} pixels");
        tab.picture("long");
        tab.press("g");
        tab.wait("document.querySelector('#thread').textContent.includes('message 0;')");
        assert_eq!(tab.text(".live"), "Not at the end");
        tab.press("G");
        tab.wait(&format!("document.querySelector('#thread').textContent.includes('message 99999;') && {LIVE}"));
        let seqs = tab.ask("[...document.querySelectorAll('#thread article')].map(one => Number(one.dataset.seq))");
        let seqs: Vec<u64> = serde_json::from_value(seqs).expect("numbers");
        assert!(seqs.windows(2).all(|two| two[0] + 1 == two[1]), "{seqs:?}");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_of_takeovers_fences_repairs_and_releases() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (store(folder.path(), "http://10.0.4.1:7420"), store(folder.path(), "http://10.0.4.2:7420"));
    let session = name("main/contested");
    let one = first.create_blocking(&session).expect("creates");
    append_all(&one, [known("A contested session", "", "")]);
    let mut offsets = Vec::new();
    for at in 0..5 {
        offsets.push(one.append_blocking(message("user", &format!("message {at};"))).expect("appends"));
    }
    let two = second.open_session_blocking(&session).expect("takes it");
    two.append_blocking(message("assistant", "mine now;")).expect("appends");
    let file = two.path().to_owned();
    two.close_blocking().expect("closes");
    drop(one);
    damage(&file, offsets[2].offset.get() + 70);
    let mut options = session_journal::Options { full_scan: true, label: "http://10.0.4.3:7420".to_owned(), ..Default::default() };
    options.takeover = session_journal::Takeover::IfGone;
    let third = session_journal::Store::open(folder.path(), session_journal::StoreOptions { journal: options, ..Default::default() }).expect("opens");
    let three = third.open_session_blocking(&session).expect("repairs");
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        tab.go(&url(&server, &of("main/contested")));
        tab.wait(LIVE);
        let thread = tab.all("#thread");
        assert!(thread.contains("Record 4 is lost") && thread.contains("Generation 2 from here on"), "{thread}");
        tab.picture("gap");
        must_stand_out(tab);
        tab.press("h");
        tab.wait("document.querySelectorAll('.step').length > 0");
        let steps = tab.ask("[...document.querySelectorAll('.step h3')].map(one => one.innerText.replace(/\\s+/g, ' '))");
        let expected = json!(["Repaired generation 3", "Opened generation 3", "Released generation 2", "Fenced generation 1", "Taken over generation 2", "Created generation 1"]);
        assert_eq!(steps, expected);
        let text = tab.text("#history");
        assert!(text.contains("1 record lost") && text.contains("http://10.0.4.2:7420"), "{text}");
        tab.picture("history-light");
        must_stand_out(tab);
        must_be_reachable(tab);
        tab.prefer("dark");
        tab.size(400, 800);
        tab.picture("history-dark-narrow");
        must_stand_out(tab);
        tab.press("c");
        tab.wait("!document.querySelector('#conversation').hidden");
        let pure = "import('/page/history.js').then(all => all.stepsOf([ \
            { event: 'claim', generation: 1 }, { event: 'opening', generation: 1, reason: 'created' }, \
            { event: 'void-claim', generation: 2 }, { event: 'seal', generation: 1 }, { event: 'reopen', generation: 1 }, \
            { event: 'compacted', generation: 1 }, { event: 'release', generation: 1 }]).map(one => one.event))";
        assert_eq!(tab.ask(pure), json!(["claim", "void-claim", "seal", "reopen", "compacted", "release"]));
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

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_any_field_is_text() {
    const EVIL: &str = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script>";
    let folder = tempfile::tempdir().expect("a folder");
    let writer = store(folder.path(), EVIL);
    let session = writer.open_or_create_blocking(&name("main/evil")).expect("opens");
    let blocks = json!({ "role": "assistant", "from": EVIL, "content": [
        { "type": "text", "text": format!("{EVIL}\n```html\n{EVIL}\n```\n") },
        { "type": "thinking", "thinking": EVIL },
        { "type": "toolCall", "name": EVIL, "arguments": { EVIL: EVIL } },
        { "type": EVIL, "text": EVIL }, { "type": EVIL, EVIL: EVIL },
        { "type": "image", "mimeType": EVIL, "data": EVIL },
    ] });
    let result = json!({ "role": "toolResult", "toolName": EVIL, "isError": true, "content": EVIL });
    let mut records = vec![known(EVIL, EVIL, EVIL)];
    records.push(NewRecord::new(blocks.to_string()).kind("message").key(format!("1{EVIL}")));
    records.push(NewRecord::new(result.to_string()).kind("message").key(format!("2{EVIL}")).parent(format!("1{EVIL}")));
    records.push(message("user", EVIL).key(format!("3{EVIL}")).parent(format!("no such {EVIL}")));
    records.push(NewRecord::new(json!({ EVIL: EVIL }).to_string()).kind(EVIL).key(EVIL));
    records.push(NewRecord::new(EVIL).kind(EVIL));
    records.push(NewRecord::new(EVIL));
    append_all(&session, records);
    let server = Server::on(folder.path()).await;
    with_tab(async |tab| {
        let harmless = |tab: &Tab| {
            assert_eq!(tab.ask("window.harmed ?? null"), Value::Null);
            assert_eq!(tab.ask("document.querySelectorAll('img, main script').length"), 0);
        };
        tab.go(&url(&server, ""));
        tab.wait("document.querySelector('#found').innerText === '1 session'");
        assert!(tab.text("#space").matches("<img src=x onerror=").count() >= 2, "{}", tab.text("#space"));
        harmless(tab);
        for place in [of("main/evil"), format!("{}/history", of("main/evil"))] {
            tab.ask(&format!("location.hash = {}", json!(place)));
            tab.wait(LIVE);
            tab.wait("document.querySelector('.step') !== null || location.hash.endsWith('evil')");
            tab.ask("for (const one of document.querySelectorAll('details')) one.open = true");
            tab.ask("for (const one of document.querySelectorAll('#branches .branch')) one.click()");
            tab.wait("document.querySelector('#session').textContent.split('onerror=').length > 5");
            harmless(tab);
        }
        // What the page's policy would stop if the page did not.
        let refused = tab.ask("(() => { try { document.body.innerHTML = '<p>x</p>'; return false; } catch { return true; } })()");
        assert_eq!(refused, true, "markup is refused even where code asks for it");
        tab.expected = vec!["TrustedHTML", "trusted-types", "Trusted Type"];
    })
    .await;
    server.stop().await;
    drop(session);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_and_kept_in_the_tab_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let sha256 = Sha256::digest("the right one").iter().fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
    let token = Token { name: "reader".to_owned(), sha256, agents: vec!["main".to_owned()], scopes: vec![Scope::Read] };
    drop(fleet(folder.path(), 40));
    let server = Server::start(folder.path(), |config| config.tokens = vec![token]).await;
    with_tab(async |tab| {
        tab.expected = vec!["401"];
        tab.go(&url(&server, ""));
        tab.wait("document.querySelector('#token').open");
        tab.picture("token");
        must_stand_out(tab);
        must_be_reachable(tab);
        tab.write("a wrong one");
        tab.press("Enter");
        tab.wait("document.querySelector('#token').open && document.querySelector('#token-why').innerText.includes('did not accept')");
        tab.write("the right one");
        tab.press("Enter");
        tab.wait("document.querySelector('#found').innerText === '8 sessions'");
        let agents = tab.ask("[...document.querySelectorAll('#agent option')].map(one => one.value)");
        assert_eq!(agents, json!(["", "main"]));
        let kept = tab.ask("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]");
        assert_eq!(kept, json!([["the right one"], [], ""]));
        // A stream takes the token, too.
        tab.press("Enter");
        tab.wait(LIVE);
        tab.click("#sign-out");
        tab.wait("document.querySelector('#token').open && sessionStorage.length === 0");
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_programs_are_readable() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = import(folder.path());
    let server = Server::on(folder.path()).await;
    let mut all = Vec::new();
    for session in &names {
        let page = server.client().get(&format!("{}/records?limit=1000", path(session))).await.well();
        let records = page["records"].as_array().expect("records").clone();
        all.push((session.clone(), records));
    }
    with_tab(async |tab| {
        tab.go(&url(&server, ""));
        tab.wait("document.querySelector('#found').innerText.endsWith('sessions')");
        let (mut messages, mut heard) = (0, String::new());
        for (session, records) in &all {
            let told = tab.ask(&format!("import('/page/said.js').then(all => JSON.parse(JSON.stringify({}.map(all.said)), (_, value) => value?.toWellFormed?.() ?? value))", json!(records)));
            for (record, told) in records.iter().zip(told.as_array().expect("one each")) {
                let line: Value = serde_json::from_str(payload(record)).unwrap_or_default();
                let says = ["role", "content"].iter().all(|field| line["message"].get(field).is_some());
                // A message of any program has a role, and says what its text blocks say.
                if says && record["kind"] != "event_msg" && line["message"]["role"].is_string() {
                    messages += 1;
                    assert!(told["role"].is_string(), "{session}: {record}");
                    let shown = told["blocks"].to_string();
                    for block in line["message"]["content"].as_array().into_iter().flatten() {
                        if let Some(text) = block["text"].as_str() {
                            let quoted = json!(text).to_string();
                            assert!(shown.contains(quoted.trim_matches('"')) || told["role"] == "tool", "{session}: {record}");
                        }
                    }
                }
                let blocks = told["blocks"].as_array().expect("blocks").iter();
                let blocks: Vec<_> = blocks.map(|block| block["type"].as_str().unwrap_or("?").to_owned()).collect();
                heard += &format!("{} {} {}\n", session, told["role"].as_str().unwrap_or("-"), blocks.join(","));
            }
        }
        assert!(messages > 150, "{messages}");
        for (program, expected) in [
            ("claude", &["user text", "assistant thought", "assistant call", "tool result", "assistant text", "system text", "-"][..]),
            ("codex", &["-", "-", "user text", "-", "assistant thought", "assistant call", "tool result", "assistant text", "summary text"]),
            ("gemini", &["-", "user text", "assistant thought", "assistant thought,text,call,result", "system text"]),
        ] {
            let of_it = heard.lines().filter(|line| line.contains(program) && !line.contains("topic"));
            let lines: Vec<_> = of_it.filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest.trim_end().to_owned()).collect();
            assert!(lines.len() > expected.len(), "{program}: {lines:?}");
            // What the import itself keeps stands beside the lines.
            let said: Vec<_> = lines.iter().filter(|line| *line != "-").collect();
            let wanted: Vec<_> = expected.iter().filter(|line| **line != "-").collect();
            assert_eq!(said, wanted, "{program}");
        }
        for (session, _) in &all {
            tab.ask(&format!("location.hash = {}", json!(of(session))));
            let is_it = format!("{LIVE} && location.hash === {} && document.querySelector('#session').textContent.includes({})", json!(of(session)), json!(session.rsplit('/').next()));
            tab.wait(&is_it);
        }
        let open = async |tab: &mut Tab, part: &str, expected: &str| {
            let (session, _) = all.iter().find(|(name, _)| name.contains(part)).expect("is there");
            tab.ask(&format!("location.hash = {}", json!(of(session))));
            tab.wait(&format!("document.querySelector('#thread')?.textContent.includes({})", json!(expected)));
            tab.ask("document.querySelector('#conversation').scrollTop = 0");
            tab.picture(&format!("imported-{part}"));
            must_stand_out(tab);
        };
        open(tab, "agent-tools", "It has three lines.").await;
        open(tab, "agent-tree", "Plan C, from a fresh root.").await;
        open(tab, "gemini", "It says alpha.").await;
        assert_eq!(tab.all("#thread").matches("Reading").count(), 1, "the last line of an id counts");
        open(tab, "codex", "It has three lines.").await;
        open(tab, "claude", "Two: `notes.txt`").await;
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let mut kept: Vec<Session> = Vec::new();
    with_tab(async |tab| {
        tab.expected = vec!["404", "ERR_CONNECTION_REFUSED"];
        tab.go(&url(&server, ""));
        tab.wait("document.querySelector('#empty').innerText.startsWith('There is no session yet')");
        tab.picture("empty");
        must_stand_out(tab);
        tab.go(&url(&server, &of("main/missing")));
        tab.wait("document.querySelector('#trouble code')?.innerText === 'not-found'");
        tab.picture("missing");
        must_stand_out(tab);
        tab.press("Escape");
        tab.wait("document.querySelector('#trouble').hidden");
        // What is made meanwhile appears by itself.
        kept.push(store(folder.path(), "").create_blocking(&name("main/new")).expect("creates"));
        tab.wait("document.querySelector('#found').innerText === '1 session'");
    })
    .await;
    server.stop().await;
}
