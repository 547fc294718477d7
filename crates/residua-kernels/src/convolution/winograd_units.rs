//! How a 3×3 convolution of stride 1 is cut into units of work for the Winograd kernels.

use std::ops::Range;

use rayon::prelude::*;

use super::ConvolutionGeometry;
use super::units::{Correlate, SumProducts, Sums};
use super::window::{Frame, LoadPixels, Rectangle, fill};
use super::winograd::{
    self, Direction, POSITIONS, TILE, TransformedUnit, TransformedWeights, UnitShape,
    tiles_per_unit,
};
use crate::InstructionSet;
use crate::parallel::DisjointWriter;
use crate::scratch::Scratch;

/// Units that a batch is cut into, where it has the tiles, so that threads finish together.
const UNITS: usize = 16;
/// With fewer tiles than this in a unit, fetching the weights takes longer than using them.
const LEAST_TILES: usize = 64;
/// Units that even a batch of few tiles is cut into.
const LEAST_UNITS: usize = 4;

/// Whole images, or bands of rows of one image.
#[derive(Clone, Debug)]
pub(super) struct WinogradUnits {
    batch: usize,
    /// What is read.
    source: Frame,
    /// Zeros before the first row and column.
    padding: [usize; 2],
    target: [usize; 2],
    target_channels: usize,
    images_per_unit: usize,
    rows_per_unit: usize,
}

/// One unit of work.
#[derive(Clone, Debug)]
pub(super) struct WinogradUnit {
    pub(super) shape: UnitShape,
    /// Pixels of the target, all images counted.
    pub(super) target: Range<usize>,
    images: Range<usize>,
    rectangle: Rectangle,
}

impl WinogradUnits {
    /// Whether the kernels can compute that convolution, and are the better choice. That does not
    /// depend on the batch: an image's bits are the same in every batch.
    pub(super) fn suit(geometry: &ConvolutionGeometry) -> bool {
        /// Below this the transforms cost more than the multiplications that they save.
        const LEAST_CHANNELS: usize = 8;
        let spec = geometry.spec();
        spec.kernel == [3, 3]
            && spec.stride == [1, 1]
            && spec.dilation == [1, 1]
            && spec.groups == 1
            && spec.padding.iter().all(|&padding| padding <= 2)
            && spec.in_channels >= LEAST_CHANNELS
            && spec.out_channels >= LEAST_CHANNELS
            && geometry.output().iter().all(|&size| size >= 2)
    }

    /// Units of the forward pass (and of the weight gradient, which reads the same windows).
    pub(super) fn forward(geometry: &ConvolutionGeometry) -> Self {
        let spec = geometry.spec();
        let source = Frame {
            height: spec.input[0],
            width: spec.input[1],
            channels: spec.in_channels,
        };
        let tiles = tiles_per_unit(spec.in_channels, spec.out_channels);
        Self::new(
            spec.batch,
            source,
            spec.padding,
            geometry.output(),
            spec.out_channels,
            tiles,
        )
    }

    /// Units of the input gradient, which reads the output gradient.
    pub(super) fn input_gradient(geometry: &ConvolutionGeometry) -> Self {
        let spec = geometry.spec();
        let source = Frame {
            height: geometry.output()[0],
            width: geometry.output()[1],
            channels: spec.out_channels,
        };
        let tiles = tiles_per_unit(spec.out_channels, spec.in_channels);
        // The taps are flipped, so what was padded by p is now padded by 2 − p.
        let padding = spec.padding.map(|padding| 2 - padding);
        Self::new(
            spec.batch,
            source,
            padding,
            spec.input,
            spec.in_channels,
            tiles,
        )
    }

    fn new(
        batch: usize,
        source: Frame,
        padding: [usize; 2],
        target: [usize; 2],
        target_channels: usize,
        tiles: usize,
    ) -> Self {
        let [tile_rows, tile_columns] = target.map(|size| size.div_ceil(TILE));
        let image_tiles = tile_rows * tile_columns;
        let all_tiles = batch * image_tiles;
        let units = (all_tiles / LEAST_TILES).clamp(LEAST_UNITS, UNITS);
        let tiles = tiles.min(all_tiles.div_ceil(units)).max(1);
        let (images_per_unit, rows_per_unit) = if image_tiles > tiles {
            let rows = (tiles / tile_columns).max(1);
            // Bands of equal height.
            let bands = tile_rows.div_ceil(rows);
            (1, tile_rows.div_ceil(bands) * TILE)
        } else {
            ((tiles / image_tiles).max(1), tile_rows * TILE)
        };
        Self {
            batch,
            source,
            padding,
            target,
            target_channels,
            images_per_unit,
            rows_per_unit,
        }
    }

