//! The orthogonal matrix that is nearest to a matrix, roughly: all singular values become nearly 1,
//! the singular vectors stay.

use rayon::prelude::*;

use super::PART_NUMBERS;
use super::squares::sum_of_squares;
use crate::linear::{self, LinearGeometry};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Simd};
use crate::{InstructionSet, ShapeError};

/// Steps of the iteration that Muon takes (Jordan et al. 2024).
pub const NEWTON_SCHULZ_STEPS: u32 = 5;

/// Of singular value, its cube and its fifth power: chosen by Jordan et al. (2024) for the steepest
/// growth of small singular values, which is why five steps end between 0.7 and 1.2 rather than
/// at 1.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// Matrices with a smaller norm are not enlarged to norm 1 (Jordan et al. 2024; PyTorch's `eps`).
const LEAST_NORM: f64 = 1e-7;

/// Replaces a matrix `[rows, columns]` by one with the same singular vectors and singular values near
/// 1, by Newton–Schulz iteration (Jordan et al. 2024).
///
/// The matrix is divided by its Frobenius norm; each of the `steps` then replaces it by
/// `a · X + (b · A + c · A²) · X` with `A = X · Xᵀ`. After [`NEWTON_SCHULZ_STEPS`], singular values that
/// were above 0.002 of the norm lie between 0.68 and 1.21, and smaller ones have grown up to 485-fold.
/// Zeros stay zeros; a step makes all numbers NaN where one is not finite.
///
/// # Errors
/// If a size is zero or the length is not that of the matrix.
pub fn orthogonalise(
    matrix: &mut [f32],
    rows: usize,
    columns: usize,
    steps: u32,
) -> Result<(), ShapeError> {
    check_matrix("matrix", matrix.len(), [rows, columns])?;
    // Standing upright, the matrix is many rows for a linear layer with a small square weight: what the
    // kernels of pointwise convolutions are made for.
    let [length, width] = [rows.max(columns), rows.min(columns)];
    let mut tall = Scratch::uninitialised(matrix.len());
    let set = InstructionSet::current();
    if rows < columns {
        transpose(set, matrix, columns, &mut tall);
    } else {
        tall.copy_from_slice(matrix);
    }
    let norm = sum_of_squares(&tall).sqrt();
    scale(&mut tall, (1.0 / norm.max(LEAST_NORM)) as f32);
    let iteration = Iteration::new(length, width)?;
    let mut next = Scratch::uninitialised(matrix.len());
    let mut remaining = steps;
    while remaining > 0 {
        let together = iteration.together.min(remaining);
        iteration.steps(together, &tall, &mut next)?;
        std::mem::swap(&mut tall, &mut next);
        remaining -= together;
    }
    if rows < columns {
        transpose(set, &tall, rows, matrix);
    } else {
        matrix.copy_from_slice(&tall);
    }
    Ok(())
}

/// Checks that `name` is a matrix of that shape.
pub(super) fn check_matrix(
    name: &str,
    length: usize,
    [rows, columns]: [usize; 2],
) -> Result<(), ShapeError> {
    let expected = rows.checked_mul(columns);
    if length > 0 && expected == Some(length) {
        return Ok(());
    }
    Err(ShapeError::new(format!(
        "{name} has {length} elements, which is not a matrix of {rows} rows and {columns} columns"
    )))
}

/// The sizes of a Newton–Schulz iteration on a tall matrix `[length, width]`.
///
/// A step multiplies the matrix by a polynomial of its Gram matrix `A`, and thereby `A` by the square
/// of that polynomial. So several steps need two products of the tall matrix only, and small ones in
/// between; but roundings of `A` grow twelvefold in each, where singular values are small.
struct Iteration {
    width: usize,
    /// From rows of the tall matrix to rows of it.
    tall: LinearGeometry,
    /// From rows of its Gram matrix to rows of it.
    small: LinearGeometry,
    /// Steps that are taken with one Gram matrix.
    together: u32,
}

