//! Group normalisation, for every instruction set of the machine.

mod support;

use half::bf16;
use residua_kernels::group_norm::{self, GroupNormGeometry, GroupStatistics};
use support::maps::{Format, assert_near, in_every_set, map};
use support::reference::{assert_gradient, assert_same_bits, exact};

const EPSILON: f32 = 1e-3;

/// Images, pixels, channels and groups.
type Sizes = [usize; 4];

/// Mean and inverse deviation of the group that number `index` belongs to.
fn moments(
    [_, pixels, channels, groups]: Sizes,
    input: &[f64],
    image: usize,
    group: usize,
) -> [f64; 2] {
    let image = &input[image * pixels * channels..][..pixels * channels];
    let members = || {
        let indexed = image.iter().enumerate();
        indexed.filter(|(index, _)| index % channels / (channels / groups) == group)
    };
    let count = members().count() as f64;
    let mean = members().map(|(_, number)| number).sum::<f64>() / count;
    let squares = members().map(|(_, number)| (number - mean).powi(2));
    let variance = squares.sum::<f64>() / count;
    [mean, 1.0 / (variance + f64::from(EPSILON)).sqrt()]
}

fn reference(sizes: Sizes, input: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let [batch, pixels, channels, groups] = sizes;
    let mut output = input.to_vec();
    for image in 0..batch {
        for group in 0..groups {
            let [mean, inverse] = moments(sizes, input, image, group);
            for pixel in 0..pixels {
                for channel in group * channels / groups..(group + 1) * channels / groups {
                    let index = (image * pixels + pixel) * channels + channel;
                    let normal = (input[index] - mean) * inverse;
                    output[index] = normal * scale[channel] + shift[channel];
                }
            }
        }
    }
    output
}

fn matches_the_reference<E: Format>(sizes: Sizes) {
    let [batch, pixels, channels, groups] = sizes;
    let geometry = GroupNormGeometry::new(batch, pixels, channels, groups).unwrap();
    let length = geometry.map_length();
    let (input, gradient): (Vec<E>, Vec<E>) = (map(1, length), map(2, length));
    let (scale, shift): (Vec<f32>, Vec<f32>) = (map(3, channels), map(4, channels));
    let [wide, wide_gradient] = [&input, &gradient].map(|numbers| exact(numbers));
    let [wide_scale, wide_shift] = [&scale, &shift].map(|numbers| exact(numbers));
    let expected = reference(sizes, &wide, &wide_scale, &wide_shift);
    let name = format!("{sizes:?}");
    // Where the numbers are alike, their inverse deviation multiplies all errors.
    let all = (0..batch).flat_map(|image| (0..groups).map(move |group| (image, group)));
    let statistics: Vec<[f64; 2]> = all
        .map(|(image, group)| moments(sizes, &wide, image, group))
        .collect();
    let steepest = statistics
        .iter()
        .map(|numbers| numbers[1])
        .fold(1.0, f64::max);
    let most = if length > 1000 { 6 } else { 200 };
    in_every_set(|| {
        let mut output = vec![E::rounded(f32::NAN); length];
        let measured =
            group_norm::forward(&geometry, &input, &scale, &shift, EPSILON, &mut output).unwrap();
        assert_near(&name, &output, &expected, steepest);
        for (index, &[mean, inverse]) in statistics.iter().enumerate() {
            assert_near("mean", &measured.mean[index..=index], &[mean], 0.25);
            let actual = &measured.inverse_deviation[index..=index];
            assert_near("inverse deviation", actual, &[inverse], steepest);
        }

        let mut input_gradient = vec![E::rounded(f32::NAN); length];
        let [mut scale_gradient, mut shift_gradient] = [0, 1].map(|_| vec![f32::NAN; channels]);
        group_norm::backward(
            &geometry,
            &input,
            &scale,
            &measured,
            &gradient,
            &mut input_gradient,
            &mut scale_gradient,
            &mut shift_gradient,
        )
        .unwrap();
        let magnitude = (4.0 * steepest * steepest).ceil() as usize;
        assert_gradient(
            &format!("input gradient {sizes:?}"),
            &input_gradient,
            &wide,
            &wide_gradient,
            [most, magnitude],
            |input| reference(sizes, input, &wide_scale, &wide_shift),
        );
        let terms = batch * pixels;
        assert_gradient(
            &format!("scale gradient {sizes:?}"),
            &scale_gradient,
            &wide_scale,
            &wide_gradient,
            [most, terms + magnitude],
            |scale| reference(sizes, &wide, scale, &wide_shift),
        );
        assert_gradient(
            &format!("shift gradient {sizes:?}"),
            &shift_gradient,
            &wide_shift,
            &wide_gradient,
            [most, terms],
            |shift| reference(sizes, &wide, &wide_scale, shift),
        );
    });
}

