//! The value of a node: stored, or a normalisation that its readers compute.

use std::sync::{Arc, OnceLock};

use residua_kernels::feature_map::{Finish, MapView, Shortcut, Source, evaluate};
use residua_kernels::{Buffer, BufferPool, Element};

use crate::layout::checked;
use crate::norm::NormState;
use crate::stored::{Held, Stored};

/// The value of a node for a whole batch.
#[derive(Debug, Clone)]
pub(crate) enum Value<E> {
    /// `[N, H, W, C]`.
    Map(Stored<E>),
    /// `[N, H, W, C]`, computed where it is read.
    Norm(Arc<NormValue<E>>),
    /// `[N, C]`.
    Vector(Arc<Buffer<f32>>),
}

/// `activation(norm(x) + shortcut)`.
#[derive(Debug)]
pub(crate) struct NormValue<E> {
    pub(crate) x: Stored<E>,
    pub(crate) norm: NormState,
    pub(crate) shortcut: Option<ShortcutValue<E>>,
    pub(crate) relu: bool,
    /// The result, if somebody stored it.
    pub(crate) stored: OnceLock<Arc<Buffer<E>>>,
}

/// What a normalisation adds.
#[derive(Debug)]
pub(crate) enum ShortcutValue<E> {
    Map(Arc<Buffer<E>>),
    /// A projection's normalisation, which nobody else reads.
    Norm(Arc<NormValue<E>>),
}

/// A value that somebody reads at the moment.
pub(crate) enum Reading<'a, E> {
    Map(Held<E>),
    Norm(NormReading<'a, E>),
}

/// A normalisation that somebody reads at the moment.
pub(crate) struct NormReading<'a, E> {
    norm: &'a NormValue<E>,
    x: Held<E>,
    /// What the shortcut's normalisation reads.
    projection: Option<(Held<E>, &'a NormState)>,
}

impl<E: Element> Value<E> {
    /// A map of its own.
    pub(crate) fn whole(map: Buffer<E>) -> Self {
        Self::Map(Stored::Whole(Arc::new(map)))
    }

    /// What a convolution reads.
    pub(crate) fn read(&self) -> Reading<'_, E> {
        match self {
            Self::Map(map) => Reading::Map(map.hold()),
            Self::Norm(norm) => Reading::Norm(norm.read()),
            Self::Vector(_) => unreachable!("the builder gives convolutions maps only"),
        }
    }

    /// What a normalisation reads: a map that is stored; now if it was not.
    pub(crate) fn stored(&self, channels: usize, pool: &BufferPool) -> Stored<E> {
        match self {
            Self::Map(map) => map.clone(),
            Self::Norm(norm) => Stored::Whole(norm.store(channels, pool)),
            Self::Vector(_) => unreachable!("the builder gives this operation maps only"),
        }
    }

    /// The stored map; computed now if it was not.
    pub(crate) fn map(&self, channels: usize, pool: &BufferPool) -> Arc<Buffer<E>> {
        match self.stored(channels, pool) {
            Stored::Whole(map) => map,
            Stored::Prefix(_) => unreachable!("only normalisations read inside of dense blocks"),
        }
    }

    pub(crate) fn vector(&self) -> Arc<Buffer<f32>> {
        match self {
            Self::Vector(vector) => Arc::clone(vector),
            _ => unreachable!("the builder gives this operation vectors only"),
        }
    }

    /// A buffer for a map of the same size. The normalisations of a dense block read maps of
    /// different sizes one after the other; theirs have the same memory.
    pub(crate) fn alike(&self, pool: &BufferPool) -> Buffer<E> {
        let room = match self {
            Self::Norm(norm) => norm.x.room(),
            _ => self.len(),
        };
        pool.take_within(self.len(), room)
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Map(map) => map.len(),
            Self::Norm(norm) => norm.x.len(),
            Self::Vector(vector) => vector.len(),
        }
    }
}

impl<E: Element> NormValue<E> {
    pub(crate) fn read(&self) -> NormReading<'_, E> {
        let projection = match &self.shortcut {
            Some(ShortcutValue::Norm(norm)) => Some((norm.x.hold(), &norm.norm)),
            _ => None,
        };
        NormReading {
            norm: self,
            x: self.x.hold(),
            projection,
        }
    }

    /// Stores the result, if that has not been done.
    pub(crate) fn store(&self, channels: usize, pool: &BufferPool) -> Arc<Buffer<E>> {
        if let Some(stored) = self.stored.get() {
            return Arc::clone(stored);
        }
        let mut target = pool.take(self.x.len());
        checked(evaluate(&self.read().source(), channels, &mut target));
        Arc::clone(self.stored.get_or_init(|| Arc::new(target)))
    }
}

impl<E: Element> Reading<'_, E> {
    pub(crate) fn source(&self) -> Source<'_, E> {
        match self {
            Self::Map(map) => Source::stored(map.view()),
            Self::Norm(norm) => norm.source(),
        }
    }
}

impl<E: Element> NormReading<'_, E> {
    pub(crate) fn source(&self) -> Source<'_, E> {
        if let Some(stored) = self.norm.stored.get() {
            return Source::stored(&stored[..]);
        }
        let shortcut = match (&self.norm.shortcut, &self.projection) {
            (Some(ShortcutValue::Map(map)), _) => Some((map[..].into(), None)),
            (_, Some((x, norm))) => Some((x.view(), Some(norm.affine()))),
            _ => None,
        };
        Source {
            values: self.x.view(),
            affine: Some(self.norm.norm.affine()),
            shortcut: shortcut.map(|(values, affine)| Shortcut { values, affine }),
            rectified: self.norm.relu,
        }
    }

    /// The normalisations that receive the gradient of the result: this one, and the shortcut's.
    pub(crate) fn norms(&self) -> Vec<(MapView<'_, E>, &[f32])> {
        let projection = self.projection.as_ref();
        let projection = projection.map(|(x, norm)| (x.view(), &norm.mean[..]));
        let own = (self.x.view(), &self.norm.norm.mean[..]);
        std::iter::once(own).chain(projection).collect()
    }

    /// What remains to be done when the gradient of the result is complete.
    pub(crate) fn finish<'a>(&'a self, norms: &'a [(MapView<'a, E>, &'a [f32])]) -> Finish<'a, E> {
        Finish {
            mask: self.norm.relu.then(|| self.source()),
            norms,
        }
    }
}
