//! The parts in bfloat16 against f64, for every instruction set of the machine.

use half::bf16;
use proptest::prelude::*;

use super::correlation::Correlation;
use super::direct::{DirectCorrelation, DirectSum};
use super::plan::Chunking;
use super::units::{Correlate, correlate, sum_products};
use super::{ConvolutionGeometry, ConvolutionSpec};
use crate::feature_map::{OutputGradient, Source};
use crate::parallel::DisjointWriter;
use crate::{Element, InstructionSet, with_instruction_set};
use support::{Sum, assert_close, for_each_product, numbers, round};

#[path = "../../tests/support/mod.rs"]
mod support;

/// Products of bfloat16 numbers are exact in `f32`, and sums are kept in `f32`, so what is allowed
/// are the roundings of sums, as in `f32`. Dot products may round once more per pair, which is no
/// more often than once per number.
const ROUNDINGS: f64 = 16.0;

/// All units' results, as they are before they are rounded.
fn run(
    correlation: Correlation,
    source: &[bf16],
    weight: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    let set = InstructionSet::current();
    let channels = correlation.source_channels;
    let direct = DirectCorrelation::<bf16>::new(correlation, weight, bias);
    let (source, writer) = (Source::stored(source), DisjointWriter::new(target));
    correlate(
        &direct,
        |_, pixels, target, stride| source.load(set, channels, pixels, target, stride),
        |unit, result| {
            let first = direct.target_pixels(unit).start * direct.target_channels();
            // SAFETY: units differ in their target pixels.
            unsafe { writer.slice(first, result.len()) }.copy_from_slice(result);
        },
    );
}

fn weight_gradient<G: Element>(
    sum: DirectSum<bf16>,
    geometry: &ConvolutionGeometry,
    input: &[bf16],
    output_gradient: &[G],
    target: &mut [f32],
) {
    let set = InstructionSet::current();
    let (inputs, outputs) = (geometry.spec().in_channels, geometry.spec().out_channels);
    let source = Source::stored(input);
    let gradient = OutputGradient::stored(output_gradient);
    sum_products(
        &sum,
        |pixels, target, stride| source.load(set, inputs, pixels, target, stride),
        |pixels, target, stride| gradient.load(set, outputs, pixels, target, stride),
        target,
    );
}

fn check(geometry: &ConvolutionGeometry, with_bias: bool) {
    let input = round(&numbers(1, geometry.input_length()));
    let output_gradient = numbers(3, geometry.output_length());
    let rounded_gradient = round(&output_gradient);
    let weight = numbers(2, geometry.weight_length());
    let bias = numbers(4, geometry.spec().out_channels);

    let mut output = vec![Sum::default(); geometry.output_length()];
    let mut input_gradient = vec![Sum::default(); geometry.input_length()];
    let mut weight_sums = vec![Sum::default(); geometry.weight_length()];
    if with_bias {
        for (index, sum) in output.iter_mut().enumerate() {
            sum.add(f64::from(bias[index % bias.len()]));
        }
    }
    let rounded_weight = round(&weight);
    for_each_product(geometry, |source, tap, target| {
        let gradient = rounded_gradient[target].to_f64();
        output[target].add(input[source].to_f64() * rounded_weight[tap].to_f64());
        input_gradient[source].add(gradient * rounded_weight[tap].to_f64());
        weight_sums[tap].add(gradient * input[source].to_f64());
    });

    for set in InstructionSet::available() {
        with_instruction_set(set, || {
            // Stale contents must not shine through.
            let mut actual = vec![f32::NAN; geometry.output_length()];
            run(
                Correlation::forward(geometry),
                &input,
                &weight,
                with_bias.then_some(&bias[..]),
                &mut actual,
            );
            assert_close(&format!("{set} output"), &actual, &output, ROUNDINGS);

            let mut actual = vec![f32::NAN; geometry.input_length()];
            let backward = Correlation::input_gradient(geometry);
            run(backward, &rounded_gradient, &weight, None, &mut actual);
            let name = format!("{set} input gradient");
            assert_close(&name, &actual, &input_gradient, ROUNDINGS);

            let mut from_f32 = vec![f32::NAN; geometry.weight_length()];
            weight_gradient(
                DirectSum::new(geometry),
                geometry,
                &input,
                &output_gradient,
                &mut from_f32,
            );
            let name = format!("{set} weight gradient");
            assert_close(&name, &from_f32, &weight_sums, ROUNDINGS);

            let mut from_bf16 = vec![f32::NAN; geometry.weight_length()];
            weight_gradient(
                DirectSum::new(geometry),
                geometry,
                &input,
                &rounded_gradient,
                &mut from_bf16,
            );
            let whole = Chunking {
                numbers: 64 * 1024,
                least_chunks: 1,
            };
            let mut of_images = vec![f32::NAN; geometry.weight_length()];
            let sum = DirectSum::in_chunks(geometry, whole);
            weight_gradient(sum, geometry, &input, &output_gradient, &mut of_images);
            let name = format!("{set} weight gradient of units of images");
            assert_close(&name, &of_images, &weight_sums, ROUNDINGS);

            assert_eq!(
                from_bf16, from_f32,
                "{set} weight gradient of rounded numbers"
            );
        });
    }
}

prop_compose! {
    fn geometries()(
        batch in 1usize..6,
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parts_match_the_reference(spec in geometries(), with_bias: bool) {
        let geometry = ConvolutionGeometry::new(spec);
        prop_assume!(geometry.is_ok());
        check(&geometry.unwrap(), with_bias);
    }
}

/// Sizes that take every way through the plans: bands of rows, groups of images, blocks of
/// channels, long sums, many narrow groups.
#[test]
fn planned_shapes_match_the_reference() {
    let square = |batch, size, channels: [usize; 2], kernel, stride, groups| ConvolutionSpec {
        batch,
        input: [size, size],
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel, kernel],
        stride: [stride, stride],
        padding: [kernel / 2, kernel / 2],
        groups,
        ..ConvolutionSpec::default()
    };
    let specs = [
        square(1, 60, [24, 8], 3, 1, 1),
        square(1, 59, [24, 8], 3, 2, 1),
        square(1, 61, [30, 8], 1, 2, 1),
        square(1, 58, [3, 20], 7, 2, 1),
        square(65, 5, [33, 17], 3, 1, 1),
        square(65, 5, [3, 17], 3, 2, 1),
        square(35, 4, [20, 17], 3, 1, 1),
        square(33, 5, [8, 17], 3, 2, 1),
        square(2, 3, [900, 65], 1, 1, 1),
        square(1, 3, [2001, 33], 1, 1, 1),
        square(1, 3, [300, 33], 3, 1, 1),
        square(40, 7, [33, 70], 1, 1, 1),
        square(1, 90, [12, 4], 5, 3, 1),
        square(2, 9, [32, 32], 3, 1, 32),
        square(2, 9, [96, 64], 3, 2, 32),
        square(1, 7, [270, 110], 3, 2, 2),
    ];
    for spec in specs {
        check(&ConvolutionGeometry::new(spec).unwrap(), true);
    }
}
