//! A graph with values: the state of a network on a device.

mod division;
mod sized_graph;

use burn::tensor::{Device, Tensor, TensorData};
use residua_core::checkpointing::GradientCheckpointing;
use residua_core::precision::Precision;
use residua_core::seed::SeedStream;
use residua_engine::Engine;
use residua_graph::{Graph, NodeId, StateEntry, StateRole, Step, fuse};
use residua_ops::{HostValues, OperationSet, is_host};
use residua_weights::{Fit, LoadReport, NamedTensor, TensorFile, Values, fit, fitting_models};

use crate::error::TrainError;
use crate::execution::{Execution, Mode, Value};
use crate::initialise::initial_values;
use crate::training_pass::TrainingPass;

pub(crate) use division::Division;
use sized_graph::SizedGraph;

/// A network on a device, ready to be trained or evaluated.
///
/// Every tensor of the state is kept flat, in PyTorch's element order, so that optimisers,
/// checkpoints and averages treat all alike; the execution gives it its shape.
///
/// On the CPU an [`Engine`] computes whole passes; on other devices the operations run one by one
/// on Burn's tape.
#[derive(Debug, Clone)]
pub struct Network {
    /// For the images that it is made for.
    sized: SizedGraph,
    /// For images of other sizes, which training may show too.
    other_sizes: Vec<SizedGraph>,
    /// Of all of them.
    steps: Vec<Step>,
    entries: Vec<StateEntry>,
    /// First entry of each node.
    first_entry: Vec<usize>,
    values: Vec<Tensor<1>>,
    batches: i64,
    device: Device,
    /// Of the tape.
    operations: OperationSet,
    /// Of training passes; anything but `f32` needs the engine.
    precision: Precision,
    /// Of training passes; it needs the engine, too.
    checkpointing: GradientCheckpointing,
}

impl Network {
    /// A network with fresh values (see [`initial_values`]), which depend only on the seed and
    /// on the names of the parameters.
    pub fn initialise(graph: Graph, seed: SeedStream, device: &Device) -> Self {
        let values = |entry: &StateEntry| initial_values(entry, seed);
        Self::with_values(graph, device, values)
    }

    /// A network with the values of a file, which must fit completely, but for the number of image
    /// channels.
    ///
    /// # Errors
    /// [`TrainError::WeightsDoNotFit`] with the report.
    pub fn from_file(graph: Graph, file: &TensorFile, device: &Device) -> Result<Self, TrainError> {
        let mut fit = fit(&graph, file);
        fit.adapt_input(&graph, file);
        if !fit.report.is_complete() {
            return Err(TrainError::WeightsDoNotFit {
                model: graph.name().to_owned(),
                file: file.path.clone(),
                advice: advice(&fit.report, file),
                report: Box::new(fit.report.with_suggestions()),
            });
        }
        // Only batch counts may be missing, and they are no entries.
        Self::from_fit(graph, &fit, device, |_| Vec::new())
    }

    /// A network with the values of a file where it has them, and fresh ones elsewhere.
    ///
    /// # Errors
    /// [`TrainError::NegativeVariance`].
    pub(crate) fn start_from(
        graph: Graph,
        fit: &Fit<'_>,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, TrainError> {
        Self::from_fit(graph, fit, device, |entry| initial_values(entry, seed))
    }

