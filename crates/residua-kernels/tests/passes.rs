//! The fused passes of convolutions, which evaluate what they read and finish what they write, against
//! plain f64, in both formats and for every instruction set of the machine.

mod support;

use half::bf16;
use proptest::prelude::*;
use residua_kernels::BufferPool;
use residua_kernels::convolution::fused::{
    self, ForwardPass, InputGradientPass, WeightGradientPass, forward, input_gradient,
    weight_gradient,
};
use residua_kernels::convolution::{ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::feature_map::{Finish, MapView, NormGradient, OutputGradient, Source};
use support::maps::{Format, Parts, assert_near, in_every_set, map};
use support::{for_each_product, numbers};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn fused_passes_match_the_reference(
        batch in 1usize..4,
        size in [1usize..14, 1usize..14],
        channels in [prop_oneof![1usize..6, 8usize..34], prop_oneof![1usize..6, 8usize..34]],
        groups in prop_oneof![3 => Just(1usize), 1 => 2usize..4],
        kernel in prop_oneof![3 => Just(1usize), 6 => Just(3), 1 => Just(7)],
        stride in prop_oneof![4 => Just(1usize), 1 => 2usize..4],
        dilation in prop_oneof![4 => Just(1usize), 1 => 2usize..4],
        // Usually such that input and output have the same size.
        padding in prop_oneof![3 => Just(None), 1 => (0usize..3).prop_map(Some)],
        is_depthwise in prop::bool::weighted(0.2),
        parts: [bool; 3],
        ends: [bool; 3],
    ) {
        let (channels, groups) = match is_depthwise {
            true => ([1, 1], channels[0] + 1),
            false => (channels, groups),
        };
        let geometry = ConvolutionGeometry::new(ConvolutionSpec {
            batch,
            input: size,
            in_channels: channels[0] * groups,
            out_channels: channels[1] * groups,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding.unwrap_or(dilation * (kernel / 2)); 2],
            dilation: [dilation; 2],
            groups,
        });
        // A window may be larger than its image.
        let Ok(geometry) = geometry else { return Ok(()) };
        let ends = Ends { adds: ends[0], bias: ends[1], second_norm: ends[2] };
        in_every_set(|| {
            check_passes::<f32>(&geometry, parts, ends);
            check_passes::<bf16>(&geometry, parts, ends);
        });
    }
}

/// What the passes do with what they have computed.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// Input gradients are added to what is there.
    adds: bool,
    /// A bias is added to outputs.
    bias: bool,
    /// Products with the values behind a second normalisation are summed too.
    second_norm: bool,
}

