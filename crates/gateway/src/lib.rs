//! The gateway.

pub mod conversation;
