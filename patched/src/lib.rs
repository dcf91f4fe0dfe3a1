//! Crates that others wrote, on green sockets: the same in all respects, but that their calls park the
//! green thread where the original's block the OS thread.
//!
//! Use the crate `evy` with its feature `patched`: `use evy::patched::ureq;` in place of `use ureq;`.
//! The adapters use the traits that those crates offer for the purpose; nothing is intercepted.
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

#[cfg(feature = "postgres")]
#[doc(alias = "psycopg")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "ureq")]
#[doc(alias = "urllib2")]
pub mod ureq;
