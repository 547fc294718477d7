//! Whether cards, rows and arcs are those of the graph.

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
        if nodes.clone().any(|node| node.operation == Operation::Gate) {
            continue;
        }
        let additions = nodes.filter(|n| n.inputs.len() > 1).count();
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

/// The edges of the graph that end in a card, in the first of its blocks.
fn edges(graph: &Graph, card: &Card) -> Vec<(usize, usize)> {
    let nodes = card.nodes.len() / card.repeats;
    let targets = card.nodes.start..card.nodes.start + nodes;
    let edges = targets.flat_map(|to| {
        let inputs = graph.nodes()[to].inputs.iter();
        inputs.map(move |from| (from.index(), to))
    });
    edges.collect()
}

fn assert_edges_are_shown(graph: &Graph) {
    for card in &Outline::new(graph).cards {
        let (mut shown, mut edges) = (shown_edges(card), edges(graph, card));
        shown.sort_unstable();
        edges.sort_unstable();
        assert_eq!(shown, edges, "{} of {}", card.title, graph.name());
    }
}

#[test]
fn exactly_the_edges_of_all_networks_are_shown() {
    for entry in catalog::entries() {
        assert_edges_are_shown(&entry.build(&BuildOptions::default()).unwrap());
    }
}

#[test]
fn a_gate_lies_beside_what_it_multiplies() {
    let outline = outline("seresnet50");
    let block = outline.cards.iter().find(|card| card.title == "layer1.0");
    let gate = &block.unwrap().arcs[0];
    let labels = gate.chain.iter().flat_map(|element| &element.rows);
    let labels: Vec<&str> = labels.map(|row| row.label.as_str()).collect();
    let expected = [
        "global average pool",
        "1×1 conv, 16",
        "relu",
        "1×1 conv, 256",
        "sigmoid",
    ];
    assert_eq!(labels, expected);
    let target = &block.unwrap().elements[gate.targets[0]];
    assert_eq!(target.sign, Some(Sign::Product));
    assert!(target.is_joined);
}

proptest! {
    #[test]
    fn exactly_the_edges_of_the_graph_are_shown(graph in any_graph()) {
        assert_edges_are_shown(&graph);
    }

    #[test]
    fn any_graph_can_be_drawn(graph in any_graph()) {
        let drawing = crate::svg(&graph);
        prop_assert!(roxmltree::Document::parse(&drawing).is_ok());
    }
}