#[test]
fn group_norm_matches_the_reference() {
    for sizes in [
        [1, 1, 1, 1],
        [2, 1, 6, 3],
        [1, 9, 4, 4],
        [2, 6, 12, 1],
        [3, 5, 6, 2],
        [1, 3, 37, 1],
        [2, 2, 96, 32],
    ] {
        matches_the_reference::<f32>(sizes);
        matches_the_reference::<bf16>(sizes);
    }
}

/// Images larger than the work of a task.
#[test]
fn group_norm_of_large_images_matches_the_reference() {
    matches_the_reference::<f32>([1, 2200, 36, 4]);
    matches_the_reference::<bf16>([2, 70_001, 1, 1]);
}

#[test]
fn the_deviation_from_a_large_mean_is_precise() {
    let sizes = [1, 5000, 6, 2];
    let geometry = GroupNormGeometry::new(1, 5000, 6, 2).unwrap();
    let noise = map::<f32>(1, geometry.map_length()).into_iter();
    let input: Vec<f32> = noise.map(|number| 3000.0 + number).collect();
    let wide = exact(&input);
    in_every_set(|| {
        let mut output = vec![f32::NAN; input.len()];
        let statistics = group_norm::forward(
            &geometry,
            &input,
            &[1.0; 6],
            &[0.0; 6],
            EPSILON,
            &mut output,
        )
        .unwrap();
        for group in 0..2 {
            let [mean, inverse] = moments(sizes, &wide, 0, group);
            let GroupStatistics {
                mean: actual_mean,
                inverse_deviation,
            } = &statistics;
            assert!((f64::from(actual_mean[group]) - mean).abs() < 2e-4);
            let error = f64::from(inverse_deviation[group]) / inverse - 1.0;
            assert!(error.abs() < 1e-6, "{error:e}");
        }
    });
}

#[test]
fn threads_do_not_matter() {
    let geometry = GroupNormGeometry::new(3, 3000, 48, 6).unwrap();
    let (input, gradient): (Vec<f32>, Vec<f32>) =
        (map(1, geometry.map_length()), map(2, geometry.map_length()));
    let (scale, shift): (Vec<f32>, Vec<f32>) = (map(3, 48), map(4, 48));
    assert_same_bits("group norm", || {
        let mut output = vec![f32::NAN; input.len()];
        let statistics =
            group_norm::forward(&geometry, &input, &scale, &shift, EPSILON, &mut output).unwrap();
        let mut input_gradient = vec![f32::NAN; input.len()];
        let [mut scale_gradient, mut shift_gradient] = [0, 1].map(|_| vec![f32::NAN; 48]);
        group_norm::backward(
            &geometry,
            &input,
            &scale,
            &statistics,
            &gradient,
            &mut input_gradient,
            &mut scale_gradient,
            &mut shift_gradient,
        )
        .unwrap();
        [
            output,
            statistics.mean,
            statistics.inverse_deviation,
            input_gradient,
            scale_gradient,
            shift_gradient,
        ]
        .concat()
    });
}

#[test]
fn impossible_sizes_are_named() {
    let error = GroupNormGeometry::new(1, 4, 6, 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "6 channels do not make 4 groups of equal size"
    );
    assert!(GroupNormGeometry::new(1, 4, 6, 0).is_err());
    assert!(GroupNormGeometry::new(0, 4, 6, 2).is_err());
    let geometry = GroupNormGeometry::new(2, 3, 4, 2).unwrap();
    for wrong in 0..4 {
        let mut lengths = [24, 4, 4, 24];
        lengths[wrong] += 1;
        let [input, scale, shift, mut output] = lengths.map(|length| vec![0.0f32; length]);
        let result = group_norm::forward(&geometry, &input, &scale, &shift, 0.1, &mut output);
        assert!(result.is_err(), "{wrong}");
    }
    for wrong in 0..8 {
        let mut lengths = [24, 4, 4, 4, 24, 24, 4, 4];
        lengths[wrong] -= 1;
        let [
            input,
            scale,
            mean,
            inverse_deviation,
            gradient,
            mut input_gradient,
            mut scale_gradient,
            mut shift_gradient,
        ] = lengths.map(|length| vec![0.0f32; length]);
        let statistics = GroupStatistics {
            mean,
            inverse_deviation,
        };
        let result = group_norm::backward(
            &geometry,
            &input,
            &scale,
            &statistics,
            &gradient,
            &mut input_gradient,
            &mut scale_gradient,
            &mut shift_gradient,
        );
        assert!(result.is_err(), "{wrong}");
    }
}
