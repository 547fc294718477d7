//! Self-attention with relative positions, for every instruction set of the machine.

mod support;

use half::bf16;
use residua_kernels::attention::{self, AttentionGeometry};
use support::maps::{Format, assert_near, in_every_set, map};
use support::reference::{assert_gradient, assert_same_bits, exact};

/// Images, height, width, heads and numbers of a head.
type Sizes = [usize; 5];

/// The formula, number by number.
fn reference(
    [batch, height, width, heads, dim]: Sizes,
    qkv: &[f64],
    height_positions: &[f64],
    width_positions: &[f64],
) -> Vec<f64> {
    let pixels = height * width;
    let row = |image: usize, pixel: usize, part: usize, head: usize| {
        let pixel = (image * pixels + pixel) * 3 * heads * dim;
        &qkv[pixel + (part * heads + head) * dim..][..dim]
    };
    let dot = |left: &[f64], right: &[f64]| -> f64 {
        left.iter()
            .zip(right)
            .map(|(left, right)| left * right)
            .sum()
    };
    let mut output = Vec::new();
    for image in 0..batch {
        for query in 0..pixels {
            for head in 0..heads {
                let numbers = row(image, query, 0, head);
                let exponential = |key: usize| {
                    let down = key / width + height - 1 - query / width;
                    let right = key % width + width - 1 - query % width;
                    let score = dot(numbers, row(image, key, 1, head)) / (dim as f64).sqrt()
                        + dot(numbers, &height_positions[down * dim..][..dim])
                        + dot(numbers, &width_positions[right * dim..][..dim]);
                    score.exp()
                };
                let weights: Vec<f64> = (0..pixels).map(exponential).collect();
                let total: f64 = weights.iter().sum();
                for index in 0..dim {
                    let terms =
                        (0..pixels).map(|key| weights[key] * row(image, key, 2, head)[index]);
                    output.push(terms.sum::<f64>() / total);
                }
            }
        }
    }
    output
}

struct Case<E> {
    geometry: AttentionGeometry,
    qkv: Vec<E>,
    positions: [Vec<f32>; 2],
    gradient: Vec<E>,
}

/// What the passes write.
struct Results<E> {
    output: Vec<E>,
    qkv_gradient: Vec<E>,
    positions_gradients: [Vec<f32>; 2],
}

impl<E: Format> Case<E> {
    fn new([batch, height, width, heads, dim]: Sizes) -> Self {
        let geometry = AttentionGeometry::new(batch, [height, width], heads, dim).unwrap();
        Self {
            qkv: map(1, geometry.qkv_length()),
            positions: [
                map(2, geometry.height_length()),
                map(3, geometry.width_length()),
            ],
            gradient: map(4, geometry.output_length()),
            geometry,
        }
    }

    fn compute(&self) -> Results<E> {
        let [height, width] = &self.positions;
        let unset = |length: usize| vec![E::rounded(f32::NAN); length];
        let mut results = Results {
            output: unset(self.gradient.len()),
            qkv_gradient: unset(self.qkv.len()),
            positions_gradients: [vec![f32::NAN; height.len()], vec![f32::NAN; width.len()]],
        };
        let [height_gradient, width_gradient] = &mut results.positions_gradients;
        attention::forward(
            &self.geometry,
            &self.qkv,
            height,
            width,
            &mut results.output,
        )
        .unwrap();
        attention::backward(
            &self.geometry,
            &self.qkv,
            height,
            width,
            &self.gradient,
            &mut results.qkv_gradient,
            height_gradient,
            width_gradient,
        )
        .unwrap();
        results
    }
}

