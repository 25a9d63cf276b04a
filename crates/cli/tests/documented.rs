//! The commands of `docs/migrating.md`, run one after the other in a home folder that holds sessions
//! of every program.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Bench, Said, fixtures};

/// The lines between fences that a shell is to run.
fn commands() -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migrating.md");
    let document = fs::read_to_string(document).expect("reads");
    let blocks = document.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

fn home(bench: &Bench) {
    let copy = |from: &str, to: &str| {
        let to = bench.path("home").join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("makes folders");
        let done = Command::new("cp").arg("-R").arg(fixtures(from)).arg(to).status();
        assert!(done.expect("cp runs").success());
    };
    copy("sessions/openclaw-2026.5.26/agents", ".openclaw/agents");
    copy("sessions/pi-0.73.1", ".pi/agent/sessions/--home-user--");
    let packed = fs::File::open(fixtures("sqlite/native/openclaw-agent.sqlite.zst"));
    let store = bench.write("home/.openclaw/agents/main/agent/openclaw-agent.sqlite", "");
    let mut store = fs::File::create(store).expect("makes a file");
    zstd::stream::copy_decode(packed.expect("opens"), &mut store).expect("unpacks");
    for (name, line) in [
        (".claude/projects/-w/c.jsonl", r#"{"type":"user","uuid":"u","parentUuid":null}"#),
        (".codex/sessions/2026/05/21/rollout-d.jsonl", r#"{"type":"session_meta","payload":{}}"#),
        (".codex/archived_sessions/rollout-f.jsonl", r#"{"type":"session_meta","payload":{}}"#),
        (".gemini/tmp/p/chats/e.jsonl", r#"{"sessionId":"s","projectHash":"h"}"#),
        ("logs/a.jsonl", "{}"),
        ("logs/agent.log", "{}"),
    ] {
        bench.write(&format!("home/{name}"), format!("{line}\n"));
    }
}

#[test]
fn every_command_of_the_document_does_what_it_says() {
    let bench = Bench::new();
    home(&bench);
    let program = Path::new(env!("CARGO_BIN_EXE_sjournal"));
    let folder = program.parent().expect("a folder").to_str().expect("text");
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for line in &commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(bench.path("home")).env_clear();
        shell.env("HOME", bench.path("home")).env("PATH", format!("{folder}:/usr/bin:/bin"));
        let said = Said::of(shell.output().expect("runs"));
        // One is "done, with findings": the fixtures have some.
        let has_findings = line.contains("doctor") || line.contains("--rollback");
        let is_well = said.code == Some(0) || (has_findings && said.code == Some(1));
        assert!(is_well, "{line}: {said:?}");
        if line == "sjournal import ~/.openclaw/agents" {
            let summary = said.out.lines().find(|line| line.contains(" sources: "));
            let summary = summary.unwrap_or_else(|| panic!("{said:?}"));
            let is_new = summary.contains("imported") || summary.contains("extended");
            assert!(!is_new && summary.contains("unchanged"), "{summary}");
        }
    }
    let home = bench.path("home");
    assert!(home.join("report.json").is_file() && home.join("minimal.jsonl").is_file());
    let back = home.join("back");
    let database = back.join(".openclaw/agents/main/agent/openclaw-agent.sqlite");
    let sessions = fs::read_dir(database).expect("a database comes back as a folder");
    let names: Vec<_> = sessions.map(|one| one.expect("reads").file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().ends_with(".jsonl")), "{names:?}");
    let archived = back.join(".codex/archived_sessions/rollout-f.jsonl");
    assert!(archived.is_file());
}
