//! What the tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod bench;
pub(crate) mod stub;
