//! Reading a history beside the other stores, and beside a file of lines that is parsed as a whole.

use std::path::PathBuf;

use super::Run;
use crate::Result;
use crate::bar::{Row, Unit, micros};
use crate::history::{ENGINE, Entries, History, engine};
use crate::machine::folder;
use crate::race::{P50, Race, Sample, Turns};
use crate::times::seconds;
use crate::workload::{RECORD_BYTES, payload};

const LAST: u64 = 100;

pub(super) fn beside(run: &mut Run<'_>) -> Result<()> {
    let entries = Entries { count: run.scale.read_beside, payload: payload(RECORD_BYTES) };
    let folder = folder()?;
    let mut histories = vec![engine()];
    histories.extend(&run.histories);
    let histories: Vec<(History, PathBuf)> =
        histories.into_iter().map(|one| (one, folder.path().join(one.name))).collect();
    for (history, place) in &histories {
        std::fs::create_dir(place)?;
        (history.fill)(place, &entries)?;
    }
    let bytes = RECORD_BYTES as u64;
    let (count, all) = (entries.count, entries.count * bytes);
    let of = format!("{count} records of 1 KiB");
    let mut places = fastrand::Rng::with_seed(run.seed);
    let mut key = || Entries::key(places.u64(1..=count));
    let end = race(
        run,
        &histories,
        &format!("open and read the last {LAST} of {of}"),
        |history, place| Some(timed(LAST * bytes, || (history.end)(place, LAST, count))),
    );
    let one = race(
        run,
        &histories,
        &format!("open and read one by its key, of {of}"),
        |history, place| {
            let (one, key) = (history.one?, key());
            Some(timed(bytes, || one(place, &key)))
        },
    );
    let whole = race(run, &histories, &format!("open and read all of {of}"), |history, place| {
        Some(timed(all, || (history.all)(place)))
    });
    for race in [end, one, whole] {
        for (history, _) in histories.iter().skip(1).filter(|(one, _)| race.has(one.name)) {
            let work = format!("{}, beside {}", race.title, history.name);
            let row = race.ratio(history.name, ENGINE, P50).and_then(|ratio| {
                let (this, other) =
                    (race.entry(ENGINE)?.median(P50), race.entry(history.name)?.median(P50));
                let figure = format!("{} as fast", Unit::Ratio.text(ratio));
                Ok(Row::told(&work, &micros(this), &micros(other), &figure))
            });
            run.row(&work, row);
        }
        run.keep(race);
    }
    Ok(())
}

fn race(
    run: &mut Run<'_>,
    histories: &[(History, PathBuf)],
    title: &str,
    mut read: impl FnMut(&History, &PathBuf) -> Option<Result<Sample>>,
) -> Race {
    let read = std::cell::RefCell::new(&mut read);
    let mut turns = Turns::default();
    for (history, place) in histories {
        let read = &read;
        turns.add(history.name, history.told, move || {
            (read.borrow_mut())(history, place).transpose()
        });
    }
    turns.run(title, run.scale.rounds, &mut run.random)
}

/// One reading, which must give so many bytes of payload.
fn timed(bytes: u64, read: impl FnOnce() -> Result<u64>) -> Result<Sample> {
    let time = seconds(|| match read()? {
        found if found == bytes => Ok(()),
        found => Err::<_, crate::Error>(format!("{found} bytes instead of {bytes}").into()),
    })?;
    Ok(Sample::once(time, bytes))
}
