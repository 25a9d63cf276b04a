//! The page in a real browser. Screenshots are kept in `target/page`.
#![allow(clippy::print_stderr, reason = "without a browser it says so, and figures are told")]

mod browser;
mod conversation;
mod history;
mod list;
mod programs;
mod scene;
mod served;
#[path = "../support/mod.rs"]
mod support;
mod token;

use support::Server;

fn url(server: &Server, place: &str) -> String {
    format!("http://{}/{place}", server.address)
}

/// Where a session is on the page.
fn of(session: &str) -> String {
    format!("#/session/{}", session.replace('/', "%2F"))
}
