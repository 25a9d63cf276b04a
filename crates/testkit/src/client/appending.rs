//! Appending: records, batches, keys and their retries, conditions.

use std::sync::Arc;

use bytes::Bytes;
use session_journal::{
    AppendOptions, Appended, Cause, Durability, Error, Expect, JournalId, NewRecord, Reader,
};

use super::{Client, Shared, look};
use crate::disk::SimDisk;
use crate::history::{Attempt, Condition, Outcome, Tag, kind_of};
use crate::world::Actor;

impl Client {
    fn new_record(&self, session: usize, keyed: bool) -> (Tag, NewRecord) {
        let on = &self.shared.workload;
        let tag = self.shared.history.borrow_mut().tag();
        let large = on.large && self.shared.choose(|choices| choices.once_in(4));
        let len = self.shared.choose(|c| c.below(if large { 6000 } else { 60 })) as usize;
        let mut payload = tag.to_le_bytes().to_vec();
        if on.quotes && self.shared.choose(|choices| choices.once_in(3)) {
            payload.extend_from_slice(&self.quotation(session));
        } else {
            payload.resize(payload.len() + len, u8::try_from(tag % 251).unwrap_or(0));
        }
        let payload = Bytes::from(payload);
        self.shared.history.borrow_mut().payloads.insert(tag, payload.clone());
        (tag, record_of(tag, payload, keyed))
    }

    /// Bytes of the journal itself, as an agent's tool might read them (H18).
    fn quotation(&self, session: usize) -> Vec<u8> {
        let path = Shared::path(session);
        self.shared.world.with(|state| {
            let Ok(file) = state.find(&path) else { return Vec::new() };
            let bytes = state.files[file].bytes();
            let end = u32::try_from(bytes.len()).unwrap_or(0);
            let from = 4096.min(bytes.len()) + state.choices.below(2) as usize * 100;
            let until = state.choices.below(end + 1) as usize;
            let bytes = state.files[file].bytes();
            bytes.get(from..until).unwrap_or_default().iter().copied().take(3000).collect()
        })
    }

    fn durability(&self) -> Durability {
        let written = self.shared.workload.written;
        self.shared.choose(|choices| {
            if written && choices.below(2) == 1 { Durability::Written } else { Durability::Durable }
        })
    }

    pub(super) fn append(
        &mut self,
        session: usize,
        records: usize,
        condition: Option<(Expect, Condition)>,
    ) {
        if !self.owner(session) {
            return;
        }
        let (tags, records) =
            (0..records).map(|_| self.new_record(session, false)).collect::<(Vec<_>, Vec<_>)>();
        let what = match (&condition, tags.len()) {
            (Some(_), _) => "conditional append",
            (None, 1) => "append",
            (None, _) => "batch",
        };
        let (expect, condition) = condition.unzip();
        let options = AppendOptions {
            durability: Some(self.durability()),
            expect: expect.unwrap_or_default(),
            ..AppendOptions::default()
        };
        self.append_these(what, session, &tags, &records, &options, condition);
    }

    pub(super) fn append_keyed(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        let Some(journal) = &self.holds[session].journal else { return };
        let (id, known) = (journal.id(), journal.last_sequence().get());
        let again = self.shared.history.borrow_mut().retries.entry(id).or_default().pop();
        let (tag, record) = match again {
            Some(tag) => {
                let payload = self.shared.history.borrow().payloads[&tag].clone();
                (tag, record_of(tag, payload, true))
            }
            None => self.new_record(session, true),
        };
        let what = if again.is_some() { "retry of a key" } else { "append with a key" };
        let options =
            AppendOptions { durability: Some(self.durability()), ..AppendOptions::default() };
        let answer = self.append_these(what, session, &[tag], &[record], &options, None);
        if let Some(Outcome::Acknowledged(appended)) = &answer
            && !appended[0].duplicate
        {
            self.must_be_new(session, id, tag, known);
        }
        let unknown = matches!(answer, None | Some(Outcome::Unknown));
        if unknown || self.shared.choose(|choices| choices.once_in(4)) {
            self.shared.history.borrow_mut().retries.entry(id).or_default().push(tag);
        }
    }

