//! A check that fails, and that only a fuzzer finds: four right bytes in a row, each of which it
//! learns from the coverage of the one before. A run that does not find it proves nothing.

use session_journal::format::MAGIC;

/// Fails where the bytes begin with the magic of a frame.
pub(crate) fn check(bytes: &[u8]) {
    let mut right = 0;
    for (byte, magic) in bytes.iter().zip(MAGIC) {
        if *byte != magic {
            return;
        }
        right += 1;
    }
    assert!(right < MAGIC.len(), "the canary sang");
}
