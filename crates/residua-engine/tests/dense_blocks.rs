//! Concatenations that share one map: they compute what copies do, whoever else reads them, in memory
//! that grows with the layers and not with their square.

mod support;

use std::collections::HashMap;

use residua_engine::{Engine, Gradient, GradientCheckpointing, Precision, TrainingSettings};
use residua_graph::{Axis, Convolution, Graph, GraphBuilder, MaxPool, NodeId, Operation, Shape};

use support::{Case, cosine, norm, settings};

/// What a concatenation begins with.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// The concatenation before: all of them share one map.
    Chain,
    /// Every map that was appended so far: each copies them.
    Flat,
}

/// A dense block that is being built.
struct Dense {
    builder: GraphBuilder,
    form: Form,
    /// What each concatenation consists of.
    parts: HashMap<NodeId, Vec<NodeId>>,
    /// The last one.
    x: NodeId,
    nodes: usize,
}

impl Dense {
    fn new(name: &str, form: Form, image: Shape) -> Self {
        let mut builder = GraphBuilder::new(name, image);
        let input = builder.input();
        let stem = Convolution::square(12, 3);
        let x = builder.convolution("stem", input, stem).unwrap();
        Self {
            builder,
            form,
            parts: HashMap::new(),
            x,
            nodes: 0,
        }
    }

    fn push(&mut self, operation: Operation, inputs: &[NodeId]) -> NodeId {
        self.nodes += 1;
        let name = format!("node{}", self.nodes);
        self.builder.push(name, operation, inputs).unwrap()
    }

    fn convolution(&mut self, channels: usize, kernel: usize, input: NodeId) -> NodeId {
        let convolution = Convolution::square(channels, kernel);
        self.push(Operation::Convolution(convolution), &[input])
    }

    /// Norm, rectifier, convolution.
    fn branch(&mut self, channels: usize, kernel: usize, input: NodeId) -> NodeId {
        self.nodes += 1;
        let name = format!("norm{}", self.nodes);
        let x = self.builder.batch_norm(name, input).unwrap();
        let x = self.push(Operation::RELU, &[x]);
        self.convolution(channels, kernel, x)
    }

    fn append(&mut self, added: &[NodeId]) -> NodeId {
        let before = self.parts.get(&self.x).cloned();
        let parts = [&before.unwrap_or(vec![self.x]), added].concat();
        let inputs = match self.form {
            Form::Chain => [&[self.x], added].concat(),
            Form::Flat => parts.clone(),
        };
        self.x = self.push(Operation::Concat(Axis::Channels), &inputs);
        self.parts.insert(self.x, parts);
        self.x
    }

    /// A layer of the paper.
    fn layer(&mut self, growth: usize) -> NodeId {
        let part = self.branch(growth, 3, self.x);
        self.append(&[part])
    }

    /// The classifier of the sum of some maps of as many channels.
    fn finish(mut self, maps: &[NodeId]) -> Graph {
        let mut sum = maps[0];
        for map in &maps[1..] {
            sum = self.push(Operation::Add, &[sum, *map]);
        }
        let mean = self.builder.global_average_pool("mean", sum).unwrap();
        let logits = self.builder.linear("fc", mean, 5).unwrap();
        self.builder.finish(logits)
    }
}

const IMAGE: Shape = Shape::Map {
    height: 9,
    width: 7,
    channels: 3,
};

/// Layers that add an odd number of channels, and a last norm.
fn plain(form: Form, layers: usize) -> Graph {
    let mut block = Dense::new("plain", form, IMAGE);
    for _ in 0..layers {
        block.layer(5);
    }
    let last = block.branch(6, 1, block.x);
    block.finish(&[last])
}

