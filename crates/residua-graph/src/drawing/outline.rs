//! What a drawing shows of a graph: cards in sequence, the rows in each of them, and the
//! edges that leave the sequence.
//!
//! Names give the cards and the stages, edges give everything else. No edge is dropped: each
//! is either the step from one row to the next, or belongs to an [`Arc`].

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::notation::label;
use crate::graph::{Graph, NodeId};
use crate::operation::Operation;

/// A graph as a sequence of cards.
#[derive(Debug)]
pub(super) struct Outline {
    /// In the order of execution; the first is the input.
    pub(super) cards: Vec<Card>,
    /// Names of the stages in the order of appearance.
    pub(super) stages: Vec<String>,
    /// Whether the last row of the last card is the result of the graph.
    pub(super) ends_in_output: bool,
}

/// A block, or a top-level operation with the norm and the activation that follow it.
#[derive(Debug)]
pub(super) struct Card {
    /// The name of the block, or the names of the first and the last of several.
    pub(super) title: String,
    /// Place in [`Outline::stages`].
    pub(super) stage: Option<usize>,
    /// How many identical blocks in sequence it stands for.
    pub(super) repeats: usize,
    /// Whether it stands for a block, which has parts of its own.
    pub(super) is_block: bool,
    /// Whether it reads the value of the card before.
    pub(super) is_fed: bool,
    /// All nodes that it stands for.
    pub(super) nodes: Range<usize>,
    /// The main column.
    pub(super) elements: Vec<Element>,
    /// Edges beside the main column.
    pub(super) arcs: Vec<Arc>,
}

/// Operations that are drawn as one shape.
#[derive(Debug)]
pub(super) struct Element {
    /// At least one.
    pub(super) rows: Vec<Row>,
    /// Whether it is the addition, which has its own sign.
    pub(super) is_sum: bool,
    /// Whether it reads the element above, or as the first one, the value of the card before.
    pub(super) is_joined: bool,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Row {
    /// Its node.
    pub(super) node: NodeId,
    /// What it computes, in the notation of the field.
    pub(super) label: String,
    /// Whether it only dresses the operation before, as a norm or an activation does.
    pub(super) is_slim: bool,
}

/// An edge that is not the step from one element to the next, with the operations on it.
#[derive(Debug)]
pub(super) struct Arc {
    /// Where it starts.
    pub(super) source: Source,
    /// What it passes through; nothing on an identity shortcut.
    pub(super) chain: Vec<Element>,
    /// The elements of its card that read it, in ascending order; twice where one reads it
    /// twice.
    pub(super) targets: Vec<usize>,
}

/// Where an arc starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// At the value of the card before.
    Entry,
    /// At an element of the same card.
    Element(usize),
    /// At a node of an earlier card that is not the last value of the card before.
    Outside(NodeId),
}

impl Outline {
    /// Reads a graph.
    pub(super) fn new(graph: &Graph) -> Self {
        let segments = segments(graph);
        let reader = Reader::new(graph, &segments);
        let mut stages: Vec<String> = Vec::new();
        let mut cards = Vec::new();
        let mut rest = &segments[..];
        while let [first, ..] = rest {
            let run = rest.iter().take_while(|next| reader.alike(first, next));
            let repeats = run.count().max(1);
            let (run, behind) = rest.split_at(repeats);
            rest = behind;
            let stage = first.stage.map(|name| {
                let known = stages.iter().position(|stage| stage == name);
                known.unwrap_or_else(|| {
                    stages.push(name.to_owned());
                    stages.len() - 1
                })
            });
            cards.push(reader.card(run, stage));
        }
        Self {
            cards,
            stages,
            ends_in_output: graph.output().index() + 1 == graph.nodes().len(),
        }
    }
}

/// The nodes of one block or of one top-level operation.
#[derive(Debug)]
struct Segment<'a> {
    nodes: Range<usize>,
    title: &'a str,
    stage: Option<&'a str>,
    is_block: bool,
}

fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(parent, _)| parent)
}

