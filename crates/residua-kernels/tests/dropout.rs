//! Dropout, for every instruction set of the machine.

mod support;

use half::bf16;
use residua_kernels::dropout::{self, DropRule};
use support::maps::{Format, in_every_set, map};
use support::reference::assert_same_bits;

/// Output number `index` of SplitMix64 from `seed`.
fn split_mix(seed: u64, index: u64) -> u64 {
    let mut z = seed;
    for _ in 0..=index {
        z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    }
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The first outputs of the generator's published implementation (Vigna 2015).
#[test]
fn the_reference_is_split_mix() {
    let from_zero = [
        0xE220_A839_7B1D_CDAF,
        0x6E78_9E6A_A1B9_65F4,
        0x06C4_5D18_8009_454F,
    ];
    assert_eq!([0, 1, 2].map(|index| split_mix(0, index)), from_zero);
    assert_eq!(split_mix(1_234_567, 0), 6_457_827_717_110_365_317);
}

#[test]
fn factors_follow_the_rule() {
    for (seed, rate, run) in [
        (0, 0.5, 1),
        (7, 0.1, 1),
        (u64::MAX, 0.3, 3),
        (1 << 40, 0.9, 17),
        (3, 0.0, 2),
        (3, 0.999_999_94, 1),
    ] {
        let rule = DropRule { seed, rate, run };
        for element in 0..500 {
            let chance = split_mix(seed, (element / run) as u64) >> 40;
            let fraction = chance as f32 / (1u64 << 24) as f32;
            let expected = if fraction < rate {
                0.0
            } else {
                1.0 / (1.0 - rate)
            };
            assert_eq!(rule.factor(element), expected, "{rule:?} {element}");
        }
    }
}

fn multiplies_by_factors<E: Format>(rule: DropRule, length: usize) {
    let input: Vec<E> = map(1, length);
    let expected: Vec<E> = input
        .iter()
        .enumerate()
        .map(|(element, number)| E::rounded(number.exact() as f32 * rule.factor(element)))
        .collect();
    in_every_set(|| {
        let mut output = vec![E::rounded(f32::NAN); length];
        dropout::apply(rule, &input, &mut output).unwrap();
        assert!(output == expected, "{rule:?} {length}");
    });
}

#[test]
fn numbers_are_multiplied_by_their_factors() {
    let seed = 42;
    for (length, run) in [
        (0, 1),
        (1, 1),
        (37, 1),
        (37, 2),
        (100, 1000),
        (70_001, 1),
        (150_000, 3),
        (150_000, 50_000),
        (150_000, usize::MAX),
    ] {
        for rate in [0.0, 0.25, 0.7] {
            multiplies_by_factors::<f32>(DropRule { seed, rate, run }, length);
            multiplies_by_factors::<bf16>(DropRule { seed, rate, run }, length);
        }
    }
}

#[test]
fn the_rate_is_kept() {
    for (seed, rate) in [(1, 0.1f32), (2, 0.5), (3, 0.8)] {
        let rule = DropRule { seed, rate, run: 1 };
        let count = 100_000;
        let dropped = (0..count).filter(|&element| rule.factor(element) == 0.0);
        let share = dropped.count() as f64 / count as f64;
        // Four standard deviations.
        let rate = f64::from(rate);
        let allowed = 4.0 * (rate * (1.0 - rate) / count as f64).sqrt();
        assert!((share - rate).abs() < allowed, "{share} {rate}");
    }
}

#[test]
fn what_is_dropped_is_zero_whatever_it_was() {
    let rule = |run: usize| DropRule {
        seed: 5,
        rate: 0.5,
        run,
    };
    for run in [1, 4] {
        in_every_set(|| {
            let mut output = [5.0; 100];
            dropout::apply(rule(run), &[f32::NAN; 100], &mut output).unwrap();
            for (element, output) in output.into_iter().enumerate() {
                let dropped = rule(run).factor(element) == 0.0;
                assert_eq!(output == 0.0, dropped);
                assert_eq!(output.is_nan(), !dropped);
            }
        });
    }
}

#[test]
fn threads_do_not_matter() {
    let input: Vec<f32> = map(1, 300_000);
    for run in [1, 7] {
        assert_same_bits("dropout", || {
            let mut output = vec![f32::NAN; input.len()];
            let rule = DropRule {
                seed: 9,
                rate: 0.4,
                run,
            };
            dropout::apply(rule, &input, &mut output).unwrap();
            output
        });
    }
}

#[test]
fn impossible_rules_are_refused() {
    let attempt = |rate: f32, run: usize, length: usize| {
        let rule = DropRule { seed: 1, rate, run };
        dropout::apply(rule, &[0.0f32; 4], &mut vec![0.0; length])
    };
    assert_eq!(attempt(0.5, 1, 4), Ok(()));
    assert_eq!(
        attempt(1.0, 2, 4).unwrap_err().to_string(),
        "dropout of runs of 2 with rate 1: runs need at least one number, and the rate must be at least \
         0 and less than 1"
    );
    for (rate, run, length) in [(-0.1, 1, 4), (f32::NAN, 1, 4), (0.5, 0, 4), (0.5, 1, 5)] {
        assert!(attempt(rate, run, length).is_err(), "{rate} {run} {length}");
    }
}
