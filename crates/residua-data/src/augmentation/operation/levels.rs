//! Other values for the 256 values of each channel.

use crate::augmentation::canvas::Canvas;

pub(super) fn posterise(canvas: &mut Canvas, bits: u32) {
    let lost = 8_u32.saturating_sub(bits);
    let mask = u8::MAX.checked_shl(lost).unwrap_or(0);
    canvas.map(|pixel| pixel.map(|value| value & mask));
}

pub(super) fn solarise(canvas: &mut Canvas, threshold: f32) {
    canvas.map(|pixel| {
        pixel.map(|value| {
            if f32::from(value) < threshold {
                value
            } else {
                255 - value
            }
        })
    });
}

pub(super) fn invert(canvas: &mut Canvas) {
    canvas.map(|pixel| pixel.map(|value| 255 - value));
}

/// Each channel is stretched to the whole range.
pub(super) fn auto_contrast(canvas: &mut Canvas) {
    by_histogram(canvas, |histogram| {
        let least = histogram.iter().position(|&count| count > 0)?;
        let most = histogram.iter().rposition(|&count| count > 0)?;
        if most <= least {
            return None;
        }
        let scale = 255.0 / (most - least) as f64;
        let offset = -(least as f64) * scale;
        Some(std::array::from_fn(|value| {
            (value as f64 * scale + offset) as u8
        }))
    });
}

/// The values of each channel become equally frequent, as far as that goes.
pub(super) fn equalise(canvas: &mut Canvas) {
    by_histogram(canvas, |histogram| {
        let total: u64 = histogram.iter().sum();
        let last = histogram.iter().rfind(|&&count| count > 0)?;
        let step = (total - last) / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        Some(histogram.map(|count| {
            let level = below / step;
            below += count;
            level.min(255) as u8
        }))
    });
}

/// Replaces the values of each channel by those in a table made from its histogram; without a
/// table it stays as it is.
fn by_histogram(canvas: &mut Canvas, table: impl Fn([u64; 256]) -> Option<[u8; 256]>) {
    let mut histograms = [[0_u64; 256]; 3];
    for pixel in canvas.pixels() {
        for (histogram, value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    let unchanged = || std::array::from_fn(|value| value as u8);
    let tables = histograms.map(|histogram| table(histogram).unwrap_or_else(unchanged));
    canvas.map(|[red, green, blue]| {
        [
            tables[0][usize::from(red)],
            tables[1][usize::from(green)],
            tables[2][usize::from(blue)],
        ]
    });
}
