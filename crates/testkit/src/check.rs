//! What a run must have kept, compared with what is there.

use std::collections::BTreeSet;

use session_journal::{JournalId, Record};

use crate::history::{Attempt, History, Loss, Tag};
use crate::linear;

/// What is at the path of a session.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A journal, its records and how many are missing among them.
    Journal {
        id: JournalId,
        list: Vec<(u64, Tag)>,
        gaps: u64,
    },
    Nothing,
    /// It could not be read.
    Unreadable(String),
}

/// The tag of a record, if its bytes are those that were appended.
pub(crate) fn tag_of(history: &History, record: &Record) -> Result<Tag, String> {
    let at = record.sequence;
    let tag = record.payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let tag = tag.ok_or_else(|| format!("record {at} is not one that was appended"))?;
    match history.payloads.get(&tag) {
        Some(payload) if *payload == record.payload => Ok(tag),
        _ => Err(format!("record {at} has other bytes than were appended")),
    }
}

/// I1 to I3 of one look at a journal: each record one that somebody appended and was not refused,
/// once, in its place.
pub(crate) fn sound(history: &History, id: JournalId, list: &[(u64, Tag)]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (at, (sequence, tag)) in list.iter().enumerate() {
        if at > 0 && list[at - 1].0 >= *sequence {
            return Err(format!("record {sequence} comes behind record {}", list[at - 1].0));
        }
        if !seen.insert(*tag) {
            return Err(format!("the record with tag {tag} is there twice, also as {sequence}"));
        }
        if !history.may_be_there(id, *tag) {
            return Err(format!("record {sequence} (tag {tag}) is there, and was refused"));
        }
    }
    let torn = history.attempts.iter().find(|attempt| {
        let there = attempt.tags.iter().filter(|tag| seen.contains(tag)).count();
        let damaged =
            history.was_cut || attempt.tags.iter().any(|tag| history.damaged.contains(tag));
        let written = !attempt.tags.iter().all(|tag| history.durable.contains(tag));
        let at_risk = attempt.tags.iter().any(|tag| history.at_risk.contains(tag));
        let excused = damaged
            || history.may_look_whole(attempt)
            || (written && (history.power_failed || at_risk));
        attempt.journal == id && !excused && there > 0 && there < attempt.tags.len()
    });
    match torn {
        Some(batch) => Err(format!("of the batch of tags {:?} only some are there", batch.tags)),
        None => Ok(()),
    }
}

/// What must be there after a loss, or at the end, and is not.
pub(crate) fn kept(
    history: &History,
    id: JournalId,
    list: &[(u64, Tag)],
    loss: Option<Loss>,
) -> Result<(), String> {
    for (tag, appended) in history.acknowledged(id) {
        let sequence = appended.sequence.get();
        let safe = history.durable.contains(&tag)
            || (loss != Some(Loss::Power) && !history.is_at_risk(tag));
        let safe = safe && !history.damaged.contains(&tag);
        let there = list.iter().find(|(_, one)| *one == tag);
        match there {
            Some((at, _)) if *at != sequence && safe => {
                return Err(format!("record {sequence} (tag {tag}) is number {at} now"));
            }
            None if safe => {
                let how = if history.durable.contains(&tag) { "durable" } else { "written" };
                return Err(format!("record {sequence} (tag {tag}), {how}, is lost: {list:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was appended to a file behind the loss of its name is not in the one that is at its path now.
pub(crate) fn not_from_aside(
    history: &History,
    id: JournalId,
    list: &[(u64, Tag)],
) -> Result<(), String> {
    let Some(aside) = history.aside.as_ref().filter(|aside| aside.journal == id) else {
        return Ok(());
    };
    let late = |one: &Attempt| one.aside && one.span.begun > aside.since;
    for (_, tag) in list {
        let mut attempts = history.attempts.iter().filter(|one| one.tags.contains(tag)).peekable();
        if attempts.peek().is_some() && attempts.all(late) {
            return Err(format!(
                "tag {tag} was appended to a file that had lost its name, and is at the path"
            ));
        }
    }
    Ok(())
}

/// A journal that is not at its path must have been deleted, or never have been durable.
pub(crate) fn absent(history: &History, session: usize, power_failed: bool) -> Result<(), String> {
    for (id, life) in &history.lives {
        let all_may_go =
            life.session != session || life.deletion_begun || life.deleted || life.taken_away;
        let mut durable =
            history.acknowledged(*id).filter(|(tag, _)| history.durable.contains(tag));
        if !all_may_go && (!power_failed || durable.next().is_some()) {
            return Err(format!("the journal {id} of session {session} is gone"));
        }
    }
    Ok(())
}

/// The whole history of each journal, epoch by epoch, has an order that explains it.
pub(crate) fn linearizable(history: &History) -> Result<(), String> {
    for id in history.lives.keys() {
        for epoch in 0..history.epochs.len() {
            linear::check(history, *id, epoch)?;
        }
    }
    Ok(())
}
