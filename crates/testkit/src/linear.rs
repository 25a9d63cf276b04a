//! Whether a history is linearizable: whether its operations can be put into one order, each at a
//! moment between its beginning and its end, in which a journal with a single user would have given
//! the same answers. The method is that of Wing and Gong (Testing and Verifying Concurrent Objects,
//! 1993), with Lowe's memory of what was tried (Testing for linearizability, 2017).

use std::collections::{BTreeMap, HashSet};

use session_journal::JournalId;

use crate::history::{Attempt, Condition, History, Outcome, Span, Tag, kind_of};

/// An operation with its answer. What had no effect, and told nothing, is not among them.
#[derive(Clone, Debug)]
enum Operation {
    Append {
        records: Vec<(u64, Tag)>,
        generation: Option<u64>,
        condition: Option<Condition>,
    },
    /// The record with this key was there already.
    Find {
        record: (u64, Tag),
    },
    Conflict {
        condition: Condition,
        last: u64,
    },
    Claim {
        generation: u64,
    },
    Read {
        list: Vec<(u64, Tag)>,
    },
    /// Behind a record these come; and nothing behind these, where it was looked to the end.
    Follow {
        after: u64,
        records: Vec<(u64, Tag)>,
        to_the_end: bool,
    },
}

#[derive(Clone, Debug)]
struct Event {
    operation: Operation,
    begun: u64,
    ended: u64,
    /// It must be in the order; what was never answered need not be.
    must: bool,
}

/// A journal with a single user.
#[derive(Debug, Default)]
struct Model {
    list: Vec<(u64, Tag)>,
    generation: u64,
    /// Generations rise, and only the owner of the highest appends.
    strict: bool,
}

impl Model {
    fn last(&self) -> u64 {
        self.list.last().map_or(0, |(sequence, _)| *sequence)
    }

    fn holds(&self, condition: &Condition) -> bool {
        let came = self.list.iter().rev().take_while(|(sequence, _)| *sequence > condition.since);
        let mut unexpected = came.filter(|(_, tag)| Some(kind_of(*tag)) != condition.but_for);
        unexpected.next().is_none()
    }

    /// Takes the operation, if a journal in this state could have given its answer.
    fn take(&mut self, operation: &Operation) -> bool {
        match operation {
            Operation::Append { records, generation, condition } => {
                let follows = records.first().is_some_and(|(first, _)| *first > self.last());
                let owned = !self.strict
                    || generation.is_none_or(|generation| generation == self.generation);
                let fits = condition.as_ref().is_none_or(|condition| self.holds(condition));
                if follows && owned && fits {
                    self.list.extend(records);
                }
                follows && owned && fits
            }
            Operation::Find { record } => self.list.contains(record),
            Operation::Conflict { condition, last } => {
                // An owner that was taken over, and has not noticed, names what it knows of.
                !self.holds(condition) && self.last() >= *last
            }
            Operation::Claim { generation } => {
                let rises = !self.strict || *generation > self.generation;
                if rises {
                    self.generation = *generation;
                }
                rises
            }
            Operation::Read { list } => *list == self.list,
            Operation::Follow { after, records, to_the_end } => {
                let behind = self.list.partition_point(|(sequence, _)| sequence <= after);
                let there = &self.list[behind..];
                if *to_the_end { there == records } else { there.starts_with(records) }
            }
        }
    }

    fn undo(&mut self, operation: &Operation, generation: u64) {
        if let Operation::Append { records, .. } = operation {
            self.list.truncate(self.list.len() - records.len());
        }
        self.generation = generation;
    }
}

/// Checks one epoch of one journal.
pub(crate) fn check(history: &History, id: JournalId, epoch: usize) -> Result<(), String> {
    let found = history.epochs[epoch].found.get(&id);
    if epoch > 0 && found.is_none() {
        return Ok(());
    }
    let list = found.cloned().unwrap_or_default();
    let changed = history.aside.as_ref().is_some_and(|aside| aside.journal == id);
    let line = if changed { history.epochs[epoch].line } else { 0 };
    let earlier = |span: &Span| span.ended_in < epoch && span.ended_in >= line;
    let generation = history.claims.iter().filter(|c| c.journal == id && earlier(&c.span));
    let generation = generation.map(|claim| claim.generation).max().unwrap_or(0);
    let events = events(history, id, epoch, &list);
    let mut search = Search {
        model: Model {
            list: without_doubtful(history, epoch, &list),
            generation,
            strict: !history.epochs[epoch].damaged,
        },
        taken: vec![false; events.len()],
        left: events.iter().filter(|event| event.must).count(),
        tried: HashSet::new(),
        furthest: 0,
        events,
    };
    if search.run() { Ok(()) } else { Err(search.report(id, epoch)) }
}

