//! A process that opens one journal and does what it is told, a line of JSON for everything that it
//! tries and for every answer. Ends with its parent.
//!
//! `driver append PATH` appends batches of random records until it is killed or refused.
//! `driver serve PATH` opens and does what the lines of its input say.
//! `driver follow PATH` says every record as it comes.
//! `driver storm FOLDER` fights for journals until it is killed.
//! `driver churn FOLDER` creates, compacts and deletes journals until it is killed.
//! `driver many FOLDER` has thousands of sessions open at once.
//! `driver fork PATH` uses its handle in a forked child.
//! `driver fleet FOLDER` makes thousands of session files to import.
//! `driver fuse PATH` shows a file on a FUSE file system.

#[path = "../driver/append.rs"]
mod append;
#[path = "../driver/churn.rs"]
mod churn;
#[path = "../driver/flags.rs"]
mod flags;
#[path = "../driver/fleet.rs"]
mod fleet;
#[path = "../driver/follow.rs"]
mod follow;
#[path = "../driver/fork.rs"]
mod fork;
#[path = "../driver/fuse.rs"]
mod fuse;
#[path = "../driver/many.rs"]
mod many;
#[path = "../driver/said.rs"]
mod said;
#[path = "../driver/serve.rs"]
mod serve;
#[path = "../driver/storm.rs"]
mod storm;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A test that is killed cannot clean up.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let flags = flags::Flags::of_process();
    match flags.command.as_str() {
        "append" => append::run(&flags),
        "serve" => serve::run(&flags),
        "storm" => storm::run(&flags),
        "follow" => follow::run(&flags),
        "churn" => churn::run(&flags),
        "many" => many::run(&flags),
        "fleet" => fleet::run(&flags),
        "fuse" => fuse::run(&flags),
        "fork" => fork::run(&flags),
        other => panic!("no command {other:?}"),
    }
}
