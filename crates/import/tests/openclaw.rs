//! `OpenClaw`'s folder whole: every file in exactly one outcome, and what is known of each session.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use session_journal_import::{Attributes, Leaf, Outcome, Relation, Tree};
use support::{Bench, copy_tree, fixtures_folder};

const SESSIONS: &str = "agents/main/sessions";

fn tree(bench: &Bench) -> PathBuf {
    let root = bench.path("state");
    copy_tree(&fixtures_folder("sessions/openclaw-2026.5.26/agents"), &root.join("agents"));
    root
}

fn known(bench: &Bench, session: &str) -> Attributes {
    Attributes::of(&bench.reader(session)).expect("reads").expect("has attributes")
}

fn relations(known: &Attributes) -> Vec<(Relation, Option<&str>)> {
    let name = |path: &'_ String| -> usize { path.rfind('/').map_or(0, |at| at + 1) };
    let of = known.lineage.iter().map(|one| {
        let file = one.file.as_ref().map(|file| &file[name(file)..]);
        (one.relation, file.or(one.key.as_deref()).or(one.id.as_deref()))
    });
    of.collect()
}

#[test]
fn every_file_has_one_outcome_and_the_tree_comes_back() {
    let mut bench = Bench::new();
    bench.options.verify = true;
    let root = tree(&bench);
    let (lines, summary) = bench.run_all(std::slice::from_ref(&root));
    assert_eq!((summary.sources, summary.imported, summary.skipped), (19, 18, 1));
    assert_eq!(summary.verified, 18);
    assert!(summary.is_balanced());
    let skipped = lines.iter().find(|line| line.outcome == Outcome::Skipped).expect("one");
    assert_eq!(Path::new(&skipped.file).extension(), Some("lock".as_ref()), "{skipped:?}");
    let (_, summary) = bench.run_all(std::slice::from_ref(&root));
    assert_eq!((summary.unchanged, summary.added_bytes), (18, 0));

    let catalogue = bench.catalogue();
    let back = bench.path("back");
    let tree = Tree::new(&catalogue, &back).expect("plans");
    let mut same = 0;
    let each = &mut |_: &_, leaf: session_journal_import::Result<Leaf>| {
        same += u64::from(leaf.expect("exports").is_source == Some(true));
    };
    tree.write(false, each, &mut || true).expect("writes");
    assert_eq!(same, 18);
    let without_locks = |mut files: BTreeMap<PathBuf, Vec<u8>>| {
        files.retain(|path, _| path.extension().is_none_or(|extension| extension != "lock"));
        files
    };
    let (before, after) = (support::files(&root), support::files(&back));
    assert!(without_locks(before) == after, "names and bytes");
    let mode = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path.join(SESSIONS).join("sessions.json")).expect("is there");
        (metadata.mode(), metadata.mtime())
    };
    assert_eq!(mode(&root), mode(&back));
    let error = Tree::new(&catalogue, &back).expect_err("it is not empty any more");
    assert!(error.to_string().contains("is not empty"), "{error}");
}

#[test]
fn the_registry_tells_keys_models_and_counters() {
    let bench = Bench::new();
    bench.run_all(&[tree(&bench)]);
    let main = known(&bench, "main/17ab289f-68e8-4b07-a159-10809da821db");
    assert_eq!(main.session_key.as_deref(), Some("agent:main:main"));
    assert_eq!((main.model.as_deref(), main.provider.as_deref()), (Some("scripted"), Some("mock")));
    assert_eq!((main.agent.as_deref(), main.status.as_deref()), (Some("main"), Some("done")));
    assert_eq!(main.counters["inputTokens"].as_u64(), Some(1009));
    assert_eq!(main.updated_ms, Some(1_795_348_705_518));
    assert_eq!(main.header_id.as_deref(), Some("17ab289f-68e8-4b07-a159-10809da821db"));
    let topic = known(&bench, "main/8a1d4c52-3f5e-4b7c-9a60-5d2e7f10c842-topic-42");
    assert_eq!(topic.session_key.as_deref(), Some("agent:main:telegram:group:-1001:topic:42"));
    assert_eq!(topic.channel.as_deref(), Some("telegram"));
    assert_eq!(topic.header_id.as_deref(), Some("8a1d4c52-3f5e-4b7c-9a60-5d2e7f10c842"));
    let catalogue = bench.catalogue();
    for (key, session) in [
        ("agent:main:main", "main/17ab289f-68e8-4b07-a159-10809da821db"),
        ("agent:main:project-b", "main/dc2e48f8-5da7-40af-9f33-51174b529c65"),
        ("agent:main:child", "main/52173cca-ccd1-41b2-907a-94e30b67b716"),
    ] {
        let found = catalogue.by_key(key).map(|one| one.name.to_string());
        assert_eq!(found.as_deref(), Some(session), "{key}");
    }
    assert!(catalogue.by_key("agent:main:nobody").is_none());
}