/// From the first damage on, what is damaged at some time is left out; and what left the memory once
/// and may come and go as openers settle what they had read.
fn without_doubtful(history: &History, epoch: usize, list: &[(u64, Tag)]) -> Vec<(u64, Tag)> {
    list.iter().filter(|(_, tag)| !history.is_doubtful(epoch, *tag)).copied().collect()
}

fn events(history: &History, id: JournalId, epoch: usize, found: &[(u64, Tag)]) -> Vec<Event> {
    let within = |span: &Span| span.begun_in <= epoch && span.ended_in >= epoch;
    let wholly = |span: &Span| span.begun_in == epoch && span.ended_in == epoch;
    // What damage took is left out, so what was counted on it cannot be compared.
    let strict = !history.epochs[epoch].damaged;
    let mut events = Vec::new();
    let mut add = |span: &Span, operation, must| {
        let begun = if span.begun_in < epoch { 0 } else { span.begun };
        let ended = if span.ended_in > epoch { u64::MAX } else { span.ended };
        events.push(Event { operation, begun, ended, must });
    };
    // Where the records of appends without an answer stand, if anybody saw them.
    let mut seen: BTreeMap<Tag, u64> = BTreeMap::new();
    for view in history.views.iter().filter(|view| view.journal == id && wholly(&view.span)) {
        seen.extend(view.list.iter().map(|(sequence, tag)| (*tag, *sequence)));
        add(
            &view.span,
            Operation::Read { list: without_doubtful(history, epoch, &view.list) },
            true,
        );
    }
    for one in history.watched.iter().filter(|one| one.journal == id && wholly(&one.span)) {
        seen.extend(one.records.iter().map(|(sequence, tag)| (*tag, *sequence)));
        let (after, to_the_end) = (one.after, one.to_the_end);
        let records = without_doubtful(history, epoch, &one.records);
        add(&one.span, Operation::Follow { after, records, to_the_end }, true);
    }
    for claim in history.claims.iter().filter(|c| c.journal == id && c.span.ended_in == epoch) {
        // One that began earlier may have taken effect then.
        let must = claim.span.begun_in == epoch;
        add(&claim.span, Operation::Claim { generation: claim.generation }, must);
    }
    // An owner that has not noticed names what it had in memory, and a loss has taken since.
    let lost_before = !history.epochs[epoch].unsettled.is_empty()
        || history.attempts.iter().any(|attempt| {
            let lost =
                |tag: &Tag| history.is_at_risk(*tag) && found.iter().all(|(_, one)| one != tag);
            attempt.journal == id && attempt.span.begun_in <= epoch && attempt.tags.iter().any(lost)
        });
    let mut answered: HashSet<Tag> = found.iter().map(|(_, tag)| *tag).collect();
    for attempt in history.attempts.iter().filter(|attempt| attempt.journal == id) {
        let span = &attempt.span;
        match &attempt.outcome {
            Outcome::Acknowledged(appended)
                if span.ended_in == epoch
                    && !attempt.aside
                    && !was_hit_under_way(history, attempt, epoch) =>
            {
                let records: Vec<(u64, Tag)> = appended
                    .iter()
                    .zip(&attempt.tags)
                    .map(|(appended, tag)| (appended.sequence.get(), *tag))
                    .filter(|(_, tag)| !history.is_doubtful(epoch, *tag))
                    .collect();
                for (record, one) in records.iter().zip(appended) {
                    if one.duplicate || found.contains(record) {
                        seen.insert(record.1, record.0);
                        add(span, Operation::Find { record: *record }, true);
                    }
                }
                let new = |(_, tag): &(u64, Tag)| !found.iter().any(|(_, one)| one == tag);
                let stored = appended.first().is_some_and(|one| !one.duplicate);
                if stored && !records.is_empty() && records.iter().all(new) {
                    answered.extend(&attempt.tags);
                    let generation = appended.first().map(|one| one.generation.get());
                    let condition = attempt.condition.filter(|_| strict && span.begun_in == epoch);
                    add(span, Operation::Append { records, generation, condition }, true);
                }
            }
            Outcome::Conflict(last) if strict && wholly(span) && !lost_before && !attempt.aside => {
                if let Some(condition) = attempt.condition {
                    add(span, Operation::Conflict { condition, last: *last }, true);
                }
            }
            _ => {}
        }
    }
    for attempt in history.attempts.iter().filter(|attempt| attempt.journal == id) {
        let open = match attempt.outcome {
            Outcome::Pending | Outcome::Unknown => true,
            Outcome::Acknowledged(_) => {
                attempt.aside
                    || attempt.span.ended_in != epoch
                    || was_hit_under_way(history, attempt, epoch)
            }
            Outcome::Refused | Outcome::Conflict(_) => false,
        };
        let may_follow = within(&attempt.span) || attempt.span.begun_in <= epoch;
        let is_new = attempt.tags.iter().all(|tag| !answered.contains(tag));
        let places: Vec<(u64, Tag)> =
            attempt.tags.iter().filter_map(|tag| Some((*seen.get(tag)?, *tag))).collect();
        if open && may_follow && is_new && !places.is_empty() {
            answered.extend(&attempt.tags);
            // It may have been stored at any time since it began.
            let span = Span { ended: u64::MAX, ended_in: usize::MAX, ..attempt.span };
            let (generation, condition) = (None, None);
            let records = without_doubtful(history, epoch, &places);
            if !records.is_empty() {
                add(&span, Operation::Append { records, generation, condition }, false);
            }
        }
    }
    events.sort_by_key(|event| event.begun);
    events
}

