//! Following: the engine's own follower, asked for what is there.

use std::sync::Arc;

use session_journal::{
    Cause, Error, ErrorKind, Follower, JournalId, Mark, Reader, Record, Sequence,
};

use super::{Client, Shared};
use crate::check;
use crate::disk::SimDisk;
use crate::history::{History, Loss, Span, Tag, Watched};

/// Asked so often at most in one operation.
const ASKED_MAX: usize = 100;

/// A follower, and what it was to give next.
#[derive(Debug)]
pub(super) struct Following {
    follower: Follower,
    journal: JournalId,
    /// The epoch that it was last asked in.
    epoch: usize,
    /// The last record that it gave, or told to be missing.
    last: u64,
    /// Everything that it gave.
    given: Vec<(u64, Tag)>,
}

impl Client {
    pub(super) fn follow(&mut self, session: usize) {
        let span = self.begin("follow", session);
        let outlived = self.holds[session]
            .following
            .as_ref()
            .is_some_and(|one| may_outlive(&self.shared.history.borrow(), one.epoch));
        if !outlived || self.shared.choose(|choices| choices.once_in(8)) {
            match self.begin_to_follow(session) {
                Ok(following) => self.holds[session].following = Some(following),
                Err(error) => return self.failed("follow", &error),
            }
        }
        let Some(mut following) = self.holds[session].following.take() else { return };
        following.epoch = self.shared.history.borrow().epoch();
        if self.ask(&mut following, span) && !self.is_dead() {
            self.holds[session].following = Some(following);
        }
    }

    fn begin_to_follow(&self, session: usize) -> Result<Following, Error> {
        let disk = Arc::new(SimDisk::new(&self.shared.world, self.actor()));
        let reader = Reader::open_with(Shared::path(session), disk)?;
        let (journal, end) = (reader.id(), reader.mark());
        let from_now_on = self.shared.choose(|choices| choices.once_in(2));
        let begin = Mark { journal, sequence: Sequence::new(0), checksum: 0 };
        let mark = if from_now_on { end } else { begin };
        let epoch = self.shared.history.borrow().epoch();
        let follower = Follower::new(reader, mark)?;
        Ok(Following { follower, journal, epoch, last: mark.sequence.get(), given: Vec::new() })
    }

    /// Asks until nothing more is there; says whether the follower is still good for something.
    fn ask(&self, following: &mut Following, span: Span) -> bool {
        let after = following.last;
        let mut records = Vec::new();
        for _ in 0..ASKED_MAX {
            let asked = self.shared.history.borrow_mut().begin();
            let answer = following.follower.try_next();
            if self.is_dead() {
                return false;
            }
            match answer {
                Ok(Some(record)) => match self.given(following, &record) {
                    Ok(one) => records.push(one),
                    Err(what) => self.shared.history.borrow_mut().violated(what),
                },
                Ok(None) => {
                    self.must_have_a_name(following.journal, &asked);
                    self.followed(following.journal, after, records, true, span);
                    return true;
                }
                Err(error) => {
                    let goes_on = self.told(following, &error);
                    if !goes_on {
                        self.followed(following.journal, after, records, false, span);
                        return false;
                    }
                }
            }
        }
        self.followed(following.journal, after, records, false, span);
        true
    }

    /// Each record once, in order, and one that was appended.
    fn given(&self, following: &mut Following, record: &Record) -> Result<(u64, Tag), String> {
        let history = self.shared.history.borrow();
        let (at, tag) = (record.sequence.get(), check::tag_of(&history, record)?);
        if at <= following.last {
            return Err(format!("a follower gives record {at} behind record {}", following.last));
        }
        if following.given.iter().any(|(_, one)| *one == tag) {
            return Err(format!("a follower gives the record with tag {tag} twice"));
        }
        if !history.may_be_there(following.journal, tag) {
            return Err(format!("a follower gives record {at} (tag {tag}), which was refused"));
        }
        following.last = at;
        following.given.push((at, tag));
        Ok((at, tag))
    }

    /// What it says instead of a record, and whether it goes on behind that.
    fn told(&self, following: &mut Following, error: &Error) -> bool {
        if let Cause::Corrupt { sequence, records, .. } = error.cause() {
            self.tell(|| format!("is told of a gap: {error}"));
            self.told_of_gap(following, sequence.get(), *records);
            return true;
        }
        let mut history = self.shared.history.borrow_mut();
        let deleted = history.lives.get(&following.journal).is_some_and(|life| life.deletion_begun);
        // It may have read what damage took, and then does not see the seal behind that.
        let damaged = history.epochs.iter().any(|epoch| epoch.damaged);
        let is_gone = deleted || damaged || history.aside.is_some() || history.power_failed;
        if error.kind() == ErrorKind::Detached && !is_gone {
            history.violated(format!("a follower is detached without a reason: {error}"));
        }
        drop(history);
        self.failed("follow", error);
        false
    }

    /// A gap is told once, and nothing that is safe is in it.
    fn told_of_gap(&self, following: &mut Following, first: u64, records: u64) {
        let last = first + records.saturating_sub(1);
        let mut history = self.shared.history.borrow_mut();
        let safe = history.acknowledged(following.journal).find(|(tag, appended)| {
            (first..=last).contains(&appended.sequence.get())
                && history.durable.contains(tag)
                && !history.damaged.contains(tag)
        });
        if let Some((tag, _)) = safe {
            history.violated(format!("a follower calls the record with tag {tag} missing"));
        }
        if last <= following.last && records > 0 {
            history.violated(format!("a follower tells of record {first} a second time"));
        }
        following.last = following.last.max(last);
    }

    /// Who finds nothing new says so only of a file that is at its path.
    fn must_have_a_name(&self, id: JournalId, asked: &Span) {
        let mut history = self.shared.history.borrow_mut();
        let deleted = history.lives.get(&id).and_then(|life| life.deleted_at);
        let aside = history.aside.as_ref().filter(|aside| aside.journal == id);
        let taken = aside.filter(|_| history.lives[&id].taken_away).map(|aside| aside.since);
        if deleted.into_iter().chain(taken).any(|at| at < asked.begun) {
            history.violated("a follower waits at a file that has lost its name".to_owned());
        }
    }

    fn followed(
        &self,
        journal: JournalId,
        after: u64,
        records: Vec<(u64, Tag)>,
        to_the_end: bool,
        span: Span,
    ) {
        self.tell(|| format!("is given {records:?} behind {after}"));
        let mut history = self.shared.history.borrow_mut();
        if history.lives.contains_key(&journal) {
            let span = history.end(span);
            history.watched.push(Watched { journal, after, records, to_the_end, span });
        }
    }
}

/// Whether one that was last asked in that epoch is good for the one now: damage in the middle of a
/// file it must bear. Behind other losses numbers may be used again.
fn may_outlive(history: &History, epoch: usize) -> bool {
    let losses = history.epochs[epoch + 1..].iter().map(|epoch| epoch.loss);
    losses.into_iter().all(|loss| loss == Some(Loss::Damage)) && !history.was_cut
}
