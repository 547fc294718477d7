//! The transforms of a tile, in vectors of channels.
//!
//! Written with loops where adaptors of arrays would be shorter: those are functions of their own,
//! which the compiler may leave without the vector instructions.

use super::{REACH, TILE};
use crate::simd::Simd;

/// `Bᵀ x`: six inputs of a line to its positions.
#[inline(always)]
fn input_line<S: Simd>(simd: S, x: [S::Vector; REACH]) -> [S::Vector; REACH] {
    let [two, four, five] = [simd.splat(2.0), simd.splat(4.0), simd.splat(-5.0)];
    let minus_four = simd.splat(-4.0);
    let minus_two = simd.splat(-2.0);
    let even = simd.mul_add(minus_four, x[2], x[4]);
    let odd = simd.mul_add(minus_four, x[1], x[3]);
    let even_half = simd.subtract(x[4], x[2]);
    let odd_half = simd.subtract(x[3], x[1]);
    [
        simd.mul_add(five, x[2], simd.mul_add(four, x[0], x[4])),
        simd.add(even, odd),
        simd.subtract(even, odd),
        simd.mul_add(two, odd_half, even_half),
        simd.mul_add(minus_two, odd_half, even_half),
        simd.mul_add(five, x[3], simd.mul_add(four, x[1], x[5])),
    ]
}

/// `Aᵀ m`: the positions of a line to its four outputs.
#[inline(always)]
fn output_line<S: Simd>(simd: S, m: [S::Vector; REACH]) -> [S::Vector; TILE] {
    let [two, four, eight] = [simd.splat(2.0), simd.splat(4.0), simd.splat(8.0)];
    let near_sum = simd.add(m[1], m[2]);
    let near_difference = simd.subtract(m[1], m[2]);
    let far_sum = simd.add(m[3], m[4]);
    let far_difference = simd.subtract(m[3], m[4]);
    [
        simd.add(m[0], simd.add(near_sum, far_sum)),
        simd.mul_add(two, far_difference, near_difference),
        simd.mul_add(four, far_sum, near_sum),
        simd.add(m[5], simd.mul_add(eight, far_difference, near_difference)),
    ]
}

/// `A y`: four outputs' gradients of a line to its positions.
#[inline(always)]
fn gradient_line<S: Simd>(simd: S, y: [S::Vector; TILE]) -> [S::Vector; REACH] {
    let [two, four] = [simd.splat(2.0), simd.splat(4.0)];
    let minus_two = simd.splat(-2.0);
    let even = simd.add(y[0], y[2]);
    let odd = simd.add(y[1], y[3]);
    let far_even = simd.mul_add(four, y[2], y[0]);
    let far_odd = simd.mul_add(four, y[3], y[1]);
    [
        y[0],
        simd.add(even, odd),
        simd.subtract(even, odd),
        simd.mul_add(two, far_odd, far_even),
        simd.mul_add(minus_two, far_odd, far_even),
        y[3],
    ]
}

/// `G g`: three weights of a line to its positions.
#[inline(always)]
fn weight_line<S: Simd>(simd: S, g: [S::Vector; 3]) -> [S::Vector; REACH] {
    let (quarter, twelfth) = (simd.splat(0.25), simd.splat(1.0 / 12.0));
    let (sixth, sixth_above) = (simd.splat(-1.0 / 6.0), simd.splat(1.0 / 6.0));
    let twenty_fourth = simd.splat(1.0 / 24.0);
    let outer = simd.multiply(sixth, simd.add(g[0], g[2]));
    let far_outer = simd.mul_add(twenty_fourth, g[0], simd.multiply(sixth_above, g[2]));
    let far_middle = simd.multiply(twelfth, g[1]);
    [
        simd.multiply(quarter, g[0]),
        simd.mul_add(sixth, g[1], outer),
        simd.mul_add(sixth_above, g[1], outer),
        simd.add(far_outer, far_middle),
        simd.subtract(far_outer, far_middle),
        g[2],
    ]
}

/// `Gᵀ u`: the positions of a line to the gradients of its three weights.
#[inline(always)]
fn weight_gradient_line<S: Simd>(simd: S, u: [S::Vector; REACH]) -> [S::Vector; 3] {
    let (quarter, twelfth) = (simd.splat(0.25), simd.splat(1.0 / 12.0));
    let (sixth, sixth_above) = (simd.splat(-1.0 / 6.0), simd.splat(1.0 / 6.0));
    let twenty_fourth = simd.splat(1.0 / 24.0);
    let near_sum = simd.multiply(sixth, simd.add(u[1], u[2]));
    let near_difference = simd.subtract(u[2], u[1]);
    let far_sum = simd.add(u[3], u[4]);
    let far_difference = simd.subtract(u[3], u[4]);
    [
        simd.mul_add(
            quarter,
            u[0],
            simd.mul_add(twenty_fourth, far_sum, near_sum),
        ),
        simd.mul_add(
            sixth_above,
            near_difference,
            simd.multiply(twelfth, far_difference),
        ),
        simd.add(u[5], simd.mul_add(sixth_above, far_sum, near_sum)),
    ]
}

