//! The folders of the other programs: pi, Claude Code, Codex, Gemini.

mod support;

use std::fs;

use session_journal_import::{Attributes, Format, Outcome, Relation, offers};
use support::{Bench, fixtures_folder};

fn known(bench: &Bench, session: &str) -> Attributes {
    Attributes::of(&bench.reader(session)).expect("reads").expect("has attributes")
}

const META: &str = "{\"timestamp\":\"2026-05-21T09:00:00.000Z\",\"type\":\"session_meta\",\"payload\":{\"id\":\"c2\",\"cwd\":\"/w\",\"forked_from_id\":\"c1\",\"model_provider\":\"openai\"}}\n";
const TURN: &str = "{\"timestamp\":\"2026-05-21T09:00:01.000Z\",\"type\":\"turn_context\",\"payload\":{\"model\":\"gpt\"}}\n";

#[test]
fn codex_rollouts_packed_or_not() {
    let mut bench = Bench::new();
    bench.options.verify = true;
    let text = format!("{META}{TURN}");
    let packed = zstd::encode_all(text.as_bytes(), 3).expect("packs");
    bench.write("codex/sessions/2026/05/21/rollout-2026-05-21T09-00-00-c2.jsonl.zst", &packed);
    bench.write(
        "codex/archived_sessions/rollout-2026-05-20T09-00-00-c1.jsonl",
        META.replace("c2", "c1"),
    );
    let (_, summary) = bench.run_all(&[bench.path("codex")]);
    assert_eq!((summary.imported, summary.verified, summary.failed), (2, 2, 0));
    let session = "rollout-2026-05-21T09-00-00-c2";
    assert_eq!(bench.export(session), text.as_bytes());
    let fork = known(&bench, session);
    assert_eq!((fork.header_id.as_deref(), fork.packed.as_deref()), (Some("c2"), Some("zstd")));
    assert_eq!((fork.model.as_deref(), fork.provider.as_deref()), (Some("gpt"), Some("openai")));
    assert_eq!(
        (fork.lineage[0].relation, fork.lineage[0].id.as_deref()),
        (Relation::ForkOf, Some("c1"))
    );
    assert!(fork.source.ends_with("c2.jsonl"), "it comes back unpacked: {}", fork.source);
    let (_, summary) = bench.run_all(&[bench.path("codex")]);
    assert_eq!((summary.unchanged, summary.added_records), (2, 0));
    let catalogue = bench.catalogue();
    let entry = catalogue.entries().iter().find(|one| one.name.id() == session).expect("is there");
    assert!(catalogue.lineage(entry)[0].to.is_some());
}

#[test]
fn a_packed_file_that_is_torn_is_kept_as_it_is() {
    let bench = Bench::new();
    let packed = zstd::encode_all(META.repeat(100).as_bytes(), 3).expect("packs");
    let path = bench.write("in/a.jsonl.zst", &packed[..packed.len() - 5]);
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.format, Some(Format::Document));
    assert!(report.warnings[0].contains("cannot be unpacked"), "{:?}", report.warnings);
    assert_eq!(bench.export_of(&report), fs::read(&path).expect("reads"));
    bench.run(&path, Outcome::Unchanged);
}

#[test]
fn claude_code_projects_with_their_agents_and_results() {
    let bench = Bench::new();
    let line = |id: &str, parent: &str, session: &str| {
        format!(
            "{{\"type\":\"user\",\"uuid\":\"{id}\",\"parentUuid\":{parent},\"sessionId\":\"{session}\",\"cwd\":\"/w\",\"timestamp\":\"2026-05-21T09:00:00.000Z\"}}\n"
        )
    };
    let project = ".claude/projects/-home-u-w";
    bench
        .write(&format!("{project}/s1.jsonl"), line("a", "null", "s1") + &line("b", "\"a\"", "s1"));
    bench.write(&format!("{project}/s1/subagents/agent-7.jsonl"), line("c", "null", "s1"));
    bench.write(&format!("{project}/s1/tool-results/r1.txt"), "a long result\n");
    let (_, summary) = bench.run_all(&[bench.path(".claude/projects")]);
    assert_eq!((summary.imported, summary.skipped, summary.failed), (3, 0, 0));
    assert_eq!(known(&bench, "s1").header_id.as_deref(), Some("s1"));
    let agent = known(&bench, "agent-7");
    assert_eq!(
        (agent.lineage[0].relation, agent.lineage[0].id.as_deref()),
        (Relation::ChildOf, Some("s1"))
    );
    assert_eq!(bench.export("r1.txt"), b"a long result\n");
    let path = bench.reader("s1").path_to_root("b").expect("finds");
    assert_eq!(path.count(), 2, "the tree is there");
}

