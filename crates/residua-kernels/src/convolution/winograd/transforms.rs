//! The one-dimensional transforms of F(4, 3) with the points 0, ±1, ±2 and ∞.
//!
//! With the matrices of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*
//! (arXiv:1509.09308), a tile's result is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` for the window `d` and the
//! kernel `g`, and the kernel's gradient is `Gᵀ [(Bᵀ d B) ⊙ (A y Aᵀ)] G` for the gradient `y` of
//! the result. Every transform here is of six, four or three vectors, each lane by itself.
//!
//! Additions and fused multiply-adds are balanced where there is a choice, because processors have
//! units for each.

use crate::simd::Simd;

/// What [`kernel`] and [`kernel_gradient`], applied along both sides, multiply by.
pub(super) const KERNEL_SCALE: f32 = 24.0 * 24.0;

/// `Bᵀ d`.
#[inline(always)]
pub(super) fn window<S: Simd>(simd: S, d: [S::Vector; 6]) -> [S::Vector; 6] {
    let [first, last] = window_outer(simd, d);
    let inner = [d[1], d[2], d[3], d[4]];
    let [second, third] = window_ones(simd, inner);
    let [fourth, fifth] = window_twos(simd, inner);
    [first, second, third, fourth, fifth, last]
}

/// Rows 0 and 5 of `Bᵀ d`, of the points 0 and ∞.
#[inline(always)]
pub(super) fn window_outer<S: Simd>(simd: S, d: [S::Vector; 6]) -> [S::Vector; 2] {
    let even = simd.subtract(d[4], d[2]);
    let odd = simd.subtract(d[3], d[1]);
    let first = simd.mul_add(simd.splat(4.0), simd.subtract(d[0], d[2]), even);
    let last = simd.mul_add(simd.splat(-4.0), odd, simd.subtract(d[5], d[3]));
    [first, last]
}

/// Rows 1 and 2 of `Bᵀ d`, of the points ±1, from the inner four vectors.
#[inline(always)]
pub(super) fn window_ones<S: Simd>(simd: S, d: [S::Vector; 4]) -> [S::Vector; 2] {
    let even = simd.mul_add(simd.splat(-4.0), d[1], d[3]);
    let odd = simd.mul_add(simd.splat(-4.0), d[0], d[2]);
    [simd.add(even, odd), simd.subtract(even, odd)]
}

/// Rows 3 and 4 of `Bᵀ d`, of the points ±2, from the inner four vectors.
#[inline(always)]
pub(super) fn window_twos<S: Simd>(simd: S, d: [S::Vector; 4]) -> [S::Vector; 2] {
    let even = simd.subtract(d[3], d[1]);
    let odd = simd.subtract(d[2], d[0]);
    [
        simd.mul_add(simd.splat(2.0), odd, even),
        simd.mul_add(simd.splat(-2.0), odd, even),
    ]
}

/// `Aᵀ m`.
#[inline(always)]
pub(super) fn result<S: Simd>(simd: S, m: [S::Vector; 6]) -> [S::Vector; 4] {
    let (one_sum, one_difference) = (simd.add(m[1], m[2]), simd.subtract(m[1], m[2]));
    let (two_sum, two_difference) = (simd.add(m[3], m[4]), simd.subtract(m[3], m[4]));
    [
        simd.add(simd.add(m[0], one_sum), two_sum),
        simd.mul_add(simd.splat(2.0), two_difference, one_difference),
        simd.mul_add(simd.splat(4.0), two_sum, one_sum),
        simd.mul_add(
            simd.splat(8.0),
            two_difference,
            simd.add(one_difference, m[5]),
        ),
    ]
}

/// `A y`.
#[inline(always)]
pub(super) fn gradient<S: Simd>(simd: S, y: [S::Vector; 4]) -> [S::Vector; 6] {
    let (one_even, one_odd) = (simd.add(y[0], y[2]), simd.add(y[1], y[3]));
    let two_even = simd.mul_add(simd.splat(4.0), y[2], y[0]);
    let two_odd = simd.mul_add(simd.splat(4.0), y[3], y[1]);
    [
        y[0],
        simd.add(one_even, one_odd),
        simd.subtract(one_even, one_odd),
        simd.mul_add(simd.splat(2.0), two_odd, two_even),
        simd.mul_add(simd.splat(-2.0), two_odd, two_even),
        y[3],
    ]
}

/// `24 G g`, which has integer coefficients.
#[inline(always)]
pub(super) fn kernel<S: Simd>(simd: S, g: [S::Vector; 3]) -> [S::Vector; 6] {
    let one_even = simd.multiply(simd.splat(-4.0), simd.add(g[0], g[2]));
    let two_even = simd.mul_add(simd.splat(4.0), g[2], g[0]);
    [
        simd.multiply(simd.splat(6.0), g[0]),
        simd.mul_add(simd.splat(-4.0), g[1], one_even),
        simd.mul_add(simd.splat(4.0), g[1], one_even),
        simd.mul_add(simd.splat(2.0), g[1], two_even),
        simd.mul_add(simd.splat(-2.0), g[1], two_even),
        simd.multiply(simd.splat(24.0), g[2]),
    ]
}

/// `24 Gᵀ s`.
#[inline(always)]
pub(super) fn kernel_gradient<S: Simd>(simd: S, s: [S::Vector; 6]) -> [S::Vector; 3] {
    let (one_sum, one_difference) = (simd.add(s[1], s[2]), simd.subtract(s[2], s[1]));
    let (two_sum, two_difference) = (simd.add(s[3], s[4]), simd.subtract(s[3], s[4]));
    let inner = simd.multiply(simd.splat(4.0), simd.subtract(two_sum, one_sum));
    [
        simd.mul_add(
            simd.splat(6.0),
            s[0],
            simd.mul_add(simd.splat(-4.0), one_sum, two_sum),
        ),
        simd.mul_add(
            simd.splat(4.0),
            one_difference,
            simd.add(two_difference, two_difference),
        ),
        simd.mul_add(simd.splat(24.0), s[5], inner),
    ]
}
