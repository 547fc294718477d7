//! Newton–Schulz iteration against PyTorch's, against f64 and by its properties, for every
//! instruction set of the machine.

mod support;

use proptest::prelude::*;
use residua_kernels::optimiser::{Muon, MuonScale, NEWTON_SCHULZ_STEPS, orthogonalise};
use serde_json::Value;
use support::maps::in_every_set;
use support::numbers;
use support::reference::{assert_same_bits, exact};

/// Small singular values grow 485-fold in five steps, and with them half a rounding of f32.
const ALLOWED: f64 = 485.0 * 0.5 * f32::EPSILON as f64;

/// `left · right` for matrices `[rows, inner]` and `[inner, columns]`.
fn product(left: &[f64], right: &[f64], inner: usize) -> Vec<f64> {
    let columns = right.len() / inner;
    let rows = left.chunks_exact(inner);
    rows.flat_map(|row| {
        (0..columns).map(move |column| {
            let terms = row.iter().zip(right[column..].iter().step_by(columns));
            terms.map(|(left, right)| left * right).sum::<f64>()
        })
    })
    .collect()
}

fn transposed<T: Copy>(matrix: &[T], columns: usize) -> Vec<T> {
    let column = |column: usize| matrix[column..].iter().step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}

/// The iteration as it was published, on the matrix as it lies.
fn reference(matrix: &[f32], columns: usize) -> Vec<f64> {
    let mut matrix = exact(matrix);
    let norm = matrix.iter().map(|number| number * number).sum::<f64>();
    let norm = norm.sqrt().max(1e-7);
    matrix.iter_mut().for_each(|number| *number /= norm);
    for _ in 0..NEWTON_SCHULZ_STEPS {
        let rows = matrix.len() / columns;
        let gram = product(&matrix, &transposed(&matrix, columns), columns);
        let square = product(&gram, &gram, rows);
        let gram = gram.iter().zip(square);
        let polynomial: Vec<f64> = gram
            .map(|(gram, square)| -4.7750 * gram + 2.0315 * square)
            .collect();
        let powers = product(&polynomial, &matrix, rows);
        for (number, power) in matrix.iter_mut().zip(powers) {
            *number = 3.4445 * *number + power;
        }
    }
    matrix
}

/// By one-sided Jacobi rotations of the rows, which become orthogonal.
fn singular_values(matrix: &[f64], columns: usize) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = matrix.chunks_exact(columns).map(<[f64]>::to_vec).collect();
    let dot = |left: &[f64], right: &[f64]| -> f64 {
        left.iter()
            .zip(right)
            .map(|(left, right)| left * right)
            .sum()
    };
    for _ in 0..30 {
        for first in 0..rows.len() {
            for second in first + 1..rows.len() {
                let (before, behind) = rows.split_at_mut(second);
                let (left, right) = (&mut before[first], &mut behind[0]);
                let [along, across] = [dot(left, left) - dot(right, right), dot(left, right)];
                let angle = 0.5 * (2.0 * across).atan2(along);
                let (sine, cosine) = angle.sin_cos();
                for (left, right) in left.iter_mut().zip(right) {
                    (*left, *right) = (
                        cosine * *left + sine * *right,
                        cosine * *right - sine * *left,
                    );
                }
            }
        }
    }
    rows.iter().map(|row| dot(row, row).sqrt()).collect()
}

fn orthogonal(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut matrix = matrix.to_vec();
    orthogonalise(&mut matrix, rows, columns, NEWTON_SCHULZ_STEPS).unwrap();
    matrix
}

#[track_caller]
fn assert_near(name: &str, actual: &[f32], expected: &[f64], allowed: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (index, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(actual) - expected).abs() <= allowed,
            "{name}[{index}] is {actual}, the reference {expected}"
        );
    }
}