/// The fused passes against f64 convolutions of what their sources and gradients stand for.
fn check_passes<E: Format>(geometry: &ConvolutionGeometry, parts: [bool; 3], ends: Ends) {
    let spec = geometry.spec().clone();
    let (inputs, outputs) = (spec.in_channels, spec.out_channels);
    let input_pixels = geometry.input_length() / inputs;
    let output_pixels = geometry.output_length() / outputs;
    let read = Parts::<E>::new(input_pixels, inputs, parts);
    let behind = Parts::<E>::new(output_pixels, outputs, [true, false, false]);
    let weight = numbers(9, geometry.weight_length());
    let gradient = OutputGradient {
        gradient: &behind.shortcut,
        norm: Some(NormGradient {
            values: (&behind.values[..]).into(),
            gradient_factor: &behind.affine[0],
            value_factor: &behind.affine[1],
            constant: &behind.affine[2],
        }),
    };
    let mut stored = vec![E::default(); geometry.output_length()];
    gradient
        .evaluate(outputs, (&mut stored[..]).into())
        .unwrap();
    let sources = read.reference();
    let gradients: Vec<f64> = stored.iter().map(|number| number.exact()).collect();

    let bias = ends.bias.then(|| numbers(11, outputs));
    let mut output = vec![0.0; geometry.output_length()];
    if let Some(bias) = &bias {
        for (index, sum) in output.iter_mut().enumerate() {
            *sum = f64::from(bias[index % outputs]);
        }
    }
    let mut input_sums = vec![0.0; geometry.input_length()];
    let mut weight_sums = vec![0.0; geometry.weight_length()];
    for_each_product(geometry, |source, tap, target| {
        output[target] += sources[source] * f64::from(weight[tap]);
        input_sums[source] += gradients[target] * f64::from(weight[tap]);
        weight_sums[tap] += gradients[target] * sources[source];
    });
    // Operands are rounded to the format, sums are not. Winograd's roundings, up to 3e-6, are relative
    // to the largest sum of magnitudes.
    let tolerance =
        |products: f64| 4.0 * (E::ROUNDING + 3e-7) * 3.0 * products.sqrt() + 5e-6 * products;
    let taps = (spec.kernel[0] * spec.kernel[1]) as f64;

    let keeps = spec.stride == [1, 1] && spec.input == geometry.output();
    let mut actual = vec![E::rounded(f32::NAN); output.len()];
    let mut kept = vec![E::rounded(f32::NAN); sources.len()];
    let pass = ForwardPass {
        source: read.source(),
        weight: &weight,
        bias: bias.as_deref(),
        output: &mut actual,
        keep: keeps.then_some(&mut kept[..]),
        moments: true,
    };
    let moments = forward(geometry, pass)
        .unwrap()
        .expect("moments were asked for");
    let allowed = tolerance(taps * inputs as f64);
    assert_within("output", &actual, &output, allowed);
    if keeps {
        assert_near("kept", &kept, &sources, 4.0);
    }
    let exact: Vec<f64> = actual.iter().map(|number| number.exact()).collect();
    for channel in 0..outputs {
        let column: Vec<f64> = exact
            .iter()
            .skip(channel)
            .step_by(outputs)
            .copied()
            .collect();
        let mean = column.iter().sum::<f64>() / output_pixels as f64;
        let largest = column
            .iter()
            .fold(0.0, |most: f64, number| most.max(number.abs()));
        assert!((moments.mean[channel] - mean).abs() <= (E::ROUNDING + 1e-5) * largest);
        let squares: f64 = column.iter().map(|number| (number - mean).powi(2)).sum();
        let variance = squares / output_pixels as f64;
        let allowed = 4.0 * (E::ROUNDING + 1e-5) * largest * largest;
        assert!((moments.variance[channel] - variance).abs() <= allowed);
    }

    let before: Vec<E> = map(10, sources.len());
    let mean = numbers(8, inputs);
    let norms = [
        (&read.values[..], &mean[..]),
        (&read.shortcut[..], &mean[..]),
    ];
    let norms = &norms[..1 + usize::from(ends.second_norm)];
    let views: Vec<_> = { norms.iter() }
        .map(|(values, mean)| (MapView::from(*values), *mean))
        .collect();
    let unrectified = Source {
        rectified: false,
        ..read.source()
    };
    let finish = Finish {
        mask: read.rectified.then_some(unrectified),
        norms: &views,
    };
    let input_pass = |output| InputGradientPass {
        gradient,
        weight: &weight,
        output,
        add_to_output: ends.adds,
        finish: Some(finish),
    };
    let mut separate = [before.clone(), before.clone()];
    let [first, second] = &mut separate;
    let mut weights = [vec![f32::NAN; weight.len()], vec![f32::NAN; weight.len()]];
    let sums = input_gradient(geometry, input_pass(first));
    let pass = WeightGradientPass {
        source: read.source(),
        gradient,
        weight_gradient: &mut weights[0],
    };
    weight_gradient(geometry, pass).unwrap();
    let pass = input_pass(second);
    let both = fused::gradients(geometry, read.source(), &mut weights[1], pass);
    for (name, actual, weights, sums) in [
        ("alone", &separate[0], &weights[0], sums),
        ("together", &separate[1], &weights[1], both),
    ] {
        let sums = sums.unwrap().expect("sums come with a finish");
        let mut expected_sums = vec![0.0; inputs];
        let mut expected_products = vec![vec![0.0; inputs]; norms.len()];
        let mut expected = input_sums.clone();
        for (index, sum) in expected.iter_mut().enumerate() {
            if ends.adds {
                *sum += before[index].exact();
            }
            if read.rectified && sources[index] <= 0.0 {
                *sum = 0.0;
            }
            // Near zero the rounded source may lie on the other side.
            if read.rectified && sources[index].abs() < 1e-6 {
                *sum = actual[index].exact();
            }
            expected_sums[index % inputs] += *sum;
            for (products, (values, mean)) in expected_products.iter_mut().zip(norms) {
                let distance = values[index].exact() - f64::from(mean[index % inputs]);
                products[index % inputs] += *sum * distance;
            }
        }
        let allowed = tolerance(taps * outputs as f64);
        assert_within(
            &format!("input gradient {name}"),
            actual,
            &expected,
            allowed,
        );
        for (actual, expected) in sums.gradient.iter().zip(&expected_sums) {
            assert!((actual - expected).abs() <= allowed * (input_pixels as f64));
        }
        // Values and means are between -1 and 1.
        assert_eq!(sums.products.len(), norms.len());
        let products = sums.products.iter().flatten();
        for (actual, expected) in products.zip(expected_products.iter().flatten()) {
            assert!((actual - expected).abs() <= 2.0 * allowed * (input_pixels as f64));
        }
        let allowed = tolerance(output_pixels as f64) * 3.0;
        let name = format!("weight gradient {name}");
        assert_within(&name, weights, &weight_sums, allowed);
    }
}

