//! Feature maps that are computed where they are read, against plain f64, in both formats and for
//! every instruction set of the machine.

mod support;

use half::bf16;
use proptest::prelude::*;
use residua_kernels::feature_map::{
    Finish, MapView, NormGradient, OutputGradient, Source, convert, evaluate, finish, measure,
};
use support::maps::{Format, Parts, assert_near, in_every_set, map};
use support::numbers;

#[track_caller]
fn assert_sums(name: &str, actual: &[f64], expected: &[f64], magnitude: f64) {
    for (actual, expected) in actual.iter().zip(expected) {
        let error = (actual - expected).abs();
        assert!(
            error <= 3e-6 * magnitude,
            "{name}: {actual}, the reference {expected}"
        );
    }
}

fn check_maps<E: Format>(pixels: usize, channels: usize, parts: [bool; 3]) {
    let parts = Parts::<E>::new(pixels, channels, parts);
    let expected = parts.reference();
    let mut target = vec![E::default(); parts.values.len()];
    evaluate(&parts.source(), channels, &mut target).unwrap();
    assert_near("source", &target, &expected, 4.0);

    let mut wide = vec![0.0f32; target.len()];
    convert(&target, &mut wide).unwrap();
    let exact: Vec<f64> = target.iter().map(|number| number.exact()).collect();
    assert_near("converted", &wide, &exact, 0.0);

    let moments = measure((&parts.values[..]).into(), channels).unwrap();
    assert_eq!(moments.count, pixels);
    for channel in 0..channels {
        let column = parts.values.iter().skip(channel).step_by(channels);
        let column: Vec<f64> = column.map(|number| number.exact()).collect();
        let mean = column.iter().sum::<f64>() / pixels as f64;
        let squares = column.iter().map(|number| (number - mean).powi(2));
        let variance = squares.sum::<f64>() / pixels as f64;
        // A part of up to a thousand pixels is summed in `f32`, about a pivot up to 2 away.
        assert!((moments.mean[channel] - mean).abs() < 1e-5);
        assert!((moments.variance[channel] - variance).abs() < 1e-4 * (variance + 1e-2));
    }

    let gradient = OutputGradient {
        gradient: &parts.shortcut,
        norm: parts.has_affine.then_some(NormGradient {
            values: (&parts.values[..]).into(),
            gradient_factor: &parts.affine[0],
            value_factor: &parts.affine[1],
            constant: &parts.affine[2],
        }),
    };
    let expected: Vec<f64> = (0..target.len())
        .map(|index| {
            let factor = |part: usize| f64::from(parts.affine[part][index % channels]);
            let number = parts.shortcut[index].exact();
            if parts.has_affine {
                number * factor(0) + parts.values[index].exact() * factor(1) + factor(2)
            } else {
                number
            }
        })
        .collect();
    gradient
        .evaluate(channels, (&mut target[..]).into())
        .unwrap();
    assert_near("output gradient", &target, &expected, 3.0);
    let mut sums = parts.shortcut.clone();
    let expected: Vec<f64> = { expected.iter().zip(&sums) }
        .map(|(gradient, before)| gradient + before.exact())
        .collect();
    gradient.add_to(channels, (&mut sums[..]).into()).unwrap();
    assert_near("output gradient added", &sums, &expected, 3.0);
    check_finish(&parts, pixels);
}

fn check_finish<E: Format>(parts: &Parts<E>, pixels: usize) {
    let channels = parts.channels;
    let before: Vec<E> = map(7, pixels * channels);
    let mean = numbers(8, channels);
    let norms = [
        (&parts.values[..], &mean[..]),
        (&parts.shortcut[..], &mean[..]),
    ];
    let norms = &norms[..1 + usize::from(parts.has_shortcut)];
    let views: Vec<_> = { norms.iter() }
        .map(|(values, mean)| (MapView::from(*values), *mean))
        .collect();
    // The mask is where the source is positive before its rectifier.
    let unrectified = Source {
        rectified: false,
        ..parts.source()
    };
    let rest = Finish {
        mask: parts.rectified.then_some(unrectified),
        norms: &views,
    };
    let mut gradient = before.clone();
    let sums = finish(&rest, channels, &mut gradient).unwrap();
    let values = Parts::reference(parts);
    let mut expected = vec![0.0; channels];
    let mut products = vec![vec![0.0; channels]; norms.len()];
    for (index, (&number, &value)) in before.iter().zip(&values).enumerate() {
        let kept = !parts.rectified || value > 0.0;
        // Where a sum is within rounding of zero, either answer is right.
        if parts.rectified && value.abs() < 1e-6 {
            continue;
        }
        let number = if kept { number.exact() } else { 0.0 };
        assert_eq!(gradient[index].exact(), number);
        let channel = index % channels;
        expected[channel] += number;
        for (product, (values, _)) in products.iter_mut().zip(norms) {
            product[channel] += number * (values[index].exact() - f64::from(mean[channel]));
        }
    }
    // Skipped numbers may be in the sums or not.
    let magnitude = pixels as f64
        + 1e6
            * f64::from(u8::from(values.iter().any(|value| {
                parts.rectified && *value != 0.0 && value.abs() < 1e-6
            })));
    assert_sums("sums", &sums.gradient, &expected, magnitude);
    for (actual, expected) in sums.products.iter().zip(&products) {
        assert_sums("products", actual, expected, 2.0 * magnitude);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn maps_match_the_reference(
        pixels in prop_oneof![1usize..40, 900usize..1100],
        channels in prop_oneof![1usize..20, 30usize..70],
        parts: [bool; 3],
    ) {
        in_every_set(|| {
            check_maps::<f32>(pixels, channels, parts);
            check_maps::<bf16>(pixels, channels, parts);
        });
    }
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let source = Source::stored(&[0.0f32; 12][..]);
    let error = evaluate(&source, 5, &mut [0.0; 12]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "target has 12 elements, which is not a number of pixels of 5 channels"
    );
    let error = evaluate(&source, 4, &mut [0.0; 8]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "source has 12 elements, but the shape needs 8"
    );
}
