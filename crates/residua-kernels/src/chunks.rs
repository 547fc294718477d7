//! Copying chunks that lie at regular distances: concatenation and slicing along channels, where
//! the distance is the number of channels, and along rows.

use rayon::prelude::*;

use crate::simd::{Kernel, Simd};
use crate::{Element, InstructionSet, ShapeError};

/// Numbers in one task's work.
const PART_NUMBERS: usize = 64 * 1024;

/// Where chunks lie in a slice: the first at `offset`, each other one `pitch` numbers behind the one
/// before.
#[derive(Debug, Clone, Copy)]
pub struct Chunks {
    /// Position of the first chunk.
    pub offset: usize,
    /// Distance from the beginning of one chunk to that of the next.
    pub pitch: usize,
}

/// Copies `count` chunks of `length` numbers from `source` to `target`, whose other numbers stay as
/// they are.
///
/// # Errors
/// If chunks reach beyond their slice or overlap.
pub fn copy_chunks<E: Element>(
    source: &[E],
    from: Chunks,
    target: &mut [E],
    to: Chunks,
    length: usize,
    count: usize,
) -> Result<(), ShapeError> {
    move_chunks::<E, Copy>(source, from, target, to, length, count)
}

/// Adds `count` chunks of `length` numbers of `source` to those of `target`, whose other numbers
/// stay as they are.
///
/// # Errors
/// If chunks reach beyond their slice or overlap.
pub fn add_chunks<E: Element>(
    source: &[E],
    from: Chunks,
    target: &mut [E],
    to: Chunks,
    length: usize,
    count: usize,
) -> Result<(), ShapeError> {
    move_chunks::<E, Add>(source, from, target, to, length, count)
}

/// What happens to a chunk of the target.
trait Move: Send + Sync {
    fn chunk<E: Element>(source: &[E], target: &mut [E]);
}

struct Copy;

impl Move for Copy {
    #[inline(always)]
    fn chunk<E: Element>(source: &[E], target: &mut [E]) {
        target.copy_from_slice(source);
    }
}

struct Add;

impl Move for Add {
    #[inline(always)]
    fn chunk<E: Element>(source: &[E], target: &mut [E]) {
        for (target, &source) in target.iter_mut().zip(source) {
            *target = E::from_f32(target.to_f32() + source.to_f32());
        }
    }
}

fn move_chunks<E: Element, M: Move>(
    source: &[E],
    from: Chunks,
    target: &mut [E],
    to: Chunks,
    length: usize,
    count: usize,
) -> Result<(), ShapeError> {
    let source = &source[from.range("source", source.len(), length, count)?];
    let range = to.range("target", target.len(), length, count)?;
    let target = &mut target[range];
    if length == 0 || count == 0 {
        return Ok(());
    }
    let set = InstructionSet::current();
    let adjacent = from.pitch == length && to.pitch == length;
    if adjacent || count == 1 {
        target
            .par_chunks_mut(PART_NUMBERS)
            .zip(source.par_chunks(PART_NUMBERS))
            .for_each(|(target, source)| set.run(Part::<E, M>::one(source, target)));
        return Ok(());
    }
    let chunks_per_part = (PART_NUMBERS / length).max(1);
    target
        .par_chunks_mut(chunks_per_part * to.pitch)
        .zip(source.par_chunks(chunks_per_part * from.pitch))
        .for_each(|(target, source)| {
            set.run(Part::<E, M> {
                source,
                target,
                pitches: [from.pitch, to.pitch],
                length,
                operation: std::marker::PhantomData,
            });
        });
    Ok(())
}

impl Chunks {
    /// From the beginning of the first chunk to the end of the last one.
    fn range(
        self,
        name: &str,
        available: usize,
        length: usize,
        count: usize,
    ) -> Result<std::ops::Range<usize>, ShapeError> {
        let Self { offset, pitch } = self;
        if pitch < length && count > 1 {
            return Err(ShapeError::new(format!(
                "{name} chunks of {length} numbers overlap at a distance of {pitch}"
            )));
        }
        let end = match count {
            0 => Some(offset),
            _ => (count - 1)
                .checked_mul(pitch)
                .and_then(|last| last.checked_add(length)?.checked_add(offset)),
        };
        match end {
            Some(end) if end <= available => Ok(offset..end),
            _ => Err(ShapeError::new(format!(
                "{name} has {available} elements, too few for {count} chunks of {length} numbers at a \
                 distance of {pitch} from {offset}"
            ))),
        }
    }
}

/// Some of the chunks; behind the last one the slices may end.
struct Part<'a, E, M> {
    source: &'a [E],
    target: &'a mut [E],
    /// Of the source and of the target.
    pitches: [usize; 2],
    length: usize,
    operation: std::marker::PhantomData<M>,
}

impl<'a, E, M> Part<'a, E, M> {
    /// A single chunk.
    fn one(source: &'a [E], target: &'a mut [E]) -> Self {
        let length = source.len();
        Self {
            source,
            target,
            pitches: [length; 2],
            length,
            operation: std::marker::PhantomData,
        }
    }
}

impl<E: Element, M: Move> Kernel for Part<'_, E, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let [from, to] = self.pitches;
        let sources = self.source.chunks(from);
        for (target, source) in self.target.chunks_mut(to).zip(sources) {
            M::chunk(&source[..self.length], &mut target[..self.length]);
        }
    }
}
