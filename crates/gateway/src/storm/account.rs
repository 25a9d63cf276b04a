//! The accounts: the clerk's books held against what was found.

use std::collections::HashMap;

use super::clerk::{Acknowledged, Books, TurnEnd, Written};
use super::found::{Found, Session};
use crate::turn::{Policy, answer_key};

/// What the books and the files say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) messages: Tally,
    pub(super) beats: Tally,
    pub(super) compactions: Tally,
    /// Acknowledged records that stand in another order than they were acknowledged in.
    pub(super) disordered: u64,
    pub(super) turns: Turns,
    pub(super) sends: Tally,
    /// Answers to messages between sessions.
    pub(super) send_answers: Tally,
    pub(super) children: Tally,
    pub(super) announcements: Tally,
    /// What does not fit, in words.
    pub(super) findings: Vec<String>,
}

/// Things that were to be stored once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) tried: u64,
    pub(super) acknowledged: u64,
    /// Of those acknowledged: found once.
    pub(super) found: u64,
    /// Of those acknowledged: not found.
    pub(super) missing: u64,
    /// Found more than once, acknowledged or not.
    pub(super) doubled: u64,
    /// Not acknowledged, and found all the same.
    pub(super) unknown_found: u64,
}

/// Turns by their ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turns {
    pub(super) started: u64,
    pub(super) answered: u64,
    pub(super) told: u64,
    pub(super) cancelled: u64,
    pub(super) lost: u64,
    pub(super) reruns: u64,
}

/// Findings beyond this are counted only.
const FINDINGS_MAX: usize = 20;

struct Ledger<'a> {
    found: &'a Found,
    nothing: Session,
    accounts: Accounts,
}

/// See the module.
pub(super) fn account(books: &Books, found: &Found) -> Accounts {
    let mut ledger = Ledger { found, nothing: Session::default(), accounts: Accounts::default() };
    for damage in &found.damage {
        ledger.finds(damage.clone());
    }
    ledger.accounts.messages = ledger.written("message", &books.records);
    ledger.accounts.compactions = ledger.written("compaction", &books.compactions);
    ledger.accounts.beats = ledger.beats(&books.beats);
    ledger.accounts.disordered = ledger.disorder(&books.records);
    ledger.accounts.turns = ledger.turns(books);
    ledger.sends(books);
    ledger.children(books);
    ledger.accounts
}

