//! What learns from one batch: a network, an optimiser, a loss.

use burn::tensor::Tensor;
use residua_core::metrics::most_likely;
use residua_core::seed::SeedStream;
use residua_data::{HostBatch, Labels};
use residua_graph::NodeId;

use crate::config::TrainConfig;
use crate::distillation::Teacher;
use crate::evaluation::images;
use crate::loss::{LossConfig, Targets};
use crate::network::{Network, NonFinite, host_values};
use crate::optimiser::{
    Memory, Optimiser, OptimiserConfig, ParameterRole, Update, clip_factor, global_norm,
};
use crate::parameter_groups::ParameterPlan;
use crate::pieces::pieces;
use crate::schedule::Pace;

/// How a network learns from a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerSettings {
    /// What is made small.
    pub loss: LossConfig,
    /// How.
    pub optimiser: OptimiserConfig,
    /// Gradients of a larger global norm are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Pieces in which a batch is computed, at least 1.
    pub accumulate: usize,
    /// What dropouts drop derives from it.
    pub seed: u64,
    /// How much an image of each class counts, as [`Targets::class_weights`]; all the same if there are
    /// none.
    pub class_weights: Option<Vec<f32>>,
    /// Which parameters learn, and how fast.
    pub plan: ParameterPlan,
    /// Updates in an epoch; only rules that thaw parameters need to know.
    pub steps_per_epoch: u64,
}

impl LearnerSettings {
    /// Nothing but a loss and an optimiser.
    pub const fn new(loss: LossConfig, optimiser: OptimiserConfig) -> Self {
        Self {
            loss,
            optimiser,
            clip_norm: None,
            accumulate: 1,
            seed: 0,
            class_weights: None,
            plan: ParameterPlan::ALL_ALIKE,
            steps_per_epoch: 0,
        }
    }

    /// As a configuration says, with what follows from data and network: the weights of the classes, the
    /// plan for the parameters, and the updates in an epoch.
    pub(crate) fn of(
        config: &TrainConfig,
        class_weights: Option<Vec<f32>>,
        plan: ParameterPlan,
        steps_per_epoch: u64,
    ) -> Self {
        Self {
            plan,
            steps_per_epoch,
            clip_norm: config.clip_norm,
            accumulate: config.accumulate,
            seed: config.seed,
            class_weights,
            ..Self::new(config.loss, config.optimiser)
        }
    }
}

/// A network and what changes it, one batch after the other.
#[derive(Debug, Clone)]
pub struct Learner {
    network: Network,
    settings: LearnerSettings,
    optimiser: Optimiser,
    memories: Vec<(usize, Memory)>,
    teacher: Option<Teacher>,
    /// The last layer.
    head: Option<NodeId>,
    /// Counted from 0.
    epoch: u64,
}

/// What a batch was like before the network learned from it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Learned {
    /// Its images.
    pub images: u64,
    /// Sum of their losses.
    pub loss: f64,
    /// How many were classified correctly. Where an image shows any number of classes it counts by the
    /// share of its classes about which the answer is right, a yes from a probability of a half on.
    pub correct: f64,
}

/// A loss that is NaN or infinite, so that nothing can be learned from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// The loss.
    pub loss: f64,
    /// Where a value was first not finite.
    pub place: Option<NonFinite>,
}

/// The gradient of each trained entry, `[elements]`.
type Gradients = Vec<(usize, Tensor<1>)>;

impl Learner {
    /// Begins to train a network.
    pub fn new(network: Network, settings: LearnerSettings) -> Self {
        let optimiser = Optimiser::new(settings.optimiser);
        let head = network.graph().head();
        let entries = network.entries().iter().enumerate();
        let trained = entries.filter(|(_, entry)| entry.role.is_trainable());
        let memories = trained
            .map(|(index, entry)| {
                let role = ParameterRole::of(entry, head);
                (index, optimiser.initial_memory(network.values(index), role))
            })
            .collect();
        Self::with_memories(network, settings, memories)
    }

    /// Goes on with a network and what the optimiser remembers of each trained entry.
    pub(crate) fn with_memories(
        network: Network,
        settings: LearnerSettings,
        memories: Vec<(usize, Memory)>,
    ) -> Self {
        let mut learner = Self {
            optimiser: Optimiser::new(settings.optimiser),
            head: network.graph().head(),
            network,
            settings,
            memories,
            teacher: None,
            epoch: 0,
        };
        learner.begin_epoch(0);
        learner
    }

    /// The same, which learns from another network too.
    pub fn taught_by(self, teacher: Option<Teacher>) -> Self {
        Self { teacher, ..self }
    }

    /// Thaws what begins to learn in an epoch, counted from 0, and freezes what does not learn yet.
    pub fn begin_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        let plan = &self.settings.plan;
        let (graph, entries) = (self.network.graph(), self.network.entries());
        let frozen = plan.frozen_part(graph, entries, epoch);
        self.network.freeze_before(frozen);
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What the optimiser remembers of each trained entry.
    pub(crate) fn memories(&self) -> &[(usize, Memory)] {
        &self.memories
    }