/// Both gradients of a convolution and the sums of the finish, as bits.
fn bits_of_both<E: Format>(geometry: &ConvolutionGeometry, threads: usize) -> [Vec<u64>; 3] {
    let (inputs, outputs) = (geometry.spec().in_channels, geometry.spec().out_channels);
    let read = Parts::<E>::new(geometry.input_length() / inputs, inputs, [true; 3]);
    let behind = Parts::<E>::new(geometry.output_length() / outputs, outputs, [true; 3]);
    let weight = numbers(9, geometry.weight_length());
    let mean = numbers(8, inputs);
    let norms = [(MapView::from(&read.values[..]), &mean[..])];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let mut output = vec![E::rounded(f32::NAN); geometry.input_length()];
    let mut weight_gradient = vec![f32::NAN; weight.len()];
    let pass = InputGradientPass {
        gradient: OutputGradient::stored(&behind.values),
        weight: &weight,
        output: &mut output,
        add_to_output: false,
        finish: Some(Finish {
            mask: Some(read.source()),
            norms: &norms,
        }),
    };
    let work = || fused::gradients(geometry, read.source(), &mut weight_gradient, pass);
    let sums = pool.unwrap().install(work).unwrap().unwrap();
    let sums = sums.gradient.iter().chain(sums.products.iter().flatten());
    [
        output
            .iter()
            .map(|number| number.exact().to_bits())
            .collect(),
        weight_gradient
            .iter()
            .map(|number| number.to_bits().into())
            .collect(),
        sums.map(|number| number.to_bits()).collect(),
    ]
}

/// With more threads than parts of the weight gradient, the two gradients are computed in turn.
#[test]
fn gradients_have_the_same_bits_with_any_number_of_threads() {
    for (channels, kernel) in [([24, 40], 1), ([300, 500], 1), ([24, 40], 3)] {
        let geometry = ConvolutionGeometry::new(ConvolutionSpec {
            batch: 3,
            input: [17, 13],
            in_channels: channels[0],
            out_channels: channels[1],
            kernel: [kernel; 2],
            padding: [kernel / 2; 2],
            ..ConvolutionSpec::default()
        })
        .unwrap();
        let alone = [
            bits_of_both::<f32>(&geometry, 1),
            bits_of_both::<bf16>(&geometry, 1),
        ];
        for threads in [2, 40] {
            let together = [
                bits_of_both::<f32>(&geometry, threads),
                bits_of_both::<bf16>(&geometry, threads),
            ];
            assert!(alone == together, "{threads} threads, {channels:?}");
        }
    }
}