impl Ledger<'_> {
    fn session(&self, name: &str) -> &Session {
        self.found.sessions.get(name).unwrap_or(&self.nothing)
    }

    fn finds(&mut self, what: String) {
        self.accounts.findings.push(what);
    }

    /// One thing that is to be there once where it was acknowledged, and at most once otherwise.
    fn tally(
        &mut self,
        tally: &mut Tally,
        what: &str,
        place: &str,
        acknowledged: bool,
        count: usize,
    ) {
        tally.tried += 1;
        tally.acknowledged += u64::from(acknowledged);
        match (acknowledged, count) {
            (true, 0) => {
                tally.missing += 1;
                self.finds(format!("{place}: {what} was acknowledged and is not there"));
            }
            (true, 1) => tally.found += 1,
            (false, 0) => {}
            (false, 1) => tally.unknown_found += 1,
            (_, count) => {
                tally.doubled += 1;
                self.finds(format!("{place}: {what} is there {count} times"));
            }
        }
    }

    fn written(&mut self, what: &str, all: &[Written]) -> Tally {
        let mut tally = Tally::default();
        for one in all {
            let count = self.session(&one.session).count(&one.key);
            let what = format!("{what} {}", one.key);
            let is_known = one.acknowledged.is_known();
            self.tally(&mut tally, &what, &one.session, is_known, count);
            self.number(one, &what);
        }
        tally
    }

    /// Whether it has the number that it was acknowledged with.
    fn number(&mut self, one: &Written, what: &str) {
        let Acknowledged::Yes(Some(sequence)) = one.acknowledged else { return };
        let at = self.session(&one.session).keys.get(&one.key);
        if let Some(&[at]) = at.map(Vec::as_slice)
            && at != sequence
        {
            let session = &one.session;
            self.finds(format!("{session}: {what} was number {sequence} and is number {at}"));
        }
    }

    fn beats(&mut self, all: &[Written]) -> Tally {
        let mut tally = Tally::default();
        for one in all {
            let count = self.session(&one.session).notes.get(&one.key).map_or(0, Vec::len);
            let what = format!("sign of life {}", one.key);
            self.tally(&mut tally, &what, &one.session, one.acknowledged.is_known(), count);
        }
        tally
    }

    /// Each session has one sender of plain records, who sends the next one when the last one is
    /// acknowledged.
    fn disorder(&mut self, all: &[Written]) -> u64 {
        let mut last: HashMap<&str, u64> = HashMap::new();
        let mut disordered = 0;
        for one in all.iter().filter(|one| one.acknowledged.is_known()) {
            let at = self.session(&one.session).keys.get(&one.key);
            let Some(at) = at.and_then(|at| at.first().copied()) else { continue };
            let before = last.insert(&one.session, at);
            if before.is_some_and(|before| before > at) {
                disordered += 1;
                self.finds(format!("{}: {} stands before an earlier one", one.session, one.key));
            }
        }
        disordered
    }

    fn turns(&mut self, books: &Books) -> Turns {
        let mut turns = Turns::default();
        for turn in &books.turns {
            turns.started += 1;
            let session = self.session(&turn.session);
            let questions = session.keys.get(&turn.key).cloned().unwrap_or_default();
            let answers = session.keys.get(&answer_key(&turn.key)).cloned().unwrap_or_default();
            let is_whole = match &turn.end {
                TurnEnd::Answered { reruns } => {
                    turns.answered += 1;
                    turns.reruns += reruns;
                    matches!((&questions[..], &answers[..]), ([asked], [said]) if asked < said)
                }
                TurnEnd::Told => {
                    turns.told += 1;
                    turn.policy != Policy::GoOn && questions.len() == 1 && answers.len() <= 1
                }
                // It may have come to its end, or not have begun.
                TurnEnd::Cancelled => {
                    turns.cancelled += 1;
                    questions.len() <= 1 && answers.len() <= 1
                }
                TurnEnd::Lost { .. } => {
                    turns.lost += 1;
                    false
                }
            };
            if !is_whole {
                self.finds(format!(
                    "{}: turn {} ({:?}) ended as {:?}; its message is at {questions:?}, its answer at {answers:?}",
                    turn.session, turn.key, turn.policy, turn.end
                ));
            }
        }
        turns
    }

    fn sends(&mut self, books: &Books) {
        let (mut sends, mut answers) = (Tally::default(), Tally::default());
        for send in &books.sends {
            let arrival = format!("{}/{}", self.session(&send.from).id, send.key);
            let target = self.session(&send.to);
            let (arrived, said) = (target.count(&arrival), target.count(&answer_key(&arrival)));
            let what = format!("message {} of {}", send.key, send.from);
            self.tally(&mut sends, &what, &send.to, send.acknowledged, arrived);
            if send.answered || said > 0 {
                let what = format!("the answer to {what}");
                self.tally(&mut answers, &what, &send.to, send.answered, said);
            }
        }
        (self.accounts.sends, self.accounts.send_answers) = (sends, answers);
    }

    fn children(&mut self, books: &Books) {
        let (mut children, mut announced) = (Tally::default(), Tally::default());
        for child in &books.children {
            let session = self.session(&child.child);
            let answer = answer_key(&child.key);
            let (said, announcement) =
                (session.count(&answer), format!("{}/{answer}/0", session.id));
            let heard = self.session(&child.parent).count(&announcement);
            let known = child.acknowledged;
            self.tally(&mut children, "the child's answer", &child.child, known, said);
            let what = format!("the announcement of {}", child.child);
            self.tally(&mut announced, &what, &child.parent, known, heard);
        }
        (self.accounts.children, self.accounts.announcements) = (children, announced);
    }
}