fn segments(graph: &Graph) -> Vec<Segment<'_>> {
    let parents: HashSet<&str> = graph
        .nodes()
        .iter()
        .filter_map(|n| parent(&n.name))
        .collect();
    let mut segments: Vec<Segment<'_>> = Vec::new();
    for id in graph.ids() {
        let name = graph.node(id).name.as_str();
        let block = block_of(name, &parents);
        let continues = segments.last().is_some_and(|last| match block {
            Some(block) => last.is_block && last.title == block,
            None => {
                !last.is_block
                    && last.stage == parent(name)
                    && last.nodes.end > 1
                    && dresses_previous(graph, id)
            }
        });
        match segments.last_mut() {
            Some(last) if continues => last.nodes.end = id.index() + 1,
            _ => segments.push(Segment {
                nodes: id.index()..id.index() + 1,
                title: block.unwrap_or(name),
                stage: parent(block.unwrap_or(name)),
                is_block: block.is_some(),
            }),
        }
    }
    segments
}

/// The block that a node belongs to: the outermost numbered part of its name that directly
/// holds operations. `layer1.0` holds `layer1.0.conv1`, while `layer1` holds only blocks.
fn block_of<'a>(name: &'a str, parents: &HashSet<&str>) -> Option<&'a str> {
    let mut ancestors = name.match_indices('.').map(|(dot, _)| &name[..dot]);
    ancestors.find(|ancestor| {
        ancestor.ends_with(|last: char| last.is_ascii_digit()) && parents.contains(ancestor)
    })
}

/// Whether a top-level operation belongs on the card of the one before.
fn dresses_previous(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let reads_previous = node.inputs.iter().any(|i| i.index() + 1 == id.index());
    reads_previous && (is_slim(graph, id) || node.operation == Operation::Add)
}

/// Whether an operation has one input whose shape it keeps, and no multiplications to speak
/// of: norms, activations and their like.
fn is_slim(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    node.inputs.len() == 1
        && graph.input_shape_of(id) == node.shape
        && graph.macs_of(id) == 0
        && !matches!(node.operation, Operation::MaxPool(_))
}

/// Turns segments into cards.
struct Reader<'a> {
    graph: &'a Graph,
    /// How often each node is read; being the result counts.
    uses: Vec<usize>,
    /// First nodes of the segments at whose sides an edge passes other cards. Such a segment
    /// is never merged with others, because the edge means that very one.
    open: HashSet<usize>,
}

