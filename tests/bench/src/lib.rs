//! The bench: what a sync costs, beside the bare download of the same pages and beside what people would
//! use instead, in one run on one machine.
//!
//! - [`emulated`] is Microsoft Graph in a process of its own.
//! - [`stack`] is the system as it is deployed: the three functions' own binaries, each environment a
//!   process, driven through Lambda's runtime API ([`runtime`]); what stands for DynamoDB and SQS is in
//!   this process, so that its cost is not the functions'.
//! - [`floor`] and [`contest`] are the others, each a process too; [`writes`] is the floor of a first sync.
//! - [`cases`] and [`faults`] are what is measured, [`results`] the file of it; [`cost`], [`told`] and
//!   [`picture`] make it readable.
//!
//! It promises that a figure is what the kernel, the emulator or the run itself counted, that everybody
//! is measured from the start of their processes (but the bare writes, which are measured from their first
//! request), and that whoever does not end as it has to ends the bench: a number of a run that failed is not
//! shown. It never compares figures of two machines.

pub mod cases;
pub mod contest;
pub mod cost;
pub mod emulated;
pub mod faults;
pub mod floor;
pub mod picture;
pub mod process;
pub mod ran;
pub mod results;
pub mod runtime;
pub mod stack;
mod tenant;
pub mod told;
pub mod writes;
