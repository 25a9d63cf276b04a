//! Reading everything that is there.

use std::sync::Arc;

use session_journal::{Error, Item, JournalId, Reader, Record};

use super::{Client, Shared};
use crate::check;
use crate::disk::SimDisk;
use crate::history::{History, Span, Tag, View};

impl Client {
    pub(super) fn read(&mut self, session: usize) {
        let span = self.begin("read", session);
        // A reader that began before a loss may know of records whose numbers were used again.
        let epoch = self.shared.history.borrow().epoch();
        if self.holds[session].reader_epoch != epoch {
            self.holds[session].reader = None;
        }
        if self.holds[session].reader.is_none() || self.shared.choose(|c| c.once_in(3)) {
            self.holds[session].reader_epoch = epoch;
            let disk = Arc::new(SimDisk::new(&self.shared.world, self.actor()));
            match Reader::open_with(Shared::path(session), disk) {
                Ok(reader) => self.holds[session].reader = Some(reader),
                Err(error) => return self.failed("read", &error),
            }
        } else if let Some(reader) = &mut self.holds[session].reader
            && let Err(error) = reader.refresh()
        {
            self.holds[session].reader = None;
            return self.failed("refresh", &error);
        }
        let Some(reader) = &self.holds[session].reader else { return };
        let (id, looked) = (reader.id(), look(reader));
        if self.is_dead() {
            return;
        }
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.holds[session].reader = None;
                return self.failed("read", &error);
            }
        };
        let recognised = recognise(&self.shared.history.borrow(), looked);
        match recognised {
            Ok(seen) => {
                self.tell(|| format!("reads {:?}", seen.list));
                self.saw(id, seen, span);
            }
            Err(what) => self.shared.history.borrow_mut().violated(what),
        }
    }

    fn saw(&self, id: JournalId, seen: Seen, span: Span) {
        let mut history = self.shared.history.borrow_mut();
        if history.lives.contains_key(&id) {
            if let Err(what) = check::sound(&history, id, &seen.list) {
                history.violated(format!("process {} reads: {what}", self.process));
            }
            let span = history.end(span);
            history.views.push(View { journal: id, list: seen.list, span });
        }
    }
}

/// Everything that a reader finds.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) list: Vec<(u64, Tag)>,
    pub(crate) gaps: u64,
}

/// Reads everything with its gaps. Takes turns, so the history is not borrowed meanwhile.
pub(crate) fn look(reader: &Reader) -> Result<(Vec<Record>, u64), Error> {
    let (mut records, mut gaps) = (Vec::new(), 0);
    for item in reader.records().with_gaps() {
        match item? {
            Item::Record(record) => records.push(record),
            Item::Gap(gap) => gaps += gap.records,
        }
    }
    Ok((records, gaps))
}

/// What these records are, if all of them are what was appended.
pub(crate) fn recognise(
    history: &History,
    (records, gaps): (Vec<Record>, u64),
) -> Result<Seen, String> {
    let tagged = |record: &Record| Ok((record.sequence.get(), check::tag_of(history, record)?));
    Ok(Seen { list: records.iter().map(tagged).collect::<Result<_, String>>()?, gaps })
}