#[test]
fn lineage_is_kept_for_every_kind_of_file() {
    let bench = Bench::new();
    bench.run_all(&[tree(&bench)]);
    let project = "dc2e48f8-5da7-40af-9f33-51174b529c65.jsonl";
    let rotated = "2026-11-22T12-00-51-030Z_01a20321-6956-7f7e-98c9-b6b217c9f849";
    for (session, expected) in [
        (
            "2026-11-22T12-00-50-763Z_a667c63c-53fa-4570-a855-54091f3c2303",
            &[(Relation::ForkOf, project), (Relation::ForkOf, "agent:main:project-b")][..],
        ),
        (
            "2026-11-22T12-00-51-033Z_e8712d0d-56b3-4e8f-99c0-23c205e89ee6",
            &[
                (Relation::ForkOf, &format!("{rotated}.jsonl")),
                (Relation::Continues, "01a20321-6956-7f7e-98c9-b6b217c9f849"),
            ],
        ),
        (
            &format!("{rotated}.checkpoint.0f5e0f6a-8f0d-4b44-9a3f-2a6f0c1f7d11"),
            &[(Relation::CheckpointOf, &format!("{rotated}.jsonl"))],
        ),
        (
            "8a1d4c52-3f5e-4b7c-9a60-5d2e7f10c842-topic-42",
            &[(Relation::TopicOf, "8a1d4c52-3f5e-4b7c-9a60-5d2e7f10c842.jsonl")],
        ),
        (
            "17ab289f-68e8-4b07-a159-10809da821db",
            &[(
                Relation::ResetFrom,
                "0a2adb43-5c40-40ea-abdd-d4502b687a1e.jsonl.reset.2026-11-22T11-58-16.575Z",
            )],
        ),
        (
            "0a2adb43-5c40-40ea-abdd-d4502b687a1e.reset.2026-11-22T11-58-16.575Z",
            &[(Relation::SetAsideByReset, "0a2adb43-5c40-40ea-abdd-d4502b687a1e.jsonl")],
        ),
        (
            "fdc26baa-49b6-4b97-a260-31899029eccc.deleted.2026-11-22T11-58-57.678Z",
            &[(Relation::Deleted, "fdc26baa-49b6-4b97-a260-31899029eccc.jsonl")],
        ),
        (
            "ea50c4f7-97d4-43db-b4ab-155bb941406c.bak.2026-11-22T11-59-49.402Z",
            &[(Relation::BackupOf, "ea50c4f7-97d4-43db-b4ab-155bb941406c.jsonl")],
        ),
        ("52173cca-ccd1-41b2-907a-94e30b67b716", &[(Relation::ChildOf, "agent:main:project-b")]),
        ("dc2e48f8-5da7-40af-9f33-51174b529c65.trajectory", &[(Relation::PartOf, project)]),
        (
            "dc2e48f8-5da7-40af-9f33-51174b529c65.trajectory-path.json",
            &[(Relation::PartOf, project)],
        ),
    ] {
        let known = known(&bench, &format!("main/{session}"));
        let expected: Vec<_> =
            expected.iter().map(|(relation, other)| (*relation, Some(&**other))).collect();
        assert_eq!(relations(&known), expected, "{session}");
    }
    let reset = known(&bench, "main/17ab289f-68e8-4b07-a159-10809da821db").lineage.remove(0);
    assert!(reset.inferred && reset.at_ms == Some(1_795_348_696_575), "{reset:?}");
}