impl<'a> Reader<'a> {
    fn new(graph: &'a Graph, segments: &[Segment<'_>]) -> Self {
        let mut uses: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
        uses[graph.output().index()] += 1;
        let mut starts = vec![0; graph.nodes().len()];
        for segment in segments {
            starts[segment.nodes.clone()].fill(segment.nodes.start);
        }
        let mut open = HashSet::new();
        for id in graph.ids() {
            let start = starts[id.index()];
            for input in &graph.node(id).inputs {
                // Everything before the value of the card before, which has index start - 1.
                if input.index() + 1 < start {
                    open.extend([start, starts[input.index()]]);
                }
            }
        }
        if graph.output().index() + 1 < graph.nodes().len() {
            open.insert(starts[graph.output().index()]);
        }
        Self { graph, uses, open }
    }

    /// Whether two segments compute the same, each from the value before it.
    fn alike(&self, one: &Segment<'_>, other: &Segment<'_>) -> bool {
        let is_closed = |segment: &Segment<'_>| !self.open.contains(&segment.nodes.start);
        let distance = other.nodes.start - one.nodes.start;
        let node = |index: usize| &self.graph.nodes()[index];
        let same_node = |index: usize| {
            let (left, right) = (node(index), node(index + distance));
            let shifted = left.inputs.iter().map(|i| i.index() + distance);
            left.operation == right.operation
                && left.shape == right.shape
                && shifted.eq(right.inputs.iter().map(|i| i.index()))
        };
        one.stage == other.stage
            && one.is_block == other.is_block
            && one.nodes.len() == other.nodes.len()
            && one.nodes.start > 0
            && node(one.nodes.start - 1).shape == node(other.nodes.start - 1).shape
            && is_closed(one)
            && is_closed(other)
            && one.nodes.clone().all(same_node)
    }

    fn card(&self, run: &[Segment<'_>], stage: Option<usize>) -> Card {
        let (first, last) = (&run[0], &run[run.len() - 1]);
        let entry = first.nodes.start.checked_sub(1);
        let mut inputs = first
            .nodes
            .clone()
            .flat_map(|index| &self.graph.nodes()[index].inputs);
        let (elements, arcs) = Wiring::new(self, first.nodes.clone()).finish();
        Card {
            title: title(first.title, last.title),
            stage,
            repeats: run.len(),
            is_block: first.is_block,
            is_fed: inputs.any(|input| Some(input.index()) == entry),
            nodes: first.nodes.start..last.nodes.end,
            elements,
            arcs,
        }
    }

    /// Groups nodes, each of which reads the one before, into elements.
    fn chain(&self, nodes: &[NodeId]) -> Vec<Element> {
        let mut elements: Vec<Element> = Vec::new();
        for id in nodes {
            match elements.last_mut() {
                Some(last) if self.is_fused(last, *id) => last.rows.push(self.row(*id)),
                _ => elements.push(self.element(*id)),
            }
        }
        elements
    }

    /// Whether a node is drawn as a row of the element that it reads. A value that others
    /// read as well ends its element, so that they can be seen to read it.
    fn is_fused(&self, element: &Element, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let last = element.rows.last().map(|row| row.node);
        let merges = |id: NodeId| self.graph.node(id).inputs.len() > 1;
        last.is_some_and(|last| {
            node.inputs == [last]
                && self.uses[last.index()] == 1
                && !merges(last)
                && last.index() > 0
                && is_slim(self.graph, id)
        })
    }

    fn element(&self, id: NodeId) -> Element {
        Element {
            rows: vec![self.row(id)],
            is_sum: self.graph.node(id).operation == Operation::Add,
            is_joined: true,
        }
    }

    fn row(&self, node: NodeId) -> Row {
        Row {
            node,
            label: label(self.graph, node),
            is_slim: is_slim(self.graph, node),
        }
    }
}

/// `layer1.1`, or `layer1.1 – 8` for several.
fn title(first: &str, last: &str) -> String {
    if first == last {
        return first.to_owned();
    }
    let shown = match last.rsplit_once('.') {
        Some((stage, own)) if parent(first) == Some(stage) => own,
        _ => last,
    };
    format!("{first} – {shown}")
}

/// The main column and the arcs of one card, while it is being read.
struct Wiring<'a> {
    reader: &'a Reader<'a>,
    nodes: Range<usize>,
    /// Which element of the main column ends with a node.
    ends: BTreeMap<NodeId, usize>,
    elements: Vec<Element>,
    arcs: Vec<Arc>,
}

impl<'a> Wiring<'a> {
    fn new(reader: &'a Reader<'a>, nodes: Range<usize>) -> Self {
        Self {
            reader,
            nodes,
            ends: BTreeMap::new(),
            elements: Vec::new(),
            arcs: Vec::new(),
        }
    }

    fn finish(mut self) -> (Vec<Element>, Vec<Arc>) {
        let beside: HashSet<NodeId> = self
            .ids()
            .flat_map(|id| self.side_inputs(id))
            .flat_map(|input| self.chain_to(input))
            .collect();
        for id in self.ids().filter(|id| !beside.contains(id)) {
            self.append(id);
        }
        (self.elements, self.arcs)
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        self.nodes.clone().map(NodeId)
    }