    fn from_fit(
        graph: Graph,
        fit: &Fit<'_>,
        device: &Device,
        fresh: impl Fn(&StateEntry) -> Vec<f32>,
    ) -> Result<Self, TrainError> {
        let find = |name: &str| fit.tensor(name).map(|tensor| &tensor.values);
        let values = |entry: &StateEntry| match find(&entry.name) {
            Some(Values::Float(values)) => values.clone(),
            _ => fresh(entry),
        };
        let negative = |entry: &&StateEntry| match find(&entry.name) {
            Some(Values::Float(values)) => values.iter().any(|value| *value < 0.0),
            _ => false,
        };
        let state = graph.state();
        let variances = state
            .iter()
            .filter(|entry| entry.role == StateRole::RunningVariance);
        if let Some(entry) = { variances }.find(negative) {
            return Err(TrainError::NegativeVariance {
                name: entry.name.clone(),
            });
        }
        let counts = state
            .iter()
            .filter(|entry| entry.role == StateRole::BatchCount);
        let count = counts.filter_map(|entry| match find(&entry.name) {
            Some(Values::Integer(count)) => count.first().copied(),
            _ => None,
        });
        let batches = count.max().unwrap_or(0);
        let mut network = Self::with_values(graph, device, values);
        network.batches = batches;
        Ok(network)
    }

    fn with_values(
        graph: Graph,
        device: &Device,
        values: impl Fn(&StateEntry) -> Vec<f32>,
    ) -> Self {
        let mut entries = Vec::new();
        let mut first_entry = Vec::new();
        for id in graph.ids() {
            first_entry.push(entries.len());
            let state = graph.state_of(id).into_iter();
            entries.extend(state.filter(|entry| entry.role != StateRole::BatchCount));
        }
        let tensor = |entry: &StateEntry| {
            let data = TensorData::new(values(entry), [entry.elements()]);
            Tensor::from_data(data, device)
        };
        Self {
            values: entries.iter().map(tensor).collect(),
            entries,
            first_entry,
            batches: 0,
            device: device.clone(),
            operations: OperationSet::OF_DEVICE,
            precision: Precision::F32,
            checkpointing: GradientCheckpointing::Off,
            steps: fuse(&graph, &[]),
            sized: SizedGraph::new(graph, is_host(device)),
            other_sizes: Vec::new(),
        }
    }

    /// The same network computing on Burn's tape on every device, in `f32`. Slower on the CPU; it
    /// is there to compare with.
    pub fn on_tape(self) -> Self {
        let cut = self.division().map(Division::cut);
        let on_tape = |sized: SizedGraph| SizedGraph::new(sized.graph, false);
        let mut network = Self {
            sized: on_tape(self.sized),
            other_sizes: self.other_sizes.into_iter().map(on_tape).collect(),
            precision: Precision::F32,
            checkpointing: GradientCheckpointing::Off,
            ..self
        };
        network.freeze_before(cut);
        network
    }

    /// [`Network::on_tape`] with the definitions of all operations, which other devices have for code,
    /// in place of the CPU's kernels.
    pub fn on_default_operations(self) -> Self {
        Self {
            operations: OperationSet::DEFAULT,
            ..self.on_tape()
        }
    }

    /// The graph for the images that it is made for.
    pub fn graph(&self) -> &Graph {
        &self.sized.graph
    }

    /// Makes passes take images of another size too: that of `graph`, which is otherwise the network's.
    ///
    /// # Errors
    /// [`TrainError::OtherState`] where its state or its nodes are others.
    pub fn accept_size(&mut self, graph: Graph) -> Result<(), TrainError> {
        let input = graph.input_shape();
        if !self.sized.graph.differs_in_size_only(&graph) {
            return Err(TrainError::OtherState {
                model: graph.name().to_owned(),
                input,
            });
        }
        if self.sizes().all(|known| known.graph.input_shape() != input) {
            let mut other = SizedGraph::new(graph, self.sized.engine.is_some());
            other.freeze_before(self.division().map(Division::cut));
            self.other_sizes.push(other);
        }
        Ok(())
    }

    fn sizes(&self) -> impl Iterator<Item = &SizedGraph> {
        std::iter::once(&self.sized).chain(&self.other_sizes)
    }

    /// What passes images of this shape, `[N, H, W, C]`.
    fn sized_for(&self, images: [usize; 4]) -> &SizedGraph {
        let found = self.sizes().find(|sized| sized.is_for(images));
        found.unwrap_or(&self.sized)
    }