/// Every way to read a concatenation in the middle.
fn with_other_readers(form: Form) -> Vec<Graph> {
    let new = |name| Dense::new(name, form, IMAGE);
    let mut graphs = Vec::new();

    let mut block = new("a convolution reads it");
    let first = block.layer(5);
    let beside = block.convolution(6, 3, first);
    block.layer(5);
    block.layer(5);
    let last = block.branch(6, 1, block.x);
    graphs.push(block.finish(&[last, beside]));

    let mut block = new("a pool reads it");
    block.layer(5);
    let second = block.layer(5);
    let pool = MaxPool {
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    let pool = block.push(Operation::MaxPool(pool), &[second]);
    let beside = block.convolution(6, 1, pool);
    block.layer(5);
    block.layer(5);
    let last = block.branch(6, 1, block.x);
    graphs.push(block.finish(&[beside, last]));

    let mut block = new("a norm reads it late");
    let first = block.layer(5);
    block.layer(5);
    block.layer(5);
    let last = block.branch(6, 1, block.x);
    let late = block.branch(6, 3, first);
    graphs.push(block.finish(&[last, late]));

    let mut block = new("a norm that others add to reads it");
    let first = block.layer(5);
    block.nodes += 1;
    let projection = block.builder.batch_norm("projection", first).unwrap();
    block.layer(5);
    block.layer(5);
    let same = block.branch(17, 1, block.x);
    let same = block.builder.batch_norm("same", same).unwrap();
    let sum = block.push(Operation::Add, &[same, projection]);
    let sum = block.push(Operation::RELU, &[sum]);
    let last = block.convolution(6, 1, sum);
    graphs.push(block.finish(&[last]));

    let mut block = new("nobody reads what is appended");
    block.layer(5);
    block.layer(5);
    let last = block.branch(6, 1, block.x);
    let part = block.branch(5, 3, block.x);
    block.append(&[part]);
    graphs.push(block.finish(&[last]));

    let mut block = new("two blocks go on from it");
    let first = block.layer(5);
    block.layer(5);
    let last = block.branch(6, 1, block.x);
    block.x = first;
    block.layer(4);
    let other = block.branch(6, 1, block.x);
    graphs.push(block.finish(&[last, other]));

    let mut block = new("three at once");
    block.layer(5);
    let two = [3, 1].map(|kernel| block.branch(4, kernel, block.x));
    block.append(&two);
    block.layer(5);
    let last = block.branch(6, 1, block.x);
    graphs.push(block.finish(&[last]));
    graphs
}

fn all_values(gradients: &[Gradient]) -> Vec<f32> {
    let values = gradients.iter().map(|gradient| gradient.values.as_slice());
    values.collect::<Vec<_>>().concat()
}

#[test]
fn gradients_are_slopes_whoever_reads_a_concatenation() {
    Case::new(plain(Form::Chain, 4), 5).check_derivatives(0.03);
    for graph in with_other_readers(Form::Chain) {
        Case::new(graph, 5).check_derivatives(0.1);
    }
}

/// In 32-bit numbers not even the rounding differs.
#[test]
fn a_shared_map_gives_what_copies_do() {
    for layers in [2, 5] {
        let [chain, flat] = [Form::Chain, Form::Flat].map(|form| Case::new(plain(form, layers), 3));
        for precision in Precision::ALL {
            let [chain, flat] = [&chain, &flat].map(|case| {
                let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
                let engine = Engine::new(&case.graph);
                let inferred = engine.infer(precision, &case.images, case.batch, &state);
                let (logits, gradients) = case.gradients_in(settings(precision));
                (inferred, logits, all_values(&gradients))
            });
            assert_eq!((&chain.0, &chain.1), (&flat.0, &flat.1), "{precision}");
            match precision {
                Precision::F32 => assert_eq!(chain.2, flat.2),
                Precision::Bf16 => assert!(cosine(&chain.2, &flat.2) > 0.999),
            }
        }
    }
}

#[test]
fn whoever_reads_a_shared_map_reads_what_copies_hold() {
    let pairs = with_other_readers(Form::Chain).into_iter();
    for (chain, flat) in pairs.zip(with_other_readers(Form::Flat)) {
        let name = chain.name().to_owned();
        let [chain, flat] = [chain, flat].map(|graph| Case::new(graph, 4));
        let [chain, flat] = [chain, flat].map(|case| case.gradients_in(settings(Precision::F32)));
        assert_eq!(chain.0, flat.0, "{name}");
        // Contributions are added in another order.
        let [chain, flat] = [chain, flat].map(|(_, gradients)| all_values(&gradients));
        let differences = chain.iter().zip(&flat).map(|(chain, flat)| chain - flat);
        let difference = norm(&differences.collect::<Vec<_>>());
        assert!(difference <= 1e-5 * norm(&flat), "{name}: {difference}");
    }
}

#[test]
fn threads_and_steps_before_change_no_bit() {
    let mut graphs = with_other_readers(Form::Chain);
    graphs.push(plain(Form::Chain, 6));
    for graph in graphs {
        let case = Case::new(graph, 3);
        let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
        for precision in Precision::ALL {
            let run = |threads: usize| {
                let engine = Engine::new(&case.graph);
                let step = || {
                    let settings = settings(precision);
                    let pass = engine.train_forward(settings, &case.images, case.batch, &state);
                    let gradients = engine.backward(pass.record, &case.weights, &state);
                    (pass.logits, all_values(&gradients))
                };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.unwrap().install(|| [step(), step()])
            };
            let one = run(1);
            assert!(one[0] == one[1], "{}, {precision}", case.graph.name());
            for threads in 2..4 {
                assert!(run(threads) == one, "{}, {precision}", case.graph.name());
            }
        }
    }
}

/// Segments end inside of the block, and each of them goes on in its map.
#[test]
fn checkpoints_inside_of_a_block_change_nothing_but_the_rounding() {
    let mut cases: Vec<Case> = { with_other_readers(Form::Chain).into_iter() }
        .map(|graph| Case::new(graph, 4))
        .collect();
    cases.push(Case::new(plain(Form::Chain, 12), 4));
    cases.push(Case::named("densenet_bc40_k6", 16, 4));
    for case in cases {
        for precision in Precision::ALL {
            let [kept, again] =
                [GradientCheckpointing::Off, GradientCheckpointing::On].map(|checkpointing| {
                    let settings = TrainingSettings {
                        checkpointing,
                        ..settings(precision)
                    };
                    let (logits, gradients) = case.gradients_in(settings);
                    (logits, all_values(&gradients))
                });
            let name = case.graph.name();
            let differences = kept
                .0
                .iter()
                .zip(&again.0)
                .map(|(kept, again)| kept - again);
            let (most, least) = match precision {
                Precision::F32 => (1e-5, 1.0 - 1e-6),
                Precision::Bf16 => (0.03, 0.98),
            };
            let difference = norm(&differences.collect::<Vec<_>>());
            assert!(difference <= most * norm(&kept.0), "{name}, {precision}");
            let similarity = cosine(&kept.1, &again.1);
            assert!(similarity > least, "{name}, {precision}: {similarity}");
        }
    }
}

/// The memory of a step grows by as much with each layer.
#[test]
fn memory_grows_with_the_layers_of_a_block() {
    let image = Shape::map(32, 32, 3);
    let bytes = |layers: usize, precision: Precision, checkpointing| {
        let mut block = Dense::new("deep", Form::Chain, image);
        for _ in 0..layers {
            block.layer(6);
        }
        let last = block.branch(6, 1, block.x);
        let case = Case::new(block.finish(&[last]), 2);
        let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
        let engine = Engine::new(&case.graph);
        let settings = TrainingSettings {
            checkpointing,
            ..settings(precision)
        };
        let pass = engine.train_forward(settings, &case.images, case.batch, &state);
        engine.backward(pass.record, &case.weights, &state);
        let trained = engine.unused_bytes();
        engine.release_memory();
        engine.infer(precision, &case.images, case.batch, &state);
        [trained, engine.unused_bytes()]
    };
    for precision in Precision::ALL {
        let number = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        let of_a_layer = 2 * 32 * 32 * 6 * number;
        for (checkpointing, what) in [
            (GradientCheckpointing::Off, "kept"),
            (GradientCheckpointing::On, "computed again"),
        ] {
            let [few, more, most] =
                [8, 16, 32].map(|layers| bytes(layers, precision, checkpointing));
            // In training the block, its gradient, and the one that passes through a norm are as wide.
            for (pass, maps) in [3, 1].into_iter().enumerate() {
                let name = format!("{precision}, {what}");
                assert_eq!(more[pass] - few[pass], 8 * maps * of_a_layer, "{name}");
                assert_eq!(most[pass] - more[pass], 16 * maps * of_a_layer, "{name}");
            }
        }
    }
}