    /// One update of all parameters and running statistics: number `step`, counted from 1.
    ///
    /// # Errors
    /// A loss that is not finite; no parameter has changed then.
    pub fn learn(
        &mut self,
        batch: HostBatch,
        pace: Pace,
        step: u64,
    ) -> Result<Learned, Divergence> {
        let shape = batch.shape;
        let (learned, mut gradients) = self.gradients(batch, step)?;
        let plan = &self.settings.plan;
        gradients.retain(|(entry, _)| plan.learns(*entry, self.epoch));
        let factor = self.settings.clip_norm.map_or(1.0, |limit| {
            let tensors: Vec<Tensor<1>> = gradients.iter().map(|(_, g)| g.clone()).collect();
            clip_factor(global_norm(&tensors), limit)
        });
        let mut gradients = gradients.into_iter().peekable();
        let mut memories = self.memories.iter_mut();
        let (optimiser, head) = (&self.optimiser, self.head);
        let steps_per_epoch = self.settings.steps_per_epoch;
        let mut spent = Vec::with_capacity(memories.len());
        self.network.change_trained(|index, entry, parameter| {
            let memory = memories.next().filter(|(owner, _)| *owner == index);
            let (_, memory) = memory.expect("memories are in the order of the trained entries");
            let Some((_, gradient)) = gradients.next_if(|(of, _)| *of == index) else {
                return parameter;
            };
            let gradient = if factor < 1.0 {
                gradient.mul_scalar(factor)
            } else {
                gradient
            };
            let (values, remembered) = optimiser.apply(Update {
                parameter,
                gradient: gradient.clone(),
                memory: std::mem::take(memory),
                role: ParameterRole::of(entry, head),
                learning_rate: pace.learning_rate * plan.rate(index),
                momentum: pace.momentum,
                weight_decay: plan.weight_decay(index),
                // The moments of what has thawed are as young as if training had begun with it.
                step: step
                    .saturating_sub(plan.learns_from(index) * steps_per_epoch)
                    .max(1),
            });
            *memory = remembered;
            spent.push(gradient);
            values
        });
        for gradient in spent {
            self.network.reuse(gradient, shape);
        }
        Ok(learned)
    }

    /// The gradients of the mean loss of a batch, computed piece by piece.
    fn gradients(
        &mut self,
        batch: HostBatch,
        step: u64,
    ) -> Result<(Learned, Gradients), Divergence> {
        let drops = SeedStream::new(self.settings.seed).child("drop");
        let drops = drops.child_index(step);
        let total = batch.labels.len();
        let piece_size = total.div_ceil(self.settings.accumulate);
        let mut learned = Learned::default();
        let mut sums: Option<Gradients> = None;
        for (number, piece) in (0..).zip(pieces(batch, piece_size)) {
            let share = piece.labels.len() as f64 / total as f64;
            let randomness = drops.child_index(number);
            let gradients = self.piece_gradients(piece, share, randomness, &mut learned)?;
            sums = Some(match sums {
                None => gradients,
                Some(sums) => {
                    let pairs = sums.into_iter().zip(gradients);
                    pairs
                        .map(|((entry, sum), (_, gradient))| (entry, sum + gradient))
                        .collect()
                }
            });
        }
        Ok((learned, sums.unwrap_or_default()))
    }

    /// Forward and backward pass of a piece whose loss counts with weight `share`.
    fn piece_gradients(
        &mut self,
        piece: HostBatch,
        share: f64,
        randomness: SeedStream,
        learned: &mut Learned,
    ) -> Result<Gradients, Divergence> {
        let (labels, mixture) = (piece.labels.clone(), piece.mixture.clone());
        let images = images(&self.network, piece);
        let pass = self.network.train_pass(images.clone(), randomness);
        let logits = pass.logits.clone();
        let targets = Targets {
            labels: &labels,
            mixture: mixture.as_ref(),
            class_weights: self.settings.class_weights.as_deref(),
        };
        let loss = self.settings.loss;
        let loss = loss.compute(logits.clone(), targets, self.network.device());
        let loss = match &self.teacher {
            None => loss,
            Some(teacher) => {
                let precision = self.network.precision();
                teacher.combine(loss, logits.clone(), images.clone(), precision)
            }
        };
        let value = f64::from(host_values(&loss)[0]);
        if !value.is_finite() {
            return Err(Divergence {
                loss: value,
                place: self.network.first_non_finite(images, randomness),
            });
        }
        learned.images += labels.len() as u64;
        learned.loss += value * labels.len() as f64;
        learned.correct += count_correct(&host_values(&logits.inner()), &labels);
        self.network.absorb_statistics(&pass);
        Ok(pass.gradients(&loss.mul_scalar(share)))
    }
}

fn count_correct(logits: &[f32], labels: &Labels) -> f64 {
    let classes = (logits.len() / labels.len().max(1)).max(1);
    match labels {
        Labels::Classes(labels) => {
            let rows = logits.chunks(classes).zip(labels);
            let correct = rows.filter(|(row, label)| most_likely(row) == Some(**label as usize));
            correct.count() as f64
        }
        Labels::Sets(_) => {
            let answers = logits.iter().zip(labels.truth(classes));
            let right = answers.filter(|(logit, truth)| (**logit >= 0.0) == *truth);
            right.count() as f64 / classes as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use residua_data::ClassSet;

    use super::*;

    #[test]
    fn correct_classifications_are_counted() {
        let logits = [0.1, 0.9, 0.5, 0.2, 0.3, 0.3];
        assert_eq!(count_correct(&logits, &vec![1, 0, 0].into()), 3.0);
        assert_eq!(count_correct(&logits, &vec![0, 0, 1].into()), 1.0);
    }

    #[test]
    fn answers_about_classes_are_counted_by_their_share() {
        let sets = [&[0, 1][..], &[]].map(|set| ClassSet::from_iter(set.iter().copied()));
        let labels = Labels::Sets(sets.to_vec());
        let found = count_correct(&[0.0, -1.0, 2.0, -2.0, -0.1, 3.0], &labels);
        assert!((found - (1.0 + 2.0) / 3.0).abs() < 1e-12, "{found}");
    }
}