    /// The graph for images of this shape, `[N, H, W, C]`.
    pub(crate) fn graph_for(&self, images: [usize; 4]) -> &Graph {
        &self.sized_for(images).graph
    }

    /// Gives the memory that earlier passes have left for later ones back to the system.
    pub(crate) fn release_memory(&self) {
        self.sizes().for_each(SizedGraph::release_memory);
    }

    /// The device that holds the values.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The format of feature maps in [`Network::train_pass`]: `f32` unless set otherwise.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Changes the format of feature maps in training.
    ///
    /// # Errors
    /// [`TrainError::PrecisionNeedsCpu`].
    pub fn set_precision(&mut self, precision: Precision) -> Result<(), TrainError> {
        self.require(precision)?;
        self.precision = precision;
        Ok(())
    }

    /// What a training pass keeps for its reverse pass: everything unless set otherwise.
    pub fn checkpointing(&self) -> GradientCheckpointing {
        self.checkpointing
    }

    /// Changes what training passes keep.
    ///
    /// # Errors
    /// [`TrainError::CheckpointingNeedsCpu`].
    pub fn set_checkpointing(
        &mut self,
        checkpointing: GradientCheckpointing,
    ) -> Result<(), TrainError> {
        match self.sized.engine {
            Some(_) => {}
            None => tape_keeps(checkpointing)?,
        }
        self.checkpointing = checkpointing;
        Ok(())
    }

    /// Freezes the network up to and including a [cut](Graph::cuts), or nothing of it: in training
    /// passes the frozen part computes as in evaluation, with running statistics that stay as they are,
    /// and there are no gradients of its parameters.
    pub fn freeze_before(&mut self, cut: Option<NodeId>) {
        let sizes = std::iter::once(&mut self.sized).chain(&mut self.other_sizes);
        sizes.for_each(|sized| sized.freeze_before(cut));
    }

    pub(crate) fn division(&self) -> Option<&Division> {
        self.sized.division.as_ref()
    }

    fn require(&self, precision: Precision) -> Result<(), TrainError> {
        match self.sized.engine {
            Some(_) => Ok(()),
            None => tape_computes(precision),
        }
    }

    /// The tensors of the state, node by node, without batch counts.
    pub fn entries(&self) -> &[StateEntry] {
        &self.entries
    }

    /// The values of an entry, `[elements]`.
    pub fn values(&self, entry: usize) -> &Tensor<1> {
        &self.values[entry]
    }

    /// Replaces the values of an entry.
    pub fn set_values(&mut self, entry: usize, values: Tensor<1>) {
        self.values[entry] = values;
    }

    /// Moves all values a share of the way towards those of a network of the same graph.
    pub(crate) fn move_towards(&mut self, other: &Self, share: f64) {
        let values = std::mem::take(&mut self.values).into_iter();
        let moved = values
            .zip(&other.values)
            .map(|(own, other)| own.mul_scalar(1.0 - share) + other.clone().mul_scalar(share));
        self.values = moved.collect();
        self.batches = other.batches;
    }

    /// Replaces each trained tensor by what `change` makes of it. `change` gets the only handle
    /// to the tensor, so that it can work in place.
    pub(crate) fn change_trained(
        &mut self,
        mut change: impl FnMut(usize, &StateEntry, Tensor<1>) -> Tensor<1>,
    ) {
        let values = std::mem::take(&mut self.values).into_iter();
        let entries = self.entries.iter().enumerate();
        let changed = entries.zip(values).map(|((index, entry), values)| {
            if entry.role.is_trainable() {
                change(index, entry, values)
            } else {
                values
            }
        });
        self.values = changed.collect();
    }

