//! Schedules that end with a loss of power: what was called durable is there.

use std::path::Path;
use std::sync::Arc;

use session_journal::{
    Appended, Durability, Journal, NewRecord, Options, Reader, Takeover, Verdict,
};

use super::Outcome;
use super::told::must;
use crate::support::power::PowerDisk;
use crate::support::{Bench, lazily, name, record};

/// A journal on a disk that can lose power.
struct Machine {
    bench: Bench,
    disk: PowerDisk,
}

impl Machine {
    fn new() -> Self {
        Self { bench: Bench::new(), disk: PowerDisk::default() }
    }

    fn path(&self) -> &Path {
        &self.bench.path
    }

    /// Acknowledges after a sync; nothing is synced besides.
    fn durably(&self) -> Options {
        Options { durability: Durability::Durable, ..self.lazily() }
    }

    fn lazily(&self) -> Options {
        let options = Options { takeover: Takeover::Always, ..Options::default() };
        lazily(Options { disk: Arc::new(self.disk.clone()), ..options })
    }

    fn create(&self, options: &Options) -> Journal {
        Journal::create(self.path(), &name("a"), options).unwrap()
    }

    fn open(&self) -> Journal {
        Journal::open(self.path(), &self.durably()).unwrap()
    }

    /// A journal that is durable so far, its name too, and appends as these options say.
    fn settled(&self, options: &Options) -> Journal {
        let mut journal = self.create(options);
        journal.append(&record("settled")).unwrap();
        journal.sync().unwrap();
        journal
    }

    /// Power is lost; what was called durable must be there.
    fn holds_behind_a_loss(&self, journal: Journal, acknowledged: &[Appended]) -> Outcome {
        drop(journal);
        self.disk.lose_power();
        for one in acknowledged.iter().filter(|one| one.durable) {
            let reader = Reader::open(self.path()).map_err(|error| error.to_string())?;
            let found = reader.get(one.sequence).map_err(|error| error.to_string())?;
            must(found.is_some(), || format!("record {} was durable and is gone", one.sequence))?;
        }
        Ok(())
    }
}

fn keyed() -> NewRecord {
    record("keyed").key("key")
}

/// I9.
pub(crate) fn a_power_loss_behind_a_durable_append() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.durably());
    let appended = journal.append(&record("two")).unwrap();
    machine.holds_behind_a_loss(journal, &[appended])
}

/// H22: a duplicate of a record that was only written.
pub(crate) fn a_power_loss_behind_a_durable_duplicate() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.lazily());
    journal.append(&keyed()).unwrap();
    let durably = session_journal::AppendOptions {
        durability: Some(Durability::Durable),
        ..Default::default()
    };
    let again = journal.append_all(&[keyed()], &durably).unwrap();
    machine.holds_behind_a_loss(journal, &again)
}

/// I10: the next sync of the same pages succeeds, and means nothing.
pub(crate) fn a_power_loss_behind_a_failed_sync() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.durably());
    machine.disk.fail_sync();
    let appended: Vec<Appended> = journal.append(&record("two")).into_iter().collect();
    machine.holds_behind_a_loss(journal, &appended)
}

/// H9: the next owner finds the record in memory, and calls it durable.
pub(crate) fn a_power_loss_behind_a_failed_sync_of_the_owner_before() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.lazily());
    journal.append(&keyed()).unwrap();
    machine.disk.fail_sync();
    assert!(journal.sync().is_err());
    drop(journal);
    let mut next = machine.open();
    let again = next.append(&keyed()).unwrap();
    machine.holds_behind_a_loss(next, &[again])
}

/// H13: the sync of a close fails; the next owner meets its release, or none.
pub(crate) fn a_power_loss_behind_a_close_that_failed() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.lazily());
    journal.append(&keyed()).unwrap();
    machine.disk.fail_sync();
    assert!(journal.close().is_err());
    let mut next = machine.open();
    let again = next.append(&keyed()).unwrap();
    machine.holds_behind_a_loss(next, &[again])
}

/// H12: the header page was written back, what came since the last sync was not. Nothing of that
/// was called durable, so nothing is damaged.
pub(crate) fn a_power_loss_that_leaves_the_slots() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&Options { checkpoint_records: 3, ..machine.lazily() });
    for _ in 0..5 {
        journal.append(&record("only written")).unwrap();
    }
    drop(journal);
    machine.disk.write_back(machine.path(), &(0..4096));
    machine.disk.lose_power();
    let report = machine.open().opening().report.clone();
    let damaged = report.holes.iter().any(|hole| hole.verdict == Verdict::Corrupt);
    must(!damaged, || format!("told of damage that is none: {report}"))
}

/// I8, H11: no generation has two owners.
pub(crate) fn a_power_loss_behind_a_takeover() -> Outcome {
    let machine = Machine::new();
    machine.settled(&machine.durably()).close().unwrap();
    let second = machine.open();
    let before = second.generation();
    drop(second);
    machine.disk.lose_power();
    let after = machine.open().generation();
    must(after > before, || format!("generation {after} was owned twice"))
}

/// H15: the compacted file is as durable as the one in whose place it is.
pub(crate) fn a_power_loss_behind_a_compaction() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.durably());
    let appended = journal.append(&record("two")).unwrap();
    journal.compact().unwrap();
    machine.holds_behind_a_loss(journal, &[appended])
}

/// H15: the path leads to the new file before anything is acknowledged there.
pub(crate) fn a_power_loss_behind_an_append_to_a_compacted_file() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.settled(&machine.durably());
    journal.compact().unwrap();
    let appended = journal.append(&record("two")).unwrap();
    machine.holds_behind_a_loss(journal, &[appended])
}

/// H16: the name is as durable as what is acknowledged under it.
pub(crate) fn a_power_loss_behind_the_first_append() -> Outcome {
    let machine = Machine::new();
    let mut journal = machine.create(&machine.durably());
    let appended = journal.append(&record("one")).unwrap();
    machine.holds_behind_a_loss(journal, &[appended])
}
