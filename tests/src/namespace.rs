//! Processes with equal pids.

use std::path::Path;
use std::process::Command;

use crate::chance::skip;
use crate::mount::is_root;

/// Runs a program as pid 1 of a pid namespace of its own, and no longer than its parent lives.
pub const NAMESPACE: [&str; 8] = [
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child=SIGKILL",
    "--",
];

/// Whether that works here; where it does not, says why.
#[must_use]
pub fn has_namespaces() -> bool {
    let status = Command::new(NAMESPACE[0]).args(&NAMESPACE[1..]).arg("true").status();
    // The list of children tells which process a wrapper runs.
    let can_be_seen = Path::new("/proc/thread-self/children").exists();
    let allowed = is_root() && can_be_seen && status.is_ok_and(|status| status.success());
    if !allowed {
        skip("pid namespaces need root, unshare(1), setpriv(1) and lists of children in /proc");
    }
    allowed
}
