//! `sjournal serve` as a process: settings in their order, signals, and what a kill leaves.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::Bench;
use support::gateway::{Gateway, command};

fn info(gateway: &Gateway) -> Value {
    let (status, info) = gateway.ask("GET", "/v1/sessions/a%2Fs", None);
    assert_eq!(status, 200, "{info}");
    info
}

#[test]
fn a_signal_ends_it_cleanly_and_releases_everything() {
    for signal in ["-TERM", "-INT"] {
        let bench = Bench::new();
        let store = bench.path("store");
        let gateway = Gateway::start(command(&store, &["--label", "the first"]));
        assert_eq!(gateway.append("?create=true", "one").0, 200);
        assert_eq!(info(&gateway)["owner"]["label"], "the first");
        gateway.signal(signal);
        let (code, errors) = gateway.end();
        assert_eq!(code, Some(0), "{errors}");
        assert!(errors.contains("released") && errors.contains("stopped"), "{errors}");
        let next = Gateway::start(command(&store, &[]));
        assert_eq!(info(&next)["state"], "released");
        assert_eq!(next.append("?takeover=never", "two").0, 200);
    }
}

#[test]
fn a_kill_needs_nothing_and_loses_nothing_that_was_acknowledged() {
    let bench = Bench::new();
    let store = bench.path("store");
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let gateway = Gateway::start(command(&store, &[]));
        for at in 0..10 {
            let text = format!("{round}:{at}");
            // Nobody is asked to take over: whoever was killed is gone.
            assert_eq!(gateway.append("?create=true", &text).0, 200);
            acknowledged.push(text);
        }
        gateway.signal("-KILL");
        assert_eq!(gateway.end().0, None);
    }
    let gateway = Gateway::start(command(&store, &[]));
    assert_eq!(info(&gateway)["state"], "orphaned");
    let (_, page) = gateway.ask("GET", "/v1/sessions/a%2Fs/records?limit=1000", None);
    let records = page["records"].as_array().expect("records").iter();
    let stored: Vec<_> = records.map(|one| one["payload"].as_str().expect("a text")).collect();
    assert_eq!(stored, acknowledged);
}

#[test]
fn a_stopped_process_is_fenced_when_it_wakes() {
    let bench = Bench::new();
    let store = bench.path("store");
    let (first, second) =
        (Gateway::start(command(&store, &[])), Gateway::start(command(&store, &[])));
    assert_eq!(first.append("?create=true", "one").0, 200);
    first.signal("-STOP");
    let (status, held) = second.append("", "two");
    assert_eq!((status, &held["code"]), (409, &json!("held-by")));
    assert_eq!(held["owner"]["pid"], first.process.id());
    assert_eq!(second.append("?takeover=always", "two").0, 200);
    first.signal("-CONT");
    let (status, fenced) = first.append("", "late");
    assert_eq!((status, &fenced["code"]), (409, &json!("fenced")));
    assert_eq!(first.append("", "late").1["code"], "held-by");
    let (_, page) = first.ask("GET", "/v1/sessions/a%2Fs/records", None);
    assert_eq!(page["last_seq"], 2);
}

#[test]
fn settings_come_from_the_file_the_environment_and_the_flags_in_that_order() {
    let bench = Bench::new();
    let config = "label = 'file'\nstore = '/nowhere'\n[limits]\nrecord_bytes_max = 10\n";
    let config = bench.write("gateway.toml", config);
    let config = config.to_str().expect("text");
    let store = bench.path("store");
    let label = |change: &dyn Fn(&mut Command), arguments: &[&str]| {
        let mut command = command(&store, arguments);
        change(&mut command);
        let gateway = Gateway::start(command);
        gateway.append("?create=true&takeover=always", "x");
        assert_eq!(gateway.append("", &"x".repeat(11)).1["limit"], 10);
        info(&gateway)["owner"]["label"].as_str().expect("a label").to_owned()
    };
    let variable = |command: &mut Command| {
        command.env("SESSION_JOURNAL_GATEWAY_LABEL", "environment");
    };
    assert_eq!(label(&|_| {}, &["--config", config]), "file");
    assert_eq!(label(&variable, &["--config", config]), "environment");
    assert_eq!(label(&variable, &["--config", config, "--label", "flag"]), "flag");
    let by_variable = |command: &mut Command| {
        command.env("SESSION_JOURNAL_GATEWAY_CONFIG", config);
    };
    assert_eq!(label(&by_variable, &["--set", "label=set"]), "set");
}

#[test]
fn what_cannot_be_meant_is_told_before_it_listens() {
    let bench = Bench::new();
    let wrong = bench.write("wrong.toml", "listne = '127.0.0.1:1'\n");
    let store = bench.path("store");
    let cases: [(&[&str], &str, i32); 5] = [
        (&["--config", wrong.to_str().expect("text")], "listne", 2),
        (&["--config", "/nowhere.toml"], "/nowhere.toml", 2),
        (&["--set", "limits.what=1"], "limits.what", 2),
        (&["--set", "listen=0.0.0.0:0"], "token", 2),
        (&["--set", "listen=127.0.0.1:x"], "listen", 2),
    ];
    for (arguments, word, code) in cases {
        let said = command(&store, arguments).output().expect("runs");
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(code), "{errors}");
        assert!(errors.contains(word) && errors.trim_end().ends_with("[invalid]"), "{errors}");
        assert!(said.stdout.is_empty());
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let taken = taken.local_addr().expect("an address").to_string();
    let said = command(&store, &["--set", &format!("listen={taken}")]).output().expect("runs");
    assert_eq!(said.status.code(), Some(5));
}

