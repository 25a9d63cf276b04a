//! What is to be known of a source: the report of an import that did not take place.

use super::Finding;
use super::code::{Code, Severity};
use crate::copy::NO_LINE_FEED;
use crate::damage::Oddity;
use crate::error::Error;
use crate::report::{Outcome, SourceReport};
use crate::shell::import_command;
use crate::sources::REGISTRY_NAME;

/// What a last line without a line feed goes without saying with.
const CUTS: [Oddity; 3] = [Oddity::Torn, Oddity::Nul, Oddity::NotUtf8];

/// Tells what is odd about a source, and what an import would save of it.
pub(super) fn tell(report: &SourceReport, each: &mut dyn FnMut(Finding)) {
    let path = &report.source;
    let import = || import_command(path);
    match report.outcome {
        Outcome::Failed if is_interrupted(report) => return,
        Outcome::Failed => return each(failed(report)),
        Outcome::Skipped => {
            return each(Code::LeftOut.about(path, report.reason.as_str(), report.next.as_str()));
        }
        Outcome::Empty => {
            let what = "it has no bytes: a session that was begun, or was emptied by its program";
            return each(Code::Empty.about(path, what, import()));
        }
        Outcome::Imported | Outcome::Unchanged | Outcome::Extended => {}
    }
    let saved = saved(report);
    for damage in &report.damage {
        each(Finding {
            path: path.clone(),
            severity: damage.what.severity(),
            code: damage.what.as_str(),
            what: format!("{damage}; {saved}"),
            next: import(),
        });
    }
    if path.ends_with(REGISTRY_NAME) {
        // Its entries have findings of their own.
        return;
    }
    let known: Vec<_> = report.damage.iter().map(ToString::to_string).collect();
    let is_cut = report.damage.iter().any(|damage| CUTS.contains(&damage.what));
    let is_known = |warning: &&String| known.iter().any(|damage| warning.starts_with(damage));
    for warning in report.warnings.iter().filter(|warning| !is_known(warning)) {
        if is_cut && warning == NO_LINE_FEED {
            continue;
        }
        let code = if warning == NO_LINE_FEED { Code::NoLineFeed } else { Code::Remark };
        each(code.about(path, format!("{warning}; {saved}"), import()));
    }
}

fn is_interrupted(report: &SourceReport) -> bool {
    report.error.as_ref().is_some_and(Error::is_interrupted)
}

fn failed(report: &SourceReport) -> Finding {
    Finding {
        path: report.source.clone(),
        severity: Severity::Error,
        code: report.error.as_ref().map_or("io", Error::code),
        what: report.reason.clone(),
        next: report.next.clone(),
    }
}

/// What an import would save.
fn saved(report: &SourceReport) -> String {
    let (bytes, opaque) = (report.bytes, report.opaque);
    let entries = report.records.saturating_sub(opaque);
    format!(
        "an import saves all {bytes} bytes of it: {entries} lines as entries, {opaque} as they are"
    )
}
