//! Fights for journals: takes one, appends a few batches, goes to the next, for ever. What is refused
//! is tried again, so that a refusal that was none would show as a record that stands twice.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use session_journal::{
    AppendOptions, Appended, Durability, Error, ErrorKind, Journal, NewRecord, Options, Result,
    Takeover,
};
use session_journal_tests::{Chance, Spec, journal_of, says_of};

use crate::flags::Flags;
use crate::said::Mouth;

/// How often a batch is tried.
const TRIES: u32 = 3;

pub(crate) fn run(flags: &Flags) -> ExitCode {
    end_with_input();
    let mut chance = Chance::of(flags.number("seed", 1));
    let journals = flags.number("journals", 1);
    let mut contenders: Vec<Contender> = (0..journals).map(|n| Contender::new(flags, n)).collect();
    let pause = Duration::from_micros(flags.number("pause", 0));
    let mut number = 0;
    loop {
        let which = usize::try_from(chance.below(journals)).unwrap_or_default();
        contenders[which].turn(&mut number, &mut chance);
        std::thread::sleep(pause);
    }
}

/// A wrapper does not pass on that the test is gone; the pipe from the test tells.
fn end_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// One journal, as this process wants it.
struct Contender {
    path: PathBuf,
    mouth: Mouth,
    options: Options,
    prefix: String,
    shape: (u64, usize),
    alternating: bool,
    compacts: bool,
    owned: Option<Journal>,
}

impl Contender {
    fn new(flags: &Flags, number: u64) -> Self {
        let says = PathBuf::from(flags.get("ack").expect("--ack"));
        Self {
            path: journal_of(&flags.path, number),
            mouth: Mouth::at(&says_of(&says, number)),
            options: flags.options(),
            prefix: flags.get("prefix").unwrap_or("p").to_owned(),
            shape: (
                flags.number("batch", 5),
                usize::try_from(flags.number("size", 2000)).expect("a size"),
            ),
            alternating: flags.get("durability") == Some("alternating"),
            compacts: flags.get("compacts") == Some("yes"),
            owned: None,
        }
    }

    /// Takes it, or goes on with what it had, which may be another's by now.
    fn turn(&mut self, number: &mut u64, chance: &mut Chance) {
        if self.owned.is_none() || chance.below(3) > 0 {
            let takeover = match chance.below(8) {
                0 => Takeover::Never,
                1 | 2 => Takeover::IfGone,
                _ => Takeover::Always,
            };
            self.open(takeover);
        }
        for _ in 0..chance.below(4) {
            self.append(*number, chance);
            *number += 1;
        }
        let ended = match (self.owned.take(), chance.below(16)) {
            (Some(journal), 0 | 1) => journal.close(),
            (Some(mut journal), 2) => {
                let synced = journal.sync();
                self.keep(journal, synced)
            }
            (Some(mut journal), 3) if self.compacts => {
                let compacted = journal.compact().map(|_| ());
                self.keep(journal, compacted)
            }
            (owned, kind) => {
                // As a process that crashes at times.
                self.owned = owned.filter(|_| kind != 4);
                Ok(())
            }
        };
        if let Err(error) = ended {
            self.mouth.refused(&error);
        }
    }

    /// What goes on being owned, however an operation on it ended.
    fn keep(&mut self, journal: Journal, done: Result<()>) -> Result<()> {
        self.owned = Some(journal);
        done
    }

    /// The handle so far stays until the new one is there: two of one process compete.
    fn open(&mut self, takeover: Takeover) {
        match Journal::open(&self.path, &Options { takeover, ..self.options.clone() }) {
            Ok(journal) => {
                self.mouth.opened(&journal);
                self.owned = Some(journal);
            }
            Err(error) => self.mouth.refused(&error),
        }
    }

    /// One batch, tried again where it was refused, or where its keys keep it from standing twice.
    fn append(&mut self, number: u64, chance: &mut Chance) {
        let batch = Spec::batch(&self.prefix, number, self.shape, chance);
        let durability = match (self.alternating, chance.below(2)) {
            (false, _) => None,
            (true, 0) => Some(Durability::Written),
            (true, _) => Some(Durability::Durable),
        };
        for _ in 0..TRIES {
            let Some(journal) = &mut self.owned else { return };
            self.mouth.will_try(&batch);
            match append(journal, &batch, durability) {
                Ok(answers) => return self.mouth.stored(&answers),
                Err(error) => {
                    self.mouth.refused(&error);
                    if !self.may_try_again(&error, &batch) {
                        return;
                    }
                }
            }
        }
    }

    fn may_try_again(&mut self, error: &Error, batch: &[Spec]) -> bool {
        if error.kind() == ErrorKind::NoSpace {
            return false;
        }
        self.open(Takeover::Always);
        error.kind() != ErrorKind::Unknown || batch.iter().all(|spec| spec.keyed)
    }
}

fn append(
    journal: &mut Journal,
    batch: &[Spec],
    durability: Option<Durability>,
) -> Result<Vec<Appended>> {
    let records: Vec<NewRecord> = batch.iter().map(Spec::record).collect();
    journal.append_all(&records, &AppendOptions { durability, ..AppendOptions::default() })
}
