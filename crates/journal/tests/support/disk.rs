//! A disk that misbehaves on demand: this machine's files behind a wrapper that fails, cuts short,
//! pauses, hides or dies at a chosen operation.
//!
//! Rules count calls from the moment they are set: `fail(Op::Sync, 2, EIO)` lets one sync pass and
//! fails the next. Hooks run between two operations of the owner under test, so another owner can
//! do whatever it wants at exactly that moment: schedules are chosen, not hoped for.
//!
//! Syncs are counted but not carried out: nothing here loses power, and thousands of them would
//! only cost time.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_journal::storage::{
    Access, Attachment, Disk, Filesystem, FolderLock, Landing, LocalDisk, Storage,
};

/// A device that is broken.
pub(crate) const EIO: i32 = 5;
/// A disk that is full.
pub(crate) const ENOSPC: i32 = 28;

/// What the engine can ask of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Open,
    Create,
    CreateNew,
    Rename,
    Remove,
    SyncFolder,
    Names,
    LockFolder,
    Canonical,
    Filesystem,
    Append,
    ReadAt,
    Len,
    Sync,
    WriteAt,
    Attachment,
    Reserve,
}

/// One call that reached the disk, with the bytes that it was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

type Hook = Box<dyn FnOnce() + Send>;

enum What {
    /// Fails and does nothing.
    Fail(i32),
    /// Does it, and reports a failure all the same.
    FailAfter(i32),
    /// An append of so many bytes at most.
    Short(usize),
    /// A child writes this through the same descriptor, right behind an append.
    Child(&'static [u8]),
    /// Nothing works from here on, as if the process had died.
    Die,
    /// Something else happens first.
    Before(Hook),
    /// Something else happens right behind it.
    After(Hook),
}

struct Rule {
    /// None for any operation.
    op: Option<Op>,
    /// The call that it means; None for every one.
    left: Option<u64>,
    what: What,
}

#[derive(Default)]
struct Plan {
    rules: Vec<Rule>,
    calls: Vec<Call>,
    dead: bool,
    /// The file seems to end here.
    view: Option<u64>,
    /// These bytes are read as zeros.
    blank: Option<Range<u64>>,
    filesystem: Option<String>,
}

/// See the module. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct FaultDisk(Arc<Mutex<Plan>>);

impl fmt::Debug for FaultDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultDisk")
    }
}

/// What is to happen to one call, taken out of the plan before it is carried out.
#[derive(Default)]
struct Fate {
    fail: Option<i32>,
    fail_after: Option<i32>,
    short: Option<usize>,
    child: Option<&'static [u8]>,
    before: Vec<Hook>,
    after: Vec<Hook>,
    die: bool,
}

impl FaultDisk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rule(&self, op: Option<Op>, nth: Option<u64>, what: What) {
        self.plan().rules.push(Rule { op, left: nth, what });
    }

    /// The `nth` such call from now on (1 is the next) fails and does nothing.
    pub(crate) fn fail(&self, op: Op, nth: u64, errno: i32) {
        self.rule(Some(op), Some(nth), What::Fail(errno));
    }

    /// The `nth` call of any kind fails.
    pub(crate) fn fail_any(&self, nth: u64, errno: i32) {
        self.rule(None, Some(nth), What::Fail(errno));
    }

    /// Every such call fails until [`heal`](Self::heal).
    pub(crate) fn fail_always(&self, op: Op, errno: i32) {
        self.rule(Some(op), None, What::Fail(errno));
    }

    /// The `nth` such call does what it should and reports a failure.
    pub(crate) fn fail_after(&self, op: Op, nth: u64, errno: i32) {
        self.rule(Some(op), Some(nth), What::FailAfter(errno));
    }

    /// The `nth` append writes only the first `bytes` bytes.
    pub(crate) fn short(&self, nth: u64, bytes: usize) {
        self.rule(Some(Op::Append), Some(nth), What::Short(bytes));
    }

    /// A child that inherited the descriptor writes through it right behind the `nth` append: where
    /// the descriptor stands then, nothing of the parent's ends.
    pub(crate) fn child_writes(&self, nth: u64, bytes: &'static [u8]) {
        self.rule(Some(Op::Append), Some(nth), What::Child(bytes));
    }

    /// From the `nth` such call on nothing reaches the disk.
    pub(crate) fn die_at(&self, op: Op, nth: u64) {
        self.rule(Some(op), Some(nth), What::Die);
    }

    /// From the `nth` call of any kind on nothing reaches the disk.
    pub(crate) fn die_at_any(&self, nth: u64) {
        self.rule(None, Some(nth), What::Die);
    }

    /// Runs right before the `nth` such call.
    pub(crate) fn before(&self, op: Op, nth: u64, hook: impl FnOnce() + Send + 'static) {
        self.rule(Some(op), Some(nth), What::Before(Box::new(hook)));
    }

    /// Runs right behind the `nth` such call.
    pub(crate) fn after(&self, op: Op, nth: u64, hook: impl FnOnce() + Send + 'static) {
        self.rule(Some(op), Some(nth), What::After(Box::new(hook)));
    }

    /// Forgets every rule; the dead stay dead.
    pub(crate) fn heal(&self) {
        self.plan().rules.clear();
    }

    /// Files seem to end at `end`: a frame becomes visible page by page.
    pub(crate) fn show_up_to(&self, end: Option<u64>) {
        self.plan().view = end;
    }

    /// These bytes are read as zeros: a reader without a lock may see them so.
    pub(crate) fn blank(&self, range: Option<Range<u64>>) {
        self.plan().blank = range;
    }

    /// Claims to be a network file system.
    pub(crate) fn be_remote(&self, name: &str) {
        self.plan().filesystem = Some(name.to_owned());
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.plan().calls.clone()
    }

    /// Forgets the calls so far.
    pub(crate) fn forget_calls(&self) {
        self.plan().calls.clear();
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.plan().calls.iter().filter(|call| call.op == op).count()
    }

    /// Bytes that were moved by calls of this kind.
    pub(crate) fn bytes(&self, op: Op) -> u64 {
        self.plan().calls.iter().filter(|call| call.op == op).map(|call| call.bytes).sum()
    }

    fn fate(&self, op: Op, offset: u64, bytes: u64) -> io::Result<Fate> {
        let mut plan = self.plan();
        if plan.dead {
            return Err(dead());
        }
        plan.calls.push(Call { op, offset, bytes });
        let mut fate = Fate::default();
        let mut kept = Vec::new();
        for mut rule in std::mem::take(&mut plan.rules) {
            let due = (rule.op.is_none() || rule.op == Some(op))
                && rule.left.as_mut().is_none_or(|left| {
                    *left -= 1;
                    *left == 0
                });
            if !due {
                kept.push(rule);
                continue;
            }
            match rule.what {
                What::Fail(errno) => {
                    fate.fail = Some(errno);
                    if rule.left.is_none() {
                        kept.push(Rule { op: rule.op, left: None, what: What::Fail(errno) });
                    }
                }
                What::FailAfter(errno) => fate.fail_after = Some(errno),
                What::Short(bytes) => fate.short = Some(bytes),
                What::Child(bytes) => fate.child = Some(bytes),
                What::Die => fate.die = true,
                What::Before(hook) => fate.before.push(hook),
                What::After(hook) => fate.after.push(hook),
            }
        }
        plan.dead |= fate.die;
        plan.rules = kept;
        Ok(fate)
    }

    /// Carries a call out as the plan has it. Hooks run without a lock.
    fn call<T>(
        &self,
        op: Op,
        offset: u64,
        bytes: u64,
        run: impl FnOnce(&Fate) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut fate = self.fate(op, offset, bytes)?;
        for hook in std::mem::take(&mut fate.before) {
            hook();
        }
        if fate.die {
            return Err(dead());
        }
        if let Some(errno) = fate.fail {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let done = run(&fate)?;
        for hook in std::mem::take(&mut fate.after) {
            hook();
        }
        match fate.fail_after {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(done),
        }
    }

    fn simply<T>(&self, op: Op, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.call(op, 0, 0, |_| run())
    }

    fn wrap(&self, file: Arc<dyn Storage>) -> Arc<dyn Storage> {
        Arc::new(FaultFile { disk: self.clone(), file })
    }
}

