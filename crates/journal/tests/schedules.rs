//! The engine's threads under a scheduler that decides at every lock, condition variable, atomic,
//! channel and call to the disk who goes on: `shuttle`, through the engine's `sync` module.
//!
//! Each test is one small scene that runs under many schedules, at random and by priorities that change
//! a few times (PCT). Whatever the schedule: nothing hangs, every thread of the engine ends with its
//! store, and what was acknowledged is in the journal once, durable, in each producer's order.
//!
//! `docs/testing.md` says how to run one schedule again.
#![cfg(shuttle)]

#[path = "schedules/disk.rs"]
mod disk;
#[path = "schedules/ending.rs"]
mod ending;
#[path = "schedules/explore.rs"]
mod explore;
#[path = "schedules/machine.rs"]
mod machine;
#[path = "schedules/producers.rs"]
mod producers;
#[path = "schedules/races.rs"]
mod races;
#[path = "schedules/sharing.rs"]
mod sharing;