#[test]
fn gemini_chats_new_and_old() {
    let bench = Bench::new();
    let chats = ".gemini/tmp/p/chats";
    let old = "{\n  \"sessionId\": \"g1\",\n  \"projectHash\": \"h\",\n  \"messages\": []\n}";
    bench.write(&format!("{chats}/session-2025-10-01T10-00-aaaaaaaa.json"), old);
    let new = "{\"sessionId\":\"g2\",\"projectHash\":\"h\",\"startTime\":\"2026-05-21T09:00:00Z\"}\n{\"id\":\"m\",\"type\":\"user\"}\n{\"id\":\"m\",\"type\":\"user\",\"content\":\"new\"}\n";
    bench.write(&format!("{chats}/session-2026-05-21T09-00-bbbbbbbb.jsonl"), new);
    bench.write(&format!("{chats}/g2/agent.jsonl"), new.replace("g2", "g3"));
    bench.write(".gemini/tmp/p/logs.json", "[]");
    let mut formats = Vec::new();
    let summary = bench.import().run(&[bench.path(".gemini/tmp")], &mut |report| {
        assert_eq!(report.damage, [], "a repeated id is an update");
        formats.extend(report.format);
    });
    assert_eq!(formats, [Format::Gemini; 3]);
    assert_eq!((summary.imported, summary.skipped), (3, 1));
    assert_eq!(bench.export("session-2025-10-01T10-00-aaaaaaaa.json"), old.as_bytes());
    assert_eq!(
        known(&bench, "session-2025-10-01T10-00-aaaaaaaa.json").header_id.as_deref(),
        Some("g1")
    );
    assert_eq!(known(&bench, "agent").lineage[0].id.as_deref(), Some("g2"));
    let (_, summary) = bench.run_all(&[bench.path(".gemini/tmp")]);
    assert_eq!(summary.unchanged, 3);
}

#[test]
fn pi_is_told_from_openclaw_by_its_lines_and_by_the_folder() {
    let bench = Bench::new();
    let text = fs::read(fixtures_folder("sessions/pi-0.73.1/minimal.jsonl")).expect("reads");
    let own = bench.write(".pi/agent/sessions/--w--/x.jsonl", &text);
    assert_eq!(bench.run(&own, Outcome::Imported).format, Some(Format::Pi));
    let other = bench.write(".openclaw/agents/main/sessions/x.jsonl", &text);
    assert_eq!(bench.run(&other, Outcome::Imported).format, Some(Format::OpenClaw));
    let child = fixtures_folder("sessions/pi-0.73.1/fork-child.jsonl");
    bench.run(&child, Outcome::Imported);
    assert_eq!(known(&bench, "fork-child").lineage[0].relation, Relation::ForkOf);
}

#[test]
fn a_home_folder_is_searched_for_all_of_them() {
    let bench = Bench::new();
    let folders = [
        (".openclaw/agents/main/sessions/a.jsonl", Format::OpenClaw),
        (".pi/agent/sessions/--w--/b.jsonl", Format::Pi),
        (".claude/projects/-w/c.jsonl", Format::ClaudeCode),
        (".codex/sessions/2026/05/21/rollout-d.jsonl", Format::Codex),
        (".gemini/tmp/p/chats/e.jsonl", Format::Gemini),
    ];
    for (path, _) in folders {
        bench.write(path, "{}\n");
    }
    let mut found: Vec<_> = offers(&bench.path("")).into_iter().map(|one| one.format).collect();
    found.sort_by_key(|format| format.as_str());
    let mut expected: Vec<_> = folders.map(|(_, format)| format).to_vec();
    expected.sort_by_key(|format| format.as_str());
    // Variables of this process may lead elsewhere.
    if std::env::var_os("CODEX_HOME").is_none() && std::env::var_os("OPENCLAW_STATE_DIR").is_none()
    {
        assert_eq!(found, expected);
    }
    assert!(offers(&bench.path("nobody")).is_empty());
}
