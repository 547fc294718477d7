//! Drawings of networks, derived from the graph alone.
//!
//! A drawing is made in four steps, each in a file: `outline` finds cards, rows and arcs in
//! the names and edges of the graph, `measure` gives each card its size, `layout` its place,
//! and `paint` (with `lines` and `legend`) writes it all on a `canvas`.

mod canvas;
mod geometry;
mod layout;
mod legend;
mod lines;
mod measure;
mod notation;
mod outline;
mod paint;

use crate::graph::Graph;
use layout::Layout;
use outline::Outline;

/// Draws a network as a self-contained SVG 1.1 document, from the input at the top to the
/// output.
///
/// Node names give the hierarchy: `layer1.0.conv1` belongs to the block `layer1.0`, which is
/// one card, and to the stage `layer1`, which is one tinted panel. Consecutive blocks with
/// the same operations, shapes and wiring share a card, which tells their number. Edges that
/// skip operations are arcs beside the card's column of operations, and end in a ⊕ where
/// values are added. Shapes stand on the lines between cards where they change.
///
/// The drawing needs no fonts or scripts of its own, brings its background, follows the
/// viewer's preference for light or dark, and is the same text for the same graph. Any graph
/// can be drawn.
///
/// ```
/// use residua_graph::catalog::{self, BuildOptions};
///
/// let graph = catalog::build("resnet20", &BuildOptions::default())?;
/// let drawing = residua_graph::svg(&graph);
/// assert!(drawing.contains("3×3 conv, 32, /2"));
/// # Ok::<(), residua_graph::catalog::CatalogError>(())
/// ```
pub fn svg(graph: &Graph) -> String {
    let outline = Outline::new(graph);
    let layout = Layout::new(graph, &outline, legend::least_width(graph));
    paint::paint(graph, &outline, &layout)
}
