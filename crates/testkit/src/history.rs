//! What the processes of a run did, what they were told, and what they saw.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use session_journal::{Appended, Durability, JournalId};

/// Names one record in all its attempts; the first eight bytes of its payload.
pub(crate) type Tag = u64;

/// How long a written append may go without a look at the name of its file, in the machine's time.
const LOOK_INTERVAL: u64 = 250;

/// What an append was told.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Nothing: its process died, or is still waiting.
    Pending,
    Acknowledged(Vec<Appended>),
    /// Surely not stored.
    Refused,
    /// Refused for what came since its mark; up to this sequence.
    Conflict(u64),
    Unknown,
}

/// The condition of an append: nothing since this sequence, or nothing but records of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    pub(crate) since: u64,
    pub(crate) but_for: Option<&'static str>,
}

/// When something began and ended, in ticks of the history, and in which epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) begun: u64,
    pub(crate) begun_in: usize,
    /// `u64::MAX` where it never ended.
    pub(crate) ended: u64,
    pub(crate) ended_in: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) journal: JournalId,
    pub(crate) tags: Vec<Tag>,
    pub(crate) condition: Option<Condition>,
    pub(crate) span: Span,
    pub(crate) outcome: Outcome,
    /// What it asked for.
    pub(crate) durability: Durability,
    /// The machine's step at its beginning.
    pub(crate) step: u64,
    /// It went to a file that has lost its name.
    pub(crate) aside: bool,
    /// A loss took it before it was durable. It may be stored again under its key, elsewhere.
    pub(crate) lost: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) journal: JournalId,
    pub(crate) generation: u64,
    pub(crate) span: Span,
}

/// All records that a reader found at once.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) journal: JournalId,
    pub(crate) list: Vec<(u64, Tag)>,
    pub(crate) span: Span,
}

/// What a follower gave.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) journal: JournalId,
    /// Behind this record.
    pub(crate) after: u64,
    pub(crate) records: Vec<(u64, Tag)>,
    /// It found nothing behind these.
    pub(crate) to_the_end: bool,
    pub(crate) span: Span,
}

/// What is known of a journal's being there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) session: usize,
    pub(crate) deletion_begun: bool,
    pub(crate) deleted: bool,
    /// When the deletion was done, in ticks of the history.
    pub(crate) deleted_at: Option<u64>,
    /// A stranger took its file away.
    pub(crate) taken_away: bool,
}

/// A file that a stranger took from its path while it was owned.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    pub(crate) file: usize,
    pub(crate) journal: JournalId,
    /// All files of that journal that came before this one are aside: it may have been compacted.
    pub(crate) files_until: usize,
    /// Since when, in ticks of the history and in steps of the machine.
    pub(crate) since: u64,
    pub(crate) since_step: u64,
    /// What must be in it: what it held then, and what its owners were told since.
    pub(crate) held: Vec<(u64, Tag)>,
}

/// What made bytes go away that programs had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Everything that was not synced may be gone.
    Power,
    /// Pages whose sync had failed left the memory.
    Eviction,
    /// A fault destroyed what was safe.
    Damage,
    /// Another file, or none, is at the path now.
    Stranger,
}

/// The stretch between two losses: within one, what was seen stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch {
    /// What began it.
    pub(crate) loss: Option<Loss>,
    /// What was there at its beginning, by journal.
    pub(crate) found: BTreeMap<JournalId, Vec<(u64, Tag)>>,
    /// A claim may have been damaged by now: generations may come again.
    pub(crate) damaged: bool,
    /// Records whose pages may have left the memory by now, their sync having failed; and those that a sealed
    /// file has lost, and a copy has that is about to take its place.
    pub(crate) unsettled: BTreeSet<Tag>,
    /// The first epoch of the file that a stranger put at a path: in an older copy generations come
    /// again.
    pub(crate) line: usize,
}

