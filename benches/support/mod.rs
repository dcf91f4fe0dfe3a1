//! What the echo benches share: servers, a load generator and measuring instruments.
//!
//! A bench runs as several processes of one executable: the bench itself, a server and a load
//! generator, each on a core of its own. [`role`] starts the executable again as one of the latter
//! two, and is where such a process learns what it is. Everything here is for Linux: it reads `/proc`
//! and speaks to epoll.

#![allow(dead_code, reason = "each bench uses its own part of these instruments")]

pub(crate) mod args;
pub(crate) mod churn;
pub(crate) mod cpu;
pub(crate) mod evy_echo;
pub(crate) mod histogram;
#[cfg(feature = "http")]
pub(crate) mod http_hello;
pub(crate) mod late;
pub(crate) mod load;
pub(crate) mod raw_echo;
pub(crate) mod report;
pub(crate) mod role;
pub(crate) mod slices;
pub(crate) mod sys;
#[cfg(feature = "tls")]
pub(crate) mod tls_echo;
pub(crate) mod udp_echo;