    /// Whether the units of both have the same places in targets of the same size.
    fn are_units_of(&self, other: &Self) -> bool {
        self.target == other.target
            && self.images_per_unit == other.images_per_unit
            && self.rows_per_unit == other.rows_per_unit
    }

    fn bands(&self) -> usize {
        self.target[0].div_ceil(self.rows_per_unit)
    }

    pub(super) fn count(&self) -> usize {
        self.batch.div_ceil(self.images_per_unit) * self.bands()
    }

    /// The shape of a unit that is complete.
    fn largest(&self) -> UnitShape {
        UnitShape {
            images: self.images_per_unit,
            rows: self.rows_per_unit,
            columns: self.target[1],
            in_channels: self.source.channels,
            out_channels: self.target_channels,
        }
    }

    /// The unit of that index, in the order of memory.
    pub(super) fn unit(&self, index: usize) -> WinogradUnit {
        let first_image = index / self.bands() * self.images_per_unit;
        let images = first_image..(first_image + self.images_per_unit).min(self.batch);
        let first_row = index % self.bands() * self.rows_per_unit;
        let rows = self.rows_per_unit.min(self.target[0] - first_row);
        let shape = UnitShape {
            images: images.len(),
            rows,
            columns: self.target[1],
            in_channels: self.source.channels,
            out_channels: self.target_channels,
        };
        let first_pixel = (first_image * self.target[0] + first_row) * self.target[1];
        WinogradUnit {
            target: first_pixel..first_pixel + images.len() * rows * self.target[1],
            rectangle: Rectangle {
                first: [
                    first_row as isize - self.padding[0] as isize,
                    -(self.padding[1] as isize),
                ],
                rows: shape.window_rows(),
                columns: shape.window_columns(),
            },
            images,
            shape,
        }
    }

    /// Fills a unit's window.
    pub(super) fn fill(
        &self,
        unit: &WinogradUnit,
        window: &mut [f32],
        load: &impl LoadPixels<f32>,
    ) {
        let channels = self.source.channels;
        let image_length = unit.shape.window_rows() * unit.shape.window_columns() * channels;
        fill(
            self.source,
            unit.rectangle,
            unit.images.clone(),
            [channels, image_length],
            window,
            load,
        );
    }
}

/// A forward convolution or an input gradient.
pub(super) struct WinogradCorrelation {
    units: WinogradUnits,
    weights: TransformedWeights,
    bias: Option<Vec<f32>>,
}

impl WinogradCorrelation {
    /// Plans the pass and transforms the weight tensor of the convolution.
    pub(super) fn new(
        geometry: &ConvolutionGeometry,
        direction: Direction,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let spec = geometry.spec();
        Self {
            units: match direction {
                Direction::Forward => WinogradUnits::forward(geometry),
                Direction::InputGradient => WinogradUnits::input_gradient(geometry),
            },
            weights: TransformedWeights::new(
                direction,
                weight,
                spec.out_channels,
                spec.in_channels,
            ),
            bias: bias.map(<[f32]>::to_vec),
        }
    }
}

impl Correlate for WinogradCorrelation {
    type Number = f32;

    fn units(&self) -> usize {
        self.units.count()
    }

    fn window_length(&self) -> usize {
        self.units.largest().window_length()
    }

    fn target_channels(&self) -> usize {
        self.units.target_channels
    }

    fn target_pixels(&self, unit: usize) -> Range<usize> {
        self.units.unit(unit).target
    }

    fn fill(&self, unit: usize, window: &mut [f32], load: &impl LoadPixels<f32>) {
        self.units.fill(&self.units.unit(unit), window, load);
    }

    fn correlate(&self, set: InstructionSet, unit: usize, window: &[f32], result: &mut [f32]) {
        let shape = self.units.unit(unit).shape;
        assert_eq!(set, self.weights.set(), "weights packed for another set");
        let window = &window[..shape.window_length()];
        winograd::correlate(&shape, &self.weights, window, result);
        if let Some(bias) = &self.bias {
            for pixel in result.chunks_exact_mut(bias.len()) {
                for (number, bias) in pixel.iter_mut().zip(bias) {
                    *number += bias;
                }
            }
        }
    }
}

