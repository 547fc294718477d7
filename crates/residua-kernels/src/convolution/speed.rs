//! Prints what the parts reach on one thread: `cargo test --release -p residua-kernels --lib --
//! --ignored --nocapture speed`.

use std::ops::Range;
use std::time::Instant;

use half::bf16;

use super::correlation::Correlation;
use super::gradient_plan::GradientPlan;
use super::gradient_tile::UnitOperands;
use super::pack::{PackedWeights, panels};
use super::plan::{Chunking, Plan};
use super::tile::PanelWork;
use super::{ConvolutionGeometry, ConvolutionSpec};
use crate::feature_map::Source;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;
use crate::{Element, InstructionSet};

/// Image size, input and output channels, kernel, stride.
type Shape = (usize, [usize; 2], usize, usize);

/// Image size, channels, groups; 3×3 kernels.
const GROUPED_SHAPES: [(usize, usize, usize); 5] = [
    (56, 128, 32),
    (28, 256, 32),
    (14, 512, 32),
    (7, 1024, 32),
    (28, 192, 192),
];

const SHAPES: [Shape; 22] = [
    (56, [64, 256], 1, 1),
    (56, [256, 64], 1, 1),
    (14, [1024, 256], 1, 1),
    (14, [256, 1024], 1, 1),
    (7, [512, 2048], 1, 1),
    (7, [2048, 512], 1, 1),
    (56, [256, 512], 1, 2),
    (56, [64, 64], 3, 1),
    (28, [128, 128], 3, 1),
    (14, [256, 256], 3, 1),
    (7, [512, 512], 3, 1),
    (56, [64, 128], 3, 2),
    (28, [128, 256], 3, 2),
    (14, [256, 512], 3, 2),
    (14, [512, 512], 3, 2),
    (224, [3, 64], 7, 2),
    (32, [3, 16], 3, 1),
    (32, [16, 16], 3, 1),
    (32, [16, 32], 3, 2),
    (16, [32, 32], 3, 1),
    (8, [64, 64], 3, 1),
    (4, [512, 512], 3, 1),
];

