//! Reading everything: every record, and every byte with its checksum. Beside two limits: the checksum
//! alone over bytes in memory, and reading them with `pread`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use session_journal::Reader;

use super::Run;
use super::reading::size;
use crate::bar::{Bar, Row, Unit, speed};
use crate::race::{BYTES, Race, Sample, Turns};
use crate::times::seconds;
use crate::{Result, raw};

const CHECKSUM: &str = "`crc32fast` alone, in memory";
const PREAD: &str = "`pread`, a MiB at a time";
const MAP: &str = "copied from a map, a MiB at a time";
const SCAN: &str = "every record";
const OWNED: &str = "every record, as records of the caller's own";
const VERIFY: &str = "verify";
/// So much of a file is checksummed in memory at most.
const IN_MEMORY: u64 = 256 << 20;

pub(super) fn scanning(run: &mut Run<'_>) -> Result<()> {
    let judged = run.scale.sizes.iter().rev().find(|bytes| **bytes >> 20 == 400);
    let judged = judged.or(run.scale.sizes.last()).copied();
    for bytes in run.scale.sizes.clone() {
        let (path, records) = run.data.journal(bytes)?;
        let race = race(run, &path, bytes, records)?;
        // The bar is judged where the journal is far larger than any cache, and beyond.
        let is_judged = Some(bytes) >= judged;
        let works = [
            ("", "verify", VERIFY),
            ("", "full scan", SCAN),
            (", as owned records", "full scan", OWNED),
        ];
        for (how, what, name) in works {
            let work = format!("{what}, {}, warm{how}", size(bytes));
            let row = beside_the_slower(&race, &work, name, is_judged && how.is_empty());
            run.row(&work, row);
        }
        run.keep(race);
    }
    Ok(())
}

fn race(run: &mut Run<'_>, path: &Path, bytes: u64, records: u64) -> Result<Race> {
    let length = path.metadata()?.len();
    let mut memory = Vec::new();
    File::open(path)?.take(IN_MEMORY).read_to_end(&mut memory)?;
    let mut turns = Turns::default();
    turns.add(CHECKSUM, "", || once(raw::checksum(&memory)?, memory.len() as u64));
    turns.add(PREAD, "", || once(raw::read_whole(path)?, length));
    turns.add(MAP, "", || once(raw::copy_from_map(path)?, length));
    turns.add(SCAN, "each lent where it was read", || {
        let scan = seconds(|| {
            let (mut count, mut lent) = (0, Reader::open(path)?.records());
            while let Some(record) = lent.next_ref() {
                std::hint::black_box(record?);
                count += 1;
            }
            all_of(records, count)
        });
        once(scan?, length)
    });
    turns.add(OWNED, "each in memory of its own", || {
        let scan = seconds(|| {
            let mut count = 0;
            for record in Reader::open(path)?.records() {
                std::hint::black_box(record?);
                count += 1;
            }
            all_of(records, count)
        });
        once(scan?, length)
    });
    turns.add(VERIFY, "", || {
        let verify = seconds(|| match session_journal::verify(path, &mut |_, _| ())? {
            verified if verified.ok && verified.records == records => Ok(()),
            verified => Err(format!("not sound: {verified:?}").into()),
        });
        once(verify.map_err(|error: crate::Error| error)?, length)
    });
    let rounds = if bytes >> 30 > 0 { 1 } else { run.scale.rounds.min(5) };
    Ok(turns.run(&format!("Read all of {}, warm", size(bytes)), rounds, &mut run.random))
}

fn all_of(records: u64, count: u64) -> Result<()> {
    if count == records { Ok(()) } else { Err(format!("{count} of {records} records").into()) }
}

fn once(seconds: f64, bytes: u64) -> Result<Option<Sample>> {
    Ok(Some(Sample::once(seconds, bytes)))
}

fn beside_the_slower(race: &Race, work: &str, name: &str, is_judged: bool) -> Result<Row> {
    let of = |name| Ok::<_, crate::Error>(race.entry(name)?.median(BYTES));
    let slower = if of(CHECKSUM)? < of(PREAD)? { CHECKSUM } else { PREAD };
    let ratio = race.ratio(name, slower, BYTES)?;
    let (this, limit) = (speed(of(name)?), format!("{} ({slower})", speed(of(slower)?)));
    if is_judged {
        return Ok(Row::judged(work, &this, &limit, ratio, Unit::Ratio, Bar::AtLeast(0.7)));
    }
    Ok(Row::told(work, &this, &limit, &Unit::Ratio.text(ratio)))
}