    /// H22: a record that was stored under this key has a number. Where its owner knew that number, and
    /// nothing else has it, the record is missing; then nobody can say that its key is not there.
    fn must_be_new(&self, session: usize, id: JournalId, tag: Tag, known: u64) {
        let before: Vec<u64> = {
            let history = self.shared.history.borrow();
            let all = history.acknowledged(id).filter(|(one, _)| *one == tag);
            all.map(|(_, appended)| appended.sequence.get()).filter(|at| *at <= known).collect()
        };
        if before.is_empty() {
            return;
        }
        let disk = Arc::new(SimDisk::new(&self.shared.world, Actor::Checker));
        let found = Reader::open_with(Shared::path(session), disk);
        let Ok((records, _)) = found.and_then(|reader| look(&reader)) else { return };
        for at in before {
            if !records.iter().any(|record| record.sequence.get() == at) {
                let what =
                    format!("record {at} (tag {tag}) is missing, and its key is stored anew");
                self.shared.history.borrow_mut().violated(what);
            }
        }
    }

    pub(super) fn append_if(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        let Some(mark) = self.holds[session].mark else { return };
        let since = mark.sequence.get();
        let kinds = self.shared.choose(|choices| choices.below(2)) == 1;
        let condition = if kinds {
            let expect = Expect::OnlyKindsSince(mark, vec!["note".to_owned()]);
            (expect, Condition { since, but_for: Some("note") })
        } else {
            (Expect::NothingSince(mark), Condition { since, but_for: None })
        };
        self.append(session, 1, Some(condition));
        if let Some(journal) = &self.holds[session].journal
            && self.shared.choose(|choices| choices.below(2)) == 0
        {
            self.holds[session].mark = Some(journal.mark());
        }
    }

    fn append_these(
        &mut self,
        what: &'static str,
        session: usize,
        tags: &[Tag],
        records: &[NewRecord],
        options: &AppendOptions,
        condition: Option<Condition>,
    ) -> Option<Outcome> {
        let span = self.begin(what, session);
        let journal = self.holds[session].journal.as_mut()?;
        let attempt = {
            let mut history = self.shared.history.borrow_mut();
            let (journal, tags) = (journal.id(), tags.to_vec());
            let outcome = Outcome::Pending;
            let durability = options.durability.unwrap_or_default();
            let step = self.shared.world.with(|state| state.step);
            history.attempts.push(Attempt {
                journal,
                tags,
                condition,
                span,
                durability,
                step,
                outcome,
                aside: false,
                lost: false,
            });
            history.attempts.len() - 1
        };
        let answer = match records {
            // The short way, where there is nothing but a record.
            [one] if condition.is_none() && options.durability == Some(Durability::Durable) => {
                journal.append(one).map(|appended| vec![appended])
            }
            records => journal.append_all(records, options),
        };
        self.answered(what, session, attempt, answer)
    }

    fn answered(
        &mut self,
        what: &str,
        session: usize,
        attempt: usize,
        answer: Result<Vec<Appended>, Error>,
    ) -> Option<Outcome> {
        if self.is_dead() {
            return None;
        }
        let outcome = match answer {
            Ok(appended) => {
                self.tell(|| format!("is told: {}", told(&appended)));
                Outcome::Acknowledged(appended)
            }
            Err(error) => {
                self.failed(what, &error);
                if Self::finishes(error.kind()) {
                    self.holds[session].journal = None;
                }
                match error.cause() {
                    // The file is not what it was: what became of the record nobody can say.
                    Cause::Unknown { .. } | Cause::Detached { .. } | Cause::Shortened { .. } => {
                        Outcome::Unknown
                    }
                    Cause::Conflict { last, .. } => Outcome::Conflict(last.get()),
                    _ => Outcome::Refused,
                }
            }
        };
        let aside = self.is_aside(session);
        self.shared.history.borrow_mut().answer(attempt, outcome.clone(), aside);
        Some(outcome)
    }
}

fn record_of(tag: Tag, payload: Bytes, keyed: bool) -> NewRecord {
    let record = NewRecord::new(payload).kind(kind_of(tag));
    if keyed { record.key(format!("k{tag}")).parent(format!("k{}", tag - 1)) } else { record }
}

fn told(appended: &[Appended]) -> String {
    let one = |one: &Appended| {
        let how = if one.durable { "durable" } else { "written" };
        let first = if one.duplicate { ", there already" } else { "" };
        format!("{} at {} {how}{first}", one.sequence, one.offset.get())
    };
    appended.iter().map(one).collect::<Vec<_>>().join("; ")
}