/// The best and the median of some runs, in seconds.
fn time(mut run: impl FnMut()) -> [f64; 2] {
    run();
    let begin = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 5 || (begin.elapsed().as_secs_f64() < 0.12 && seconds.len() < 200) {
        let begin = Instant::now();
        run();
        seconds.push(begin.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    [seconds[0], seconds[seconds.len() / 2]]
}

fn small_numbers<P: Element>(length: usize) -> Vec<P> {
    (0..length)
        .map(|index| P::from_f32((index % 97) as f32 / 97.0 - 0.5))
        .collect()
}

/// The window of the first chunk.
fn window<P: Element>(plan: &Plan, input: &[P]) -> Scratch<P> {
    let mut window = Scratch::uninitialised(plan.window_length());
    let (set, channels) = (InstructionSet::current(), plan.correlation.source_channels);
    let source = Source::stored(input);
    let load = |pixels: Range<usize>, target: &mut [P], stride: usize| {
        source.load(set, channels, pixels, target, stride);
    };
    plan.fill(&plan.chunk(0), &mut window, &load);
    window
}

/// Billions of operations per second of the forward tiles over one chunk, and of packing weights
/// billions of numbers per second.
fn forward<P: Element>(geometry: &ConvolutionGeometry) -> ([f64; 2], f64) {
    let set = InstructionSet::current();
    let correlation = Correlation::forward(geometry).in_words(P::PER_WORD);
    let panels = panels(
        correlation.group_target_channels(),
        set.lanes(),
        set.panel_vectors(),
    );
    let weight = small_numbers::<f32>(geometry.weight_length());
    let packed = PackedWeights::<P>::new(set, &correlation, &panels, &weight);
    let packing = time(|| drop(PackedWeights::<P>::new(set, &correlation, &panels, &weight)))[0];
    let plan = Plan::new(correlation, Chunking::default());
    let input = small_numbers::<P>(geometry.input_length());
    let chunk = plan.chunk(0);
    let source = &window(&plan, &input);
    let phase = &plan.phases[0];
    let pixels = phase.pixels(&chunk);
    let channels = geometry.spec().out_channels;
    let mut result = vec![0.0f32; pixels.len() * channels];
    let initial = vec![0.0; channels.next_multiple_of(set.lanes())];
    let [inputs, outputs] = [
        plan.correlation.group_source_words() * P::PER_WORD,
        plan.correlation.group_target_channels(),
    ];
    let every_panel = (0..geometry.spec().groups)
        .flat_map(|group| panels.iter().map(move |panel| (group, panel)));
    let seconds = time(|| {
        for (group, panel) in every_panel.clone() {
            let width = panel.vectors * set.lanes();
            let mut weights = packed.panel(0, phase.steps, group, panel);
            for (position, block) in phase.blocks.iter().enumerate() {
                let segments = &phase.segments[block.clone()];
                let steps: usize = segments.iter().map(|segment| segment.length).sum();
                let (block_weights, rest) = weights.split_at(steps * width * P::PER_WORD);
                weights = rest;
                let work = PanelWork {
                    source: &source[group * inputs..],
                    pixels,
                    segments,
                    weights: block_weights,
                    initial: (position == 0).then_some(&initial[panel.first..][..width]),
                    vectors: panel.vectors,
                    channels: panel.channels,
                };
                let target = result[group * outputs + panel.first..].as_mut_ptr();
                // SAFETY: the result has all channels of all pixels of the chunk.
                unsafe { work.run(set, target) };
            }
        }
    });
    let operations =
        2.0 * (result.len() * geometry.taps() * geometry.group_in_channels()) as f64 / 1e9;
    (
        seconds.map(|seconds| operations / seconds),
        weight.len() as f64 / 1e9 / packing,
    )
}

/// Billions of operations per second of summing over one chunk, alone and with the packing of both
/// operands.
fn gradient<P: Element>(geometry: &ConvolutionGeometry) -> ([f64; 2], [f64; 2]) {
    let set = InstructionSet::current();
    let chunking = Chunking {
        numbers: 256 * 1024,
        least_chunks: 1,
        spread_pixels: false,
    };
    let plan = Plan::new(Correlation::forward(geometry), chunking);
    let tables = GradientPlan::new(
        geometry,
        P::PER_WORD,
        plan.window_layout(),
        plan.full_extent(),
        set.lanes(),
        set.accumulators(),
    );
    let input = small_numbers::<P>(geometry.input_length());
    let chunk = plan.chunk(0);
    let extent = chunk.extent();
    let window = &window(&plan, &input);
    let output_gradient =
        small_numbers::<P>(tables.pixel_count(extent) * geometry.spec().out_channels);
    let mut source = Scratch::<P>::uninitialised(tables.source_length::<P>(extent));
    let mut gradients = Scratch::<P>::uninitialised(tables.gradients_length::<P>(extent));
    let mut sums = Scratch::zeroed(tables.sums_length());
    let sums = DisjointWriter::new(&mut sums);
    let packing = time(|| {
        tables.pack_source(set, extent, window, &mut source);
        tables.pack_gradients(set, extent, &output_gradient, &mut gradients);
    });
    let operands = UnitOperands {
        extent,
        source: &source,
        gradients: &gradients,
    };
    let seconds = time(|| {
        let panels = 0..tables.groups * tables.panels.len();
        let tiles = 0..tables.tiles.len();
        // SAFETY: there is no other thread.
        unsafe { tables.accumulate(set, operands, panels, tiles, &sums) };
    });
    let operations =
        2.0 * (output_gradient.len() * geometry.taps() * geometry.group_in_channels()) as f64 / 1e9;
    (
        seconds.map(|seconds| operations / seconds),
        [0, 1].map(|index| operations / (seconds[index] + packing[index])),
    )
}

fn row<P: Element>(name: &str, geometry: &ConvolutionGeometry) {
    let (tile, packing) = forward::<P>(geometry);
    let (sums, with_packing) = gradient::<P>(geometry);
    println!(
        "  {name}: forward {:5.0} {:5.0}   pack {packing:4.2} G/s   gradient {:5.0} {:5.0}   packed {:5.0} {:5.0}",
        tile[0], tile[1], sums[0], sums[1], with_packing[0], with_packing[1]
    );
}

fn measure(name: &str, spec: ConvolutionSpec) {
    if !name.contains(&std::env::var("SHAPE").unwrap_or_default()) {
        return;
    }
    let geometry = ConvolutionGeometry::new(spec).expect("the shapes of the lists exist");
    println!("{name}");
    row::<f32>("f32 ", &geometry);
    row::<bf16>("bf16", &geometry);
}

#[test]
#[ignore = "measures for a while"]
fn speed() {
    let spec = |size, channels: [usize; 2], kernel, stride| ConvolutionSpec {
        batch: 16,
        input: [size, size],
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel, kernel],
        stride: [stride, stride],
        padding: [kernel / 2, kernel / 2],
        ..ConvolutionSpec::default()
    };
    for (size, channels, kernel, stride) in SHAPES {
        let [inputs, outputs] = channels;
        measure(
            &format!("{size}² {inputs}→{outputs} {kernel}×{kernel} stride {stride}"),
            spec(size, channels, kernel, stride),
        );
    }
    for (size, channels, groups) in GROUPED_SHAPES {
        measure(
            &format!("{size}² {channels} 3×3 groups {groups}"),
            ConvolutionSpec {
                groups,
                ..spec(size, [channels, channels], 3, 1)
            },
        );
    }
}