fn matches_the_reference<E: Format>(sizes: Sizes) {
    let case = Case::<E>::new(sizes);
    let [qkv, gradient] = [&case.qkv, &case.gradient].map(|numbers| exact(numbers));
    let [height, width] = case.positions.each_ref().map(|numbers| exact(numbers));
    let expected = reference(sizes, &qkv, &height, &width);
    in_every_set(|| {
        let results = case.compute();
        let name = |what: &str| format!("{what} of {sizes:?}");
        assert_near(&name("output"), &results.output, &expected, 1.0);
        let accuracy = [120, 4];
        assert_gradient(
            &name("qkv gradient"),
            &results.qkv_gradient,
            &qkv,
            &gradient,
            accuracy,
            |qkv| reference(sizes, qkv, &height, &width),
        );
        let [height_gradient, width_gradient] = &results.positions_gradients;
        assert_gradient(
            &name("gradient of height positions"),
            height_gradient,
            &height,
            &gradient,
            accuracy,
            |height| reference(sizes, &qkv, height, &width),
        );
        assert_gradient(
            &name("gradient of width positions"),
            width_gradient,
            &width,
            &gradient,
            accuracy,
            |width| reference(sizes, &qkv, &height, width),
        );
    });
}

#[test]
fn attention_matches_the_reference() {
    for sizes in [
        [1, 1, 1, 1, 1],
        [2, 1, 3, 2, 1],
        [1, 4, 1, 1, 5],
        [2, 2, 3, 2, 3],
        [1, 3, 5, 3, 16],
        [1, 5, 4, 1, 17],
    ] {
        matches_the_reference::<f32>(sizes);
        matches_the_reference::<bf16>(sizes);
    }
}

/// Scores are the work of several tasks, and vectors are full.
#[test]
fn larger_maps_match_the_reference() {
    let sizes = [2, 13, 11, 2, 20];
    let case = Case::<f32>::new(sizes);
    let [height, width] = case.positions.each_ref().map(|numbers| exact(numbers));
    let expected = reference(sizes, &exact(&case.qkv), &height, &width);
    in_every_set(|| assert_near("output", &case.compute().output, &expected, 1.0));
}

#[test]
fn large_scores_are_finite() {
    let mut case = Case::<f32>::new([1, 2, 2, 1, 4]);
    case.qkv.iter_mut().for_each(|number| *number *= 100.0);
    let results = case.compute();
    let numbers = results.output.iter().chain(&results.qkv_gradient);
    assert!(numbers.into_iter().all(|number| number.is_finite()));
}

#[test]
fn threads_do_not_matter() {
    for sizes in [[1, 12, 13, 2, 24], [5, 7, 7, 3, 16]] {
        let case = Case::<f32>::new(sizes);
        assert_same_bits("attention", || {
            let results = case.compute();
            let [height, width] = results.positions_gradients;
            [results.output, results.qkv_gradient, height, width].concat()
        });
    }
}

#[test]
fn impossible_sizes_are_named() {
    let error = AttentionGeometry::new(2, [3, 0], 1, 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attention of 1 heads of 4 numbers in 2 images of 3 by 0 pixels is empty or too large"
    );
    assert!(AttentionGeometry::new(1, [1 << 20, 1 << 20], 1, 1).is_err());
    assert!(AttentionGeometry::new(1, [2, 2], usize::MAX, 2).is_err());
    let geometry = AttentionGeometry::new(1, [2, 3], 2, 4).unwrap();
    let right = [144, 12, 20, 48];
    assert_eq!(
        right,
        [
            geometry.qkv_length(),
            geometry.height_length(),
            geometry.width_length(),
            geometry.output_length()
        ]
    );
    for wrong in 0..4 {
        let mut lengths = right;
        lengths[wrong] += 1;
        let [qkv, height, width, mut output] = lengths.map(|length| vec![0.0f32; length]);
        let result = attention::forward(&geometry, &qkv, &height, &width, &mut output);
        assert!(result.is_err(), "{wrong}");
    }
    for wrong in 0..7 {
        let mut lengths = [144, 12, 20, 48, 144, 12, 20];
        lengths[wrong] -= 1;
        let [
            qkv,
            height,
            width,
            gradient,
            mut to_qkv,
            mut to_height,
            mut to_width,
        ] = lengths.map(|length| vec![0.0f32; length]);
        let result = attention::backward(
            &geometry,
            &qkv,
            &height,
            &width,
            &gradient,
            &mut to_qkv,
            &mut to_height,
            &mut to_width,
        );
        assert!(result.is_err(), "{wrong}");
    }
}