#[test]
fn events_are_objects_where_a_program_reads_them() {
    let bench = Bench::new();
    let gateway = Gateway::start(command(&bench.path("store"), &["--log", "json"]));
    gateway.append("?create=true", "one");
    gateway.signal("-TERM");
    let (_, errors) = gateway.end();
    let lines: Vec<Value> =
        errors.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let answered = lines.iter().find(|line| line["fields"]["message"] == "answered");
    let answered = answered.unwrap_or_else(|| panic!("{errors}"));
    assert_eq!(answered["fields"]["status"], 200);
    let request = &answered["span"];
    assert_eq!(
        (&request["method"], &request["route"]),
        (&json!("POST"), &json!("/v1/sessions/{session}/records"))
    );
    assert!(request["id"].as_str().is_some_and(|id| !id.is_empty()));
    let opened = lines.iter().find(|line| line["fields"]["message"] == "opened").expect("is told");
    assert_eq!(opened["fields"]["reason"], "created");
    assert_eq!(opened["span"]["id"], request["id"], "it belongs to the request");
}

#[test]
fn a_full_disk_is_told_and_the_session_goes_on() {
    let bench = Bench::new();
    let serve = command(&bench.path("store"), &[]);
    // Files of at most 256 KiB: the system says so as it says that the disk is full.
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -f 256; exec \"$@\"", "bash"]).arg(serve.get_program());
    shell.args(serve.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let gateway = Gateway::start(shell);
    assert_eq!(gateway.append("?create=true", "one").0, 200);
    let target = "/v1/sessions/a%2Fs/records";
    let large = json!({ "payload": "x".repeat(300 << 10) });
    let (status, full) = gateway.ask("POST", target, Some(&large));
    assert_eq!((status, &full["code"]), (507, &json!("no-space")));
    let (status, info) = gateway.ask("GET", "/v1/sessions/a%2Fs", None);
    assert_eq!((status, &info["held_here"], &info["last_seq"]), (200, &json!(true), &json!(1)));
    let other = gateway.ask(
        "POST",
        "/v1/sessions/a%2Fother/records?create=true",
        Some(&json!({ "payload": "x" })),
    );
    assert_eq!(other.0, 200, "{}", other.1);
}

#[test]
fn a_name_cannot_forge_a_line_of_the_log() {
    let bench = Bench::new();
    let gateway = Gateway::start(command(&bench.path("store"), &[]));
    let target = "/v1/sessions/a%2Fx%0AFORGED%1B%5B2J/records?create=true";
    assert_eq!(gateway.ask("POST", target, Some(&json!({ "payload": "x" }))).0, 200);
    assert_eq!(gateway.ask("GET", "/v1/%0AFORGED%1B", None).0, 404);
    gateway.signal("-TERM");
    let (_, errors) = gateway.end();
    assert!(errors.contains("FORGED"), "it is told: {errors}");
    assert!(!errors.contains('\u{1b}'), "{errors:?}");
    assert!(
        errors.lines().all(|line| line.starts_with("20")),
        "each begins with its time: {errors}"
    );
}

/// Reads so many records of a stream: their payloads, and the id of the last one. Then it is cut.
fn follow(gateway: &Gateway, last: Option<&str>, records: usize) -> (Vec<String>, String) {
    let mut stream = TcpStream::connect(gateway.address).expect("connects");
    let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    let head = format!(
        "GET /v1/sessions/a%2Fs/events HTTP/1.1\r\nhost: {}\r\n{last}\r\n",
        gateway.address
    );
    stream.write_all(head.as_bytes()).expect("writes");
    let (mut payloads, mut id) = (Vec::new(), String::new());
    for line in BufReader::new(stream).lines() {
        let line = line.expect("reads");
        if let Some(new) = line.strip_prefix("id: ") {
            new.clone_into(&mut id);
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let record: Value = serde_json::from_str(data).expect("an object");
            payloads.push(record["payload"].as_str().expect("a text").to_owned());
        }
        if payloads.len() == records {
            break;
        }
    }
    (payloads, id)
}

#[test]
fn a_stream_goes_on_at_the_next_process_although_the_one_before_was_killed() {
    let bench = Bench::new();
    let store = bench.path("store");
    let (mut seen, mut last, mut written) = (Vec::new(), None, Vec::new());
    for round in 0..4 {
        let gateway = Gateway::start(command(&store, &[]));
        for at in 0..6 {
            let text = format!("{round}:{at}");
            assert_eq!(gateway.append("?create=true", &text).0, 200);
            written.push(text);
        }
        // Some of what is there is left for the next one.
        let (payloads, id) = follow(&gateway, last.as_deref(), if round == 3 { 12 } else { 4 });
        seen.extend(payloads);
        last = Some(id);
        gateway.signal("-KILL");
    }
    assert_eq!(seen, written);
}

/// L2: who writes beside a gateway is told where it is, and may read or take what it asks for.
#[test]
fn the_command_line_beside_a_gateway_is_told_its_address() {
    let bench = Bench::new();
    let gateway = Gateway::start(command(&bench.path("store"), &[]));
    assert_eq!(gateway.append("?create=true", "one").0, 200);
    let url = format!("http://{}", gateway.address);
    let said = bench.feed(&["append", "a/s"], "two\n");
    said.fails(3, "held-by");
    assert!(said.err.contains(&url), "{said:?}");
    assert_eq!(bench.done(&["--json", "info", "a/s"]).object()["owner"]["label"], url);
    assert_eq!(bench.done(&["cat", "a/s"]).out, "one\n");
    // It asks there instead.
    assert_eq!(gateway.append("", "two").0, 200);
    let said = bench.feed(&["append", "a/s", "--takeover", "always"], "three\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(gateway.append("", "late").1["code"], "fenced");
    assert_eq!(bench.done(&["cat", "a/s"]).out, "one\ntwo\nthree\n");
}
