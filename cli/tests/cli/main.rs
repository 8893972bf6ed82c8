//! The real binary, as other programs see it: exit codes, what is on stdout, what is on stderr.

#![expect(
    clippy::unwrap_used,
    reason = "what helpers of tests cannot do fails the test"
)]

mod arguments;
mod by_hand;
mod check_groups;
mod contract;
mod demo;
mod documents;
mod dry_run;
mod ends;
mod holds;
mod privacy;
mod report;
mod reverts;
mod scim;
mod serve;
mod support;
mod tenant_files;
mod tenants;
