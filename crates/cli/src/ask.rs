//! Asking before something is done that nobody may have meant.

use std::io::{self, BufRead, IsTerminal};

use crate::context::Context;
use crate::exit::{Failure, note};

/// Asks, and tells whether the answer is yes. Where nobody can be asked, `otherwise` says what to do.
pub(crate) fn confirm(question: &str, otherwise: &str, context: &Context) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!("nobody can be asked here; {otherwise}")));
    }
    note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    // A signal ends the waiting.
    let read = context.stop.at_once(|| io::stdin().lock().read_line(&mut answer));
    read.map_err(Failure::Output)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
