//! From records to batches: limits, conditions, keys; then one write and one sync for everything
//! that waited.

use std::collections::HashSet;

use crate::chain::Chain;
use crate::error::{Came, Cause, Error, Result};
use crate::format::{FrameKind, KEY_BYTES_MAX, KIND_BYTES_MAX, Meta};
use crate::index::{KeyFound, meta_of};
use crate::mutation::{self, Mutation};
use crate::options::{AppendOptions, Durability, Expect, Options};
use crate::position::{Generation, Offset, Sequence};
use crate::record::{Appended, Mark, NewRecord};
use crate::scan::Step;
use crate::writer::{Draft, Landed, Writer};

/// So much of what waits is put into one write; a batch that is larger goes alone.
const GROUP_BYTES: u64 = 8 << 20;
/// A conflict names so many of the records that came.
const CAME_MAX: usize = 1000;

/// Records that are stored together or not at all, and what their append asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) records: &'a [NewRecord],
    pub(crate) options: &'a AppendOptions,
}

/// The answer to a batch, a line per record.
pub(crate) type Answer = Result<Vec<Appended>>;

impl Writer {
    /// Appends one record as a batch of its own: the short way.
    pub(crate) fn append_one(
        &mut self,
        record: &NewRecord,
        durability: Durability,
    ) -> Result<Appended> {
        self.guard()?;
        self.check_limits(record)?;
        let now = self.options.host.now_ms();
        if let Some(key) = &record.key
            && let Some(first) = self.held(key, false)?
        {
            return self.acknowledge_duplicate(first, durability, now);
        }
        let draft = draft_of(record, now);
        self.check_batch_limit(draft.frame_len())?;
        let landed = self.land_one(draft)?;
        landed.refused.map_or(Ok(()), Err)?;
        let durable = self.settle_acknowledgement(durability, now)?;
        let appended = Appended {
            sequence: Sequence::new(self.sequence),
            generation: Generation::new(self.generation),
            offset: Offset::new(landed.start),
            durable,
            duplicate: false,
        };
        self.keep_up(now);
        Ok(appended)
    }

    /// Makes true what the acknowledgement is going to say: whether it is durable.
    fn settle_acknowledgement(&mut self, durability: Durability, now: i64) -> Result<bool> {
        // Ended by what was written after it: it stands in the file, and was not synced.
        if let Some(why) = self.ended_why() {
            return Err(Error::new(self.path(), Cause::Unknown { why }));
        }
        let settled = match durability {
            Durability::Durable if mutation::broken(Mutation::AcknowledgeBeforeSync) => Ok(true),
            Durability::Durable => self.sync().map(|()| true),
            Durability::Written => self.check_if_due(now).map(|()| false),
        };
        match settled {
            // Taken over, and nobody finds its file any more.
            Err(error) if self.is_nameless() => {
                let why = format!("{}, and its file has lost its name", error.cause());
                Err(Error::new(self.path(), Cause::Unknown { why }))
            }
            // Taken over since it was written: it stands before the claim, so it counts. The next
            // append is told.
            Err(error) if matches!(error.cause(), Cause::Fenced { .. }) => {
                Ok(durability == Durability::Durable)
            }
            // The bytes are written, and the look at them failed.
            Err(error) if matches!(error.cause(), Cause::Io { .. }) => {
                let why = error.cause().to_string();
                Err(Error::new(self.path(), Cause::Unknown { why }))
            }
            settled => settled,
        }
    }

    fn acknowledge_duplicate(
        &mut self,
        first: Appended,
        durability: Durability,
        now: i64,
    ) -> Result<Appended> {
        // Where it is durable already, that still looks whether its file has its name.
        match durability {
            Durability::Durable if mutation::broken(Mutation::DuplicateBeforeSync) => {}
            Durability::Durable => self.sync()?,
            Durability::Written => self.check_if_due(now)?,
        }
        Ok(Appended { durable: self.is_durable(first), ..first })
    }

    fn is_durable(&self, appended: Appended) -> bool {
        let early = appended.duplicate && mutation::broken(Mutation::DuplicateBeforeSync);
        // Nor is the file's name durable before this owner has synced the folder (H16).
        early || (appended.offset.get() < self.durable.offset && self.name_is_durable())
    }

