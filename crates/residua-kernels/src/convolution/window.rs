//! The source pixels of a unit of work, in memory of its own, with zeros where there is no image.

use std::ops::Range;

use crate::element::VectorElement;

/// A rectangle of source pixels, the same for each image of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rectangle {
    /// First row and column; negative in the padding before the image.
    pub(super) first: [isize; 2],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// A feature map as windows see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// Writes pixels of that range to a slice in which they lie so many numbers apart.
pub(super) trait LoadPixels<P>: Fn(Range<usize>, &mut [P], usize) {}

impl<P, F: Fn(Range<usize>, &mut [P], usize)> LoadPixels<P> for F {}

/// Fills `[image][row][column][channel]` of the rectangle for each image, with `strides` from pixel
/// to pixel and from image to image. Numbers between the channels and the pixel stride become zero.
pub(super) fn fill<P: VectorElement>(
    frame: Frame,
    rectangle: Rectangle,
    images: Range<usize>,
    strides: [usize; 2],
    window: &mut [P],
    load: &impl LoadPixels<P>,
) {
    let [pixel_stride, image_stride] = strides;
    let row_stride = rectangle.columns * pixel_stride;
    let window = &mut window[..images.len() * image_stride];
    if pixel_stride > frame.channels {
        window.fill(P::default());
    }
    // Image columns within the rectangle.
    let first = rectangle.first[1];
    let last = first + rectangle.columns as isize;
    let begin = first.clamp(0, frame.width as isize);
    let end = last.clamp(begin, frame.width as isize);
    let before = ((begin - first) as usize).min(rectangle.columns);
    let columns = begin as usize..end as usize;
    let is_whole = columns.len() == frame.width && rectangle.columns == frame.width;
    let all_rows = rectangle.first[0] == 0 && rectangle.rows == frame.height;
    if is_whole && all_rows && image_stride == rectangle.rows * row_stride {
        // Whole images, one after the other, are one stretch of memory.
        let pixels = frame.height * frame.width;
        load(
            images.start * pixels..images.end * pixels,
            window,
            pixel_stride,
        );
        return;
    }
    for (image, target) in images.zip(window.chunks_exact_mut(image_stride)) {
        let first_row = rectangle.first[0];
        let last_row = first_row + rectangle.rows as isize;
        if is_whole && first_row >= 0 && last_row <= frame.height as isize {
            // Whole rows, one after the other, are one stretch of memory.
            let begin = (image * frame.height + first_row as usize) * frame.width;
            load(
                begin..begin + rectangle.rows * frame.width,
                target,
                pixel_stride,
            );
            continue;
        }
        for (row, line) in (first_row..last_row).zip(target.chunks_exact_mut(row_stride)) {
            if row < 0 || row >= frame.height as isize || columns.is_empty() {
                line.fill(P::default());
                continue;
            }
            let first_pixel = (image * frame.height + row as usize) * frame.width;
            let pixels = first_pixel + columns.start..first_pixel + columns.end;
            let (left, rest) = line.split_at_mut(before * pixel_stride);
            let (inside, right) = rest.split_at_mut(columns.len() * pixel_stride);
            left.fill(P::default());
            load(pixels, inside, pixel_stride);
            right.fill(P::default());
        }
    }
}