    /// The whole state under PyTorch's names.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut counted = self.graph().state();
        counted.retain(|entry| entry.role == StateRole::BatchCount);
        let counts = counted
            .into_iter()
            .map(|entry| NamedTensor::integer(entry.name, self.batches));
        let pairs = self.entries.iter().zip(&self.values);
        let floats = pairs.map(|(entry, values)| {
            NamedTensor::float(entry.name.clone(), &entry.shape, host_values(values))
        });
        floats.chain(counts).collect()
    }

    /// Logits with the running statistics, off the tape.
    ///
    /// Always in `f32`, also where training computes in another precision, so that the same
    /// weights are worth the same wherever they are evaluated.
    ///
    /// # Shapes
    /// `[N, H, W, C]` → `[N, classes]`.
    pub fn evaluate(&self, images: Tensor<4>) -> Tensor<2> {
        match &self.sized_for(images.dims()).engine {
            Some(engine) => self.infer(engine, Precision::F32, &images),
            None => {
                Execution::new(self, &self.values, Mode::Evaluation, images)
                    .run(&mut |_, value| value)
                    .logits
            }
        }
    }

    /// [`Network::evaluate`] with feature maps in another precision.
    ///
    /// # Errors
    /// [`TrainError::PrecisionNeedsCpu`].
    pub fn evaluate_in(
        &self,
        precision: Precision,
        images: Tensor<4>,
    ) -> Result<Tensor<2>, TrainError> {
        self.require(precision)?;
        Ok(match &self.sized_for(images.dims()).engine {
            Some(engine) => self.infer(engine, precision, &images),
            None => self.evaluate(images),
        })
    }

    fn infer(&self, engine: &Engine, precision: Precision, images: &Tensor<4>) -> Tensor<2> {
        let [batch, ..] = images.dims();
        let state = self.lent_state();
        let logits = engine.infer(precision, &lent(images), batch, &slices(&state));
        let classes = self.graph().output_shape().channels();
        Tensor::from_data(TensorData::new(logits, [batch, classes]), &self.device)
    }

    /// Logits with the statistics of the batch, from which gradients can be computed. The running
    /// statistics do not change until [`Network::absorb_statistics`]. What is
    /// [frozen](Network::freeze_before) has no gradients and no statistics.
    ///
    /// `randomness` decides what dropouts drop, equally wherever the pass is computed.
    ///
    /// # Shapes
    /// `images`: `[N, H, W, C]`.
    pub fn train_pass(&self, images: Tensor<4>, randomness: SeedStream) -> TrainingPass {
        let sized = self.sized_for(images.dims());
        let division = sized.division.as_ref();
        match &sized.engine {
            Some(engine) => TrainingPass::with_engine(engine, division, self, &images, randomness),
            None => TrainingPass::on_tape(self, images, randomness),
        }
    }

    /// Takes a gradient of images of this shape that nobody needs any more, so that the next pass can
    /// use its memory.
    pub(crate) fn reuse(&self, gradient: Tensor<1>, images: [usize; 4]) {
        // The gradient's own vector, as nobody else holds it.
        if let Some(engine) = self.sized_for(images).learning_engine()
            && let Ok(vector) = gradient.into_data().try_into_vec()
        {
            engine.reuse(vector);
        }
    }

    /// The first parameter or the first layer's output that is not finite, when these images
    /// are passed through in training mode.
    pub fn first_non_finite(&self, images: Tensor<4>, randomness: SeedStream) -> Option<NonFinite> {
        for (entry, values) in self.entries.iter().zip(&self.values) {
            if !is_finite(values.clone()) {
                return Some(NonFinite::Parameter(entry.name.clone()));
            }
        }
        if !is_finite(images.clone()) {
            return Some(NonFinite::Images);
        }
        let mut first = None;
        let mut look = |node: NodeId, value: Value| {
            if first.is_none() && !is_finite(value.flat()) {
                first = Some(node);
            }
            value
        };
        let mode = Mode::Training {
            randomness,
            frozen: self.division().map(Division::cut),
        };
        Execution::new(self, &self.values, mode, images).run(&mut look);
        first.map(|node| NonFinite::Layer(self.graph().node(node).name.clone()))
    }

    /// Brings the running statistics up to date with those of a batch.
    pub fn absorb_statistics(&mut self, pass: &TrainingPass) {
        for norm in pass.statistics() {
            let keep = f64::from(1.0 - norm.momentum);
            let take = f64::from(norm.momentum);
            // The running variance is the unbiased one, as PyTorch's.
            let unbiased = norm.count / (norm.count - 1.0).max(1.0);
            let first = self.first_entry[norm.node.index()];
            for (entry, batch, factor) in [
                (first + 2, &norm.mean, take),
                (first + 3, &norm.variance, take * unbiased),
            ] {
                let old = self.values[entry].clone().mul_scalar(keep);
                self.values[entry] = old + batch.clone().mul_scalar(factor);
            }
        }
        self.batches += 1;
    }

    /// The memory of all entries, for an engine.
    pub(crate) fn lent_state(&self) -> Vec<HostValues> {
        self.values.iter().map(lent).collect()
    }

    pub(crate) fn operations(&self) -> OperationSet {
        self.operations
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn first_entry(&self, node: NodeId) -> usize {
        self.first_entry[node.index()]
    }
}