    /// The first record with this key, where the journal holds it.
    fn held(&mut self, key: &str, ignore_gaps: bool) -> Result<Option<Appended>> {
        match self.index.find_key(&self.source, key)? {
            KeyFound::At(header, _) => Ok(Some(Appended {
                sequence: Sequence::new(header.sequence),
                generation: Generation::new(header.generation),
                offset: Offset::new(header.offset),
                durable: false,
                duplicate: true,
            })),
            KeyFound::Hidden if !ignore_gaps => {
                // Not where the file itself was cut under our hands.
                self.check()?;
                let why = format!("damage may hide an earlier record with the key {key:?}");
                Err(Error::new(self.path(), Cause::Unknown { why }))
            }
            KeyFound::Hidden | KeyFound::Absent => Ok(None),
        }
    }

    fn check_limits(&self, record: &NewRecord) -> Result<()> {
        let too_large = |what, bytes: usize, limit: u64| {
            let bytes = bytes as u64;
            Err(Error::new(self.path(), Cause::TooLarge { what, bytes, limit }))
        };
        let limit = self.options.record_bytes_max.min(Options::RECORD_BYTES_LIMIT);
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        if record.payload.len() as u64 > limit {
            return too_large("a record", record.payload.len(), limit);
        }
        if len(&record.kind) > KIND_BYTES_MAX {
            return too_large("a kind", len(&record.kind), KIND_BYTES_MAX as u64);
        }
        for (what, text) in [("a key", &record.key), ("a parent key", &record.parent)] {
            if len(text) > KEY_BYTES_MAX {
                return too_large(what, len(text), KEY_BYTES_MAX as u64);
            }
        }
        Ok(())
    }

    /// Appends one batch: the short way where it is one record and asks for nothing unusual.
    pub(crate) fn append_batch(&mut self, batch: Batch<'_>) -> Answer {
        if let Batch { records: [record], options } = batch
            && matches!(options.expect, Expect::Anything)
            && !options.allow_duplicate_keys
            && !options.ignore_gaps
        {
            let durability = options.durability.unwrap_or(self.options.durability);
            return self.append_one(record, durability).map(|appended| vec![appended]);
        }
        self.append_group(&[batch])
            .pop()
            .unwrap_or_else(|| Err(Error::invalid(self.path(), "no answer")))
    }

