//! How a 3×3 convolution of stride 1 is cut into units of work for the Winograd kernels.

use std::ops::Range;

use super::ConvolutionGeometry;
use super::units::{Correlate, SumProducts};
use super::window::{Frame, LoadPixels, Rectangle, fill};
use super::winograd::{
    Direction, ProductPlan, TILE, TransformedTiles, TransformedWeights, UnitShape, tiles_per_unit,
};
use crate::InstructionSet;
use crate::parallel::DisjointWriter;

/// Units that a batch is cut into at least, where it has the tiles, so that threads finish together.
const LEAST_UNITS: usize = 16;

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
    /// Whether the kernels can compute that convolution, and are the better choice.
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
        // Small batches are cut finer.
        let tiles = tiles
            .min((batch * image_tiles).div_ceil(LEAST_UNITS))
            .max(1);
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
        let bias = self.bias.as_deref();
        super::winograd::correlate(set, &shape, &self.weights, bias, window, result);
    }
}

/// A weight gradient.
pub(super) struct WinogradSum {
    units: WinogradUnits,
    plan: ProductPlan,
}

impl WinogradSum {
    pub(super) fn new(geometry: &ConvolutionGeometry) -> Self {
        let spec = geometry.spec();
        Self {
            units: WinogradUnits::forward(geometry),
            plan: ProductPlan::new(spec.in_channels, spec.out_channels),
        }
    }
}

impl SumProducts for WinogradSum {
    type Number = f32;
    type Operands = TransformedTiles;

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
        self.plan.sums_length()
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
    ) -> TransformedTiles {
        let shape = self.units.unit(unit).shape;
        self.plan.transform(set, &shape, window, gradients)
    }

    unsafe fn add(
        &self,
        set: InstructionSet,
        operands: &TransformedTiles,
        share: usize,
        shares: usize,
        sums: &DisjointWriter<'_>,
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.plan.add(set, operands, share, shares, sums) };
    }

    fn finish(&self, parts: &[&[f32]], weight_gradient: &mut [f32]) {
        self.plan.finish(parts, weight_gradient);
    }
}