#[test]
fn lineage_leads_from_session_to_session() {
    let bench = Bench::new();
    bench.run_all(&[tree(&bench)]);
    let catalogue = bench.catalogue();
    let fork = catalogue.by_key("agent:main:project-b:thread:7").expect("is there");
    let steps = catalogue.lineage(fork);
    let to = steps[0].to.expect("the folder was moved, and the file is found").name.to_string();
    assert_eq!(to, "main/dc2e48f8-5da7-40af-9f33-51174b529c65");
    let rotated = catalogue.by_key("agent:main:rotated").expect("is there");
    assert!(catalogue.lineage(rotated).iter().all(|step| step.to.is_some()));
}

#[test]
fn a_registry_that_changes_is_kept_in_its_versions_and_brings_attributes_up_to_date() {
    let bench = Bench::new();
    let folder = bench.path("x/agents/main/sessions");
    let transcript = "x/agents/main/sessions/a.jsonl";
    bench.write(transcript, "{\"type\":\"session\",\"version\":3,\"id\":\"a\"}\n");
    let registry =
        |label: &str| format!("{{\"k\":{{\"sessionId\":\"a\",\"label\":\"{label}\"}}}}\n");
    let write = |text: &str| bench.write("x/agents/main/sessions/sessions.json", text);
    write(&registry("one"));
    bench.run_all(std::slice::from_ref(&folder));
    assert_eq!(known(&bench, "main/a").title.as_deref(), Some("one"));
    let before = bench.reader("main/a").last_sequence();
    write(&registry("two"));
    let (lines, _) = bench.run_all(std::slice::from_ref(&folder));
    let outcomes: Vec<_> = lines.iter().map(|line| line.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unchanged, Outcome::Extended]);
    assert_eq!(known(&bench, "main/a").title.as_deref(), Some("two"));
    assert_eq!(bench.reader("main/a").last_sequence(), before.next(), "one record more");
    assert_eq!(bench.export("main/a"), fs::read(bench.path(transcript)).expect("reads"));
    assert_eq!(bench.export("main/sessions.json"), registry("two").into_bytes());
    write("");
    bench.run_all(std::slice::from_ref(&folder));
    assert_eq!(bench.export("main/sessions.json"), b"");
    let known = known(&bench, "main/a");
    assert_eq!(known.session_key.as_deref(), Some("k"), "what was known stays known");
    let payloads = bench.reader("main/sessions.json").records().map(|one| one.expect("reads"));
    let versions = payloads.filter(|one| one.kind.as_deref() == Some("document")).count();
    assert_eq!(versions, 2, "each version is there");
    assert!(!bench.journal("main/sessions.json~2").exists());
}

#[test]
fn attributes_of_a_session_in_use_wait_for_its_owner() {
    let bench = Bench::new();
    let folder = bench.path("agents/main/sessions");
    bench.write(
        "agents/main/sessions/a.jsonl",
        "{\"type\":\"session\",\"version\":3,\"id\":\"a\"}\n",
    );
    bench.run_all(std::slice::from_ref(&folder));
    let owner = support::open(&bench.journal("main/a"));
    bench.write("agents/main/sessions/sessions.json", "{\"k\":{\"sessionId\":\"a\"}}");
    let mut told = false;
    let summary = bench.import().run(std::slice::from_ref(&folder), &mut |report| {
        told |= report.warnings.iter().any(|warning| warning.contains("not brought up to date"));
    });
    assert_eq!((summary.unchanged, summary.failed), (1, 0));
    assert!(told);
    owner.close().expect("closes");
    bench.run_all(&[folder]);
    assert_eq!(known(&bench, "main/a").session_key.as_deref(), Some("k"));
}