impl Accounts {
    /// The first findings, and how many there are beside.
    pub(super) fn told(&self) -> Vec<String> {
        let more = self.findings.len().saturating_sub(FINDINGS_MAX);
        let more = (more > 0).then(|| format!("… and {more} more"));
        self.findings.iter().take(FINDINGS_MAX).cloned().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::clerk::{ChildNote, SendNote, TurnNote};
    use super::*;

    fn session(id: &str, keys: &[&str]) -> Session {
        let mut session = Session { id: id.to_owned(), ..Session::default() };
        for (sequence, key) in (1..).zip(keys) {
            session.keys.entry((*key).to_owned()).or_default().push(sequence);
        }
        session
    }

    fn written(key: &str, acknowledged: Option<u64>) -> Written {
        let acknowledged =
            acknowledged.map_or(Acknowledged::Unknown, |at| Acknowledged::Yes(Some(at)));
        Written { session: "a".into(), key: key.into(), acknowledged }
    }

    fn of(books: &Books, sessions: Vec<(&str, Session)>) -> Accounts {
        let sessions = sessions.into_iter().map(|(name, one)| (name.to_owned(), one)).collect();
        account(books, &Found { sessions, ..Found::default() })
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_told() {
        let records = vec![written("x", Some(1)), written("gone", Some(2)), written("maybe", None)];
        let books = Books { records, ..Books::default() };
        let accounts = of(&books, vec![("a", session("1", &["x", "maybe"]))]);
        let tally = accounts.messages;
        assert_eq!((tally.acknowledged, tally.found, tally.missing), (2, 1, 1));
        assert_eq!((tally.unknown_found, tally.doubled), (1, 0));
        assert_eq!(accounts.findings, ["a: message gone was acknowledged and is not there"]);
    }

    #[test]
    fn what_is_there_twice_has_another_number_or_another_order_is_told() {
        let records = vec![written("x", Some(1)), written("z", Some(4)), written("y", Some(3))];
        let books = Books { records, ..Books::default() };
        let accounts = of(&books, vec![("a", session("1", &["x", "x", "y", "z"]))]);
        assert_eq!((accounts.messages.doubled, accounts.disordered), (1, 1));
        let moved = of(
            &Books { records: vec![written("x", Some(7))], ..Books::default() },
            vec![("a", session("1", &["x"]))],
        );
        assert_eq!(moved.findings, ["a: message x was number 7 and is number 1"]);
    }

    #[test]
    fn every_turn_is_accounted_for() {
        let by =
            |policy, key: &str, end| TurnNote { session: "a".into(), key: key.into(), policy, end };
        let note = |key, end| by(Policy::GoOn, key, end);
        let turns = vec![
            note("t", TurnEnd::Answered { reruns: 2 }),
            by(Policy::Tell, "told", TurnEnd::Told),
            note("cut", TurnEnd::Cancelled),
            note("lost", TurnEnd::Lost { last: "fenced".into() }),
            note("backwards", TurnEnd::Answered { reruns: 0 }),
            note("against its policy", TurnEnd::Told),
        ];
        let keys = [
            "t",
            "told",
            "t/answer",
            "lost",
            "backwards/answer",
            "backwards",
            "against its policy",
        ];
        let accounts = of(&Books { turns, ..Books::default() }, vec![("a", session("1", &keys))]);
        let turns = accounts.turns;
        assert_eq!((turns.started, turns.answered, turns.told), (6, 2, 2));
        assert_eq!((turns.cancelled, turns.lost, turns.reruns), (1, 1, 2));
        assert_eq!(accounts.findings.len(), 3, "{:?}", accounts.findings);
    }

    #[test]
    fn what_goes_between_sessions_arrives_once() {
        let send = |key: &str, answered| SendNote {
            from: "a".into(),
            to: "b".into(),
            key: key.into(),
            acknowledged: true,
            answered,
        };
        let child = ChildNote {
            parent: "a".into(),
            child: "c".into(),
            key: "k".into(),
            acknowledged: true,
        };
        let books = Books {
            sends: vec![send("s", true), send("twice", false), send("never", false)],
            children: vec![child],
            ..Books::default()
        };
        let b = session("2", &["1/s", "1/s/answer", "1/twice", "1/twice"]);
        let parent = session("1", &["3/k/answer/0"]);
        let whole = session("3", &["k", "k/answer"]);
        let accounts = of(&books, vec![("a", parent), ("b", b), ("c", whole)]);
        let sends = accounts.sends;
        assert_eq!((sends.found, sends.doubled, sends.missing), (1, 1, 1));
        assert_eq!(accounts.send_answers.found, 1);
        assert_eq!((accounts.children.found, accounts.announcements.found), (1, 1));
        assert_eq!(accounts.findings.len(), 2, "{:?}", accounts.findings);
    }
}
