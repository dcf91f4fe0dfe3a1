//! Pages to read, with examples that are run as tests.

// Their examples take all features: where one is missing the page can be read, but is not tested.
#[cfg(any(not(doctest), all(feature = "http", feature = "hyper", feature = "tls")))]
#[doc = include_str!("../docs/making_a_crate_green.md")]
pub mod making_a_crate_green {}

#[doc = include_str!("../docs/what_it_costs.md")]
#[doc = include_str!("../docs/plots/echo.svg")]
#[doc = include_str!("../docs/plots/echo-rate.svg")]
#[doc = include_str!("../docs/plots/memory.svg")]
#[doc = include_str!("../docs/plots/yield.svg")]
#[doc = include_str!("../docs/plots/spawn.svg")]
#[doc = include_str!("../docs/plots/channel.svg")]
#[doc = include_str!("../docs/plots/timer.svg")]
#[doc = include_str!("../docs/plots/cores.svg")]
pub mod what_it_costs {}
