//! Convolutions against a plain f64 reference, for every instruction set of the machine.

mod support;

use proptest::prelude::*;
use residua_kernels::convolution::{self, ConvolutionGeometry, ConvolutionSpec};
use residua_kernels::{InstructionSet, with_instruction_set};
use support::{Sum, assert_close, assert_close_to_largest, for_each_product, numbers};

/// Compares all three kernels with the reference.
fn check(geometry: &ConvolutionGeometry, with_bias: bool) {
    let input = numbers(1, geometry.input_length());
    let weight = numbers(2, geometry.weight_length());
    let output_gradient = numbers(3, geometry.output_length());
    let bias = numbers(4, geometry.spec().out_channels);

    let mut output = vec![Sum::default(); geometry.output_length()];
    let mut input_gradient = vec![Sum::default(); geometry.input_length()];
    let mut weight_gradient = vec![Sum::default(); geometry.weight_length()];
    if with_bias {
        for (index, sum) in output.iter_mut().enumerate() {
            sum.add(f64::from(bias[index % bias.len()]));
        }
    }
    for_each_product(geometry, |source, tap, target| {
        output[target].add(f64::from(input[source]) * f64::from(weight[tap]));
        input_gradient[source].add(f64::from(output_gradient[target]) * f64::from(weight[tap]));
        weight_gradient[tap].add(f64::from(output_gradient[target]) * f64::from(input[source]));
    });

    // A 3×3 convolution of stride 1 is computed by Winograd's minimal filtering, whose transforms add
    // numbers of a whole tile. Its errors reached 10 roundings of the largest magnitude, 1e-6 of it.
    let spec = geometry.spec();
    let by_tiles = spec.kernel == [3, 3]
        && spec.stride == [1, 1]
        && spec.dilation == [1, 1]
        && spec.groups == 1
        && spec.in_channels.min(spec.out_channels) >= 8;
    let assert_close = |name: &str, actual: &[f32], expected: &[Sum], ulps: f64| {
        if by_tiles {
            assert_close_to_largest(name, actual, expected, 3.0 * ulps);
        } else {
            assert_close(name, actual, expected, ulps);
        }
    };
    for set in InstructionSet::available() {
        with_instruction_set(set, || {
            // Stale contents must not shine through.
            let mut actual = vec![f32::NAN; geometry.output_length()];
            convolution::forward(
                geometry,
                &input,
                &weight,
                with_bias.then_some(&bias[..]),
                &mut actual,
            )
            .unwrap();
            assert_close(&format!("{set} output"), &actual, &output, 8.0);

            let mut actual = vec![f32::NAN; geometry.input_length()];
            convolution::input_gradient(geometry, &output_gradient, &weight, &mut actual).unwrap();
            assert_close(
                &format!("{set} input gradient"),
                &actual,
                &input_gradient,
                8.0,
            );

            let mut actual = vec![f32::NAN; geometry.weight_length()];
            convolution::weight_gradient(geometry, &input, &output_gradient, &mut actual).unwrap();
            assert_close(
                &format!("{set} weight gradient"),
                &actual,
                &weight_gradient,
                16.0,
            );
        });
    }
}

prop_compose! {
    fn geometries()(
        batch in 1usize..4,
        input in [1usize..12, 1usize..12],
        group_channels in (prop_oneof![1usize..6, 14usize..40], prop_oneof![1usize..6, 14usize..72]),
        groups in prop_oneof![3 => Just(1usize), 1 => 2usize..5],
        kernel in [1usize..5, 1usize..5],
        stride in [1usize..4, 1usize..4],
        padding in [0usize..4, 0usize..4],
        dilation in [1usize..4, 1usize..4],
    ) -> ConvolutionSpec {
        ConvolutionSpec {
            batch,
            input,
            in_channels: group_channels.0 * groups,
            out_channels: group_channels.1 * groups,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        }
    }
}

