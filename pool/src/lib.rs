//! Pools of green threads: so many at once, and their results in order.
//!
//! Use the crate `evy`, which re-exports what is here.
//!
//! ```
//! use evy_pool::GreenPool;
//!
//! let pool = GreenPool::new(200);
//! let bodies: Vec<_> = pool.imap(|n| format!("body {n}"), 1..=3).collect();
//! assert_eq!(bodies, ["body 1", "body 2", "body 3"]);
//! ```
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod green_pile;
mod green_pool;
mod imap;
mod members;

pub use green_pile::GreenPile;
pub use green_pool::GreenPool;
pub use imap::{Imap, ImapUnordered};
