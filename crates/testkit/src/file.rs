//! One file of the simulated machine: what programs see (the page cache), and what would be there
//! after a power loss (the durable image).

use std::collections::HashMap;

use crate::choices::Choices;

/// Frames begin behind the header page.
const PAGE_LEN: usize = 4096;
/// The parts in which a device writes, of one page.
const SECTORS: usize = 8;

/// See the module. A page is dirty where its version is above the durable one.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    page: usize,
    cache: Vec<u8>,
    durable: Vec<u8>,
    /// What was appended, whatever became of it.
    appended: Vec<u8>,
    /// The last appends, the newest first: at which step, and where.
    recent: Vec<(u64, usize)>,
    /// Where the last append of each process ends.
    pub(crate) seen: HashMap<usize, usize>,
    /// What stood in the place of bytes that left the memory.
    left: HashMap<usize, u8>,
    versions: Vec<Version>,
    /// How many syncs failed. Each descriptor that was open hears of it once, at its next sync; one
    /// opened later never does (the kernel's `errseq_t`).
    pub(crate) sync_errors: u32,
    /// Somebody appends to it right now: other appends wait, as for the kernel's inode lock.
    pub(crate) busy: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Version {
    cached: u32,
    durable: u32,
    /// Its sync failed: the kernel calls it clean, and will not write it again by itself.
    failed: bool,
}

impl Version {
    fn is_dirty(self) -> bool {
        self.cached > self.durable && !self.failed
    }
}

/// What a sync found to be dirty when it began.
#[derive(Debug)]
pub(crate) struct Snapshot {
    len: usize,
    pages: Vec<(usize, u32, Vec<u8>)>,
}

impl File {
    pub(crate) fn new(page: usize) -> Self {
        Self { page, ..Self::default() }
    }

    /// A file that is durable as it stands.
    pub(crate) fn durable(page: usize, content: &[u8]) -> Self {
        let mut file = Self::new(page);
        file.write(0, content);
        file.sync(&file.snapshot());
        file
    }

    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    /// Takes note of an append that begins here, at this step.
    pub(crate) fn appends(&mut self, at: usize, bytes: &[u8], step: u64) {
        self.recent.truncate(7);
        self.recent.insert(0, (step, at));
        self.appended.resize(at, 0);
        self.appended.extend_from_slice(bytes);
    }

    /// Where the last appends since this step begin, behind the last one of this process.
    pub(crate) fn appends_since(&self, step: u64, process: usize) -> Vec<usize> {
        let from = self.seen.get(&process).copied().unwrap_or(0).max(PAGE_LEN);
        let recent = self.recent.iter().filter(|(at_step, at)| *at_step >= step && *at >= from);
        recent.map(|(_, at)| *at).collect()
    }

    /// Writing these bytes here changes nothing, or brings back what was appended, or what a reader
    /// found once that had left the memory.
    pub(crate) fn has_had(&self, at: usize, bytes: &[u8]) -> bool {
        let stretch = at..at + bytes.len();
        let there = self.cache.get(stretch.clone());
        let pairs = bytes.iter().zip(there.unwrap_or_default()).zip(stretch);
        there.is_some() && { pairs }.all(|((new, old), at)| {
            new == old || self.appended.get(at) == Some(new) || self.left.get(&at) == Some(new)
        })
    }

