//! Sessions that lost records: bytes of their files are turned round or zeroed, and everything that a
//! gateway does goes on behind it, says what is missing, and does nothing twice unasked.

mod stage;
mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use session_journal::Reader;
use session_journal_gateway::Config;
use session_journal_gateway::turn::OnLoss;
use stage::stub::{Stub, completion};
use support::{Answer, Client, Server, path};

const SESSION: &str = "a/s";

fn target(what: &str) -> String {
    format!("{}/{what}", path(SESSION))
}

/// What happens to a record in its file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A byte of its payload is turned round.
    Payload,
    /// A byte of its frame's header is.
    Header,
    /// It is zeros from its beginning on.
    Zeros,
}

impl Damage {
    const ALL: [Self; 3] = [Self::Payload, Self::Header, Self::Zeros];

    fn strikes(self, file: &Path, offset: u64) {
        let file = OpenOptions::new().read(true).write(true).open(file).expect("opens");
        let turn_round = |at| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("reads");
            file.write_all_at(&[!byte[0]], at).expect("writes");
        };
        match self {
            Self::Payload => turn_round(offset + 82),
            Self::Header => turn_round(offset + 9),
            Self::Zeros => file.write_all_at(&[0; 81], offset).expect("writes"),
        }
    }
}

/// A gateway whose model is a stub.
struct Scene {
    folder: tempfile::TempDir,
    stub: Stub,
    server: Server,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stub = Stub::new(vec![completion("well", 100)]).await;
        let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
        server.client().post("/v1/sessions", json!({ "session": SESSION })).await.well();
        Self { folder, stub, server }
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    fn file(&self) -> PathBuf {
        self.server.state.hub.store().path_of(&SESSION.parse().expect("a name"))
    }

    /// Appends a message of this text, and gives where it is.
    async fn says(&self, text: &str) -> u64 {
        let record = json!({ "kind": "message", "json": { "role": "user", "content": text } });
        let answer = self.client().post(&target("records"), record).await.well();
        answer["offset"].as_u64().expect("an offset")
    }

    fn offset_of(&self, wanted: &str) -> u64 {
        let reader = Reader::open(self.file()).expect("opens");
        reader.by_key(wanted).expect("readable").expect("there").offset.get()
    }

    /// Stops the gateway, damages what stands at an offset, and starts another one.
    async fn damaged(self, damage: Damage, offset: u64) -> Self {
        self.damaged_under(damage, &[offset], |_| {}).await
    }

    async fn damaged_under(
        self,
        damage: Damage,
        offsets: &[u64],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let file = self.file();
        let Self { folder, stub, server } = self;
        server.stop().await;
        for offset in offsets {
            damage.strikes(&file, *offset);
        }
        let server = Server::with_model(folder.path(), &stub.url, change).await;
        Self { folder, stub, server }
    }

    async fn turn(&self, key: &str, query: &str) -> Answer {
        let body = json!({ "key": key, "text": format!("text of {key}") });
        self.client().post(&format!("{}{query}", target("turns")), body).await
    }

    /// What the model was asked last.
    fn asked(&self) -> String {
        self.stub.requests().last().cloned().unwrap_or_default()
    }

