//! Replays the inputs that are kept for a fuzz target, on stable Rust and without the fuzzer: each ran
//! into something once, or leads where no other one does.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// A folder with more inputs, one folder in it per target: `fuzz/coverage` replays a whole corpus.
const CORPUS: &str = "FUZZ_CORPUS";

/// Runs the check on every input of the target, and names all that it fails on.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut inputs = inputs(&fuzz.join("seeds").join(target));
    assert!(!inputs.is_empty(), "{target} has no seeds");
    if let Some(corpus) = std::env::var_os(CORPUS) {
        inputs.extend(self::inputs(&Path::new(&corpus).join(target)));
    }
    let fails = |path: &Path| {
        let input = fs::read(path).expect("reads");
        catch_unwind(|| check(&input)).is_err()
    };
    let failing: Vec<String> =
        inputs.iter().filter(|path| fails(path)).map(|path| command(path)).collect();
    assert!(failing.is_empty(), "{target} fails; one at a time:\n{}", failing.join("\n"));
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("reads").path()).collect();
    inputs.sort_unstable();
    inputs
}

/// How to look at one input.
fn command(path: &Path) -> String {
    let target = path.parent().and_then(Path::file_name).unwrap_or_default();
    let (target, path) = (target.display(), path.display());
    format!("  cargo +nightly fuzz run --fuzz-dir fuzz --sanitizer none {target} {path}")
}