    /// Appends a node to the main column, with the arcs that end there.
    fn append(&mut self, id: NodeId) {
        let last = self.elements.last_mut();
        if let Some(last) = last.filter(|last| self.reader.is_fused(last, id)) {
            last.rows.push(self.reader.row(id));
        } else {
            let main = self.main_input(id).map(|input| self.source(input));
            let above = match self.elements.len().checked_sub(1) {
                Some(above) => Source::Element(above),
                None => Source::Entry,
            };
            let mut element = self.reader.element(id);
            element.is_joined = main == Some(above);
            self.elements.push(element);
            if let Some(source) = main.filter(|source| *source != above) {
                self.add_identity(source);
            }
            for input in self.side_inputs(id) {
                self.add_side(input);
            }
        }
        self.ends.insert(id, self.elements.len() - 1);
    }

    /// The input that the main column follows: the first one computed in this card. For a
    /// residual block that is F(x).
    fn main_input(&self, id: NodeId) -> Option<NodeId> {
        let inputs = &self.reader.graph.node(id).inputs;
        let within = inputs.iter().find(|i| self.nodes.contains(&i.index()));
        within.or(inputs.first()).copied()
    }

    fn side_inputs(&self, id: NodeId) -> Vec<NodeId> {
        let main = self.main_input(id);
        let mut inputs = self.reader.graph.node(id).inputs.clone();
        if let Some(place) = inputs.iter().position(|input| Some(*input) == main) {
            inputs.remove(place);
        }
        inputs
    }

    /// The nodes of this card that lead to a side input and to nothing else.
    fn chain_to(&self, input: NodeId) -> Vec<NodeId> {
        let mut chain = Vec::new();
        let mut at = input;
        while self.nodes.contains(&at.index()) && self.reader.uses[at.index()] == 1 {
            let [before] = self.reader.graph.node(at).inputs[..] else {
                break;
            };
            chain.push(at);
            at = before;
        }
        chain.reverse();
        chain
    }

    fn source(&self, id: NodeId) -> Source {
        match self.ends.get(&id) {
            Some(element) => Source::Element(*element),
            None if id.index() + 1 == self.nodes.start => Source::Entry,
            None => Source::Outside(id),
        }
    }

    /// Adds the arc for a side input of the last element.
    fn add_side(&mut self, input: NodeId) {
        let chain = self.chain_to(input);
        let Some(first) = chain.first() else {
            self.add_identity(self.source(input));
            return;
        };
        let start = self.reader.graph.node(*first).inputs[0];
        self.arcs.push(Arc {
            source: self.source(start),
            chain: self.reader.chain(&chain),
            targets: vec![self.elements.len() - 1],
        });
    }

    /// Adds an arc to the last element that passes through nothing. Arcs from one source
    /// share one line.
    fn add_identity(&mut self, source: Source) {
        let target = self.elements.len() - 1;
        let is_same = |arc: &&mut Arc| arc.chain.is_empty() && arc.source == source;
        match self.arcs.iter_mut().find(is_same) {
            Some(arc) => arc.targets.push(target),
            None => self.arcs.push(Arc {
                source,
                chain: Vec::new(),
                targets: vec![target],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{self, BuildOptions};
    use crate::{Convolution, GraphBuilder, Shape};
    use proptest::prelude::*;

    fn outline(name: &str) -> Outline {
        Outline::new(&catalog::build(name, &BuildOptions::default()).unwrap())
    }

    fn summary(outline: &Outline) -> Vec<(&str, usize)> {
        let cards = outline.cards.iter();
        cards
            .map(|card| (card.title.as_str(), card.repeats))
            .collect()
    }

    #[test]
    fn identical_blocks_become_one_card() {
        let expected = [
            ("input", 1),
            ("conv1", 1),
            ("layer1.0 – 199", 200),
            ("layer2.0", 1),
            ("layer2.1 – 199", 199),
            ("layer3.0", 1),
            ("layer3.1 – 199", 199),
            ("avgpool", 1),
            ("linear", 1),
        ];
        assert_eq!(summary(&outline("resnet1202")), expected);
        assert_eq!(outline("resnet50").stages.join(" "), {
            "layer1 layer2 layer3 layer4"
        });
    }

    #[test]
    fn every_node_belongs_to_one_card() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            let outline = Outline::new(&graph);
            let mut next = 0;
            for card in &outline.cards {
                assert_eq!(card.nodes.start, next, "{}", entry.name);
                next = card.nodes.end;
                let chains = card.arcs.iter().flat_map(|arc| &arc.chain);
                let elements = card.elements.iter().chain(chains);
                let rows: usize = elements.map(|element| element.rows.len()).sum();
                assert_eq!(rows * card.repeats, card.nodes.len(), "{}", card.title);
            }
            assert_eq!(next, graph.nodes().len());
            assert!(outline.ends_in_output);
        }
    }

    #[test]
    fn every_addition_has_its_shortcut() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            let nodes = graph.nodes().iter();
            let additions = nodes.filter(|n| n.operation == Operation::Add).count();
            let cards = &Outline::new(&graph).cards;
            let arcs = cards.iter().map(|card| card.arcs.len() * card.repeats);
            assert_eq!(arcs.sum::<usize>(), additions, "{}", entry.name);
        }
    }