/// Maps of more than 32 MiB are written past the caches, if each pixel is whole lines of them.
fn check_large_maps<E: Format>() {
    let channels = 64 / size_of::<E>();
    let geometry = |batch| {
        ConvolutionGeometry::new(ConvolutionSpec {
            batch,
            input: [540, 500],
            in_channels: channels,
            out_channels: channels,
            ..ConvolutionSpec::default()
        })
        .unwrap()
    };
    let (one, two) = (geometry(1), geometry(2));
    let values: Vec<E> = map(1, one.input_length());
    let (weight, mean) = (numbers(2, one.weight_length()), numbers(3, channels));
    let pool = BufferPool::default();
    let run = |geometry: &ConvolutionGeometry, values: &[E], asked: bool| {
        let mut output = pool.take::<E>(geometry.output_length());
        let mut gradient = pool.take::<E>(geometry.input_length());
        for map in [&mut output, &mut gradient] {
            assert!(map.as_ptr().addr().is_multiple_of(64));
            map.fill(E::rounded(f32::NAN));
        }
        let pass = ForwardPass {
            source: Source::stored(values),
            weight: &weight,
            bias: None,
            output: &mut output,
            keep: None,
            moments: asked,
        };
        let moments = forward(geometry, pass).unwrap();
        let norms = [(MapView::from(values), &mean[..])];
        let pass = InputGradientPass {
            gradient: OutputGradient::stored(values),
            weight: &weight,
            output: &mut gradient,
            add_to_output: false,
            finish: asked.then_some(Finish {
                mask: Some(Source::stored(values)),
                norms: &norms,
            }),
        };
        let sums = input_gradient(geometry, pass).unwrap();
        ([output.to_vec(), gradient.to_vec()], moments, sums)
    };
    let near = |actual: &[f64], expected: &[f64], factor: f64| {
        for (actual, expected) in actual.iter().zip(expected) {
            let difference = (actual - factor * expected).abs();
            let allowed = 1e-4 * (1.0 + expected.abs());
            assert!(difference <= allowed, "{actual} {expected}");
        }
    };
    in_every_set(|| {
        for asked in [true, false] {
            let (maps, moments, sums) = run(&one, &values, asked);
            let twice = [&values[..], &values].concat();
            let (maps_of_two, moments_of_two, sums_of_two) = run(&two, &twice, asked);
            assert!(maps_of_two == maps.map(|map| [&map[..], &map].concat()));
            if asked {
                let (moments, moments_of_two) = (moments.unwrap(), moments_of_two.unwrap());
                near(&moments_of_two.mean, &moments.mean, 1.0);
                near(&moments_of_two.variance, &moments.variance, 1.0);
                let (sums, sums_of_two) = (sums.unwrap(), sums_of_two.unwrap());
                near(&sums_of_two.gradient, &sums.gradient, 2.0);
                near(&sums_of_two.products[0], &sums.products[0], 2.0);
            }
        }
    });
}

#[test]
fn maps_larger_than_the_caches_have_the_same_numbers() {
    check_large_maps::<f32>();
    check_large_maps::<bf16>();
}

#[track_caller]
fn assert_within<E: Format>(name: &str, actual: &[E], expected: &[f64], allowed: f64) {
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (actual.exact() - expected).abs();
        let allowed = allowed + E::ROUNDING * expected.abs();
        assert!(
            error <= allowed,
            "{name}[{index}] is {}, the reference {expected}, allowed {allowed:e}",
            actual.exact()
        );
    }
}
