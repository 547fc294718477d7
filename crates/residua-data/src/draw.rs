//! Numbers drawn alike wherever the crate draws them.

use rand::{Rng, RngExt};

/// A number from `least` to `most`, all equally likely.
pub(crate) fn between([least, most]: [f64; 2], rng: &mut impl Rng) -> f64 {
    least + (most - least) * rng.random::<f64>()
}

/// An index below `count`. Drawn with 64 bits, so that it is the same on 32-bit platforms.
pub(crate) fn below(count: usize, rng: &mut impl Rng) -> usize {
    rng.random_range(0..count as u64) as usize
}
