//! The engine's door: checks, and results.

use half::bf16;
use residua_core::checkpointing::GradientCheckpointing;
use residua_core::precision::Precision;
use residua_core::seed::SeedStream;
use residua_graph::{Graph, NodeId};
use residua_kernels::{BufferPool, Element};

use crate::backward::{Backward, Memory};
use crate::forward::{Forward, Keep, Mode, PassSpec};
use crate::layout::{Layout, state_entries};
use crate::record::{Maps, Record, Values};
use crate::segments::{Segment, segments};
use crate::vectors::VectorPool;

/// Runs one graph on the CPU.
#[derive(Debug, Clone)]
pub struct Engine {
    layout: Layout,
    /// Elements of each tensor of the state.
    elements: Vec<usize>,
    pool: BufferPool,
    vectors: VectorPool,
}

/// How a forward pass in training mode computes.
#[derive(Debug, Clone, Copy)]
pub struct TrainingSettings {
    /// The format of feature maps.
    pub precision: Precision,
    /// What is kept for the reverse pass.
    pub checkpointing: GradientCheckpointing,
    /// What dropouts drop: each node derives its own from it.
    pub randomness: SeedStream,
}

/// The result of a forward pass in training mode.
#[derive(Debug)]
pub struct ForwardPass {
    /// `[N, classes]`.
    pub logits: Vec<f32>,
    /// Statistics of the batch at each normalisation, in the order of execution.
    pub statistics: Vec<NormStatistics>,
    /// For [`Engine::backward`].
    pub record: Record,
}

/// Statistics of one batch at one normalisation.
#[derive(Debug, Clone)]
pub struct NormStatistics {
    /// The normalisation.
    pub node: NodeId,
    /// Values that went into each mean.
    pub count: usize,
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Biased variance of each channel.
    pub variance: Vec<f32>,
}

/// The gradient of one tensor of the state.
#[derive(Debug, Clone)]
pub struct Gradient {
    /// Index among [`state_entries`].
    pub entry: usize,
    /// `[elements]`.
    pub values: Vec<f32>,
}

impl Engine {
    /// An engine for that graph.
    pub fn new(graph: &Graph) -> Self {
        Self {
            layout: Layout::new(graph),
            elements: state_entries(graph).map(|entry| entry.elements()).collect(),
            pool: BufferPool::default(),
            vectors: VectorPool::default(),
        }
    }

    /// Bytes of feature maps that earlier steps have left for later ones: as much as a step needs at
    /// once, when none is in progress.
    pub fn unused_bytes(&self) -> usize {
        self.pool.unused_bytes()
    }

    /// Gives the memory of earlier steps back to the system.
    pub fn release_memory(&self) {
        self.pool.clear();
        self.vectors.clear();
    }

    /// Takes the vectors of gradients that are no longer needed, to make the next ones of them.
    /// Whoever does not give them back loses nothing but time.
    pub fn reuse(&self, gradient: Vec<f32>) {
        self.vectors.put(gradient);
    }

    /// A forward pass with the statistics of the batch. `images` is `[N, H, W, C]`, `state` has one
    /// slice for each of [`state_entries`].
    ///
    /// # Panics
    /// If a length differs from what the graph needs.
    pub fn train_forward(
        &self,
        settings: TrainingSettings,
        images: &[f32],
        batch: usize,
        state: &[&[f32]],
    ) -> ForwardPass {
        self.check(images, batch, state);
        match settings.precision {
            Precision::F32 => self.train_in::<f32>(settings, images, batch, state, Maps::F32),
            Precision::Bf16 => self.train_in::<bf16>(settings, images, batch, state, Maps::Bf16),
        }
    }

    fn train_in<E: Element>(
        &self,
        settings: TrainingSettings,
        images: &[f32],
        batch: usize,
        state: &[&[f32]],
        wrap: fn(Values<E>) -> Maps,
    ) -> ForwardPass {
        let spec = PassSpec {
            batch,
            mode: Mode::Train,
            randomness: settings.randomness,
        };
        let mut forward = Forward::<E>::new(&self.layout, &self.pool, state, spec);
        forward.begin(images);
        forward.pin(self.layout.steps[0].output);
        let segments = segments(&self.layout, settings.checkpointing);
        for segment in &segments {
            if segment.is_recomputed {
                forward.run(segment.steps.clone(), Keep::None);
                forward.pin(self.layout.steps[segment.steps.end - 1].output);
            } else {
                forward.run(segment.steps.clone(), Keep::All);
            }
        }
        ForwardPass {
            logits: forward.logits(),
            statistics: std::mem::take(&mut forward.statistics),
            record: Record {
                maps: wrap(forward.values),
                segments,
            },
        }
    }

    /// The result of the graph with the running statistics, as a rule logits `[N, classes]`.
    ///
    /// # Panics
    /// If a length differs from what the graph needs.
    pub fn infer(
        &self,
        precision: Precision,
        images: &[f32],
        batch: usize,
        state: &[&[f32]],
    ) -> Vec<f32> {
        self.check(images, batch, state);
        match precision {
            Precision::F32 => self.infer_in::<f32>(images, batch, state),
            Precision::Bf16 => self.infer_in::<bf16>(images, batch, state),
        }
    }

    fn infer_in<E: Element>(&self, images: &[f32], batch: usize, state: &[&[f32]]) -> Vec<f32> {
        let spec = PassSpec {
            batch,
            mode: Mode::Infer,
            // Nothing is random in inference.
            randomness: SeedStream::new(0),
        };
        let mut forward = Forward::<E>::new(&self.layout, &self.pool, state, spec);
        forward.begin(images);
        forward.run(0..self.layout.steps.len(), Keep::None);
        forward.logits()
    }

    /// The gradients of all trained tensors, in the order of [`state_entries`], from the gradient of
    /// the logits `[N, classes]`. `record` and `state` must be those of a forward pass of this engine.
    ///
    /// # Panics
    /// If a length differs from what the graph needs, or the record is another graph's.
    pub fn backward(
        &self,
        record: Record,
        logits_gradient: &[f32],
        state: &[&[f32]],
    ) -> Vec<Gradient> {
        self.check_state(state);
        let Record { maps, segments } = record;
        match maps {
            Maps::F32(values) => self.backward_in(values, &segments, logits_gradient, state),
            Maps::Bf16(values) => self.backward_in(values, &segments, logits_gradient, state),
        }
    }

    fn backward_in<E: Element>(
        &self,
        values: Values<E>,
        segments: &[Segment],
        logits_gradient: &[f32],
        state: &[&[f32]],
    ) -> Vec<Gradient> {
        let memory = Memory {
            maps: &self.pool,
            vectors: &self.vectors,
        };
        Backward::new(&self.layout, memory, state, values).run(logits_gradient, segments)
    }

    fn check(&self, images: &[f32], batch: usize, state: &[&[f32]]) {
        let image = self.layout.graph.input_shape().elements();
        assert_eq!(
            images.len(),
            batch * image,
            "{batch} images of {image} numbers were expected"
        );
        self.check_state(state);
    }

    fn check_state(&self, state: &[&[f32]]) {
        let lengths = state.iter().map(|values| values.len());
        assert!(
            lengths.eq(self.elements.iter().copied()),
            "the state does not have the shapes of {}",
            self.layout.graph.name()
        );
    }
}
