//! What the C library keeps of the memory that was given back to it.

/// Blocks of this size and more go back to the system at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const RETURNED_BYTES: libc::c_int = 1 << 20;

/// Has long lines give their memory back when they are stored.
///
/// Left alone, glibc takes the first large block that is freed for a sign that more of that size are
/// wanted, and from then on keeps up to twice as much, of up to 32 MiB, for each thread
/// (mallopt(3), `M_MMAP_THRESHOLD`): eight threads that meet lines of 8 MiB hold 200 MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "no safe binding offers this setting")]
pub(crate) fn return_large_blocks() {
    // SAFETY: it takes two numbers, is called before there is a second thread, and answers 0 where
    // it does not know the setting; then nothing is changed.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_BYTES) };
}

/// Other C libraries are left alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_large_blocks() {}
