//! Maps in memory: whole ones, and the beginnings of dense blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use residua_kernels::feature_map::MapView;
use residua_kernels::{Buffer, BufferPool, Element};

/// A map in memory, `[N, H, W, C]`.
#[derive(Debug, Clone)]
pub(crate) enum Stored<E> {
    Whole(Arc<Buffer<E>>),
    /// The first channels of a dense block.
    Prefix(Prefix<E>),
}

/// The first channels of a dense block's map, of which its concatenations write more and more: one
/// concatenation's value.
#[derive(Debug, Clone)]
pub(crate) struct Prefix<E> {
    /// `[N, H, W, width]`. Who reads takes a share for as long as it reads, so that whoever writes
    /// finds the map unshared.
    map: Arc<Mutex<Arc<Buffer<E>>>>,
    width: usize,
    channels: usize,
}

/// A map that somebody reads at the moment.
#[derive(Debug)]
pub(crate) struct Held<E> {
    map: Arc<Buffer<E>>,
    /// From one pixel to the next; none where they follow each other.
    pitch: Option<usize>,
}

impl<E: Element> Stored<E> {
    pub(crate) fn hold(&self) -> Held<E> {
        match self {
            Self::Whole(map) => Held {
                map: Arc::clone(map),
                pitch: None,
            },
            Self::Prefix(prefix) => Held {
                map: prefix.share(),
                pitch: Some(prefix.width),
            },
        }
    }

    /// The number of elements, with those that lie between its pixels.
    pub(crate) fn room(&self) -> usize {
        match self {
            Self::Whole(map) => map.len(),
            Self::Prefix(prefix) => prefix.lock().len(),
        }
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(map) => map.len(),
            Self::Prefix(prefix) => self.room() / prefix.width * prefix.channels,
        }
    }
}

impl<E: Element> Prefix<E> {
    /// The beginning of a map `[N, H, W, width]`.
    pub(crate) fn new(map: Buffer<E>, width: usize, channels: usize) -> Self {
        Self {
            map: Arc::new(Mutex::new(Arc::new(map))),
            width,
            channels,
        }
    }

    /// A prefix of more channels, once `write` has written those that are added. Nothing else may be
    /// written: others read it.
    pub(crate) fn extended(
        &self,
        channels: usize,
        pool: &BufferPool,
        write: impl FnOnce(&mut [E]),
    ) -> Self {
        let mut shared = self.lock();
        // Whoever still has a share keeps what it has. (Nobody does where passes read in their turn.)
        if Arc::get_mut(&mut shared).is_none() {
            let mut copy = pool.take(shared.len());
            copy.copy_from_slice(&shared);
            *shared = Arc::new(copy);
        }
        write(Arc::get_mut(&mut shared).expect("nobody else has the map, or the copy"));
        Self {
            map: Arc::clone(&self.map),
            channels,
            ..*self
        }
    }

    /// The map of the whole block.
    pub(crate) fn share(&self) -> Arc<Buffer<E>> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Buffer<E>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Element> Held<E> {
    pub(crate) fn view(&self) -> MapView<'_, E> {
        match self.pitch {
            Some(pitch) => MapView::apart(&self.map, pitch),
            None => self.map[..].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_map_keeps_what_it_has() {
        let pool = BufferPool::default();
        let mut map: Buffer<f32> = pool.take(6);
        map.fill(1.0);
        let first = Prefix::new(map, 3, 1);
        let second = first.extended(2, &pool, |map| map[1] = 2.0);
        let early = second.share();
        let last = second.extended(3, &pool, |map| map[2] = 3.0);
        assert_eq!(early[..], [1.0, 2.0, 1.0, 1.0, 1.0, 1.0]);
        for prefix in [&first, &second, &last] {
            assert_eq!(prefix.share()[..], [1.0, 2.0, 3.0, 1.0, 1.0, 1.0]);
        }
        let lengths = [first, second, last].map(|prefix| Stored::Prefix(prefix).len());
        assert_eq!(lengths, [2, 4, 6]);
    }
}
