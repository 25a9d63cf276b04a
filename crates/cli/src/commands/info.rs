//! `sjournal info`: facts about a session.

use serde_json::{Value, json};
use session_journal::{Hole, Info, Liveness, LocalHost, Reader, info};
use session_journal_import::{Attributes, Lineage};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::text::{count, facts, printable, size, time};
use crate::{json, target};

/// Tell who owns a session, where its end is, and what is wrong with it
///
/// Writes nothing, and works on a live file.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    sjournal info main/demo\n  \
    sjournal info ./copy.journal\n  \
    sjournal --json info main/demo | jq .owner.alive")]
pub(crate) struct Args {
    /// The session: a name, the beginning of one, or a journal file
    session: String,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Exit, Failure> {
    let path = target::find(context, &args.session)?;
    let info = context.stop.at_once(|| info(&path, &LocalHost))?;
    // Damage may hide them; what is wrong is told all the same.
    let known = Reader::open(&path).and_then(|reader| Attributes::of(&reader)).ok().flatten();
    if context.json {
        let mut value = to_json(&info);
        value["path"] = path.to_string_lossy().into();
        let known = known.as_ref();
        value["session_key"] = known.and_then(|known| known.session_key.clone()).into();
        value["title"] = known.and_then(|known| known.title.clone()).into();
        value["attributes"] = json::attributes(known);
        context.output.json(&value)?;
    } else {
        let mut all = to_facts(&info);
        all.extend(known.iter().flat_map(known_facts));
        for line in facts(&all) {
            context.output.line(&line)?;
        }
    }
    Ok(Exit::Done)
}

fn to_json(info: &Info) -> Value {
    json!({
        "session": info.name.to_string(),
        "id": info.id.to_string(),
        "format": info.format,
        "generation": info.generation.get(),
        "state": info.state.as_str(),
        "owner": json::owner(info.owner.as_ref()),
        "records": info.records,
        "last_seq": info.last_sequence.get(),
        "bytes": info.bytes,
        "tail": info.tail.get(),
        "void_bytes": info.void_bytes,
        "durable_through": info.durable_through.get(),
        "torn": json::holes(&info.torn),
        "damage": json::holes(&info.damage),
        "header_damaged": info.header_damaged,
        "created_ms": info.created_ms,
        "updated_ms": info.updated_ms,
        "compactions": info.compactions,
    })
}

fn to_facts(info: &Info) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("session", printable(&info.name.to_string())),
        ("id", info.id.to_string()),
        ("state", info.state.as_str().to_owned()),
        ("generation", info.generation.to_string()),
    ];
    if let Some(owner) = &info.owner {
        let alive = match info.liveness {
            Some(Liveness::Alive) => "alive",
            Some(Liveness::Gone) => "gone",
            _ => "not known to be alive",
        };
        facts.push(("owner", format!("{}, {alive}", printable(&owner.to_string()))));
        facts.push((
            "",
            format!("started {}, boot {}", time(owner.started_ms), owner.boot_id_text()),
        ));
    }
    facts.extend([
        ("records", format!("{}, the last is {}", info.records, info.last_sequence)),
        ("size", format!("{}, the end is at {}", size(info.bytes), info.tail)),
        ("dead", format!("{} that no reader sees", size(info.void_bytes))),
        ("durable", format!("through {}", info.durable_through)),
        ("torn", places(&info.torn)),
        ("damage", places(&info.damage)),
        ("created", time(info.created_ms)),
        ("updated", time(info.updated_ms)),
        ("format", info.format.to_string()),
    ]);
    if info.header_damaged {
        facts.push(("header", "damaged; nothing is lost by that".to_owned()));
    }
    facts
}

/// What is known of an imported session beside its lines.
fn known_facts(known: &Attributes) -> Vec<(&'static str, String)> {
    let mut facts = vec![("source", printable(&known.source))];
    let texts = [
        ("key", &known.session_key),
        ("title", &known.title),
        ("header id", &known.header_id),
        ("agent", &known.agent),
        ("channel", &known.channel),
        ("model", &known.model),
        ("status", &known.status),
    ];
    facts.extend(
        texts.into_iter().filter_map(|(name, text)| Some((name, printable(text.as_ref()?)))),
    );
    let counters = known.counters.iter().map(|(name, number)| format!("{name} {number}"));
    let counters: Vec<_> = counters.collect();
    if !counters.is_empty() {
        facts.push(("counters", counters.join(", ")));
    }
    facts.extend(known.lineage.iter().map(|one| (one.relation.as_str(), related(one))));
    facts
}

/// What a session comes from, in a few words.
pub(crate) fn related(lineage: &Lineage) -> String {
    let names = [&lineage.session, &lineage.file, &lineage.id, &lineage.key];
    let name = names.into_iter().flatten().next().map_or("-", String::as_str);
    let at = lineage.at_ms.map_or_else(String::new, |at| format!(", {}", time(at)));
    let inferred = if lineage.inferred { " (by its time)" } else { "" };
    format!("{}{at}{inferred}", printable(name))
}

/// Holes in a few words.
pub(crate) fn places(holes: &[Hole]) -> String {
    let Some(first) = holes.first() else { return "none".to_owned() };
    let lost = holes.iter().map(|hole| hole.records_lost).sum();
    let places = count(holes.len() as u64, "place");
    format!("{places}, the first at {}; {} lost", first.offset, count(lost, "record"))
}
