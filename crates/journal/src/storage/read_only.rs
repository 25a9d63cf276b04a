//! Storage of tests that only read.

use std::io;

use super::{Attachment, Landing, Storage};

/// What such a test says of its file.
pub(crate) trait ReadOnly: std::fmt::Debug + Send + Sync {
    fn bytes_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn length(&self) -> u64;
    /// Whether another thread may read it as well.
    fn may_be_shared(&self) -> bool;
}

impl<T: ReadOnly> Storage for T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes_at(offset, buffer)
    }

    fn begin_long_read(&self, _: u64) -> bool {
        self.may_be_shared()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.length())
    }

    fn append(&self, _: &[u8]) -> io::Result<Landing> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn attachment(&self) -> io::Result<Attachment> {
        Ok(Attachment::Attached)
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