/// How to go on with a file that does not fit.
fn advice(report: &LoadReport, file: &TensorFile) -> String {
    if report.is_damaged_only() {
        return "names and shapes fit, the numbers are useless; take an earlier checkpoint of that \
                training, or another copy of the file"
            .to_owned();
    }
    other_networks(file)
}

/// Which networks a file fits, for somebody who has tried another.
pub(crate) fn other_networks(file: &TensorFile) -> String {
    match &fitting_models(file)[..] {
        [] => "the file fits no network of the catalog".to_owned(),
        names => format!("the file fits {} (--model)", names.join(", ")),
    }
}

/// Whether a device has a precision; an error before anything else is done.
pub(crate) fn check_precision(precision: Precision, device: &Device) -> Result<(), TrainError> {
    if is_host(device) {
        Ok(())
    } else {
        tape_computes(precision)
    }
}

/// Whether a device can do with fewer feature maps; an error before anything else is done.
pub(crate) fn check_checkpointing(
    checkpointing: GradientCheckpointing,
    device: &Device,
) -> Result<(), TrainError> {
    if is_host(device) {
        Ok(())
    } else {
        tape_keeps(checkpointing)
    }
}

fn tape_keeps(checkpointing: GradientCheckpointing) -> Result<(), TrainError> {
    match checkpointing {
        GradientCheckpointing::Off => Ok(()),
        GradientCheckpointing::On => Err(TrainError::CheckpointingNeedsCpu),
    }
}

fn tape_computes(precision: Precision) -> Result<(), TrainError> {
    match precision {
        Precision::F32 => Ok(()),
        Precision::Bf16 => Err(TrainError::PrecisionNeedsCpu { precision }),
    }
}

/// Where a value that is not finite was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NonFinite {
    /// In a parameter.
    Parameter(String),
    /// In the images.
    Images,
    /// In the output of a layer.
    Layer(String),
}

fn is_finite<const D: usize>(tensor: Tensor<D>) -> bool {
    host_values(&tensor).iter().all(|value| value.is_finite())
}

/// The memory of a tensor that an engine reads.
pub(crate) fn lent<const D: usize>(tensor: &Tensor<D>) -> HostValues {
    HostValues::of(tensor).expect("a network with an engine and its images are 32-bit on the CPU")
}

/// A state as engines take it.
pub(crate) fn slices(state: &[HostValues]) -> Vec<&[f32]> {
    state.iter().map(|values| &**values).collect()
}

/// The values of a tensor in row-major order.
pub(crate) fn host_values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    let data = tensor.to_data();
    data.try_into_vec()
        .expect("all tensors of a network are 32-bit floating point")
}
