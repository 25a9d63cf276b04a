//! The process id without a system call at every append.
//!
//! A page that the kernel wipes in a forked child (madvise(2), `MADV_WIPEONFORK`, Linux 4.14) says
//! whether the remembered id is still right. Asking the kernel each time costs a tenth of a small
//! append.

#[cfg(target_os = "linux")]
pub(crate) use linux::pid;

#[cfg(not(target_os = "linux"))]
pub(crate) use std::process::id as pid;

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::OnceLock;

    use memmap2::MmapMut;
    use rustix::mm::{Advice, madvise};

    struct Remembered {
        pid: u32,
        /// Begins with 1 in the process that remembered, with 0 in its children.
        page: MmapMut,
    }

    pub(crate) fn pid() -> u32 {
        static REMEMBERED: OnceLock<Option<Remembered>> = OnceLock::new();
        match REMEMBERED.get_or_init(remember) {
            Some(remembered) if remembered.page.first() == Some(&1) => remembered.pid,
            // A child, or a kernel that cannot wipe.
            _ => std::process::id(),
        }
    }

    #[allow(unsafe_code, reason = "no safe binding offers this advice")]
    fn remember() -> Option<Remembered> {
        let mut page = MmapMut::map_anon(1).ok()?;
        // SAFETY: the range is one private anonymous mapping that `page` owns and keeps for the
        // life of the process. The advice changes nothing in this process; in a child it makes the
        // page read as zeros, which is a value that every byte of it may have.
        unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork) }.ok()?;
        *page.first_mut()? = 1;
        Some(Remembered { pid: std::process::id(), page })
    }
}
