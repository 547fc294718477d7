//! Each operation beside convolutions and batch norms, in a network just large enough for it: its
//! gradients are slopes, bfloat16 follows, and what is computed a second time is the same.

mod support;

use residua_engine::{Engine, Gradient, GradientCheckpointing, Precision, TrainingSettings};
use residua_graph::families::Norm;
use residua_graph::{
    Activation, AveragePool, Axis, ChannelConvolution, Convolution, DropUnit, Dropout, Edge, Graph,
    GraphBuilder, MaxPool, NodeId, Operation, SelfAttention, Shape, Slice,
};

use support::{Case, cosine, norm, settings};

/// A convolution, what `middle` makes of its twelve channels, and a head.
fn around(name: &str, middle: impl FnOnce(&mut Writer) -> NodeId) -> Graph {
    let mut builder = GraphBuilder::new(name, Shape::map(9, 7, 3));
    let image = builder.input();
    let stem = Convolution {
        bias: true,
        ..Convolution::square(12, 3)
    };
    let x = builder.convolution("stem", image, stem).unwrap();
    let mut writer = Writer { builder, x };
    let x = middle(&mut writer);
    let mut builder = writer.builder;
    let vector = match builder.shape_of(x) {
        Shape::Vector { .. } => x,
        Shape::Map { .. } => builder.global_average_pool("pool", x).unwrap(),
    };
    let logits = builder.linear("fc", vector, 5).unwrap();
    builder.finish(logits)
}

struct Writer {
    builder: GraphBuilder,
    /// The stem's value, `[9, 7, 12]`.
    x: NodeId,
}

