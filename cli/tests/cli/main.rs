//! The real binary, as other programs see it: exit codes, what is on stdout, what is on stderr.

mod arguments;
mod contract;
mod demo;
mod ends;
mod support;
mod tenant_files;
mod tenants;