/// `Bᵀ d B`.
#[inline(always)]
pub(super) fn transform_input<S: Simd>(
    simd: S,
    tile: &[[S::Vector; REACH]; REACH],
) -> [[S::Vector; REACH]; REACH] {
    let zero = simd.splat(0.0);
    // Transposed: `[column][position in it]`.
    let mut columns = [[zero; REACH]; REACH];
    for (index, column) in columns.iter_mut().enumerate() {
        let mut numbers = [zero; REACH];
        for (number, row) in numbers.iter_mut().zip(tile) {
            *number = row[index];
        }
        *column = input_line(simd, numbers);
    }
    let mut rows = [[zero; REACH]; REACH];
    for (index, row) in rows.iter_mut().enumerate() {
        let mut numbers = [zero; REACH];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            *number = column[index];
        }
        *row = input_line(simd, numbers);
    }
    rows
}

/// `Aᵀ m A`.
#[inline(always)]
pub(super) fn transform_output<S: Simd>(
    simd: S,
    tile: &[[S::Vector; REACH]; REACH],
) -> [[S::Vector; TILE]; TILE] {
    let zero = simd.splat(0.0);
    // Transposed: `[column][position in it]`.
    let mut columns = [[zero; TILE]; REACH];
    for (index, column) in columns.iter_mut().enumerate() {
        let mut numbers = [zero; REACH];
        for (number, row) in numbers.iter_mut().zip(tile) {
            *number = row[index];
        }
        *column = output_line(simd, numbers);
    }
    let mut rows = [[zero; TILE]; TILE];
    for (index, row) in rows.iter_mut().enumerate() {
        let mut numbers = [zero; REACH];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            *number = column[index];
        }
        *row = output_line(simd, numbers);
    }
    rows
}

/// `A y Aᵀ`.
#[inline(always)]
pub(super) fn transform_gradient<S: Simd>(
    simd: S,
    tile: &[[S::Vector; TILE]; TILE],
) -> [[S::Vector; REACH]; REACH] {
    let zero = simd.splat(0.0);
    // Transposed: `[column][position in it]`.
    let mut columns = [[zero; REACH]; TILE];
    for (index, column) in columns.iter_mut().enumerate() {
        let mut numbers = [zero; TILE];
        for (number, row) in numbers.iter_mut().zip(tile) {
            *number = row[index];
        }
        *column = gradient_line(simd, numbers);
    }
    let mut rows = [[zero; REACH]; REACH];
    for (index, row) in rows.iter_mut().enumerate() {
        let mut numbers = [zero; TILE];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            *number = column[index];
        }
        *row = gradient_line(simd, numbers);
    }
    rows
}

/// `G g Gᵀ`.
#[inline(always)]
pub(super) fn transform_weight<S: Simd>(
    simd: S,
    tile: &[[S::Vector; 3]; 3],
) -> [[S::Vector; REACH]; REACH] {
    let zero = simd.splat(0.0);
    // Transposed: `[column][position in it]`.
    let mut columns = [[zero; REACH]; 3];
    for (index, column) in columns.iter_mut().enumerate() {
        let mut numbers = [zero; 3];
        for (number, row) in numbers.iter_mut().zip(tile) {
            *number = row[index];
        }
        *column = weight_line(simd, numbers);
    }
    let mut rows = [[zero; REACH]; REACH];
    for (index, row) in rows.iter_mut().enumerate() {
        let mut numbers = [zero; 3];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            *number = column[index];
        }
        *row = weight_line(simd, numbers);
    }
    rows
}

/// `Gᵀ u G`.
#[inline(always)]
pub(super) fn transform_weight_gradient<S: Simd>(
    simd: S,
    tile: &[[S::Vector; REACH]; REACH],
) -> [[S::Vector; 3]; 3] {
    let zero = simd.splat(0.0);
    // Transposed: `[column][position in it]`.
    let mut columns = [[zero; 3]; REACH];
    for (index, column) in columns.iter_mut().enumerate() {
        let mut numbers = [zero; REACH];
        for (number, row) in numbers.iter_mut().zip(tile) {
            *number = row[index];
        }
        *column = weight_gradient_line(simd, numbers);
    }
    let mut rows = [[zero; 3]; 3];
    for (index, row) in rows.iter_mut().enumerate() {
        let mut numbers = [zero; REACH];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            *number = column[index];
        }
        *row = weight_gradient_line(simd, numbers);
    }
    rows
}
