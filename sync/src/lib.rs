//! What green threads talk to each other by.
//!
//! Use the crate `evy`, which re-exports what is here as `evy::sync`.
#![doc(test(attr(deny(warnings))))]
#![forbid(unsafe_code)]

mod already_sent;
mod channel_error;
pub mod shared;
mod would_block;

pub use already_sent::AlreadySent;
pub use channel_error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
pub use evy_runtime::TimedOut;
pub use would_block::WouldBlock;