/// A loss came while it was under way, and may have taken some of what it had written and not synced:
/// written records are acknowledged all the same.
fn was_hit_under_way(history: &History, attempt: &Attempt, epoch: usize) -> bool {
    let at_risk = |tag| history.at_risk.contains(tag) && !history.durable.contains(tag);
    attempt.span.begun_in < epoch && attempt.tags.iter().any(at_risk)
}

struct Search {
    events: Vec<Event>,
    model: Model,
    taken: Vec<bool>,
    left: usize,
    tried: HashSet<Vec<bool>>,
    furthest: usize,
}

impl Search {
    /// Tries every operation that no other one must come before.
    fn run(&mut self) -> bool {
        if self.left == 0 {
            return true;
        }
        if !self.tried.insert(self.taken.clone()) {
            return false;
        }
        let done = self.taken.iter().filter(|taken| **taken).count();
        self.furthest = self.furthest.max(done);
        let open = |at: &usize| !self.taken[*at];
        let horizon = (0..self.events.len())
            .filter(open)
            .filter(|at| self.events[*at].must)
            .map(|at| self.events[at].ended)
            .min()
            .unwrap_or(u64::MAX);
        for at in 0..self.events.len() {
            if self.taken[at] || self.events[at].begun > horizon {
                continue;
            }
            let event = self.events[at].clone();
            let generation = self.model.generation;
            if !self.model.take(&event.operation) {
                continue;
            }
            self.taken[at] = true;
            self.left -= usize::from(event.must);
            if self.run() {
                return true;
            }
            self.taken[at] = false;
            self.left += usize::from(event.must);
            self.model.undo(&event.operation, generation);
        }
        false
    }

    fn report(&self, id: JournalId, epoch: usize) -> String {
        use std::fmt::Write as _;
        let mut text = format!(
            "no order explains the history of journal {id} in epoch {epoch} ({} of {} operations fit):",
            self.furthest,
            self.events.len()
        );
        let _ = write!(text, "\n    found at its beginning: {:?}", self.model.list);
        for event in &self.events {
            let ended = match event.ended {
                u64::MAX => "…".to_owned(),
                ended => ended.to_string(),
            };
            let _ = write!(text, "\n    {}–{ended} {:?}", event.begun, event.operation);
        }
        text
    }
}
