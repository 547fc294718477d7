//! Reductions of one row of numbers.
//!
//! The row is dealt to a fixed number of lanes, which the compiler turns into vectors; all
//! instruction sets add in the same order.

use crate::Element;

/// A vector of AVX-512.
const LANES: usize = 16;

/// The sum of the products.
#[inline(always)]
pub(crate) fn dot<A: Element, B: Element>(left: &[A], right: &[B]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            lanes[lane] += left[lane].to_f32() * right[lane].to_f32();
        }
    }
    for ((lane, &left), &right) in lanes.iter_mut().zip(left_rest).zip(right_rest) {
        *lane += left.to_f32() * right.to_f32();
    }
    total(lanes)
}

/// The sum of the numbers.
#[inline(always)]
pub(crate) fn sum<E: Element>(row: &[E]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (row, rest) = row.as_chunks::<LANES>();
    for numbers in row {
        for lane in 0..LANES {
            lanes[lane] += numbers[lane].to_f32();
        }
    }
    for (lane, &number) in lanes.iter_mut().zip(rest) {
        *lane += number.to_f32();
    }
    total(lanes)
}

/// The largest number, NaN if there is one, −∞ of none.
#[inline(always)]
pub(crate) fn maximum<E: Element>(row: &[E]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (row, rest) = row.as_chunks::<LANES>();
    for numbers in row {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], numbers[lane].to_f32());
        }
    }
    for (lane, &number) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, number.to_f32());
    }
    let mut largest = f32::NEG_INFINITY;
    for lane in lanes {
        largest = larger(largest, lane);
    }
    largest
}

/// The position of the first number that equals `wanted`; NaN equals NaN.
#[inline(always)]
pub(crate) fn position<E: Element>(row: &[E], wanted: f32) -> Option<usize> {
    for (index, numbers) in row.chunks(LANES).enumerate() {
        // Without an early exit within the chunk, so that it is one comparison of vectors.
        let mut found = false;
        for &number in numbers {
            found |= same(number.to_f32(), wanted);
        }
        if found {
            let mut numbers = numbers.iter();
            let offset = numbers.position(|&number| same(number.to_f32(), wanted));
            return offset.map(|offset| index * LANES + offset);
        }
    }
    None
}

/// The larger number; NaN wins.
#[inline(always)]
pub(crate) fn larger(best: f32, number: f32) -> f32 {
    if number > best || number.is_nan() {
        number
    } else {
        best
    }
}

#[inline(always)]
fn same(left: f32, right: f32) -> bool {
    left == right || (left.is_nan() && right.is_nan())
}

/// The sum of the lanes, pair by pair.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