/// The input gradient and the weight gradient, if they are cut into the same units.
pub(super) fn winograd_gradients(
    geometry: &ConvolutionGeometry,
    weight: &[f32],
) -> Option<(WinogradCorrelation, WinogradSum)> {
    let sum = WinogradSum::new(geometry);
    WinogradUnits::input_gradient(geometry)
        .are_units_of(&sum.units)
        .then(|| {
            let direction = Direction::InputGradient;
            let correlation = WinogradCorrelation::new(geometry, direction, weight, None);
            (correlation, sum)
        })
}

/// A weight gradient.
pub(super) struct WinogradSum {
    units: WinogradUnits,
    in_channels: usize,
    out_channels: usize,
    set: InstructionSet,
}

/// Both operands of a unit, transformed.
pub(super) struct WinogradOperands {
    tiles: usize,
    window: Scratch,
    gradient: Scratch,
}

impl WinogradSum {
    pub(super) fn new(geometry: &ConvolutionGeometry) -> Self {
        Self {
            units: WinogradUnits::forward(geometry),
            in_channels: geometry.spec().in_channels,
            out_channels: geometry.spec().out_channels,
            set: InstructionSet::current(),
        }
    }
}

impl SumProducts for WinogradSum {
    type Number = f32;
    type Operands = WinogradOperands;

    fn units(&self) -> usize {
        self.units.count()
    }

    fn window_length(&self) -> usize {
        self.units.largest().window_length()
    }

    fn output_channels(&self) -> usize {
        self.units.target_channels
    }

    fn output_pixels(&self, unit: usize) -> Range<usize> {
        self.units.unit(unit).target
    }

    fn sums_length(&self) -> usize {
        winograd::sums_length(self.set, self.in_channels, self.out_channels)
    }

    fn operands_length(&self) -> usize {
        let shape = self.units.largest();
        winograd::transformed_window_length(self.set, &shape)
            + winograd::transformed_gradient_length(self.set, &shape)
    }

    fn fill(&self, unit: usize, window: &mut [f32], load: &impl LoadPixels<f32>) {
        self.units.fill(&self.units.unit(unit), window, load);
    }

    fn prepare(
        &self,
        set: InstructionSet,
        unit: usize,
        window: &[f32],
        gradients: &[f32],
    ) -> WinogradOperands {
        let shape = self.units.unit(unit).shape;
        let length = winograd::transformed_window_length(set, &shape);
        let mut transformed = Scratch::uninitialised(length);
        let window = &window[..shape.window_length()];
        winograd::transform_window(set, &shape, window, &mut transformed);
        let length = winograd::transformed_gradient_length(set, &shape);
        let mut gradient = Scratch::uninitialised(length);
        winograd::transform_gradient(set, &shape, gradients, &mut gradient);
        WinogradOperands {
            tiles: shape.tiles(),
            window: transformed,
            gradient,
        }
    }

    unsafe fn add(
        &self,
        set: InstructionSet,
        operands: &[WinogradOperands],
        share: usize,
        shares: usize,
        sums: &DisjointWriter<'_>,
        state: Sums,
    ) {
        let positions = POSITIONS * share / shares..POSITIONS * (share + 1) / shares;
        let (inputs, outputs) = (self.in_channels, self.out_channels);
        let length = winograd::sums_position_length(set, inputs, outputs);
        // SAFETY: shares have different positions, and the caller promises that nobody else has
        // this share.
        let sums = unsafe { sums.slice(positions.start * length, positions.len() * length) };
        let units: Vec<_> = operands
            .iter()
            .map(|operands| TransformedUnit {
                tiles: operands.tiles,
                window: &operands.window,
                gradient: &operands.gradient,
            })
            .collect();
        winograd::accumulate(set, inputs, outputs, positions, &units, sums, state);
    }

    fn finish(&self, parts: &[&[f32]], weight_gradient: &mut [f32]) {
        let (inputs, outputs) = (self.in_channels, self.out_channels);
        let lanes = self.set.lanes();
        weight_gradient
            .par_chunks_mut(lanes * inputs * 9)
            .enumerate()
            .for_each(|(vector, rows)| {
                let first = vector * lanes;
                winograd::finish_weight_gradient(self.set, inputs, outputs, parts, first, rows);
            });
    }
}