/// See the module.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a kind of loss, noted by itself")]
pub(crate) struct History {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) views: Vec<View>,
    pub(crate) watched: Vec<Watched>,
    pub(crate) lives: BTreeMap<JournalId, Life>,
    pub(crate) payloads: HashMap<Tag, Bytes>,
    pub(crate) epochs: Vec<Epoch>,
    /// Records whose bytes, or those of their batch, were damaged.
    pub(crate) damaged: BTreeSet<Tag>,
    /// Records that were written, not durable, when a sync failed.
    pub(crate) at_risk: BTreeSet<Tag>,
    /// Records that are durable, as somebody was told.
    pub(crate) durable: BTreeSet<Tag>,
    /// A stranger cut a file. What was behind a torn batch, and told that it was torn, may be gone:
    /// its frames may be taken for ones that counted (decision 1).
    pub(crate) was_cut: bool,
    /// Bytes that were safe were destroyed, of a record or of anything else.
    pub(crate) was_damaged: bool,
    /// A seal was damaged. Who opens the file does not see that it is about to be replaced, and what it
    /// writes until it looks at the name again goes with the file.
    pub(crate) seal_was_damaged: bool,
    /// The power failed. A batch that was written, not durable, with others behind it, may be there
    /// in part then (decision 1).
    pub(crate) power_failed: bool,
    /// Records with a key that are to be appended again, by journal: their producers do not know
    /// whether they are stored, or ask once more all the same. They outlive whoever appended first.
    pub(crate) retries: BTreeMap<JournalId, Vec<Tag>>,
    pub(crate) aside: Option<Aside>,
    pub(crate) violation: Option<String>,
    tick: u64,
    next_tag: Tag,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            attempts: Vec::new(),
            claims: Vec::new(),
            views: Vec::new(),
            watched: Vec::new(),
            lives: BTreeMap::new(),
            payloads: HashMap::new(),
            epochs: vec![Epoch::default()],
            damaged: BTreeSet::new(),
            at_risk: BTreeSet::new(),
            durable: BTreeSet::new(),
            was_cut: false,
            was_damaged: false,
            seal_was_damaged: false,
            power_failed: false,
            retries: BTreeMap::new(),
            aside: None,
            violation: None,
            tick: 0,
            next_tag: 1,
        }
    }

    pub(crate) fn epoch(&self) -> usize {
        self.epochs.len() - 1
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn tag(&mut self) -> Tag {
        self.next_tag += 1;
        self.next_tag - 1
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    pub(crate) fn begin(&mut self) -> Span {
        let begun_in = self.epoch();
        Span { begun: self.tick(), begun_in, ended: u64::MAX, ended_in: usize::MAX }
    }

    pub(crate) fn end(&mut self, span: Span) -> Span {
        Span { ended: self.tick(), ended_in: self.epoch(), ..span }
    }

    /// An append to a file that has lost its name was answered. Nothing that began behind that may be
    /// called durable, and nothing may be called written once its owner was to look at the name.
    fn answer_aside(&mut self, attempt: usize) {
        let (Some(aside), attempt) = (&mut self.aside, &mut self.attempts[attempt]) else { return };
        attempt.aside = true;
        let Outcome::Acknowledged(appended) = &attempt.outcome else { return };
        let late = attempt.span.begun > aside.since;
        let overdue = attempt.step > aside.since_step + LOOK_INTERVAL;
        let mut broken = None;
        for (tag, one) in attempt.tags.iter().zip(appended) {
            if late && (overdue || attempt.durability == Durability::Durable) {
                let (how, at) = (attempt.durability, one.sequence);
                broken = Some(format!("{how:?}: record {at}, in a file that has lost its name"));
            }
            if !one.duplicate {
                aside.held.push((one.sequence.get(), *tag));
            }
        }
        if let Some(what) = broken {
            self.violated(what);
        }
    }

    /// A stranger put an older copy at a path: what it does not hold is gone there, by right.
    pub(crate) fn go_back_to(&mut self, journal: JournalId, copy: &[(u64, Tag)]) {
        let gone = |tag: &Tag| !copy.iter().any(|(_, one)| one == tag);
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.journal == journal) {
            attempt.lost |= attempt.tags.iter().any(gone);
        }
        let of_journal = self.attempts.iter().filter(|attempt| attempt.journal == journal);
        for tag in of_journal.flat_map(|attempt| &attempt.tags).filter(|tag| gone(tag)) {
            self.durable.remove(tag);
        }
    }

    pub(crate) fn answer(&mut self, attempt: usize, outcome: Outcome, aside: bool) {
        let span = self.end(self.attempts[attempt].span);
        self.attempts[attempt].span = span;
        if aside {
            self.attempts[attempt].outcome = outcome;
            return self.answer_aside(attempt);
        }
        let attempt = &mut self.attempts[attempt];
        if let Outcome::Acknowledged(appended) = &outcome {
            for (tag, appended) in attempt.tags.iter().zip(appended) {
                if appended.durable {
                    self.durable.insert(*tag);
                }
            }
        }
        attempt.outcome = outcome;
    }

    /// Every sequence of a record that somebody was told of, but for what a loss took by right.
    pub(crate) fn acknowledged(&self, journal: JournalId) -> impl Iterator<Item = (Tag, Appended)> {
        let held =
            move |attempt: &&Attempt| attempt.journal == journal && !attempt.lost && !attempt.aside;
        self.attempts.iter().filter(held).flat_map(|attempt| {
            let appended = match &attempt.outcome {
                Outcome::Acknowledged(appended) => appended.as_slice(),
                _ => &[],
            };
            attempt.tags.iter().copied().zip(appended.iter().copied())
        })
    }

    /// Whether a record with this tag may be in the journal at all.
    pub(crate) fn may_be_there(&self, journal: JournalId, tag: Tag) -> bool {
        self.attempts.iter().any(|attempt| {
            attempt.journal == journal
                && attempt.tags.contains(&tag)
                && (!matches!(attempt.outcome, Outcome::Refused | Outcome::Conflict(_))
                    || self.may_look_whole(attempt))
        })
    }

    /// Whether frames of a batch that was refused may count, for damage or a power loss took what told of
    /// that (decision 1).
    pub(crate) fn may_look_whole(&self, attempt: &Attempt) -> bool {
        (self.was_cut || self.was_damaged || self.power_failed)
            && attempt.tags.len() > 1
            && matches!(attempt.outcome, Outcome::Refused)
    }

    /// A failed sync or a damaged seal, or what followed it, may have taken this record, and nobody was
    /// told that it is durable.
    pub(crate) fn is_at_risk(&self, tag: Tag) -> bool {
        (self.at_risk.contains(&tag) || self.seal_was_damaged) && !self.durable.contains(&tag)
    }

    /// The epoch behind a loss, as far as it follows from those before.
    pub(crate) fn next_epoch(&self, loss: Loss) -> Epoch {
        let last = self.epochs.last().cloned().unwrap_or_default();
        let mut unsettled = last.unsettled;
        if loss == Loss::Eviction {
            unsettled.extend(self.at_risk.difference(&self.durable));
        }
        Epoch {
            loss: Some(loss),
            damaged: last.damaged || loss == Loss::Damage,
            unsettled,
            line: if loss == Loss::Stranger { self.epochs.len() } else { last.line },
            found: BTreeMap::new(),
        }
    }

    /// Whether nobody can say of this record whether a reader must find it in this epoch.
    pub(crate) fn is_doubtful(&self, epoch: usize, tag: Tag) -> bool {
        let Epoch { damaged, unsettled, .. } = &self.epochs[epoch];
        (*damaged && self.damaged.contains(&tag))
            || (self.seal_was_damaged && self.is_at_risk(tag))
            || unsettled.contains(&tag)
    }

    /// A loss took what was not durable: no later sync makes that safe.
    pub(crate) fn lose_what_is_not_in(&mut self, journal: JournalId, list: &[(u64, Tag)]) {
        let there = |tag: &Tag| list.iter().any(|(_, one)| one == tag);
        let lost: Vec<Tag> =
            self.acknowledged(journal).map(|(tag, _)| tag).filter(|tag| !there(tag)).collect();
        let by_right = |tag: &Tag| lost.contains(tag) && !self.durable.contains(tag);
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.journal == journal) {
            let answered = matches!(attempt.outcome, Outcome::Acknowledged(_));
            attempt.lost |= answered && attempt.tags.iter().any(by_right);
        }
        self.at_risk.extend(lost);
    }

    /// A sync of a journal failed: what was written and not durable is not safe any more.
    pub(crate) fn sync_failed(&mut self, journal: JournalId) {
        let written: Vec<Tag> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.journal == journal)
            .flat_map(|attempt| attempt.tags.iter().copied())
            .filter(|tag| !self.durable.contains(tag))
            .collect();
        self.at_risk.extend(written);
    }
}

/// The kind that a record of this tag has.
pub(crate) fn kind_of(tag: Tag) -> &'static str {
    if tag.is_multiple_of(3) { "note" } else { "turn" }
}