    #[test]
    fn norms_are_rows_of_their_convolution_and_projections_lie_on_the_arc() {
        let outline = outline("resnet50");
        let block = &outline.cards[3];
        let rows = |elements: &[Element]| -> Vec<String> {
            let joined = |e: &Element| {
                let labels: Vec<_> = e.rows.iter().map(|row| row.label.as_str()).collect();
                labels.join(" | ")
            };
            elements.iter().map(joined).collect()
        };
        let expected = [
            "1×1 conv, 64 | batch norm | relu",
            "3×3 conv, 64 | batch norm | relu",
            "1×1 conv, 256 | batch norm",
            "add",
            "relu",
        ];
        assert_eq!(rows(&block.elements), expected);
        assert_eq!(rows(&block.arcs[0].chain), ["1×1 conv, 256 | batch norm"]);
        assert_eq!(block.arcs[0].source, Source::Entry);
        assert_eq!(block.arcs[0].targets, [3]);
    }

    #[test]
    fn flat_names_give_a_card_for_each_operation_with_its_norm() {
        let mut b = GraphBuilder::new("flat", Shape::map(8, 8, 3));
        let conv = Convolution::square(4, 3);
        let x = b.convolution("conv1", b.input(), conv).unwrap();
        let x = b.batch_norm("bn1", x).unwrap();
        let x = b.relu("relu1", x).unwrap();
        let y = b.convolution("conv2", x, conv).unwrap();
        let y = b.convolution("conv3", y, conv).unwrap();
        let sum = b.add("add", y, x).unwrap();
        let outline = Outline::new(&b.finish(sum));
        let titles = ["input", "conv1", "conv2", "conv3"];
        assert_eq!(summary(&outline), titles.map(|title| (title, 1)));
        let last = &outline.cards[3];
        assert_eq!(last.arcs[0].source, Source::Outside(x));
        assert_eq!(last.arcs[0].targets, [1]);
    }

    #[test]
    fn a_block_that_others_read_is_not_merged() {
        let mut b = GraphBuilder::new("tap", Shape::map(8, 8, 4));
        let mut x = b.input();
        let mut sums = Vec::new();
        for block in 0..6 {
            let conv = Convolution::square(4, 3);
            let name = format!("layer1.{block}.conv");
            x = b.convolution(name, x, conv).unwrap();
            x = b.relu(format!("layer1.{block}.relu"), x).unwrap();
            sums.push(x);
        }
        let sum = b.add("add", x, sums[2]).unwrap();
        let outline = Outline::new(&b.finish(sum));
        let expected = [
            ("input", 1),
            ("layer1.0 – 1", 2),
            ("layer1.2", 1),
            ("layer1.3 – 5", 3),
            ("add", 1),
        ];
        assert_eq!(summary(&outline), expected);
    }

