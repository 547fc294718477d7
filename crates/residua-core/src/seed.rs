//! Randomness that is addressed, not drawn.
//!
//! A run has one seed. Everything random in it is found by a path from that seed (for example
//! `shuffle / epoch 3`, or `augment / epoch 3 / sample 41`), never by drawing the
//! next number of a generator that several parts share. So a value depends on its address
//! alone: not on how many threads work, in which order they finish, or where a run was resumed.
//!
//! ```
//! use rand::RngExt;
//! use residua_core::seed::SeedStream;
//!
//! let augmentation = SeedStream::new(42).child("augment").child_index(3);
//! let flip = augmentation.child_index(41).rng().random_bool(0.5);
//! assert_eq!(flip, augmentation.child_index(41).rng().random_bool(0.5));
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Keeps names and indices apart: `child("a")` and `child_index(n)` never share a derivation.
const NAME_DOMAIN: u64 = 0x6E61_6D65_6420_6B65;
const INDEX_DOMAIN: u64 = 0x696E_6465_7820_6B65;

/// The odd constant of SplitMix64 (2^64 divided by the golden ratio).
const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The address of a source of random numbers: a 64-bit key from which further addresses and,
/// at the end, a generator are derived.
///
/// Equal addresses give equal numbers on every platform. The derivation is a well-mixed hash,
/// not a cryptographic one: it keeps streams apart, it keeps no secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeedStream {
    key: u64,
}

impl SeedStream {
    /// The root of all streams of a run with this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            key: mix(seed.wrapping_add(GOLDEN_GAMMA)),
        }
    }

    /// The sub-stream with this name.
    pub fn child(self, name: &str) -> Self {
        self.derive(NAME_DOMAIN, fnv1a_64(name.as_bytes()))
    }

    /// The sub-stream with this number: an epoch, a step, a sample.
    pub fn child_index(self, index: u64) -> Self {
        self.derive(INDEX_DOMAIN, index)
    }

    /// A number that depends on this address alone, for generators of other kinds.
    pub fn number(self) -> u64 {
        mix(self.key.wrapping_add(GOLDEN_GAMMA))
    }

    /// A ChaCha8 generator that starts at this address.
    pub fn rng(self) -> ChaCha8Rng {
        let mut seed = [0_u8; 32];
        let mut state = self.key;
        for word in seed.chunks_exact_mut(8) {
            state = state.wrapping_add(GOLDEN_GAMMA);
            word.copy_from_slice(&mix(state).to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    fn derive(self, domain: u64, value: u64) -> Self {
        let parent = mix(self.key ^ domain);
        let value = mix(value.wrapping_add(GOLDEN_GAMMA));
        Self {
            key: mix(parent.wrapping_add(value)),
        }
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
/// pseudorandom number generators", with the constants of Stafford's variant 13): a bijection
/// in which every input bit affects every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// FNV-1a with 64 bits, which turns a name into a number.
fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::seq::SliceRandom;
    use rand::{Rng, RngExt};

    use super::*;

    /// If this test fails, every seed of every earlier run means something else: do not adapt
    /// the numbers, restore the derivation (or pin the version of `rand` that changed them).
    #[test]
    fn known_answers() {
        let root = SeedStream::new(42);
        let stream = root.child("augment").child_index(3).child_index(41);
        let mut rng = stream.rng();
        assert_eq!(
            [
                root.key,
                root.child("shuffle").key,
                root.child_index(0).key,
                stream.key,
                rng.next_u64(),
                rng.random_range(0..1000),
            ],
            [
                13_679_457_532_755_275_413,
                16_859_291_708_442_374_925,
                10_472_131_692_760_530_333,
                8_221_223_576_458_185_954,
                6_932_569_581_597_516_378,
                790,
            ]
        );
        let mut order: Vec<u32> = (0..10).collect();
        order.shuffle(&mut root.child("shuffle").rng());
        assert_eq!(order, [9, 0, 7, 3, 8, 6, 1, 5, 4, 2]);
    }

    #[test]
    fn fnv1a_agrees_with_its_published_values() {
        assert_eq!(fnv1a_64(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xAF63_DC4C_8601_EC8C);
    }

    #[test]
    fn addresses_do_not_meet() {
        let root = SeedStream::new(0);
        let mut keys = HashSet::from([root.key]);
        for name in ["augment", "shuffle", "dropout", ""] {
            assert!(keys.insert(root.child(name).key));
            for epoch in 0..100 {
                let epoch = root.child(name).child_index(epoch);
                assert!(keys.insert(epoch.key));
                for sample in 0..100 {
                    assert!(keys.insert(epoch.child_index(sample).key));
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_path_matters() {
        let root = SeedStream::new(7);
        assert_ne!(
            root.child_index(1).child_index(2),
            root.child_index(2).child_index(1)
        );
        assert_ne!(root.child("a").child("b"), root.child("b").child("a"));
        assert_ne!(root.child("ab"), root.child("a").child("b"));
    }

    #[test]
    fn neighbouring_addresses_give_independent_numbers() {
        let epoch = SeedStream::new(1).child("augment").child_index(0);
        let heads = (0..10_000)
            .filter(|&sample| epoch.child_index(sample).rng().random_bool(0.5))
            .count();
        // Five standard deviations of a fair coin.
        assert!((4_750..=5_250).contains(&heads), "{heads} of 10,000");
    }
}