    async fn kinds(&self) -> Vec<String> {
        let page = self.client().get(&target("records")).await.well();
        let records = page["records"].as_array().expect("records").iter();
        records.map(|one| one["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn end(self) {
        self.server.stop().await;
        drop(self.folder);
    }
}

// ---- turns -----------------------------------------------------------------------------------

const NOTE: &str = "[Records of this session are lost here: 1. They may have been messages.]";

/// "A bad first line wipes a conversation": here it costs that line, wherever it stands.
#[tokio::test]
async fn a_turn_goes_on_without_what_is_lost_and_says_what_that_is() {
    for damage in Damage::ALL {
        for (at, lost) in ["first", "second", "third"].into_iter().enumerate() {
            let scene = Scene::new().await;
            let mut offsets = Vec::new();
            for text in ["first", "second", "third"] {
                offsets.push(scene.says(text).await);
            }
            let scene = scene.damaged(damage, offsets[at]).await;

            let refused = scene.turn("t1", "").await;
            assert_eq!(refused.code(), "unknown", "{damage:?} {lost}: {refused:?}");
            assert_eq!(refused.json()["hidden_key"], "t1");
            let next = refused.json()["next"].as_str().expect("an advice").to_owned();
            assert!(next.contains("ignore_gaps=true"), "{next}");
            assert_eq!(scene.stub.requests().len(), 0, "no model is asked for nothing");

            let answer = scene.turn("t1", "?ignore_gaps=true").await.well();
            assert_eq!(answer["answer"]["text"], "well", "{damage:?} {lost}");
            let from = at + 1;
            assert_eq!(answer["answer"]["lost"], json!([{ "from": from, "to": from }]));
            let asked = scene.asked();
            for text in ["first", "second", "third", "text of t1"] {
                assert_eq!(asked.contains(text), text != lost, "{damage:?} {lost}: {asked}");
            }
            assert!(asked.contains(NOTE), "{asked}");

            // It can be tried again, looked at, and answered, without a word about gaps.
            let again = scene.turn("t1", "").await.well();
            assert_eq!(again["answer"]["replayed"], true);
            assert_eq!(again["answer"]["lost"], answer["answer"]["lost"], "it is stored with it");
            let looked = scene.client().get(&target("turns/t1")).await.well();
            assert_eq!(looked["answer"]["lost"], answer["answer"]["lost"]);
            assert_eq!(scene.stub.requests().len(), 1);
            let metrics = scene.client().get("/metrics").await.body;
            let metrics = String::from_utf8(metrics.to_vec()).expect("text");
            let line = "session_journal_contexts_with_loss_total 1\n";
            assert!(metrics.contains(line), "{metrics}");
            scene.end().await;
        }
    }
}

#[tokio::test]
async fn a_turn_goes_on_while_the_gateway_holds_what_is_damaged() {
    let scene = Scene::new().await;
    for text in ["first", "second"] {
        scene.says(text).await;
    }
    let last = scene.says("third").await;
    Damage::Payload.strikes(&scene.file(), last);
    let answer = scene.turn("t1", "?ignore_gaps=true").await;
    assert_eq!(answer.well()["answer"]["lost"], json!([{ "from": 3, "to": 3 }]));
    scene.end().await;
}

#[tokio::test]
async fn a_whole_sector_of_many_messages_costs_these_and_no_more() {
    let scene = Scene::new().await;
    let mut offsets = Vec::new();
    for number in 1..=100 {
        offsets.push(scene.says(&format!("message {number:03} {}", "x".repeat(200))).await);
    }
    let file = scene.file();
    let Scene { folder, stub, server } = scene;
    server.stop().await;
    let sector = offsets[50] / 4096 * 4096;
    let open = OpenOptions::new().write(true).open(&file).expect("opens");
    open.write_all_at(&[0; 4096], sector).expect("writes");
    let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
    let scene = Scene { folder, stub, server };
    let answer = scene.turn("t1", "?ignore_gaps=true").await.well();
    let lost = &answer["answer"]["lost"];
    assert_eq!(lost.as_array().map(Vec::len), Some(1), "{lost}");
    let (from, to) = (lost[0]["from"].as_u64(), lost[0]["to"].as_u64());
    let (from, to) = (from.expect("a number"), to.expect("a number"));
    assert!(from <= 51 && 51 <= to && to - from < 20, "{from} to {to}");
    for number in 1..=100 {
        let is_lost = (from..=to).contains(&number);
        let text = format!("message {number:03}");
        assert_eq!(scene.asked().contains(&text), !is_lost, "{text}");
    }
    scene.end().await;
}

#[tokio::test]
async fn who_wants_no_note_gets_none_and_who_wants_no_answer_gets_corrupt() {
    let scene = Scene::new().await;
    let lost = scene.says("first").await;
    scene.says("second").await;
    let settings = |config: &mut Config| config.turns.on_loss = OnLoss::Refuse;
    let scene = scene.damaged_under(Damage::Payload, &[lost], settings).await;
    let refused = scene.turn("t1", "?ignore_gaps=true").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (500, "corrupt"));
    let said = refused.json();
    assert_eq!((&said["first_seq"], &said["records_lost"]), (&json!(1), &json!(1)), "{said}");
    assert_eq!(scene.stub.requests().len(), 0);

    let body = json!({ "key": "t2", "text": "hello", "on_loss": "leave-out" });
    let answer = scene.client().post(&format!("{}?ignore_gaps=true", target("turns")), body).await;
    assert_eq!(answer.well()["answer"]["lost"], json!([{ "from": 1, "to": 1 }]));
    assert!(!scene.asked().contains("are lost"), "{}", scene.asked());

    // What a summary stands for is not missed any more.
    let body = json!({ "key": "c1", "keep": 1, "summary": "in short" });
    let done = scene.client().post(&target("compactions"), body).await.well();
    assert_eq!(done["lost"], json!([{ "from": 1, "to": 1 }]));
    let answer = scene.turn("t3", "?ignore_gaps=true").await.well();
    assert_eq!(answer["answer"]["lost"], json!([]));
    assert!(scene.asked().contains("in short"), "{}", scene.asked());
    scene.end().await;
}

/// What is asked for under a key is done once also where it is one of the two records that is lost.
#[tokio::test]
async fn a_turn_that_lost_its_message_gives_the_answer_that_is_there() {
    for damage in Damage::ALL {
        let scene = Scene::new().await;
        scene.turn("t1", "").await.well();
        let lost = scene.offset_of("t1");
        let scene = scene.damaged(damage, lost).await;
        for query in ["", "?ignore_gaps=true"] {
            let again = scene.turn("t1", query).await.well();
            assert_eq!(
                (&again["answer"]["replayed"], &again["answer"]["text"]),
                (&json!(true), &json!("well"))
            );
        }
        let looked = scene.client().get(&target("turns/t1")).await.well();
        assert_eq!(looked["answer"]["text"], "well");
        assert_eq!(scene.stub.requests().len(), 1, "{damage:?}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_turn_that_may_have_lost_its_answer_runs_again_only_where_that_is_said() {
    for damage in Damage::ALL {
        let scene = Scene::new().await;
        scene.turn("t1", "").await.well();
        scene.says("behind").await;
        let lost = scene.offset_of("t1/answer");
        let scene = scene.damaged(damage, lost).await;
        let refused = scene.turn("t1", "").await;
        assert_eq!(refused.code(), "unknown", "{damage:?}");
        assert_eq!(refused.json()["hidden_key"], "t1/answer");
        assert_eq!(scene.client().get(&target("turns/t1")).await.code(), "unknown");
        let again = scene.turn("t1", "?ignore_gaps=true").await.well();
        assert_eq!(again["answer"]["replayed"], false);
        assert_eq!(scene.turn("t1", "").await.well()["answer"]["replayed"], true);
        assert_eq!(scene.stub.requests().len(), 2);
        scene.end().await;
    }
}

/// Where nothing is lost behind a message, no answer to it can be: nobody has to say anything.
#[tokio::test]
async fn a_turn_that_broke_off_behind_the_damage_is_finished_without_a_word() {
    let scene = Scene::new().await;
    let lost = scene.says("lost").await;
    let scene = scene.damaged(Damage::Payload, lost).await;
    // As a gateway leaves it that was killed while its model was thinking.
    let message = json!({ "kind": "message", "key": "t1", "json": { "role": "user", "content": "text of t1" } });
    let stored = format!("{}?ignore_gaps=true", target("records"));
    scene.client().post(&stored, message).await.well();
    assert_eq!(scene.client().get(&target("turns/t1")).await.code(), "not-found");
    let answer = scene.turn("t1", "").await.well();
    assert_eq!(answer["answer"]["replayed"], false);
    scene.end().await;
}

#[tokio::test]
async fn a_branch_is_read_past_a_hole_that_it_does_not_miss() {
    let scene = Scene::new().await;
    let post = async |record: Value| {
        scene.client().post(&target("records"), record).await.well()["offset"].as_u64()
    };
    let message = |key: &str, parent: Option<&str>| json!({ "kind": "message", "key": key, "parent": parent, "json": { "role": "user", "content": format!("text {key}") } });
    post(message("root", None)).await;
    let aside = post(message("aside", Some("root"))).await.expect("an offset");
    let middle = post(message("middle", Some("root"))).await.expect("an offset");
    post(message("leaf", Some("middle"))).await;
    let scene = scene.damaged(Damage::Payload, aside).await;
    let branch = async |scene: &Scene, key: &str| {
        let body = json!({ "key": key, "text": "go on", "parent": "leaf", "on_loss": "refuse" });
        scene.client().post(&format!("{}?ignore_gaps=true", target("turns")), body).await
    };
    let answer = branch(&scene, "t1").await.well();
    assert_eq!(answer["answer"]["lost"], json!([]), "it is on no way to the root");
    for text in ["text root", "text middle", "text leaf"] {
        assert!(scene.asked().contains(text), "{text}: {}", scene.asked());
    }
    // One that is missed is told, and what stood before it is not given up.
    let scene = scene.damaged(Damage::Header, middle).await;
    assert_eq!(branch(&scene, "t2").await.code(), "corrupt");
    let body = json!({ "key": "t3", "text": "go on", "parent": "leaf" });
    let answer = scene.client().post(&format!("{}?ignore_gaps=true", target("turns")), body).await;
    assert_eq!(answer.well()["answer"]["lost"], json!([{ "from": 2, "to": 3 }]));
    assert!(scene.asked().contains("text root"), "{}", scene.asked());
    scene.end().await;
}

// ---- compactions -----------------------------------------------------------------------------

#[tokio::test]
async fn a_compaction_is_made_in_a_session_that_lost_records_and_again_where_it_is_lost() {
    for damage in Damage::ALL {
        let scene = Scene::new().await;
        let mut offsets = Vec::new();
        for text in ["first", "second", "third", "fourth"] {
            offsets.push(scene.says(text).await);
        }
        let scene = scene.damaged(damage, offsets[1]).await;
        let compact = async |scene: &Scene| {
            scene.client().post(&target("compactions"), json!({ "key": "c1", "keep": 2 })).await
        };
        let done = compact(&scene).await.well();
        assert_eq!((&done["summary"], &done["replayed"]), (&json!("well"), &json!(false)));
        assert_eq!(done["lost"], json!([{ "from": 2, "to": 2 }]), "{damage:?}");
        assert_eq!(done["first_kept_seq"], 3);
        assert!(scene.asked().contains(NOTE), "{}", scene.asked());
        let again = compact(&scene).await.well();
        assert_eq!((&again["replayed"], &again["lost"]), (&json!(true), &done["lost"]));

        // It is lost itself: the conversation is as long as before, and is compacted again.
        let lost = scene.offset_of("c1");
        let scene = scene.damaged(damage, lost).await;
        let answer = scene.turn("t1", "?ignore_gaps=true").await.well();
        let seq = done["seq"].as_u64().expect("a number");
        let told = json!([{ "from": 2, "to": 2 }, { "from": seq, "to": seq }]);
        assert_eq!(answer["answer"]["lost"], told);
        assert!(scene.asked().contains("first"), "{}", scene.asked());
        let anew = compact(&scene).await.well();
        assert_eq!((&anew["replayed"], &anew["lost"]), (&json!(false), &told), "{damage:?}");
        scene.end().await;
    }
}

/// Without this a session whose compaction is lost could neither be used nor compacted again.
#[tokio::test]
async fn a_context_that_is_too_large_is_compacted_by_whoever_has_a_summary() {
    let scene = Scene::new().await;
    for number in 0..20 {
        scene.says(&format!("{number} {}", "x".repeat(1000))).await;
    }
    let Scene { folder, stub, server } = scene;
    server.stop().await;
    let small = |config: &mut Config| config.turns.context_bytes_max = 10_000;
    let server = Server::with_model(folder.path(), &stub.url, small).await;
    let scene = Scene { folder, stub, server };
    assert_eq!(scene.turn("t1", "").await.code(), "too-large");
    let compact = async |body: Value| scene.client().post(&target("compactions"), body).await;
    assert_eq!(compact(json!({ "key": "c1", "keep": 2 })).await.code(), "invalid");
    let done = compact(json!({ "key": "c1", "keep": 2, "summary": "in short" })).await.well();
    assert_eq!((&done["through_seq"], &done["first_kept_seq"]), (&json!(19), &json!(20)));
    scene.turn("t1", "").await.well();
    assert!(scene.asked().contains("in short") && !scene.asked().contains("\"17 x"));
    scene.end().await;
}

/// The first message that is kept is lost: what stood behind it is still kept.
#[tokio::test]
async fn a_compaction_whose_first_kept_message_is_lost_keeps_the_others() {
    for first in [json!({ "first_kept": "m3" }), json!({ "first_kept_seq": 3 })] {
        for damage in Damage::ALL {
            let scene = Scene::new().await;
            let mut offsets = Vec::new();
            for number in 1..=5 {
                let key = format!("m{number}");
                let content = json!({ "role": "user", "content": format!("text {number}") });
                let record = json!({ "kind": "message", "key": key, "json": content });
                let stored = scene.client().post(&target("records"), record).await.well();
                offsets.push(stored["offset"].as_u64().expect("an offset"));
            }
            let mut payload = json!({ "summary": "in short", "through_seq": 2 });
            payload
                .as_object_mut()
                .expect("members")
                .extend(first.as_object().expect("members").clone());
            let record = json!({ "kind": "compaction", "key": "c1", "json": payload });
            scene.client().post(&target("records"), record).await.well();
            let scene = scene.damaged(damage, offsets[2]).await;
            let answer = scene.turn("t1", "?ignore_gaps=true").await.well();
            let asked = scene.asked();
            let place = format!("{damage:?} {first}: {asked}");
            assert_eq!(answer["answer"]["lost"], json!([{ "from": 3, "to": 3 }]), "{place}");
            for (text, is_there) in
                [("text 2", false), ("in short", true), ("text 4", true), ("text 5", true)]
            {
                assert_eq!(asked.contains(text), is_there, "{text}: {place}");
            }
            scene.end().await;
        }
    }
}

/// Two holes, one of them the first message that is kept. What the older compaction keeps has smaller
/// numbers than the older compaction itself, and is kept by the newer one as well.
#[tokio::test]
async fn a_second_compaction_whose_first_kept_message_is_lost_keeps_what_the_first_one_kept() {
    for is_of_before in [false, true] {
        for damage in Damage::ALL {
            let scene = Scene::new().await;
            let mut offsets = Vec::new();
            let says = async |scene: &Scene, key: &str| {
                let content = json!({ "role": "user", "content": format!("text {key}") });
                let record = json!({ "kind": "message", "key": key, "json": content });
                let stored = scene.client().post(&target("records"), record).await.well();
                stored["offset"].as_u64().expect("an offset")
            };
            for key in ["m1", "m2", "m3", "m4"] {
                offsets.push(says(&scene, key).await);
            }
            let compact = async |key: &str, summary: &str| {
                let body = json!({ "key": key, "keep": 3, "summary": summary });
                scene.client().post(&target("compactions"), body).await.well()
            };
            assert_eq!(compact("c1", "older").await["through_seq"], 1);
            says(&scene, "m5").await;
            let aside = json!({ "kind": "note", "payload": "something else" });
            let aside = scene.client().post(&target("records"), aside).await.well();
            let aside = aside["offset"].as_u64().expect("an offset");
            if is_of_before {
                // As it was written once, with the number of the older compaction.
                let payload = json!({ "summary": "newer", "first_kept": "m3", "through_seq": 5 });
                let record = json!({ "kind": "compaction", "key": "c2", "json": payload });
                scene.client().post(&target("records"), record).await.well();
            } else {
                let done = compact("c2", "newer").await;
                assert_eq!((&done["first_kept"], &done["through_seq"]), (&json!("m3"), &json!(2)));
            }
            let scene = scene.damaged_under(damage, &[offsets[2], aside], |_| {}).await;
            let answer = scene.turn("t1", "?ignore_gaps=true").await.well();
            let asked = scene.asked();
            let place = format!("{damage:?}, of before: {is_of_before}: {asked}");
            let lost = json!([{ "from": 3, "to": 3 }, { "from": 7, "to": 7 }]);
            assert_eq!(answer["answer"]["lost"], lost, "{place}");
            for (text, is_there) in [
                ("text m2", false),
                ("older", false),
                ("newer", true),
                ("text m4", true),
                ("text m5", true),
            ] {
                assert_eq!(asked.contains(text), is_there, "{text}: {place}");
            }
            scene.end().await;
        }
    }
}

/// However large what is kept is, and however large what the compaction before keeps.
#[tokio::test]
async fn a_summary_makes_any_context_shorter() {
    // A compaction keeps more than the limit allows, or there is none and the last messages are more.
    for (kept_before, texts, size, keep) in [(Some(15), 20, 1000, 2), (None, 6, 4000, 3)] {
        let scene = Scene::new().await;
        let mut offsets = Vec::new();
        for number in 1..=texts {
            offsets.push(scene.says(&format!("text {number:02} {}", "x".repeat(size))).await);
        }
        let compact = async |scene: &Scene, key: &str, keep: usize| {
            let body = json!({ "key": key, "keep": keep, "summary": format!("short {key}") });
            scene.client().post(&target("compactions"), body).await
        };
        if let Some(kept) = kept_before {
            compact(&scene, "c1", kept).await.well();
        }
        let small = |config: &mut Config| config.turns.context_bytes_max = 10_000;
        let lost = kept_before.map_or(1, |kept| texts - kept + 2);
        let scene = scene.damaged_under(Damage::Payload, &[offsets[lost - 1]], small).await;
        let accepted = "?ignore_gaps=true";
        assert_eq!(scene.turn("t1", accepted).await.code(), "too-large");
        let done = compact(&scene, "c2", keep).await.well();
        // A turn that was refused has left its message, which is the last one that is kept.
        assert_eq!(done["first_kept_seq"], texts - keep + 2, "{done}");
        assert_eq!(done["through_seq"], texts - keep + 1, "{done}");
        // Holes are told however far they are behind what is kept.
        assert_eq!(done["lost"], json!([{ "from": lost, "to": lost }]));
        scene.turn("t1", accepted).await.well();
        assert!(scene.asked().contains("short c2"), "{}", scene.asked());
        scene.end().await;
    }
}

// ---- agents ----------------------------------------------------------------------------------

#[tokio::test]
async fn a_heart_beats_and_a_child_is_begun_in_a_session_that_lost_records() {
    for damage in Damage::ALL {
        let scene = Scene::new().await;
        let lost = scene.says("lost").await;
        scene.says("kept").await;
        let scene = scene.damaged(damage, lost).await;
        let client = scene.client();
        let beat = client.post(&target("heartbeats"), json!({ "note": "alive" })).await.well();
        assert_eq!(beat["seq"], 3, "{damage:?}");
        let child = json!({ "child": "a/child", "key": "c1", "task": "count", "wait": true });
        let refused = client.post(&target("children"), child.clone()).await;
        assert_eq!(
            (refused.code().as_str(), &refused.json()["hidden_key"]),
            ("unknown", &json!("spawn/c1"))
        );
        assert_eq!(client.get(&path("a/child")).await.code(), "not-found", "nothing was begun");
        let accepted = format!("{}?ignore_gaps=true", target("children"));
        let begun = client.post(&accepted, child.clone()).await.well();
        assert_eq!(begun["answer"]["text"], "well");
        let again = client.post(&target("children"), child).await.well();
        assert_eq!(again["answer"]["replayed"], true);
        assert_eq!(scene.kinds().await.iter().filter(|kind| *kind == "spawn").count(), 1);
        scene.end().await;
    }
}

/// The child's first record says whose it is. Where it is lost the child is begun again by whoever says
/// so, and nobody else's session becomes a child by it.
#[tokio::test]
async fn a_child_that_lost_the_record_of_its_parent_is_begun_again() {
    for damage in Damage::ALL {
        let scene = Scene::new().await;
        let child = json!({ "child": "a/child", "key": "c1", "task": "count", "wait": true });
        let begin = async |scene: &Scene, query: &str, child: &Value| {
            let at = format!("{}{query}", target("children"));
            scene.client().post(&at, child.clone()).await
        };
        begin(&scene, "", &child).await.well();
        let file = scene.server.state.hub.store().path_of(&"a/child".parse().expect("a name"));
        let offset_of = |key: &str| {
            let reader = Reader::open(&file).expect("opens");
            reader.by_key(key).expect("readable").expect("there").offset.get()
        };
        let first = offset_of("sj.attributes/1");
        let Scene { folder, stub, server } = scene;
        server.stop().await;
        damage.strikes(&file, first);
        let server = Server::with_model(folder.path(), &stub.url, |_| {}).await;
        let scene = Scene { folder, stub, server };

        let refused = begin(&scene, "", &child).await;
        let said = refused.json();
        assert_eq!(
            (&said["code"], &said["hidden_key"]),
            (&json!("unknown"), &json!("sj.attributes/1")),
            "{damage:?}: {said}"
        );
        for query in ["?ignore_gaps=true", ""] {
            let begun = begin(&scene, query, &child).await.well();
            assert_eq!(begun["answer"]["replayed"], true, "{damage:?}");
        }
        assert!(offset_of("sj.attributes/1") > first);
        assert_eq!(scene.stub.requests().len(), 1);
        let another = json!({ "child": "a/child", "key": "c2", "task": "count", "wait": true });
        let refused = begin(&scene, "?ignore_gaps=true", &another).await;
        assert_eq!(refused.code(), "invalid", "it is another one's now");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_record_with_a_key_says_how_it_can_be_stored_all_the_same() {
    let scene = Scene::new().await;
    let lost = scene.says("lost").await;
    let scene = scene.damaged(Damage::Payload, lost).await;
    let records = json!({ "records": [{ "payload": "x" }, { "payload": "y", "key": "k" }] });
    let refused = scene.client().post(&target("batches"), records.clone()).await;
    assert_eq!((refused.code().as_str(), &refused.json()["hidden_key"]), ("unknown", &json!("k")));
    let next = refused.json()["next"].as_str().expect("an advice").to_owned();
    assert!(next.contains("ignore_gaps=true"), "{next}");
    let accepted = format!("{}?ignore_gaps=true", target("batches"));
    scene.client().post(&accepted, records.clone()).await.well();
    let again = scene.client().post(&accepted, json!({ "records": [records["records"][1]] })).await;
    assert_eq!(again.well()["records"][0]["duplicate"], true);
    scene.end().await;
}

// ---- deliveries ------------------------------------------------------------------------------

const OTHER: &str = "a/other";

impl Scene {
    async fn with_another() -> Self {
        let scene = Self::new().await;
        scene.client().post("/v1/sessions", json!({ "session": OTHER })).await.well();
        scene
    }

    async fn turn_that_delivers(&self, key: &str) -> Value {
        let to = json!([{ "sink": "session", "to": OTHER }]);
        let body = json!({ "key": key, "text": "hello", "deliver": to });
        let turn = self.client().post(&format!("{}?ignore_gaps=true", target("turns")), body).await;
        turn.well()["answer"]["deliveries"].clone()
    }

    /// How many messages stand in the other session.
    async fn arrived(&self) -> usize {
        let page = self.client().get(&format!("{}/records", path(OTHER))).await.well();
        page["records"].as_array().expect("records").len()
    }

    async fn open(&self) -> Value {
        self.client().get(&target("deliveries")).await.well()["deliveries"].clone()
    }
}

#[tokio::test]
async fn what_is_delivered_in_a_session_that_lost_records_arrives_once() {
    for damage in Damage::ALL {
        let scene = Scene::with_another().await;
        let lost = scene.says("lost").await;
        let scene = scene.damaged(damage, lost).await;
        for _ in 0..2 {
            let deliveries = scene.turn_that_delivers("t1").await;
            assert_eq!(deliveries[0]["state"], "delivered", "{damage:?}: {deliveries}");
        }
        for _ in 0..2 {
            let body = json!({ "key": "d1", "sink": "session", "to": OTHER, "of": "t1/answer" });
            let delivery = scene.client().post(&target("deliveries"), body).await.well();
            assert_eq!(delivery["state"], "delivered");
            let sent = json!({ "to": OTHER, "key": "s1", "text": "there?", "answer": "none" });
            let sent = scene.client().post(&target("sends"), sent).await.well();
            assert_eq!(sent["delivery"]["state"], "delivered");
        }
        assert_eq!(scene.arrived().await, 3, "{damage:?}");
        assert_eq!(scene.open().await, json!([]));
        scene.end().await;
    }
}

/// Each record of a delivery is lost in turn. What arrived does not arrive again: its key is known.
#[tokio::test]
async fn a_delivery_that_lost_one_of_its_records_is_not_made_twice_and_not_stuck() {
    for record in [
        "t1",
        "t1/answer",
        "delivery/begin",
        "delivery/intent/t1/answer/0",
        "delivery/done/t1/answer/0",
    ] {
        let scene = Scene::with_another().await;
        let deliveries = scene.turn_that_delivers("t1").await;
        assert_eq!(deliveries[0]["state"], "delivered");
        scene.says("behind").await;
        let lost = scene.offset_of(record);
        let scene = scene.damaged(Damage::Header, lost).await;
        let deliveries = scene.turn_that_delivers("t1").await;
        assert_eq!(deliveries[0]["state"], "delivered", "{record}: {deliveries}");
        scene.client().ask("POST", &target("deliveries/retry"), &[], None).await.well();
        assert_eq!(scene.open().await, json!([]), "{record}");
        assert_eq!(scene.arrived().await, 1, "{record}");
        let other = scene.turn_that_delivers("t2").await;
        assert_eq!(other[0]["state"], "delivered", "{record}: {other}");
        assert_eq!(scene.arrived().await, 2, "{record}");
        scene.end().await;
    }
}

/// The session that is sent to is the one that lost records.
#[tokio::test]
async fn what_is_sent_to_a_session_that_lost_records_arrives_and_is_answered() {
    for damage in Damage::ALL {
        let scene = Scene::with_another().await;
        let lost = scene.says("lost").await;
        scene.says("kept").await;
        let scene = scene.damaged(damage, lost).await;
        let sends = format!("{}/sends", path(OTHER));
        for replayed in [false, true] {
            let sent = json!({ "to": SESSION, "key": "s1", "text": "there?" });
            let sent = scene.client().post(&sends, sent).await.well();
            assert_eq!(sent["delivery"]["state"], "delivered", "{damage:?}");
            let answer = &sent["answer"];
            assert_eq!((&answer["text"], &answer["replayed"]), (&json!("well"), &json!(replayed)));
            assert_eq!(answer["lost"], json!([{ "from": 1, "to": 1 }]));
        }
        // A child of another session, whose parent is this one, is heard of.
        let child = json!({ "child": "a/child", "key": "c1", "task": "count", "wait": true });
        let begun = format!("{}?ignore_gaps=true", target("children"));
        let begun = scene.client().post(&begun, child).await.well();
        assert_eq!(begun["answer"]["deliveries"][0]["state"], "delivered", "{damage:?}");
        assert!(scene.kinds().await.contains(&"announce".to_owned()));
        scene.end().await;
    }
}

/// A new delivery does not hide that an old one is open, where it is lost from where on there are any.
#[tokio::test]
async fn what_was_open_before_the_damage_is_still_open_behind_another_delivery() {
    let scene = Scene::with_another().await;
    scene.client().post(&format!("{}/release", path(OTHER)), json!({})).await.well();
    let holder = Server::on(scene.folder.path()).await;
    holder.client().append(OTHER, "mine").await;
    let sent = json!({ "to": OTHER, "key": "s1", "text": "first", "answer": "none" });
    let sent = scene.client().post(&target("sends"), sent).await.well();
    assert_eq!(sent["delivery"]["state"], "pending");
    let lost = scene.offset_of("delivery/begin");
    let quiet = |config: &mut Config| {
        config.turns.delivery_retry_ms = 0;
        config.turns.recover_on_start = false;
    };
    let scene = scene.damaged_under(Damage::Payload, &[lost], quiet).await;
    let sent = json!({ "to": OTHER, "key": "s2", "text": "second", "answer": "none" });
    scene.client().post(&target("sends"), sent).await.well();
    let open = scene.open().await;
    let keys: Vec<_> = open.as_array().expect("a list").iter().map(|one| &one["key"]).collect();
    assert_eq!(keys, ["s1", "s2"]);
    holder.stop().await;
    scene.client().ask("POST", &target("deliveries/retry"), &[], None).await.well();
    assert_eq!((scene.arrived().await, scene.open().await), (3, json!([])));
    scene.end().await;
}