    /// Changes what programs see; what is behind the end is made of zeros.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[at..end].copy_from_slice(bytes);
        let last = (end - 1) / self.page;
        if self.versions.len() <= last {
            self.versions.resize(last + 1, Version::default());
        }
        for version in &mut self.versions[at / self.page..=last] {
            version.cached += 1;
            version.failed = false;
        }
    }

    /// Damage: changes what is seen and what is durable alike, also for syncs that are under way.
    pub(crate) fn damage(&mut self, at: usize, change: impl Fn(&mut [u8]), len: usize) {
        let end = self.cache.len().min(at + len);
        if at >= end {
            return;
        }
        change(&mut self.cache[at..end]);
        for page in at / self.page..=(end - 1) / self.page {
            self.versions[page].cached += 1;
            let (version, bytes) = (self.versions[page].cached, self.of_page(page));
            self.persist(page, version, &bytes);
            self.versions[page].failed = false;
        }
    }

    /// Damage: cuts what is seen and what is durable.
    pub(crate) fn cut(&mut self, len: usize) {
        self.cache.truncate(len);
        self.durable.truncate(len);
        self.versions.truncate(len.div_ceil(self.page));
    }

    /// Up to where the page ends that holds this byte.
    pub(crate) fn page_end(&self, at: usize) -> usize {
        (at / self.page + 1) * self.page
    }

    // ---- to the disk ---------------------------------------------------------------------------

    fn of_page(&self, page: usize) -> Vec<u8> {
        let begin = page * self.page;
        let end = self.cache.len().min(begin + self.page);
        self.cache.get(begin..end).unwrap_or_default().to_vec()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let dirty = self.versions.iter().enumerate().filter(|(_, version)| version.is_dirty());
        let pages =
            dirty.map(|(page, version)| (page, version.cached, self.of_page(page))).collect();
        Snapshot { len: self.cache.len(), pages }
    }

    fn persist(&mut self, page: usize, version: u32, bytes: &[u8]) {
        let begin = page * self.page;
        match self.versions.get_mut(page) {
            Some(known) if known.durable < version => known.durable = version,
            _ => return,
        }
        if self.durable.len() < begin + bytes.len() {
            self.durable.resize(begin + bytes.len(), 0);
        }
        self.durable[begin..begin + bytes.len()].copy_from_slice(bytes);
    }

    /// Everything that the snapshot holds is durable now.
    pub(crate) fn sync(&mut self, snapshot: &Snapshot) {
        for (page, version, bytes) in &snapshot.pages {
            self.persist(*page, *version, bytes);
        }
        let len = snapshot.len.min(self.cache.len());
        if self.durable.len() < len {
            self.durable.resize(len, 0);
        }
    }

    /// A sync fails: some pages reached the disk, the others are called clean all the same.
    pub(crate) fn fail_sync(&mut self, choices: &mut Choices) {
        self.sync_errors += 1;
        for (page, version, bytes) in self.snapshot().pages {
            if choices.below(2) == 0 {
                self.versions[page].failed = true;
            } else {
                self.persist(page, version, &bytes);
            }
        }
    }

    /// The system writes some pages by itself; says whether it did.
    pub(crate) fn write_back(&mut self, choices: &mut Choices) -> bool {
        let mut wrote = false;
        for (page, version, bytes) in self.snapshot().pages {
            if choices.below(2) == 1 {
                self.persist(page, version, &bytes);
                wrote = true;
            }
        }
        wrote
    }

    /// Pages whose sync failed leave the memory. Says from where on something changed.
    pub(crate) fn evict(&mut self) -> Option<usize> {
        let failed: Vec<usize> =
            (0..self.versions.len()).filter(|page| self.versions[*page].failed).collect();
        for page in &failed {
            let begin = page * self.page;
            let end = self.cache.len().min(begin + self.page);
            for at in begin..end {
                self.cache[at] = self.durable.get(at).copied().unwrap_or(0);
                self.left.insert(at, self.cache[at]);
            }
            // A sync that is under way holds older bytes, which are not to come back.
            let version = &mut self.versions[*page];
            *version = Version { durable: version.cached, failed: false, ..*version };
        }
        failed.first().map(|page| page * self.page)
    }

    /// The power fails: each page that was not synced is on the disk, or not, or in part.
    pub(crate) fn power_loss(&mut self, choices: &mut Choices) {
        for page in 0..self.versions.len() {
            let version = self.versions[page];
            if version.cached == version.durable {
                continue;
            }
            let bytes = self.of_page(page);
            let old = self.durable_page(page, bytes.len());
            match choices.below(4) {
                0 => self.persist(page, version.cached, &bytes),
                1 => {}
                2 => {
                    let sector = bytes.len().div_ceil(SECTORS).max(1);
                    let mut mixed = old;
                    for (new, old) in bytes.chunks(sector).zip(mixed.chunks_mut(sector)) {
                        if choices.below(2) == 0 {
                            old.copy_from_slice(new);
                        }
                    }
                    self.persist(page, version.cached, &mixed);
                }
                _ => {
                    let torn = choices.below(u32::try_from(bytes.len()).unwrap_or(1)) as usize;
                    let mixed = [&bytes[..torn], &old[torn..]].concat();
                    self.persist(page, version.cached, &mixed);
                }
            }
        }
        self.durable.truncate(self.cache.len());
        self.cache.clone_from(&self.durable);
        self.versions.truncate(self.cache.len().div_ceil(self.page));
        for version in &mut self.versions {
            version.cached = version.durable;
            version.failed = false;
        }
        self.busy = false;
    }

    fn durable_page(&self, page: usize, len: usize) -> Vec<u8> {
        let begin = (page * self.page).min(self.durable.len());
        let end = (begin + len).min(self.durable.len());
        let mut bytes = self.durable[begin..end].to_vec();
        bytes.resize(len, 0);
        bytes
    }
}