    /// Appends everything that waited: one write where possible, one sync for all that asked for
    /// one. An answer per batch, in order.
    pub(crate) fn append_group(&mut self, batches: &[Batch<'_>]) -> Vec<Answer> {
        let now = self.options.host.now_ms();
        let mut group = Group::new(batches);
        for (which, batch) in batches.iter().enumerate() {
            if group.must_go_before(batch, self.options.batch_bytes_max) {
                group.write(self);
            }
            match self.plan(batch, now) {
                Ok(plan) => group.add(which, plan),
                Err(error) => group.answers[which] = Some(Err(error)),
            }
        }
        group.write(self);
        let answers = self.acknowledge(batches, group.answers, now);
        self.keep_up(now);
        answers
    }

    fn acknowledge(
        &mut self,
        batches: &[Batch<'_>],
        answers: Vec<Option<Answer>>,
        now: i64,
    ) -> Vec<Answer> {
        let mut answers: Vec<Answer> = answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(Error::invalid(self.path(), "no answer"))))
            .collect();
        let wants_sync = |(batch, answer): (&Batch<'_>, &Answer)| {
            let durability = batch.options.durability.unwrap_or(self.options.durability);
            let early =
                |one: &Appended| one.duplicate && mutation::broken(Mutation::DuplicateBeforeSync);
            durability == Durability::Durable
                && answer.as_ref().is_ok_and(|all| !all.iter().all(early))
        };
        let wanted = batches.iter().zip(&answers).any(wants_sync);
        let durability = if wanted { Durability::Durable } else { Durability::Written };
        let mut synced = false;
        if answers.iter().any(Result::is_ok) {
            match self.settle_acknowledgement(durability, now) {
                Ok(durable) => synced = durable,
                Err(error) => {
                    for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                        *answer = Err(error.clone());
                    }
                }
            }
        }
        for one in answers.iter_mut().flatten().flatten() {
            one.durable = synced || self.is_durable(*one);
        }
        answers
    }

    /// What of a batch is to be written, once its condition holds and its keys are looked up.
    fn plan<'a>(&mut self, batch: &Batch<'a>, now: i64) -> Result<Plan<'a>> {
        self.guard()?;
        for record in batch.records {
            self.check_limits(record)?;
        }
        self.check_expectation(&batch.options.expect)?;
        let mut plan = Plan { drafts: Vec::new(), held: Vec::new(), records: 0, bytes: 0 };
        let mut own_keys = HashSet::new();
        for record in batch.records {
            let draft = draft_of(record, now);
            let held = match &record.key {
                Some(_) if batch.options.allow_duplicate_keys => None,
                Some(key) if !own_keys.insert(key.as_str()) => {
                    let what = format!("the key {key:?} stands twice in one batch");
                    return Err(Error::invalid(self.path(), what));
                }
                Some(key) => self.held(key, batch.options.ignore_gaps)?,
                None => None,
            };
            if held.is_none() {
                plan.bytes += draft.frame_len();
                plan.drafts.push(draft);
            }
            plan.note_held(held);
        }
        self.check_batch_limit(plan.bytes)?;
        Ok(plan)
    }

    fn check_batch_limit(&self, bytes: u64) -> Result<()> {
        let limit = self.options.batch_bytes_max.min(Options::BATCH_BYTES_LIMIT);
        if bytes <= limit {
            return Ok(());
        }
        Err(Error::new(self.path(), Cause::TooLarge { what: "a batch", bytes, limit }))
    }

    // ---- conditions ------------------------------------------------------------------------

    /// The place of the last record.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            journal: self.identity.journal,
            sequence: Sequence::new(self.sequence),
            checksum: self.last_checksum,
        }
    }

    fn check_expectation(&mut self, expect: &Expect) -> Result<()> {
        if mutation::broken(Mutation::ConditionIgnored) {
            return Ok(());
        }
        if expect.sequence().get() > self.sequence {
            // Whoever expects more than we know may have read what a new owner wrote.
            self.must_not_be_taken_over()?;
        }
        let (mark, kinds) = match expect {
            Expect::Anything => return Ok(()),
            Expect::LastIs(sequence) if sequence.get() == self.sequence => return Ok(()),
            Expect::LastIs(sequence) => {
                let since = *sequence;
                let came = self.came_since(since.get())?;
                let last = Sequence::new(self.sequence);
                return Err(Error::new(self.path(), Cause::Conflict { since, last, came }));
            }
            Expect::NothingSince(mark) => (mark, None),
            Expect::OnlyKindsSince(mark, kinds) => (mark, Some(kinds)),
        };
        if *mark == self.mark() {
            return Ok(());
        }
        self.must_hold(mark)?;
        let came = self.came_since(mark.sequence.get())?;
        let unexpected = |one: &Came| {
            kinds.is_none_or(|kinds| !one.kind.as_ref().is_some_and(|kind| kinds.contains(kind)))
        };
        // Of records that came and are lost, or too many to look at, nothing is known.
        let all = self.sequence - mark.sequence.get();
        if came.len() as u64 == all && !came.iter().any(unexpected) {
            return Ok(());
        }
        let came = came.into_iter().filter(unexpected).collect();
        let (since, last) = (mark.sequence, Sequence::new(self.sequence));
        Err(Error::new(self.path(), Cause::Conflict { since, last, came }))
    }

    /// The journal holds the very record of the mark.
    fn must_hold(&self, mark: &Mark) -> Result<()> {
        let end = self.chain.end;
        let holds = mark.journal == self.identity.journal
            && mark.sequence.get() <= self.sequence
            && self.index.checksum_of(&self.source, mark.sequence.get(), end)? == mark.checksum;
        if holds {
            return Ok(());
        }
        Err(Error::new(self.path(), Cause::Diverged { mark: *mark, last_common: None }))
    }

    fn came_since(&self, sequence: u64) -> Result<Vec<Came>> {
        let place = self.index.place(&self.source, sequence + 1)?;
        let chain = Chain::before(place.offset, place.before);
        let mut scanner = self.source.scanner(chain, self.chain.end);
        let mut came = Vec::new();
        while came.len() < CAME_MAX {
            let header = match scanner.step()? {
                Step::Frame => *scanner.header(),
                Step::Claim(_) => continue,
                Step::End(_) => break,
            };
            if header.kind != FrameKind::Record || header.sequence <= sequence {
                continue;
            }
            let body = scanner.body();
            let meta = meta_of(&header, body).unwrap_or_default();
            came.push(Came {
                sequence: Sequence::new(header.sequence),
                kind: meta.kind.map(str::to_owned),
                key: meta.key.map(str::to_owned),
            });
        }
        Ok(came)
    }
}

