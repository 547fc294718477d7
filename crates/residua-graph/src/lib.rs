//! Networks as data: the graph, its builder, its costs, and the catalog of named networks.
//!
//! A network is a [`Graph`]: named nodes, each with an [`Operation`], the nodes it reads
//! and the shape it produces. Parameter names and shapes, parameter counts, multiply-accumulate
//! counts, drawings, training and inference are all derived from it, so they cannot disagree.
//!
//! Most people take a network from the [`catalog`]:
//!
//! ```
//! use residua_graph::catalog::{self, BuildOptions};
//!
//! let graph = catalog::build("resnet20", &BuildOptions::default())?;
//! assert_eq!(graph.trainable_parameters(), 269_722);
//! assert_eq!(graph.macs(), 40_551_040);
//! let first = &graph.state()[0];
//! assert_eq!((first.name.as_str(), first.shape.as_slice()), ("conv1.weight", &[16, 3, 3, 3][..]));
//! # Ok::<(), residua_graph::catalog::CatalogError>(())
//! ```
//!
//! or write one with the [`GraphBuilder`]:
//!
//! ```
//! use residua_graph::{Convolution, GraphBuilder, Shape};
//!
//! let mut builder = GraphBuilder::new("tiny", Shape::map(32, 32, 3));
//! let image = builder.input();
//! let x = builder.convolution("conv1", image, Convolution::square(16, 3))?;
//! let x = builder.batch_norm("bn1", x)?;
//! let x = builder.relu("relu", x)?;
//! let x = builder.global_average_pool("avgpool", x)?;
//! let logits = builder.linear("fc", x, 10)?;
//! let graph = builder.finish(logits);
//! assert_eq!(graph.shape_of(logits), Shape::vector(10));
//! # Ok::<(), residua_graph::GraphError>(())
//! ```
//!
//! Shapes are those of one sample: `[H, W, C]` for feature maps and `[C]` for vectors; the
//! batch dimension N comes first wherever a graph is executed (`[N, H, W, C]`).

mod builder;
pub mod catalog;
mod division;
mod drawing;
pub mod families;
mod fusion;
mod graph;
mod operation;
mod shape;

pub use builder::GraphBuilder;
pub use drawing::svg;
pub use fusion::{Step, StepKind, fuse};
pub use graph::{Graph, GraphError, Node, NodeId, StateEntry};
pub use operation::{
    Activation, AveragePool, Axis, BatchNorm, ChannelConvolution, Convolution, DropUnit, Dropout,
    Edge, Fan, GroupNorm, Initial, InitialScale, Linear, MaxPool, Operation, SelfAttention, Slice,
    StateRole, StateSpec, ZeroPadShortcut,
};
pub use shape::Shape;
