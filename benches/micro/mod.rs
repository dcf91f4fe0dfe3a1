//! What the benches of single operations share: how they are timed, and the baselines that several of
//! them are compared with. They run on one core, in one process.

#![allow(dead_code, reason = "each bench uses its own part of these instruments")]

#[path = "../support/args.rs"]
pub(crate) mod args;
pub(crate) mod bare;
#[path = "../support/cpu.rs"]
pub(crate) mod cpu;
pub(crate) mod operation;
#[path = "../support/report.rs"]
pub(crate) mod report;
pub(crate) mod stopwatch;
