//! What users of JSONL stores and of their migration have reported, one table: what is in the folder,
//! what happens, and what becomes of every file. Rows of section D are damage, rows of section H are
//! reasons for which a migration left files behind.

#[path = "demand/rows.rs"]
mod rows;
#[path = "demand/scene.rs"]
mod scene;
#[path = "demand/steps.rs"]
mod steps;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scene::Scene;
use support::Bench;

#[test]
fn nothing_that_users_reported_is_left_behind() {
    for row in rows::all() {
        let mut scene = Scene::of(&row);
        for step in &row.steps {
            scene.play(step);
        }
        assert!(scene.has_imported(), "{}: nothing was imported", row.id);
    }
}

/// The rows of a section of `docs/testing.md`, which has every row of the list of demands.
fn documented(section: char) -> BTreeSet<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/testing.md");
    let document = fs::read_to_string(document).expect("reads");
    let heading = format!("\n### {section}. ");
    let (_, behind) = document.split_once(&heading).expect("the section is there");
    let end = behind.find("\n#").unwrap_or(behind.len());
    let cells = behind[..end].lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let is_id = |cell: &&str| cell.strip_prefix(section).is_some_and(|n| n.parse::<u8>().is_ok());
    cells.filter(is_id).map(str::to_owned).collect()
}

/// Every row of D applies to files of JSON Lines, at least to what an import makes of them.
#[test]
fn the_table_has_every_row_of_the_damage_and_of_the_migration() {
    let ids: BTreeSet<String> = rows::all().iter().map(|row| row.id.to_owned()).collect();
    let wanted: BTreeSet<String> = (1..=11).map(|n| format!("D{n}")).collect();
    let wanted: BTreeSet<String> = (1..=13).map(|n| format!("H{n}")).chain(wanted).collect();
    assert_eq!(ids, wanted);
    let documented: BTreeSet<_> = documented('D').union(&documented('H')).cloned().collect();
    assert_eq!(documented, wanted, "the document has the same rows");
}

/// The need of many short lines is many times their bytes; what is packed is judged unpacked.
#[test]
fn short_lines_take_no_more_room_than_was_announced() {
    use std::fmt::Write;
    let text = |count: u32| {
        (0..count).fold(String::new(), |mut text, n| {
            writeln!(text, "{{\"n\":{n}}}").expect("writes");
            text
        })
    };
    let packed = zstd::encode_all(text(40_000).as_bytes(), 3).expect("packs");
    for (name, bytes) in [
        ("a.jsonl", text(40_000).into_bytes()),
        ("b.jsonl", "\n".repeat(10_000).into_bytes()),
        ("c.jsonl.zst", packed),
        ("d.jsonl", vec![b'x'; 1 << 20]),
    ] {
        let bench = Bench::new();
        bench.write(&format!("in/{name}"), &bytes);
        let import = bench.import();
        let plan = import.plan(&[bench.path("in")]);
        let needed = plan.space().needed;
        assert_eq!(import.run_plan(plan, &mut |_| {}).imported, 1, "{name}");
        let used: u64 = support::files(&bench.store()).values().map(|file| file.len() as u64).sum();
        assert!(used <= needed, "{name}: {used} bytes were used, and {needed} were announced");
        assert!(needed <= 3 * used, "{name}: {used} bytes were used, and {needed} were announced");
    }
}