#[test]
fn agrees_with_pytorch() {
    // generate.py beside it wrote it.
    let text = include_str!("fixtures/optimisers/orthogonal.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    let floats = |value: &Value| -> Vec<f64> {
        let numbers = value.as_array().unwrap().iter();
        numbers.map(|number| number.as_f64().unwrap()).collect()
    };
    assert!(!cases.is_empty());
    in_every_set(|| {
        for case in &cases {
            let [rows, columns] = [0, 1].map(|axis| case["shape"][axis].as_u64().unwrap() as usize);
            let matrix: Vec<f32> = floats(&case["matrix"])
                .iter()
                .map(|&number| number as f32)
                .collect();
            let found = orthogonal(&matrix, rows, columns);
            assert_near("in f64", &found, &floats(&case["float64"]), ALLOWED);
            // PyTorch's own function rounds every product to eight bits.
            assert_near("in bf16", &found, &floats(&case["bfloat16"]), 0.05);
        }
    });
}

/// Sizes that leave rests of vectors, panels and chunks.
fn shapes() -> impl Strategy<Value = [usize; 2]> {
    prop_oneof![
        [1usize..40, 1usize..40],
        Just([33, 150]),
        Just([150, 33]),
        Just([1, 700]),
        Just([48, 48]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn agrees_with_f64([rows, columns] in shapes(), seed in 0u64..1000) {
        let matrix = numbers(seed, rows * columns);
        let expected = reference(&matrix, columns);
        in_every_set(|| {
            assert_near("matrix", &orthogonal(&matrix, rows, columns), &expected, ALLOWED);
        });
    }

    #[test]
    fn small_singular_values_agree_with_f64(
        rank in 1usize..4,
        wide: bool,
        noise in prop_oneof![Just(0.0f32), Just(1e-6), Just(1e-4), Just(1e-2)],
        seed in 0u64..1000,
    ) {
        // As gradients are: a few directions, and little of all others.
        let [rows, columns] = if wide { [24, 200] } else { [24, 30] };
        let (left, right) = (numbers(seed, rows * rank), numbers(seed + 1, rank * columns));
        let sum = product(&exact(&left), &exact(&right), rank);
        let noises = numbers(seed + 2, sum.len());
        let noisy = sum.iter().zip(noises).map(|(&sum, number)| sum as f32 + noise * number);
        let matrix: Vec<f32> = noisy.collect();
        let expected = reference(&matrix, columns);
        in_every_set(|| {
            assert_near("matrix", &orthogonal(&matrix, rows, columns), &expected, ALLOWED);
        });
    }

    #[test]
    fn singular_values_become_nearly_one(
        small in 1usize..24,
        aspect in 2usize..6,
        wide: bool,
        seed in 0u64..1000,
        magnitude in -12i32..12,
    ) {
        // A random matrix that is twice as long as wide is well conditioned.
        let mut shape = [small, small * aspect];
        if !wide {
            shape.reverse();
        }
        let mut matrix = numbers(seed, small * small * aspect);
        matrix.iter_mut().for_each(|number| *number *= 10f32.powi(magnitude / 2));
        in_every_set(|| {
            let found = exact(&orthogonal(&matrix, shape[0], shape[1]));
            let found = if wide { found } else { transposed(&found, shape[1]) };
            for value in singular_values(&found, small * aspect) {
                assert!((0.6..=1.3).contains(&value), "singular value {value}");
            }
        });
    }

    #[test]
    fn a_transpose_has_the_same_bits(
        [rows, columns] in [1usize..40, 41usize..90],
        seed in 0u64..1000,
    ) {
        let matrix = numbers(seed, rows * columns);
        let wide = orthogonal(&matrix, rows, columns);
        let tall = orthogonal(&transposed(&matrix, columns), columns, rows);
        prop_assert!(transposed(&wide, columns) == tall);
    }

    #[test]
    fn rotations_stay(size in 2usize..40, angle in 0.0f64..6.3, seed in 0u64..1000) {
        // A product of rotations in the planes of neighbours, and of a reflection.
        let angles = numbers(seed, size - 1);
        let mut rotation = vec![0.0; size * size];
        rotation.iter_mut().step_by(size + 1).for_each(|number| *number = 1.0);
        rotation[0] = -1.0;
        for (index, &share) in angles.iter().enumerate() {
            let (sine, cosine) = (angle * f64::from(share)).sin_cos();
            for row in rotation.chunks_exact_mut(size) {
                let [left, right] = [row[index], row[index + 1]];
                row[index] = cosine * left + sine * right;
                row[index + 1] = cosine * right - sine * left;
            }
        }
        let matrix: Vec<f32> = rotation.iter().map(|&number| number as f32).collect();
        in_every_set(|| {
            let found = orthogonal(&matrix, size, size);
            // All singular values are equal, and still are when they are only nearly 1.
            let factor = exact(&found).iter().zip(&rotation).map(|(a, b)| a * b).sum::<f64>();
            let factor = factor / size as f64;
            assert!((0.6..=1.3).contains(&factor), "factor {factor}");
            let expected: Vec<f64> = rotation.iter().map(|number| factor * number).collect();
            assert_near("rotation", &found, &expected, ALLOWED);
        });
    }
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    // Several parts of every pass, and several units of work of every product.
    for [rows, columns] in [[96, 1000], [1000, 96], [200, 200]] {
        let matrix = numbers(1, rows * columns);
        assert_same_bits("orthogonalise", || orthogonal(&matrix, rows, columns));
        let rule = Muon {
            learning_rate: 0.1,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 0.1,
            scale: MuonScale::Original,
        };
        assert_same_bits("muon", || {
            let (mut parameter, mut velocity) =
                (numbers(2, matrix.len()), numbers(3, matrix.len()));
            rule.step([rows, columns], &mut parameter, &matrix, &mut velocity)
                .unwrap();
            [parameter, velocity].concat()
        });
    }
}

#[test]
fn the_matrix_of_all_zeros_stays() {
    let mut matrix = vec![0.0; 12];
    orthogonalise(&mut matrix, 3, 4, 5).unwrap();
    assert_eq!(matrix, [0.0; 12]);
}

#[test]
fn what_is_not_finite_spreads() {
    for number in [f32::NAN, f32::INFINITY] {
        let mut matrix = numbers(1, 12);
        matrix[5] = number;
        orthogonalise(&mut matrix, 3, 4, 5).unwrap();
        assert!(matrix.iter().all(|number| number.is_nan()), "{matrix:?}");
    }
}

#[test]
fn no_step_divides_by_the_norm() {
    let mut matrix = vec![3.0, 4.0];
    orthogonalise(&mut matrix, 1, 2, 0).unwrap();
    assert_eq!(matrix, [0.6, 0.8]);
}

#[test]
fn scales_depend_on_the_shape() {
    assert_eq!(MuonScale::Original.factor([9, 4]), 1.5);
    assert_eq!(MuonScale::Original.factor([4, 9]), 1.0);
    assert_eq!(MuonScale::MatchRms.factor([16, 100]), 2.0);
    assert_eq!(MuonScale::MatchRms.factor([100, 16]), 2.0);
}

#[test]
fn shapes_are_checked_before_anything_changes() {
    for (length, rows, columns) in [(6, 2, 4), (0, 0, 4), (0, 4, 0), (8, usize::MAX, 2)] {
        let mut matrix = vec![1.0; length];
        let error = orthogonalise(&mut matrix, rows, columns, 5).unwrap_err();
        let named = format!("a matrix of {rows} rows and {columns} columns");
        assert!(error.to_string().contains(&named), "{error}");
        assert!(matrix.iter().all(|&number| number == 1.0));
    }
    let rule = Muon {
        learning_rate: 0.1,
        momentum: 0.9,
        nesterov: false,
        weight_decay: 0.0,
        scale: MuonScale::Original,
    };
    for [parameter, gradient, velocity] in [[6, 6, 5], [6, 5, 6], [5, 6, 6]] {
        let mut parameter = vec![1.0; parameter];
        let mut velocity = vec![1.0; velocity];
        let result = rule.step([2, 3], &mut parameter, &vec![2.0; gradient], &mut velocity);
        assert!(result.unwrap_err().to_string().contains("has 5 elements"));
        let unchanged = parameter
            .iter()
            .chain(&velocity)
            .all(|&number| number == 1.0);
        assert!(unchanged);
    }
}
