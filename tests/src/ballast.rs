//! What fills a file system up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::truth::names_in;

const PAGE: usize = 4096;
/// The last bytes are taken page by page, so that pages can be given back.
const PAGES_BYTES: u64 = 256 << 10;

/// A folder of files that leave no room for anything else.
#[derive(Debug)]
pub struct Ballast {
    folder: PathBuf,
    pages: u64,
}

impl Ballast {
    /// None yet, on the file system of this folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let folder = folder.join("ballast");
        fs::create_dir(&folder).expect("a folder");
        Self { folder, pages: 0 }
    }

    /// Takes all room but about so many pages.
    pub fn leave(&mut self, pages: u64) {
        self.make_room();
        let mut take = self.free().saturating_sub(PAGES_BYTES);
        let bulk = File::create(self.folder.join("bulk")).expect("a file");
        while take > PAGES_BYTES {
            match fallocate(&bulk, FallocateFlags::KEEP_SIZE, 0, take) {
                Ok(()) => break,
                // Some of what is free is kept for the file system itself.
                Err(error) => assert_eq!(error, rustix::io::Errno::NOSPC),
            }
            take -= take / 64;
        }
        let mut rest = File::create(self.folder.join("rest")).expect("a file");
        while self.add_page().is_ok() {}
        self.sync();
        // There may be room left that is none for another file.
        while rest.write_all(&[b'x'; PAGE]).and_then(|()| rest.sync_all()).is_ok() {}
        for page in self.pages.saturating_sub(pages)..self.pages {
            let _ = fs::remove_file(self.page(page));
        }
    }

    /// Removes it.
    pub fn make_room(&mut self) {
        for name in names_in(&self.folder) {
            fs::remove_file(self.folder.join(name)).expect("the ballast goes");
        }
        self.pages = 0;
        // Some file systems give room back when they write down that it is free.
        self.sync();
    }

    fn sync(&self) {
        let folder = File::open(&self.folder);
        folder.and_then(|folder| Ok(rustix::fs::syncfs(folder)?)).expect("a sync");
    }

    fn add_page(&mut self) -> io::Result<()> {
        let path = self.page(self.pages);
        let mut file = File::create(path)?;
        self.pages += 1;
        file.write_all(&[b'x'; PAGE])
    }

    fn page(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    fn free(&self) -> u64 {
        let room = statvfs(&self.folder).expect("a file system");
        room.f_bavail * room.f_frsize
    }
}
