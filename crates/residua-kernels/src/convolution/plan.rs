//! How a correlation is cut into chunks of work, and where each chunk finds its pixels.
//!
//! A chunk is a few whole images or a few rows of one image, small enough that its source stays in
//! the second-level cache. Its source is evaluated into a window, with zeros where taps reach beyond
//! the image; the inner loops know nothing of borders. All chunks share one table of pixel offsets.

use std::ops::Range;

use super::correlation::{Correlation, Phase};
use super::gradient_plan::{Extent, WindowLayout};
use super::window::{Frame, LoadPixels, Rectangle, fill};
use crate::element::VectorElement;
use crate::scratch::Scratch;

/// A stretch of source words, relative to a pixel, that meets as many consecutive weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// Where a target pixel is, and where its source window begins, relative to the chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixel {
    /// In words.
    pub(super) source: usize,
    /// In numbers.
    pub(super) target: usize,
}

/// The work of one phase in a full chunk.
#[derive(Debug)]
pub(super) struct PhasePlan {
    /// In the order of the packed weights.
    pub(super) segments: Vec<Segment>,
    /// Ranges of segments whose weights fit in cache together; one empty range if there are no
    /// segments.
    pub(super) blocks: Vec<Range<usize>>,
    /// Products per target number: taps times source channels of a group.
    pub(super) steps: usize,
    pixels: Vec<Pixel>,
    count: [usize; 2],
}

/// Images and rows (of the phase grids) that are worked on together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    first_image: usize,
    images: usize,
    first_row: usize,
    rows: usize,
}

impl Chunk {
    /// What the chunk computes.
    pub(super) fn extent(&self) -> Extent {
        Extent {
            images: self.images,
            rows: self.rows,
        }
    }
}

/// A correlation, cut up.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) correlation: Correlation,
    pub(super) phases: Vec<PhasePlan>,
    window: Window,
    images_per_chunk: usize,
    rows_per_chunk: usize,
}

/// The rectangle of source pixels that a chunk reads.
#[derive(Debug)]
struct Window {
    /// First source row and column, for the chunk that begins at row 0.
    origin: [isize; 2],
    /// Rows beyond the first that one row of target pixels reads.
    reach: usize,
    columns: usize,
    pixel_stride: usize,
    row_stride: usize,
    image_stride: usize,
}

/// How large chunks may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunking {
    /// Source numbers in a chunk of several images; an image with more is cut into bands.
    pub(super) numbers: usize,
    /// Chunks that a batch is cut into at least, where it has the images, so that threads finish
    /// together.
    pub(super) least_chunks: usize,
}

impl Default for Chunking {
    /// 256 KiB, a quarter of the second-level cache of current server cores.
    fn default() -> Self {
        Self {
            numbers: 64 * 1024,
            least_chunks: 16,
        }
    }
}

/// Source numbers in a band of rows.
const BAND_NUMBERS: usize = 32 * 1024;
/// Enough pixels to pay for fetching the weights once per chunk.
const CHUNK_PIXELS: usize = 512;
/// Steps whose weights are used before the next pixel's turn: 64 output channels take 192 KiB.
const BLOCK_STEPS: usize = 768;

impl Plan {
    pub(super) fn new(correlation: Correlation, chunking: Chunking) -> Self {
        let window = Window::new(&correlation);
        let rows = correlation.phases[0].count[0];
        let image_numbers = window.rows(&correlation, rows) * window.columns * window.pixel_stride;
        let target_numbers =
            correlation.target[0] * correlation.target[1] * correlation.target_channels;
        let too_large = image_numbers > chunking.numbers || target_numbers > 2 * chunking.numbers;
        let (images_per_chunk, rows_per_chunk) = if too_large && rows > 1 {
            let target_row = correlation.target[1] * correlation.target_channels;
            let row_numbers = (window.columns * window.pixel_stride * correlation.source_step[0])
                .max(target_row * correlation.target_step[0] / 2);
            let reach = window.reach / correlation.source_step[0];
            let rows_that_fit = (BAND_NUMBERS / row_numbers).saturating_sub(reach);
            // A band of fewer rows than it reads extra would mostly copy.
            (
                1,
                rows_that_fit
                    .max(window.reach / correlation.source_step[0])
                    .clamp(1, rows),
            )
        } else {
            let pixels = correlation.target[0] * correlation.target[1];
            let images = (CHUNK_PIXELS / pixels)
                .min(chunking.numbers / image_numbers)
                .min(2 * chunking.numbers / target_numbers)
                .min(correlation.batch / chunking.least_chunks);
            (images.max(1), rows)
        };
        Self::with_window(correlation, window, images_per_chunk, rows_per_chunk)
    }

    /// Chunks of so many whole images.
    pub(super) fn of_images(correlation: Correlation, images_per_chunk: usize) -> Self {
        let window = Window::new(&correlation);
        let rows = correlation.phases[0].count[0];
        Self::with_window(correlation, window, images_per_chunk, rows)
    }

