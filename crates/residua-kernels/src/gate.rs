//! Multiplication of a map by a gate, one number per channel or per pixel of each image.

use rayon::prelude::*;

use crate::channels::ChannelRows;
use crate::image_parts::{check_map, image_parts};
use crate::reduce::flush;
use crate::rows::dot;
use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// What a gate has one number for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Each channel of an image: the gate is `[N, C]` (Hu et al. 2018).
    Channels,
    /// Each pixel of an image: the gate is `[N, H, W]` (Woo et al. 2018).
    Pixels,
}

/// The sizes of a gate and its map, checked once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateGeometry {
    gate: Gate,
    batch: usize,
    pixels: usize,
    channels: usize,
}

impl GateGeometry {
    /// A gate for `batch` images of `pixels` pixels, `H · W`, and `channels` channels.
    ///
    /// # Errors
    /// If a size is zero or the map does not fit into memory.
    pub fn new(
        gate: Gate,
        batch: usize,
        pixels: usize,
        channels: usize,
    ) -> Result<Self, ShapeError> {
        check_map("a gate", batch, pixels, channels)?;
        Ok(Self {
            gate,
            batch,
            pixels,
            channels,
        })
    }

    /// Elements of the map `[N, H, W, C]`.
    pub fn map_length(&self) -> usize {
        self.batch * self.image_length()
    }

    /// Elements of the gate.
    pub fn gate_length(&self) -> usize {
        self.batch * self.gates_per_image()
    }

    fn gates_per_image(&self) -> usize {
        match self.gate {
            Gate::Channels => self.channels,
            Gate::Pixels => self.pixels,
        }
    }

    fn image_length(&self) -> usize {
        self.pixels * self.channels
    }
}

/// `output = map · gate`, both maps `[N, H, W, C]`.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn forward<E: Element>(
    geometry: &GateGeometry,
    map: &[E],
    gate: &[E],
    output: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("map", map.len(), geometry.map_length())?;
    ShapeError::check_length("gate", gate.len(), geometry.gate_length())?;
    ShapeError::check_length("output", output.len(), geometry.map_length())?;
    let set = InstructionSet::current();
    let channels = geometry.channels;
    let rows = ChannelRows::new(channels);
    image_parts(output, geometry.image_length(), rows.part())
        .into_par_iter()
        .for_each(|part| {
            let map = &map[part.range.clone()];
            match geometry.gate {
                Gate::Channels => set.run(MultiplyChannels {
                    map,
                    gate: &widened(rows, &gate[part.image * channels..][..channels]),
                    output: part.numbers,
                }),
                Gate::Pixels => set.run(MultiplyPixels {
                    channels,
                    map,
                    gate: &gate[part.range.start / channels..part.range.end / channels],
                    output: part.numbers,
                }),
            }
        });
    Ok(())
}

/// The gradients of [`forward`]: `map_gradient = output_gradient · gate`, and `gate_gradient` is the
/// sum of `output_gradient · map` over what shares a number of the gate.
///
/// # Errors
/// If a slice's length differs from the geometry's.
pub fn backward<E: Element>(
    geometry: &GateGeometry,
    map: &[E],
    gate: &[E],
    output_gradient: &[E],
    map_gradient: &mut [E],
    gate_gradient: &mut [E],
) -> Result<(), ShapeError> {
    ShapeError::check_length("map", map.len(), geometry.map_length())?;
    ShapeError::check_length("gate", gate.len(), geometry.gate_length())?;
    ShapeError::check_length(
        "output gradient",
        output_gradient.len(),
        geometry.map_length(),
    )?;
    ShapeError::check_length("map gradient", map_gradient.len(), geometry.map_length())?;
    ShapeError::check_length("gate gradient", gate_gradient.len(), geometry.gate_length())?;
    let set = InstructionSet::current();
    let channels = geometry.channels;
    let rows = ChannelRows::new(channels);
    let parts = image_parts(map_gradient, geometry.image_length(), rows.part());
    match geometry.gate {
        Gate::Channels => {
            let sums: Vec<(usize, Vec<f64>)> = parts
                .into_par_iter()
                .map(|part| {
                    let sums = set.run(ChannelGradients {
                        rows,
                        map: &map[part.range.clone()],
                        gate: &widened(rows, &gate[part.image * channels..][..channels]),
                        output_gradient: &output_gradient[part.range],
                        map_gradient: part.numbers,
                    });
                    (part.image, sums)
                })
                .collect();
            let mut totals = vec![0.0; gate_gradient.len()];
            for (image, sums) in sums {
                let totals = &mut totals[image * channels..][..channels];
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total += sum;
                }
            }
            for (gradient, total) in gate_gradient.iter_mut().zip(totals) {
                *gradient = E::from_f32(total as f32);
            }
        }
        Gate::Pixels => {
            let gate_parts = image_parts(gate_gradient, geometry.pixels, rows.part() / channels);
            parts
                .into_par_iter()
                .zip(gate_parts)
                .for_each(|(part, gate_part)| {
                    set.run(PixelGradients {
                        channels,
                        map: &map[part.range.clone()],
                        gate: &gate[gate_part.range],
                        output_gradient: &output_gradient[part.range],
                        map_gradient: part.numbers,
                        gate_gradient: gate_part.numbers,
                    });
                });
        }
    }
    Ok(())
}

