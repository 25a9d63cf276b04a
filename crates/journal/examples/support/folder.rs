//! What every example does around its `run`: find a folder, print what it returns.

use std::path::Path;

use session_journal::Result;

/// Runs an example in the folder that the command line names, or in one that is gone afterwards.
#[allow(clippy::print_stdout, reason = "this is what an example is for")]
pub(crate) fn in_folder(run: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<()> {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let named = std::env::args_os().nth(1);
    for line in run(named.as_deref().map_or(temporary.path(), Path::new))? {
        println!("{line}");
    }
    Ok(())
}