    fn with_window(
        correlation: Correlation,
        window: Window,
        images_per_chunk: usize,
        rows_per_chunk: usize,
    ) -> Self {
        let window = window.with_strides(&correlation, rows_per_chunk);
        let phases = correlation
            .phases
            .iter()
            .map(|phase| {
                PhasePlan::new(
                    &correlation,
                    phase,
                    &window,
                    images_per_chunk,
                    rows_per_chunk,
                )
            })
            .collect();
        Self {
            correlation,
            phases,
            window,
            images_per_chunk,
            rows_per_chunk,
        }
    }

    /// Number of chunks; depends on the sizes only, never on the machine.
    pub(super) fn chunks(&self) -> usize {
        self.correlation.batch.div_ceil(self.images_per_chunk) * self.bands()
    }

    /// The chunk of that index, in the order of memory.
    pub(super) fn chunk(&self, index: usize) -> Chunk {
        let first_image = index / self.bands() * self.images_per_chunk;
        let first_row = index % self.bands() * self.rows_per_chunk;
        Chunk {
            first_image,
            images: self
                .images_per_chunk
                .min(self.correlation.batch - first_image),
            first_row,
            rows: self
                .rows_per_chunk
                .min(self.correlation.phases[0].count[0] - first_row),
        }
    }

    /// Where windows keep their pixels, for words of one number.
    pub(super) fn window_layout(&self) -> WindowLayout {
        WindowLayout {
            output_columns: self.correlation.target[1],
            image_stride: self.window.image_stride,
            row_stride: self.window.row_stride,
            pixel_stride: self.window.pixel_stride,
            group_stride: self.correlation.group_source_words(),
        }
    }

    /// What a full chunk of the only phase computes.
    pub(super) fn full_extent(&self) -> Extent {
        Extent {
            images: self.images_per_chunk,
            rows: self.rows_per_chunk,
        }
    }

    fn bands(&self) -> usize {
        self.correlation.phases[0].count[0].div_ceil(self.rows_per_chunk)
    }

    /// Numbers of the window of a full chunk.
    pub(super) fn window_length(&self) -> usize {
        self.images_per_chunk * self.window.image_stride * self.correlation.numbers_per_word
    }

    /// Whether windows hold the source pixels in the places of the target pixels, and nothing else.
    pub(super) fn reads_pixels_in_place(&self) -> bool {
        let correlation = &self.correlation;
        let numbers = self.window.pixel_stride * correlation.numbers_per_word;
        correlation.source == [1, 1]
            && correlation.target == [1, 1]
            && self.window.image_stride == self.window.pixel_stride
            && numbers == correlation.source_channels
    }

    /// Target pixels of a chunk, all images counted.
    pub(super) fn target_pixels(&self, chunk: &Chunk) -> Range<usize> {
        let correlation = &self.correlation;
        let [height, width] = correlation.target;
        let row = chunk.first_row * correlation.target_step[0];
        let begin = (chunk.first_image * height + row) * width;
        let rows = (chunk.rows * correlation.target_step[0]).min(height - row);
        begin..begin + chunk.images * rows * width
    }

    /// Fills a chunk's window, in which its pixels have their offsets.
    pub(super) fn fill<P: VectorElement>(
        &self,
        chunk: &Chunk,
        window: &mut [P],
        load: &impl LoadPixels<P>,
    ) {
        let correlation = &self.correlation;
        let first_row = (chunk.first_row * correlation.source_step[0]) as isize;
        let frame = Frame {
            height: correlation.source[0],
            width: correlation.source[1],
            channels: correlation.source_channels,
        };
        let rectangle = Rectangle {
            first: [first_row + self.window.origin[0], self.window.origin[1]],
            rows: self.window.rows(correlation, chunk.rows),
            columns: self.window.columns,
        };
        let images = chunk.first_image..chunk.first_image + chunk.images;
        let pixel_stride = self.window.pixel_stride * correlation.numbers_per_word;
        let image_stride = self.window.image_stride * correlation.numbers_per_word;
        let group = correlation.group_source_channels();
        let padded = correlation.group_source_words() * correlation.numbers_per_word;
        if group == padded || correlation.groups == 1 {
            let strides = [pixel_stride, image_stride];
            fill(frame, rectangle, images, strides, window, load);
            return;
        }
        // Each group's channels are padded to whole words.
        let spread = |pixels: Range<usize>, target: &mut [P], stride: usize| {
            let channels = frame.channels;
            let mut line = Scratch::<P>::uninitialised(pixels.len() * channels);
            load(pixels, &mut line, channels);
            for (pixel, target) in line.chunks_exact(channels).zip(target.chunks_mut(stride)) {
                let targets = target.chunks_exact_mut(padded);
                for (numbers, target) in pixel.chunks_exact(group).zip(targets) {
                    target[..group].copy_from_slice(numbers);
                }
            }
        };
        let strides = [pixel_stride, image_stride];
        fill(frame, rectangle, images, strides, window, &spread);
    }
}

