//! The gateway.

pub mod conversation;
pub mod provider;