/// The third one sees the roundings of its Gram matrix 140-fold, fewer than the 485-fold of the whole
/// iteration. Five would see them 20000-fold, which costs two digits.
const TOGETHER: u32 = 3;
/// Of length to width, from which products of the small matrices are cheap enough.
const LEAST_ASPECT: usize = 2;

impl Iteration {
    fn new(length: usize, width: usize) -> Result<Self, ShapeError> {
        Ok(Self {
            width,
            tall: LinearGeometry::new(length, width, width)?,
            small: LinearGeometry::new(width, width, width)?,
            together: if length / width >= LEAST_ASPECT {
                TOGETHER
            } else {
                1
            },
        })
    }

    /// Takes `steps` with one Gram matrix from `matrix` to `next`.
    fn steps(&self, steps: u32, matrix: &[f32], next: &mut [f32]) -> Result<(), ShapeError> {
        let mut gram = self.uninitialised();
        linear::weight_gradient(&self.tall, matrix, matrix, &mut gram)?;
        let mut factor = self.polynomial(&gram)?;
        let mut last = None;
        for _ in 1..steps {
            let step = last.as_ref().unwrap_or(&factor);
            gram = self.product(&self.product(step, &gram)?, step)?;
            let step = self.polynomial(&gram)?;
            factor = self.product(&factor, &step)?;
            last = Some(step);
        }
        linear::forward(&self.tall, matrix, &factor, None, next)
    }

    /// What a step multiplies a matrix by, from its Gram matrix: `a + b · A + c · A²`.
    fn polynomial(&self, gram: &[f32]) -> Result<Scratch, ShapeError> {
        let [a, b, c] = COEFFICIENTS;
        let mut polynomial = self.product(gram, gram)?;
        for (power, &gram) in polynomial.iter_mut().zip(gram) {
            *power = c * *power + b * gram;
        }
        for diagonal in polynomial.iter_mut().step_by(self.width + 1) {
            *diagonal += a;
        }
        Ok(polynomial)
    }

    /// The product of two polynomials of one Gram matrix, which are symmetric as it is.
    fn product(&self, left: &[f32], right: &[f32]) -> Result<Scratch, ShapeError> {
        let mut product = self.uninitialised();
        linear::forward(&self.small, left, right, None, &mut product)?;
        Ok(product)
    }

    /// A small matrix.
    fn uninitialised(&self) -> Scratch {
        Scratch::uninitialised(self.width * self.width)
    }
}

/// Multiplies all numbers by a factor.
fn scale(numbers: &mut [f32], factor: f32) {
    let set = InstructionSet::current();
    numbers
        .par_chunks_mut(PART_NUMBERS)
        .for_each(|numbers| set.run(ScalePart { numbers, factor }));
}

struct ScalePart<'a> {
    numbers: &'a mut [f32],
    factor: f32,
}

impl Kernel for ScalePart<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for number in self.numbers {
            *number *= self.factor;
        }
    }
}

/// Rows and columns that are transposed together: the columns fill a cache line.
const BLOCK: usize = 16;

/// Writes the transpose of `source` `[rows, columns]` to `target` `[columns, rows]`.
fn transpose(set: InstructionSet, source: &[f32], columns: usize, target: &mut [f32]) {
    let rows = source.len() / columns;
    target
        .par_chunks_mut(BLOCK * rows)
        .enumerate()
        .for_each(|(block, target)| {
            set.run(TransposeBlock {
                source,
                columns,
                first: block * BLOCK,
                target,
                rows,
            });
        });
}

/// At most [`BLOCK`] columns of a matrix.
struct TransposeBlock<'a> {
    source: &'a [f32],
    columns: usize,
    /// Number of the first column.
    first: usize,
    target: &'a mut [f32],
    rows: usize,
}

impl Kernel for TransposeBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let rows = self.source.chunks_exact(self.columns);
        for (row, numbers) in rows.enumerate() {
            let numbers = &numbers[self.first..];
            let lines = self.target.chunks_exact_mut(self.rows);
            for (line, &number) in lines.zip(numbers) {
                line[row] = number;
            }
        }
    }
}