impl Window {
    fn new(correlation: &Correlation) -> Self {
        let shifts = |axis: usize| {
            let taps = correlation.phases.iter().flat_map(|phase| &phase.taps);
            taps.map(move |tap| tap.shift[axis])
        };
        let origin = [0, 1].map(|axis| shifts(axis).min().unwrap_or(0));
        let last = [0, 1].map(|axis| {
            let reached = correlation.phases.iter().flat_map(|phase| {
                let last_pixel = ((phase.count[axis] - 1) * correlation.source_step[axis]) as isize;
                phase
                    .taps
                    .iter()
                    .map(move |tap| last_pixel + tap.shift[axis])
            });
            reached.max().unwrap_or(0)
        });
        Self {
            origin,
            reach: (shifts(0).max().unwrap_or(0) - origin[0]) as usize,
            columns: (last[1] - origin[1] + 1) as usize,
            pixel_stride: correlation.source_words(),
            row_stride: 0,
            image_stride: 0,
        }
    }

    /// Fills in the distances of rows and images, for chunks of `rows_per_chunk` rows.
    fn with_strides(mut self, correlation: &Correlation, rows_per_chunk: usize) -> Self {
        let rows = self.rows(correlation, rows_per_chunk);
        self.row_stride = self.columns * self.pixel_stride;
        self.image_stride = rows * self.row_stride;
        self
    }

    /// Source rows that `target_rows` rows of a phase read.
    fn rows(&self, correlation: &Correlation, target_rows: usize) -> usize {
        (target_rows - 1) * correlation.source_step[0] + self.reach + 1
    }
}

impl PhasePlan {
    fn new(
        correlation: &Correlation,
        phase: &Phase,
        window: &Window,
        images: usize,
        rows: usize,
    ) -> Self {
        let segments = segments(correlation, phase, window);
        Self {
            blocks: blocks(&segments),
            steps: segments.iter().map(|segment| segment.length).sum(),
            segments,
            pixels: pixels(correlation, phase, window, images, rows),
            count: phase.count,
        }
    }

    /// The pixels of the phase that lie in `chunk`.
    ///
    /// Pixels are stored by image, row, column, and a chunk holds either whole images or rows of
    /// one image, so an incomplete chunk is a prefix of the table.
    pub(super) fn pixels(&self, chunk: &Chunk) -> &[Pixel] {
        let [rows, columns] = self.count;
        let rows = rows.saturating_sub(chunk.first_row).min(chunk.rows);
        &self.pixels[..chunk.images * rows * columns]
    }
}

/// The taps of a phase as stretches of memory. Taps that are neighbours in a row join, if a pixel's
/// channels all belong to the one group; stretches too long for the cache are cut.
fn segments(correlation: &Correlation, phase: &Phase, window: &Window) -> Vec<Segment> {
    let channels = correlation.group_source_words();
    let mut segments: Vec<Segment> = Vec::new();
    for tap in &phase.taps {
        let row = (tap.shift[0] - window.origin[0]) as usize;
        let column = (tap.shift[1] - window.origin[1]) as usize;
        let offset = row * window.row_stride + column * window.pixel_stride;
        match segments.last_mut() {
            Some(last) if last.offset + last.length == offset && correlation.groups == 1 => {
                last.length += channels
            }
            _ => segments.push(Segment {
                offset,
                length: channels,
            }),
        }
    }
    let cut = |segment: Segment| {
        (0..segment.length)
            .step_by(BLOCK_STEPS)
            .map(move |begin| Segment {
                offset: segment.offset + begin,
                length: BLOCK_STEPS.min(segment.length - begin),
            })
    };
    segments.into_iter().flat_map(cut).collect()
}

/// Groups consecutive segments into blocks of at most [`BLOCK_STEPS`].
fn blocks(segments: &[Segment]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut begin = 0;
    let mut steps = 0;
    for (index, segment) in segments.iter().enumerate() {
        if steps + segment.length > BLOCK_STEPS {
            blocks.push(begin..index);
            begin = index;
            steps = 0;
        }
        steps += segment.length;
    }
    blocks.push(begin..segments.len());
    blocks
}

/// The table of pixels of a full chunk.
fn pixels(
    correlation: &Correlation,
    phase: &Phase,
    window: &Window,
    images: usize,
    rows: usize,
) -> Vec<Pixel> {
    let rows = rows.min(phase.count[0]);
    let mut pixels = Vec::with_capacity(images * rows * phase.count[1]);
    for image in 0..images {
        for row in 0..rows {
            let source_row = row * correlation.source_step[0];
            let target_row =
                image * correlation.target[0] + phase.first[0] + row * correlation.target_step[0];
            for column in 0..phase.count[1] {
                let source_column = column * correlation.source_step[1];
                let target_column = phase.first[1] + column * correlation.target_step[1];
                pixels.push(Pixel {
                    source: image * window.image_stride
                        + source_row * window.row_stride
                        + source_column * window.pixel_stride,
                    target: (target_row * correlation.target[1] + target_column)
                        * correlation.target_channels,
                });
            }
        }
    }
    pixels
}
