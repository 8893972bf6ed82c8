//! The emulator, asked over HTTP as a client would.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod delta;
mod faults;
mod groups;
mod objects;
mod scripts;
mod server;
mod support;
mod throttle;
mod token;
mod users;