prop_compose! {
    /// Those that are computed in tiles of 4×4 pixels.
    fn tiled_geometries()(
        batch in 1usize..6,
        input in [1usize..21, 1usize..21],
        channels in (prop_oneof![8usize..24, 30usize..70], prop_oneof![8usize..24, 30usize..70]),
        padding in [0usize..3, 0usize..3],
    ) -> ConvolutionSpec {
        ConvolutionSpec {
            batch,
            input,
            in_channels: channels.0,
            out_channels: channels.1,
            kernel: [3, 3],
            padding,
            ..ConvolutionSpec::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn depthwise_kernels_match_the_reference(
        spec in geometries(),
        channels in 2usize..80,
        with_bias: bool,
    ) {
        let geometry = ConvolutionGeometry::new(ConvolutionSpec {
            in_channels: channels,
            out_channels: channels,
            groups: channels,
            ..spec
        });
        prop_assume!(geometry.is_ok());
        check(&geometry.unwrap(), with_bias);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tiled_kernels_match_the_reference(spec in tiled_geometries(), with_bias: bool) {
        let geometry = ConvolutionGeometry::new(spec);
        prop_assume!(geometry.is_ok());
        check(&geometry.unwrap(), with_bias);
    }

    #[test]
    fn kernels_match_the_reference(spec in geometries(), with_bias: bool) {
        let geometry = ConvolutionGeometry::new(spec);
        prop_assume!(geometry.is_ok());
        check(&geometry.unwrap(), with_bias);
    }
}

/// Sizes that take every way through the planner: bands of rows, groups of images, long reductions.
#[test]
fn planned_shapes_match_the_reference() {
    let square =
        |batch, size, in_channels, out_channels, kernel, stride, padding| ConvolutionSpec {
            batch,
            input: [size, size],
            in_channels,
            out_channels,
            kernel: [kernel, kernel],
            stride: [stride, stride],
            padding: [padding, padding],
            ..ConvolutionSpec::default()
        };
    let specs = [
        square(1, 60, 24, 8, 3, 1, 1),
        square(1, 59, 24, 8, 3, 2, 1),
        square(1, 61, 30, 8, 1, 2, 0),
        square(1, 58, 3, 20, 7, 2, 3),
        square(35, 4, 20, 17, 3, 1, 1),
        square(33, 5, 8, 17, 3, 2, 1),
        square(2, 3, 900, 65, 1, 1, 0),
        square(1, 3, 300, 33, 3, 1, 1),
        // Sums too many for parts, and bands of tiles.
        square(3, 9, 130, 140, 3, 1, 1),
        square(1, 50, 16, 16, 3, 1, 1),
        square(40, 7, 33, 70, 1, 1, 0),
        square(1, 90, 12, 4, 5, 3, 0),
    ];
    for spec in specs {
        check(&ConvolutionGeometry::new(spec).unwrap(), true);
    }
}

#[test]
fn impossible_geometries_are_named() {
    let spec = ConvolutionSpec {
        batch: 1,
        input: [4, 4],
        in_channels: 6,
        out_channels: 8,
        kernel: [3, 3],
        ..ConvolutionSpec::default()
    };
    let message = |spec: ConvolutionSpec| ConvolutionGeometry::new(spec).unwrap_err().to_string();
    assert_eq!(
        message(ConvolutionSpec {
            groups: 4,
            ..spec.clone()
        }),
        "4 groups do not divide 6 input channels"
    );
    assert_eq!(
        message(ConvolutionSpec {
            dilation: [1, 2],
            ..spec.clone()
        }),
        "kernel 3 with dilation 2 spans 5 pixels, but the padded input width is 4"
    );
    assert_eq!(
        message(ConvolutionSpec {
            stride: [0, 1],
            ..spec.clone()
        }),
        "vertical stride is 0, but a convolution needs at least 1"
    );
    let geometry = ConvolutionGeometry::new(spec).unwrap();
    let error = convolution::forward(&geometry, &[0.0; 96], &[0.0; 9], None, &mut []).unwrap_err();
    assert_eq!(
        error.to_string(),
        "weight has 9 elements, but the shape needs 432"
    );
}
