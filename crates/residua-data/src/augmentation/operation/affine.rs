//! Pixels in other places.

use crate::augmentation::canvas::Canvas;

/// Takes for every pixel `(x, y)` the one at `(a x + b y + c, d x + e y + f)`, and black where
/// that lies outside; pixels are squares, so the centre of the first is at (0.5, 0.5).
///
/// Coordinates have 16 binary places, as Pillow's have.
pub(super) fn transform(canvas: &mut Canvas, [a, b, c, d, e, f]: [f64; 6]) {
    let [height, width] = canvas.size();
    let step_x = [fixed(a), fixed(d)];
    let step_y = [fixed(b), fixed(e)];
    let mut row_start = [fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5)];
    let index = |coordinate: i64, length: usize| {
        let index = usize::try_from(coordinate >> FRACTION_BITS).ok()?;
        (index < length).then_some(index)
    };
    canvas.redraw(|source, target| {
        for row in target.chunks_exact_mut(width * 3) {
            let [mut x, mut y] = row_start;
            for pixel in row.chunks_exact_mut(3) {
                match index(x, width).zip(index(y, height)) {
                    Some((column, row)) => {
                        let start = (row * width + column) * 3;
                        pixel.copy_from_slice(&source[start..start + 3]);
                    }
                    None => pixel.fill(0),
                }
                x += step_x[0];
                y += step_x[1];
            }
            row_start[0] += step_y[0];
            row_start[1] += step_y[1];
        }
    });
}

/// Rotates anticlockwise about the centre.
pub(super) fn rotate(canvas: &mut Canvas, degrees: f64) {
    let [height, width] = canvas.size();
    let centre = [width as f64 / 2.0, height as f64 / 2.0];
    let (sine, cosine) = (-degrees.to_radians()).sin_cos();
    let (sine, cosine) = (exact(sine), exact(cosine));
    let moved = [
        centre[0] - cosine * centre[0] - sine * centre[1],
        centre[1] + sine * centre[0] - cosine * centre[1],
    ];
    transform(canvas, [cosine, sine, moved[0], -sine, cosine, moved[1]]);
}

const FRACTION_BITS: u32 = 16;

fn fixed(value: f64) -> i64 {
    (value * f64::from(1 << FRACTION_BITS) + 0.5).floor() as i64
}

/// Rounds to 15 places, so that quarter turns are exact.
fn exact(value: f64) -> f64 {
    (value * 1e15).round() / 1e15
}
