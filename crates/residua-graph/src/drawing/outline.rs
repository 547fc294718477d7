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
    /// The sign that stands for it, if it has one.
    pub(super) sign: Option<Sign>,
    /// Whether it reads the element above, or as the first one, the value of the card before.
    pub(super) is_joined: bool,
}

/// Operations on two values that have a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// ⊕, an addition.
    Sum,
    /// ⊗, the product with a gate.
    Product,
}

impl Sign {
    fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Add => Some(Self::Sum),
            Operation::Gate => Some(Self::Product),
            _ => None,
        }
    }
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
            sign: Sign::of(&self.graph.node(id).operation),
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
    /// residual block that is F(x). A gate lies beside what it multiplies if it comes from there
    /// without a turn; otherwise the column leads to the gate.
    fn main_input(&self, id: NodeId) -> Option<NodeId> {
        let node = self.reader.graph.node(id);
        let inputs = &node.inputs;
        if let (Operation::Gate, &[map, gate]) = (node.operation, &inputs[..]) {
            let begin = match self.chain_to(gate).first() {
                Some(first) => self.reader.graph.node(*first).inputs[0],
                None => gate,
            };
            if begin != map && self.nodes.contains(&gate.index()) {
                return Some(gate);
            }
        }
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
mod tests;
