//! Pages to read, with examples that are run as tests.

// Their examples take all features: where one is missing the page can be read, but is not tested.
#[cfg(any(not(doctest), all(feature = "http", feature = "hyper", feature = "tls")))]
#[doc = include_str!("../docs/making_a_crate_green.md")]
pub mod making_a_crate_green {}