fn draft_of(record: &NewRecord, now: i64) -> Draft<'_> {
    Draft {
        kind: FrameKind::Record,
        meta: Meta {
            kind: record.kind.as_deref(),
            key: record.key.as_deref(),
            parent: record.parent.as_deref(),
        },
        payload: &record.payload,
        time_ms: record.time_ms.unwrap_or(now),
    }
}

/// A batch that is ready to be written.
struct Plan<'a> {
    drafts: Vec<Draft<'a>>,
    /// Per record of the batch, the one that holds its key already; empty where there is none.
    held: Vec<Option<Appended>>,
    records: usize,
    bytes: u64,
}

impl Plan<'_> {
    /// The record that holds the key of the next one of the batch, if there is one.
    fn note_held(&mut self, held: Option<Appended>) {
        if held.is_some() || !self.held.is_empty() {
            self.held.resize(self.records, None);
            self.held.push(held);
        }
        self.records += 1;
    }

    fn held(&self, which: usize) -> Option<Appended> {
        self.held.get(which).copied().flatten()
    }
}

/// Batches that go into one write.
struct Group<'a, 'b> {
    batches: &'b [Batch<'a>],
    answers: Vec<Option<Answer>>,
    waiting: Vec<(usize, Plan<'a>)>,
    keys: HashSet<&'a str>,
    bytes: u64,
}

impl<'a, 'b> Group<'a, 'b> {
    fn new(batches: &'b [Batch<'a>]) -> Self {
        let answers = batches.iter().map(|_| None).collect();
        Self { batches, answers, waiting: Vec::new(), keys: HashSet::new(), bytes: 0 }
    }

    /// Conditions and keys are judged against what is in the chain, so what waits goes first.
    fn must_go_before(&self, batch: &Batch<'a>, batch_bytes_max: u64) -> bool {
        let conditional = !matches!(batch.options.expect, Expect::Anything);
        let keys = batch.records.iter().filter_map(|record| record.key.as_deref());
        let bytes: usize = batch.records.iter().map(|record| record.payload.len()).sum();
        !self.waiting.is_empty()
            && (conditional
                || self.bytes + bytes as u64 > GROUP_BYTES.min(batch_bytes_max)
                || keys.into_iter().any(|key| self.keys.contains(key)))
    }

    fn add(&mut self, which: usize, plan: Plan<'a>) {
        if plan.drafts.is_empty() {
            self.answers[which] = Some(Ok(plan.held.into_iter().flatten().collect()));
            return;
        }
        let records = self.batches[which].records;
        self.keys.extend(records.iter().filter_map(|record| record.key.as_deref()));
        self.bytes += plan.bytes;
        self.waiting.push((which, plan));
    }

    fn write(&mut self, writer: &mut Writer) {
        let waiting = std::mem::take(&mut self.waiting);
        self.keys.clear();
        self.bytes = 0;
        if waiting.is_empty() {
            return;
        }
        let drafts: Vec<&[Draft<'_>]> =
            waiting.iter().map(|(_, plan)| plan.drafts.as_slice()).collect();
        let before = writer.sequence;
        let landed = writer.land(&drafts);
        let generation = Generation::new(writer.generation);
        let (landed, error) = match landed {
            Ok(Landed { start, stored, refused }) => ((start, stored), refused),
            Err(error) => ((0, 0), Some(error)),
        };
        let (mut offset, stored) = landed;
        let mut sequence = before;
        for (i, (which, plan)) in waiting.into_iter().enumerate() {
            self.answers[which] = Some(match &error {
                Some(error) if i >= stored => Err(error.clone()),
                _ => {
                    let mut drafts = plan.drafts.iter();
                    let answer = (0..plan.records).map(|record| {
                        plan.held(record).unwrap_or_else(|| {
                            sequence += 1;
                            let here = Offset::new(offset);
                            offset += drafts.next().map_or(0, Draft::frame_len);
                            Appended {
                                sequence: Sequence::new(sequence),
                                generation,
                                offset: here,
                                durable: false,
                                duplicate: false,
                            }
                        })
                    });
                    Ok(answer.collect())
                }
            });
        }
    }
}