/// The gate of one image as a row.
fn widened<E: Element>(rows: ChannelRows, gate: &[E]) -> Vec<f32> {
    let gate: Vec<f32> = gate.iter().map(|number| number.to_f32()).collect();
    rows.widen(&gate)
}

struct MultiplyChannels<'a, E> {
    map: &'a [E],
    /// A row.
    gate: &'a [f32],
    output: &'a mut [E],
}

impl<E: Element> Kernel for MultiplyChannels<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        multiply_rows(self.map, self.gate, self.output);
    }
}

/// Multiplies each row of `numbers` by `gate`; the last row may be incomplete.
#[inline(always)]
fn multiply_rows<E: Element>(numbers: &[E], gate: &[f32], output: &mut [E]) {
    let width = gate.len();
    for (output, numbers) in output.chunks_mut(width).zip(numbers.chunks(width)) {
        for ((output, &number), &gate) in output.iter_mut().zip(numbers).zip(gate) {
            *output = E::from_f32(number.to_f32() * gate);
        }
    }
}

struct MultiplyPixels<'a, E> {
    channels: usize,
    map: &'a [E],
    gate: &'a [E],
    output: &'a mut [E],
}

impl<E: Element> Kernel for MultiplyPixels<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let pixels = self.map.chunks_exact(self.channels).zip(self.gate);
        for (output, (pixel, gate)) in self.output.chunks_exact_mut(self.channels).zip(pixels) {
            multiply_rows_by(pixel, gate.to_f32(), output);
        }
    }
}

#[inline(always)]
fn multiply_rows_by<E: Element>(numbers: &[E], gate: f32, output: &mut [E]) {
    for (output, &number) in output.iter_mut().zip(numbers) {
        *output = E::from_f32(number.to_f32() * gate);
    }
}

struct ChannelGradients<'a, E> {
    rows: ChannelRows,
    map: &'a [E],
    /// A row.
    gate: &'a [f32],
    output_gradient: &'a [E],
    map_gradient: &'a mut [E],
}

impl<E: Element> Kernel for ChannelGradients<'_, E> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<f64> {
        let width = self.rows.width;
        let block = self.rows.block();
        let mut totals = vec![0.0; width];
        let mut sums = vec![0.0f32; width];
        let blocks = self
            .map
            .chunks(block)
            .zip(self.output_gradient.chunks(block))
            .zip(self.map_gradient.chunks_mut(block));
        for ((map, gradient), target) in blocks {
            multiply_rows(gradient, self.gate, target);
            for (map, gradient) in map.chunks(width).zip(gradient.chunks(width)) {
                for ((sum, &number), &gradient) in sums.iter_mut().zip(map).zip(gradient) {
                    *sum += number.to_f32() * gradient.to_f32();
                }
            }
            flush(&mut sums, &mut totals);
        }
        self.rows.narrow(&totals)
    }
}

struct PixelGradients<'a, E> {
    channels: usize,
    map: &'a [E],
    gate: &'a [E],
    output_gradient: &'a [E],
    map_gradient: &'a mut [E],
    gate_gradient: &'a mut [E],
}

impl<E: Element> Kernel for PixelGradients<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.channels;
        let pixels = self
            .map
            .chunks_exact(channels)
            .zip(self.output_gradient.chunks_exact(channels))
            .zip(self.map_gradient.chunks_exact_mut(channels));
        let gates = self.gate.iter().zip(self.gate_gradient.iter_mut());
        for (((map, gradient), target), (gate, gate_gradient)) in pixels.zip(gates) {
            multiply_rows_by(gradient, gate.to_f32(), target);
            *gate_gradient = E::from_f32(dot(map, gradient));
        }
    }
}