fn dead() -> io::Error {
    io::Error::other("this process is dead")
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    file: Arc<dyn Storage>,
}

impl Storage for FaultFile {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        self.disk.call(Op::Append, 0, bytes.len() as u64, |fate| {
            let len = fate.short.unwrap_or(bytes.len()).min(bytes.len());
            if len == 0 && !bytes.is_empty() {
                // Where not one byte fits the system reports an error, not a length of zero.
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            let landing = self.file.append(&bytes[..len])?;
            let Some(child) = fate.child else { return Ok(landing) };
            let position = self.file.append(child)?.offset + child.len() as u64;
            Ok(Landing { offset: position - landing.written as u64, ..landing })
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len() as u64;
        self.disk.call(Op::ReadAt, offset, len, |_| {
            let mut read = self.file.read_at(offset, buffer)?;
            let plan = self.disk.plan();
            if let Some(end) = plan.view {
                let seen = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
                read = read.min(seen);
            }
            if let Some(blank) = &plan.blank {
                for (at, byte) in (offset..).zip(buffer[..read].iter_mut()) {
                    if blank.contains(&at) {
                        *byte = 0;
                    }
                }
            }
            Ok(read)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(Op::Len, 0, 0, |_| {
            let len = self.file.len()?;
            Ok(self.disk.plan().view.map_or(len, |end| len.min(end)))
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.simply(Op::Sync, || Ok(()))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        self.disk.call(Op::WriteAt, offset, len, |_| self.file.write_at(offset, bytes))
    }

    fn attachment(&self) -> io::Result<Attachment> {
        self.disk.simply(Op::Attachment, || self.file.attachment())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.disk.call(Op::Reserve, 0, bytes, |_| self.file.reserve(bytes))
    }

    #[cfg(feature = "mutations")]
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.call(Op::WriteAt, len, 0, |_| self.file.truncate(len))
    }
}

impl Disk for FaultDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let file = self.simply(Op::Open, || LocalDisk.open(path, access))?;
        Ok(self.wrap(file))
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        let file = self.simply(Op::Create, || LocalDisk.create(path, content))?;
        Ok(self.wrap(file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        let file = self.simply(Op::CreateNew, || LocalDisk.create_new(path))?;
        Ok(self.wrap(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.simply(Op::Rename, || LocalDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.simply(Op::Remove, || LocalDisk.remove(path))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.simply(Op::SyncFolder, || Ok(()))
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<Box<dyn FolderLock>> {
        self.simply(Op::LockFolder, || LocalDisk.lock_folder(folder))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.simply(Op::Canonical, || LocalDisk.canonical(path))
    }

    fn filesystem(&self, path: &Path) -> io::Result<Filesystem> {
        self.simply(Op::Filesystem, || match self.plan().filesystem.clone() {
            Some(name) => Ok(Filesystem::Remote(name)),
            None => LocalDisk.filesystem(path),
        })
    }
}
