//! A headless Chromium, led over the `DevTools` protocol. The browser reads commands from a pipe, so
//! it opens no port, and it can reach nothing but this machine.

mod pipe;
mod tab;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) use pipe::Browser;
pub(crate) use tab::Tab;

/// Browsers are large: one at a time.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs a test with a tab of a new browser. Where there is no browser it says so, and how to get one.
pub(crate) async fn with_tab<F: AsyncFnOnce(&mut Tab)>(test: F) {
    let _one = ONE.lock().await;
    let Some(program) = program() else {
        // Not `eprintln!`: the output of a test that passes is not shown.
        let _ = writeln!(
            io::stderr(),
            "no Chromium here: the page is not tested. `scripts/page` installs it and runs this"
        );
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let browser = Browser::start(&program, folder.path());
    let mut tab = Tab::open(&browser);
    test(&mut tab).await;
    tab.must_be_well();
}

/// The browser: what `SESSION_JOURNAL_CHROMIUM` names, or what the distribution calls it.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SESSION_JOURNAL_CHROMIUM") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "SESSION_JOURNAL_CHROMIUM names no program: {}", named.display());
        return Some(named);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&folders)
        .flat_map(|folder| ["chromium", "chromium-browser"].map(|name| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// Where the screenshots go: `target/page`.
pub(crate) fn pictures() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    let folder = target.join("page");
    std::fs::create_dir_all(&folder).expect("a folder for screenshots");
    folder
}
