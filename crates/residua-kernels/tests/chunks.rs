//! Chunks at regular distances.

mod support;

use half::bf16;
use proptest::prelude::*;
use residua_kernels::chunks::{Chunks, add_chunks, copy_chunks};
use support::maps::{Format, in_every_set, map};
use support::reference::assert_same_bits;

/// The same, number by number.
fn reference<E: Format>(
    [source, target]: [&[E]; 2],
    [from, to]: [Chunks; 2],
    [length, count]: [usize; 2],
    operation: impl Fn(E, E) -> E,
) -> Vec<E> {
    let mut target = target.to_vec();
    for chunk in 0..count {
        for index in 0..length {
            let number = source[from.offset + chunk * from.pitch + index];
            let place = to.offset + chunk * to.pitch + index;
            target[place] = operation(target[place], number);
        }
    }
    target
}

fn moves_what_it_should<E: Format>([from, to]: [Chunks; 2], sizes: [usize; 2]) {
    let [length, count] = sizes;
    let end = |chunks: Chunks| chunks.offset + count.max(1) * chunks.pitch.max(length) + 3;
    let (source, target): (Vec<E>, Vec<E>) = (map(1, end(from)), map(2, end(to)));
    let copied = reference([&source, &target], [from, to], sizes, |_, number| number);
    let added = reference([&source, &target], [from, to], sizes, |total, number| {
        E::rounded((total.exact() + number.exact()) as f32)
    });
    in_every_set(|| {
        let mut actual = target.clone();
        copy_chunks(&source, from, &mut actual, to, length, count).unwrap();
        assert!(
            actual == copied,
            "copy from {from:?} to {to:?} of {sizes:?}"
        );
        let mut actual = target.clone();
        add_chunks(&source, from, &mut actual, to, length, count).unwrap();
        assert!(actual == added, "add from {from:?} to {to:?} of {sizes:?}");
    });
}

proptest! {
    #[test]
    fn chunks_of_any_size(
        offsets in [0usize..5, 0usize..5],
        gaps in [0usize..9, 0usize..9],
        length in 0usize..40,
        count in 0usize..20,
    ) {
        let places = [0, 1].map(|side| Chunks { offset: offsets[side], pitch: length + gaps[side] });
        moves_what_it_should::<f32>(places, [length, count]);
        moves_what_it_should::<bf16>(places, [length, count]);
    }
}

#[test]
fn chunks_in_many_parts() {
    let places = |pitches: [usize; 2]| pitches.map(|pitch| Chunks { offset: 2, pitch });
    moves_what_it_should::<f32>(places([7, 12]), [5, 30_000]);
    moves_what_it_should::<bf16>(places([5, 5]), [5, 30_000]);
    moves_what_it_should::<f32>(places([70_000, 70_001]), [70_000, 3]);
    // The distance of a single chunk means nothing.
    moves_what_it_should::<f32>(places([0, 1]), [100_000, 1]);
}

#[test]
fn threads_do_not_matter() {
    let source: Vec<bf16> = map(1, 300_000);
    assert_same_bits("chunks", || {
        let mut target: Vec<bf16> = map(2, 400_000);
        let [from, to] = [6, 9].map(|pitch| Chunks { offset: 1, pitch });
        add_chunks(&source, from, &mut target, to, 5, 40_000).unwrap();
        target
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = |offset: usize, pitch: usize| Chunks { offset, pitch };
    let attempt = |from: Chunks, to: Chunks, length: usize, count: usize| {
        let mut target = [0.0f32; 12];
        let result = copy_chunks(&[1.0f32; 10], from, &mut target, to, length, count);
        result.map_err(|error| error.to_string())
    };
    assert_eq!(attempt(place(1, 3), place(0, 4), 3, 3), Ok(()));
    assert_eq!(attempt(place(10, 3), place(12, 4), 3, 0), Ok(()));
    assert_eq!(
        attempt(place(2, 3), place(0, 4), 3, 3).unwrap_err(),
        "source has 10 elements, too few for 3 chunks of 3 numbers at a distance of 3 from 2"
    );
    assert_eq!(
        attempt(place(0, 3), place(2, 4), 3, 3).unwrap_err(),
        "target has 12 elements, too few for 3 chunks of 3 numbers at a distance of 4 from 2"
    );
    assert_eq!(
        attempt(place(0, 3), place(0, 2), 3, 2).unwrap_err(),
        "target chunks of 3 numbers overlap at a distance of 2"
    );
    assert!(attempt(place(11, 3), place(0, 4), 0, 0).is_err());
    assert!(attempt(place(0, usize::MAX), place(0, 4), 1, 3).is_err());
    assert!(attempt(place(0, 3), place(usize::MAX, 4), 1, 1).is_err());
}
