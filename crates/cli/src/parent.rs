//! A gateway that a storm started ends with it, however that ended, and also while it is stopped itself.

use crate::exit::Failure;

/// Who started this process, if it is to end with it.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Parent {
    /// The process that started this one
    #[arg(long, value_name = "PID", hide = true)]
    dies_with: Option<u32>,
}

impl Parent {
    /// From here on the kernel kills this process when its parent is gone. Elsewhere than on Linux
    /// nobody does.
    #[cfg(target_os = "linux")]
    pub(crate) fn heed(self) -> Result<(), Failure> {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        use session_journal::ErrorKind;

        let Some(parent) = self.dies_with else { return Ok(()) };
        let refused = |what: String| Failure::Here(ErrorKind::Io, what);
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| {
            refused(format!(
                "could not ask for the end of process {parent}: {errno}; start it alone"
            ))
        })?;
        // It may have ended before that was asked for.
        let now = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
        if now == Some(parent) {
            return Ok(());
        }
        Err(refused(format!("process {parent} did not start this one, or is gone; start it again")))
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, reason = "it may fail on Linux")]
    pub(crate) const fn heed(self) -> Result<(), Failure> {
        Ok(())
    }
}
