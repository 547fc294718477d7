//! The value of a node: stored, or a normalisation that its readers compute.

use std::sync::{Arc, OnceLock};

use residua_kernels::feature_map::{Finish, Shortcut, Source, evaluate};
use residua_kernels::{Buffer, BufferPool, Element};

use crate::layout::checked;
use crate::norm::NormState;

/// The value of a node for a whole batch.
#[derive(Debug, Clone)]
pub(crate) enum Value<E> {
    /// `[N, H, W, C]`.
    Map(Arc<Buffer<E>>),
    /// `[N, H, W, C]`, computed where it is read.
    Norm(Arc<NormValue<E>>),
    /// `[N, C]`.
    Vector(Arc<Buffer<f32>>),
}

/// `activation(norm(x) + shortcut)`.
#[derive(Debug)]
pub(crate) struct NormValue<E> {
    pub(crate) x: Arc<Buffer<E>>,
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

impl<E: Element> Value<E> {
    /// What a convolution reads.
    pub(crate) fn source(&self) -> Source<'_, E> {
        match self {
            Self::Map(map) => Source::stored(map),
            Self::Norm(norm) => norm.source(),
            Self::Vector(_) => unreachable!("the builder gives convolutions maps only"),
        }
    }

    /// The stored map; computed now if it was not.
    pub(crate) fn map(&self, channels: usize, pool: &BufferPool) -> Arc<Buffer<E>> {
        match self {
            Self::Map(map) => Arc::clone(map),
            Self::Norm(norm) => norm.store(channels, pool),
            Self::Vector(_) => unreachable!("the builder gives this operation maps only"),
        }
    }

    pub(crate) fn vector(&self) -> Arc<Buffer<f32>> {
        match self {
            Self::Vector(vector) => Arc::clone(vector),
            _ => unreachable!("the builder gives this operation vectors only"),
        }
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
    pub(crate) fn source(&self) -> Source<'_, E> {
        if let Some(stored) = self.stored.get() {
            return Source::stored(stored);
        }
        let shortcut = self.shortcut.as_ref().map(|shortcut| match shortcut {
            ShortcutValue::Map(values) => Shortcut {
                values,
                affine: None,
            },
            ShortcutValue::Norm(norm) => Shortcut {
                values: &norm.x,
                affine: Some(norm.norm.affine()),
            },
        });
        Source {
            values: &self.x,
            affine: Some(self.norm.affine()),
            shortcut,
            rectified: self.relu,
        }
    }

    /// Stores the result, if that has not been done.
    pub(crate) fn store(&self, channels: usize, pool: &BufferPool) -> Arc<Buffer<E>> {
        if let Some(stored) = self.stored.get() {
            return Arc::clone(stored);
        }
        let mut target = pool.take(self.x.len());
        checked(evaluate(&self.source(), channels, &mut target));
        Arc::clone(self.stored.get_or_init(|| Arc::new(target)))
    }

    /// The normalisations that receive the gradient of the result: this one, and the shortcut's.
    pub(crate) fn norms(&self) -> Vec<(&[E], &[f32])> {
        let mut norms: Vec<(&[E], &[f32])> = vec![(&self.x, &self.norm.mean)];
        if let Some(ShortcutValue::Norm(shortcut)) = &self.shortcut {
            norms.push((&shortcut.x, &shortcut.norm.mean));
        }
        norms
    }

    /// What remains to be done when the gradient of the result is complete.
    pub(crate) fn finish<'a>(&'a self, norms: &'a [(&'a [E], &'a [f32])]) -> Finish<'a, E> {
        Finish {
            mask: self.relu.then(|| self.source()),
            norms,
        }
    }
}