    #[test]
    fn the_outermost_numbered_part_with_operations_is_the_block() {
        let names = [
            "conv1",
            "layer1.0.conv1",
            "layer1.0.downsample.0",
            "features.denseblock1.denselayer1.conv1",
            "features.0",
        ];
        let parents: HashSet<&str> = names.iter().filter_map(|name| parent(name)).collect();
        let blocks = names.map(|name| block_of(name, &parents));
        let expected = [
            None,
            Some("layer1.0"),
            Some("layer1.0"),
            Some("features.denseblock1.denselayer1"),
            None,
        ];
        assert_eq!(blocks, expected);
    }

    /// Any graph of operations that keep the shape, with names that suggest blocks.
    fn any_graph() -> impl Strategy<Value = Graph> {
        let node = (0..4_usize, 0..5_usize, any::<[prop::sample::Index; 2]>());
        prop::collection::vec(node, 0..40).prop_map(|nodes| {
            let mut b = GraphBuilder::new("any", Shape::map(4, 4, 4));
            let mut ids = vec![b.input()];
            for (index, (kind, place, inputs)) in nodes.into_iter().enumerate() {
                let place = ["", "layer1.0.", "layer1.1.", "block2.", "head."][place];
                let name = format!("{place}node{index}");
                // Mostly the latest nodes, so that chains are frequent.
                let recent = &ids[ids.len().saturating_sub(4)..];
                let [first, second] = inputs.map(|input| *input.get(recent));
                let id = match kind {
                    0 => b.convolution(name, first, Convolution::square(4, 3)),
                    1 => b.batch_norm(name, first),
                    2 => b.relu(name, first),
                    _ => b.add(name, first, second),
                };
                ids.push(id.unwrap());
            }
            let output = ids[ids.len() / 2];
            b.finish(output)
        })
    }

    /// The edges that a card shows, as (from, to), from the first of its blocks.
    fn shown_edges(card: &Card) -> Vec<(usize, usize)> {
        let first = |element: &Element| element.rows[0].node.index();
        let last = |element: &Element| element.rows[element.rows.len() - 1].node.index();
        let along = |elements: &[Element]| -> Vec<(usize, usize)> {
            let rows = elements.iter().flat_map(|element| element.rows.windows(2));
            rows.map(|rows| (rows[0].node.index(), rows[1].node.index()))
                .collect()
        };
        let entry = || card.nodes.start - 1;
        let mut edges = along(&card.elements);
        for (index, element) in card.elements.iter().enumerate() {
            if element.is_joined && card.nodes.start > 0 {
                let above = index.checked_sub(1);
                let from = above.map_or_else(entry, |above| last(&card.elements[above]));
                edges.push((from, first(element)));
            }
        }
        for arc in &card.arcs {
            let mut from = match arc.source {
                Source::Entry => entry(),
                Source::Element(element) => last(&card.elements[element]),
                Source::Outside(node) => node.index(),
            };
            edges.extend(along(&arc.chain));
            for element in &arc.chain {
                edges.push((from, first(element)));
                from = last(element);
            }
            let targets = arc.targets.iter();
            edges.extend(targets.map(|&target| (from, first(&card.elements[target]))));
        }
        edges
    }

    proptest! {
        #[test]
        fn exactly_the_edges_of_the_graph_are_shown(graph in any_graph()) {
            for card in &Outline::new(&graph).cards {
                let mut shown = shown_edges(card);
                let nodes = card.nodes.len() / card.repeats;
                let targets = card.nodes.start..card.nodes.start + nodes;
                let edges = targets.flat_map(|to| {
                    let inputs = graph.nodes()[to].inputs.iter();
                    inputs.map(move |from| (from.index(), to))
                });
                let mut edges: Vec<_> = edges.collect();
                shown.sort_unstable();
                edges.sort_unstable();
                prop_assert_eq!(shown, edges);
            }
        }

        #[test]
        fn any_graph_can_be_drawn(graph in any_graph()) {
            let drawing = crate::svg(&graph);
            prop_assert!(roxmltree::Document::parse(&drawing).is_ok());
        }
    }
}