impl Writer {
    /// Appends an operation under a name of its own.
    fn push(&mut self, operation: Operation, inputs: &[NodeId]) -> NodeId {
        let name = format!("node{}", self.builder.shape_of(inputs[0]).elements());
        let unique = (0..).map(|number| format!("{name}_{number}"));
        let mut operation = Some(operation);
        for name in unique {
            let clone = operation.take().unwrap();
            match self.builder.push(name, clone, inputs) {
                Ok(id) => return id,
                Err(residua_graph::GraphError::DuplicateName { .. }) => operation = Some(clone),
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!("names do not run out")
    }

    fn convolution(&mut self, channels: usize, kernel: usize, input: NodeId) -> NodeId {
        let convolution = Convolution::square(channels, kernel);
        self.push(Operation::Convolution(convolution), &[input])
    }

    fn mean(&mut self, input: NodeId) -> NodeId {
        self.push(Operation::AdaptiveAveragePool([1, 1]), &[input])
    }
}

/// The mean and the largest of each channel as a map of two rows, through two shared layers; the gate
/// of Woo et al. 2018.
fn channel_attention(w: &mut Writer, x: NodeId) -> NodeId {
    let [height, width] = w.builder.shape_of(x).spatial();
    let channels = w.builder.shape_of(x).channels();
    let mean = w.mean(x);
    let whole = MaxPool {
        kernel: [height, width],
        stride: [1; 2],
        padding: [0; 2],
    };
    let most = w.push(Operation::MaxPool(whole), &[x]);
    let both = w.push(Operation::Concat(Axis::Rows), &[mean, most]);
    let reduced = w.convolution(4, 1, both);
    let reduced = w.push(Operation::Activation(Activation::Silu), &[reduced]);
    let expanded = w.convolution(channels, 1, reduced);
    let row = |begin| {
        Operation::Slice(Slice {
            axis: Axis::Rows,
            begin,
            length: 1,
        })
    };
    let [first, second] = [0, 1].map(|begin| w.push(row(begin), &[expanded]));
    let sum = w.push(Operation::Add, &[first, second]);
    let gate = w.push(Operation::Activation(Activation::Sigmoid), &[sum]);
    w.push(Operation::Gate, &[x, gate])
}

fn graphs() -> Vec<Graph> {
    let smooth = [
        Activation::LeakyRelu,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Gelu,
    ];
    let mut graphs: Vec<Graph> = { smooth.into_iter() }
        .map(|activation| {
            around(activation.name(), |w| {
                let x = w.push(Operation::Activation(activation), &[w.x]);
                w.convolution(8, 3, x)
            })
        })
        .collect();
    graphs.push(around("group norm", |w| {
        let norm = Norm::Group { groups: 3 }.operation(Default::default());
        let x = w.push(norm, &[w.x]);
        w.convolution(8, 3, x)
    }));
    for edge in [Edge::Drop, Edge::Keep] {
        graphs.push(around("average pool", |w| {
            let x = w.push(Operation::AveragePool(AveragePool::halving(edge)), &[w.x]);
            w.convolution(8, 3, x)
        }));
    }
    graphs.push(around("adaptive pool and flatten", |w| {
        let x = w.push(Operation::AdaptiveAveragePool([4, 5]), &[w.x]);
        let x = w.push(Operation::Activation(Activation::Silu), &[x]);
        let x = w.push(Operation::Flatten, &[x]);
        w.push(Operation::Activation(Activation::Gelu), &[x])
    }));
    graphs.push(around("dense", |w| {
        let mut x = w.x;
        for layer in 0..3 {
            let name = |part: &str| format!("{part}{layer}");
            let y = w.builder.batch_norm(name("norm"), x).unwrap();
            let y = w.push(Operation::Activation(Activation::Silu), &[y]);
            let y = w.convolution(5, 3, y);
            x = w.push(Operation::Concat(Axis::Channels), &[x, y]);
        }
        let x = w.builder.batch_norm("norm", x).unwrap();
        w.convolution(6, 1, x)
    }));
    graphs.push(around("channel attention", |w| {
        let x = channel_attention(w, w.x);
        w.convolution(6, 3, x)
    }));
    graphs.push(around("spatial attention", |w| {
        let summary = w.push(Operation::ChannelSummary, &[w.x]);
        let gate = w.convolution(1, 3, summary);
        let gate = w.push(Operation::Activation(Activation::Sigmoid), &[gate]);
        let x = w.push(Operation::Gate, &[w.x, gate]);
        w.convolution(6, 3, x)
    }));
    graphs.push(around("efficient channel attention", |w| {
        let mean = w.mean(w.x);
        let along = Operation::ChannelConvolution(ChannelConvolution { kernel: 5 });
        let gate = w.push(along, &[mean]);
        let gate = w.push(Operation::Activation(Activation::Sigmoid), &[gate]);
        let x = w.push(Operation::Gate, &[w.x, gate]);
        w.convolution(6, 3, x)
    }));
    graphs.push(around("selective kernels", |w| {
        let paths = [3, 1].map(|kernel| w.convolution(12, kernel, w.x));
        let sum = w.push(Operation::Add, &paths);
        let mean = w.mean(sum);
        let choice = w.convolution(24, 1, mean);
        let choice = w.push(Operation::PathSoftmax { paths: 2 }, &[choice]);
        let part = |begin| {
            Operation::Slice(Slice {
                axis: Axis::Channels,
                begin,
                length: 12,
            })
        };
        let [one, two] = [0, 1].map(|path| {
            let gate = w.push(part(12 * path), &[choice]);
            w.push(Operation::Gate, &[paths[path], gate])
        });
        w.push(Operation::Add, &[one, two])
    }));
    graphs.push(around("self-attention", |w| {
        let attention = Operation::SelfAttention(SelfAttention { heads: 2 });
        let x = w.push(attention, &[w.x]);
        w.convolution(6, 3, x)
    }));
    for (name, unit) in [
        ("dropout", DropUnit::Number),
        ("stochastic depth", DropUnit::Sample),
    ] {
        graphs.push(around(name, |w| {
            let rate = 0.4;
            let y = w.push(Operation::Dropout(Dropout { unit, rate }), &[w.x]);
            let y = w.convolution(12, 3, y);
            let x = w.push(Operation::Add, &[y, w.x]);
            let x = w.builder.global_average_pool("mean", x).unwrap();
            let rate = 0.2;
            w.push(Operation::Dropout(Dropout { unit, rate }), &[x])
        }));
    }
    graphs
}

#[test]
fn gradients_are_slopes() {
    for graph in graphs() {
        Case::new(graph, 5).check_derivatives(0.03);
    }
}

#[test]
fn bfloat16_follows_f32() {
    for graph in graphs() {
        let name = graph.name().to_owned();
        let case = Case::new(graph, 5);
        let exact = case.gradients(Precision::F32);
        for (exact, rounded) in exact.iter().zip(case.gradients(Precision::Bf16)) {
            if norm(&exact.values) < 1e-4 {
                continue;
            }
            let similarity = cosine(&exact.values, &rounded.values);
            assert!(similarity > 0.98, "{name} {}: {similarity}", exact.entry);
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for graph in graphs() {
        let name = graph.name().to_owned();
        let case = Case::new(graph, 5);
        for precision in Precision::ALL {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let gradients = pool.unwrap().install(|| case.gradients(precision));
                gradients.into_iter().map(|gradient| gradient.values)
            };
            assert!(run(1).eq(run(3)), "{name}, {precision}");
        }
    }
}

/// Values that are computed again differ by rounding only.
#[test]
fn checkpoints_change_the_memory_and_gradients_by_rounding_only() {
    let mut cases: Vec<Case> = graphs().into_iter().map(|g| Case::new(g, 5)).collect();
    cases.push(Case::named("resnet20", 16, 6));
    cases.push(Case::named("preact_resnet29", 16, 6));
    for case in cases {
        for precision in Precision::ALL {
            let with = |checkpointing| {
                case.gradients_in(TrainingSettings {
                    checkpointing,
                    ..settings(precision)
                })
            };
            let (logits, kept) = with(GradientCheckpointing::Off);
            let (again, recomputed) = with(GradientCheckpointing::On);
            let name = case.graph.name();
            // Where one pass computes a value while it reads it, the other reads what it has stored.
            let difference: Vec<f32> = logits.iter().zip(&again).map(|(a, b)| a - b).collect();
            let most = match precision {
                Precision::F32 => 1e-5,
                Precision::Bf16 => 0.03,
            };
            assert!(
                norm(&difference) < most * norm(&logits),
                "{name}, {precision}"
            );
            let whole = |gradients: &[Gradient]| -> Vec<f32> {
                let values = gradients.iter().map(|gradient| gradient.values.as_slice());
                values.collect::<Vec<_>>().concat()
            };
            let similarity = cosine(&whole(&kept), &whole(&recomputed));
            let least = match precision {
                Precision::F32 => 1.0 - 1e-6,
                Precision::Bf16 => 0.98,
            };
            assert!(similarity > least, "{name}, {precision}: {similarity}");
        }
    }
}

#[test]
fn nothing_is_dropped_in_inference_and_something_else_in_every_step() {
    let graph = around("dropout", |w| {
        let (unit, rate) = (DropUnit::Number, 0.5);
        w.push(Operation::Dropout(Dropout { unit, rate }), &[w.x])
    });
    let plain = around("plain", |w| w.x);
    let case = Case::new(graph.clone(), 2);
    let state: Vec<&[f32]> = case.state.iter().map(Vec::as_slice).collect();
    let infer = |graph| Engine::new(graph).infer(Precision::F32, &case.images, 2, &state);
    assert_eq!(infer(&graph), infer(&plain));
    let logits = |seed| {
        let settings = TrainingSettings {
            randomness: residua_engine::SeedStream::new(seed),
            ..settings(Precision::F32)
        };
        case.gradients_in(settings).0
    };
    assert_eq!(logits(1), logits(1));
    assert_ne!(logits(1), logits(2));
}
