//! Processes of their own: owners that are stopped or killed, followers, and whoever must not inherit
//! the memory of the runner. The program that runs the bar calls [`run`] where its first argument is
//! [`ARGUMENT`].
//!
//! A child says things line by line, and ends when its input does: none outlives the runner.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::{Result, sections};

/// The first argument of a child.
pub const ARGUMENT: &str = "--child";

/// A child that runs. Killed when it is dropped.
pub(crate) struct Child {
    process: Process,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts one that does this, on this path.
    pub(crate) fn start(what: &str, path: &Path, argument: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).arg(what).arg(path).arg(argument);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let output = BufReader::new(output.ok_or("a child without output")?);
        Ok(Self { process, input, output })
    }

    /// Waits until it says that it is ready.
    pub(crate) fn ready(mut self) -> Result<Self> {
        match self.line()?.as_str() {
            "ready" => Ok(self),
            other => Err(format!("a child said {other:?} where it was to be ready").into()),
        }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.process.wait()?;
            return Err(format!("a child ended before it answered: {status}").into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The next line, as a number.
    pub(crate) fn number(&mut self) -> Result<f64> {
        let line = self.line()?;
        line.parse().map_err(|_| format!("a child said {line:?} where a number was due").into())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Stops it, and returns when it stands still.
    pub(crate) fn stop(&mut self) -> Result<()> {
        kill_process(self.pid(), Signal::STOP)?;
        match waitpid(Some(self.pid()), WaitOptions::UNTRACED)? {
            Some((_, status)) if status.stopped() => Ok(()),
            status => Err(format!("a child did not stop: {status:?}").into()),
        }
    }

    /// Kills it, and returns when it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Ends its input, and returns when it ended well.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.input = None;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a child failed: {status}").into()) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to do.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// What a child says to its parent.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// Waits until the parent ends its input, or ends.
pub(crate) fn wait_for_the_end() -> Result<()> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Does what the arguments of a child say.
pub fn run(arguments: &[String]) -> Result<()> {
    let [what, path, argument] = arguments else {
        return Err(format!("a child has three arguments, not {}", arguments.len()).into());
    };
    sections::child(what, &PathBuf::from(path), argument)
}
