//! Pools: so many at a time, and no more.
//!
//! Use the crate `evy`, which re-exports what is here. [`GreenPool`] bounds how many green threads run
//! at once, [`GreenPool::imap`] maps a function over an iterator with it, and [`GreenPile`] collects
//! results in the order of the spawns. [`ResourcePool`] bounds how many connections, or whatever it is,
//! exist at once, and lends them out. [`DagPool`] runs green threads that wait for each other's results.
//!
//! ```
//! let pool = evy_pool::GreenPool::new(10);
//! let squares: Vec<_> = pool.imap(|n| n * n, 1..=4).collect();
//! assert_eq!(squares, [1, 4, 9, 16]);
//! ```
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod dag_pool;
mod green_pile;
mod green_pool;
mod imap;
mod resource_pool;

pub use dag_pool::{Collision, DagInputs, DagPool, DagResults, PropagateError};
pub use green_pile::GreenPile;
pub use green_pool::GreenPool;
pub use imap::Imap;
pub use resource_pool::{GetError, Pooled, ResourcePool, ResourcePoolBuilder};
