//! What people see in the drawing of a network.

use residua_graph::catalog::{self, BuildOptions};
use residua_graph::{Convolution, Graph, GraphBuilder, Operation, Shape, svg};
use roxmltree::{Document, Node};

fn build(name: &str) -> Graph {
    catalog::build(name, &BuildOptions::default()).unwrap()
}

fn has_class(node: &Node<'_, '_>, class: &str) -> bool {
    let classes = node.attribute("class").unwrap_or_default();
    classes.split(' ').any(|own| own == class)
}

fn texts(document: &Document<'_>) -> Vec<String> {
    let texts = document.descendants().filter(|n| n.has_tag_name("text"));
    texts
        .map(|text| {
            let parts = text.descendants().filter(Node::is_text);
            parts.filter_map(|part| part.text()).collect()
        })
        .collect()
}

fn shortcuts(drawing: &str) -> usize {
    let document = Document::parse(drawing).unwrap();
    let nodes = document.descendants();
    nodes.filter(|node| has_class(node, "shortcut")).count()
}

#[test]
fn every_network_of_the_catalog_is_drawn_completely() {
    for entry in catalog::entries() {
        let graph = entry.build(&BuildOptions::default()).unwrap();
        let drawing = svg(&graph);
        assert_eq!(drawing, svg(&graph), "{}", entry.name);
        let document = Document::parse(&drawing).unwrap();
        let texts = texts(&document);
        assert!(texts.contains(&entry.name));
        assert!(
            !drawing.contains('…'),
            "a text of {} does not fit",
            entry.name
        );
        let blocks = |stage: usize| {
            let names = graph.nodes().iter().map(|node| node.name.as_str());
            let stage = format!("layer{stage}.");
            let numbers = names.filter_map(|name| name.strip_prefix(&stage)?.split('.').next());
            let numbers = numbers.filter(|number| number.parse::<usize>().is_ok());
            numbers.collect::<std::collections::BTreeSet<_>>().len()
        };
        for stage in (1..=4).filter(|&stage| blocks(stage) > 0) {
            let start = format!("layer{stage} · {} block", blocks(stage));
            assert!(
                texts.iter().any(|text| text.starts_with(&start)),
                "{start} in {}",
                entry.name
            );
        }
    }
}

#[test]
fn everything_lies_within_the_page() {
    for entry in catalog::entries() {
        let drawing = svg(&entry.build(&BuildOptions::default()).unwrap());
        let document = Document::parse(&drawing).unwrap();
        let number = |node: &Node<'_, '_>, name| -> i32 {
            node.attribute(name)
                .and_then(|n| n.parse().ok())
                .unwrap_or(0)
        };
        let page = document.root_element();
        let (width, height) = (number(&page, "width"), number(&page, "height"));
        for node in document.descendants() {
            let right = number(&node, "x") + number(&node, "width");
            let bottom = number(&node, "y") + number(&node, "height");
            assert!(right <= width && bottom <= height, "{node:?}");
            assert!(number(&node, "x") >= 0 && number(&node, "y") >= 0);
        }
    }
}

#[test]
fn identical_blocks_are_counted_instead_of_repeated() {
    let drawing = svg(&build("resnet1202"));
    let document = Document::parse(&drawing).unwrap();
    let badges: Vec<String> = texts(&document)
        .into_iter()
        .filter(|text| text.starts_with("× ") && !text.contains('n'))
        .collect();
    assert_eq!(badges, ["× 200", "× 199", "× 199"]);
    assert!(drawing.len() < 60_000, "{} bytes", drawing.len());
}

#[test]
fn residual_networks_have_arcs_and_plain_networks_have_none() {
    // A projection and an identity in each stage.
    assert_eq!(shortcuts(&svg(&build("resnet50"))), 8);
    // The first stage of a basic network needs no projection.
    assert_eq!(shortcuts(&svg(&build("resnet18"))), 7);
    assert_eq!(shortcuts(&svg(&build("resnet20"))), 5);
    for entry in catalog::matching("*plain*").unwrap() {
        let graph = entry.build(&BuildOptions::default()).unwrap();
        let additions = graph
            .nodes()
            .iter()
            .filter(|n| n.operation == Operation::Add);
        assert_eq!(additions.count(), shortcuts(&svg(&graph)));
    }
}

#[test]
fn operations_and_changed_shapes_are_written_out() {
    let drawing = svg(&build("resnet50"));
    let texts = texts(&Document::parse(&drawing).unwrap());
    for expected in [
        "25.56 M",
        "4.09 G",
        "input 224×224×3",
        "7×7 conv, 64, /2",
        "112×112×64",
        "3×3 max pool, /2",
        "56×56×64",
        "1×1 conv, 512, /2",
        "7×7×2048",
        "global average pool",
        "fc, 1000",
        "output 1000",
    ] {
        assert!(texts.iter().any(|text| text == expected), "{expected}");
    }
}

#[test]
fn signs_are_explained_where_they_occur() {
    for (name, sum, product) in [
        ("resnet20", true, false),
        ("seresnet18", true, true),
        ("vgg11", false, false),
    ] {
        let drawing = svg(&build(name));
        assert_eq!(drawing.contains("⊕: addition"), sum, "{name}");
        assert_eq!(
            drawing.contains("⊗: product with a gate"),
            product,
            "{name}"
        );
    }
}

#[test]
fn stages_of_all_families_have_their_names() {
    for (name, stages) in [
        ("densenet121", &["features.denseblock4", "features"][..]),
        ("vgg16_bn", &["features", "classifier"]),
        ("botnet26t_256", &["stem", "stages.0", "stages.3", "head"]),
        ("resnetv2_50", &["stem", "stages.2.blocks", "head"]),
    ] {
        let drawing = svg(&build(name));
        let document = Document::parse(&drawing).unwrap();
        let panels = document.descendants().filter(|n| has_class(n, "panel"));
        let titles = panels.filter_map(|panel| {
            let group = panel.parent()?;
            let title = group.children().find(|n| n.has_tag_name("title"))?;
            title.text()
        });
        let titles: Vec<&str> = titles.collect();
        for stage in stages {
            assert!(titles.contains(stage), "{stage} among {titles:?} of {name}");
        }
    }
}

#[test]
fn names_cannot_break_the_document() {
    let name = "<script>\"&'\u{0}\u{1b}\u{ffff}";
    let mut builder = GraphBuilder::new(name, Shape::map(8, 8, 3));
    let mut x = builder.input();
    let long = "m".repeat(10_000);
    for prefix in [name, "", ".", "..1.", "a.b.", long.as_str(), "日本語.1."] {
        let convolution = Convolution::square(4, 3);
        let node = format!("{prefix}<&>");
        x = builder.convolution(node, x, convolution).unwrap();
    }
    let drawing = svg(&builder.finish(x));
    let document = Document::parse(&drawing).unwrap();
    let title = document.descendants().find(|n| n.has_tag_name("title"));
    let title = title.and_then(|title| title.text());
    assert_eq!(title, Some("<script>\"&'\u{fffd}\u{fffd}\u{fffd}"));
    assert!(!document.descendants().any(|n| n.has_tag_name("script")));
    for text in texts(&document) {
        assert!(text.chars().count() < 100, "{text}");
    }
}

#[test]
fn graphs_without_blocks_are_drawn() {
    let builder = GraphBuilder::new("nothing", Shape::vector(7));
    let input = builder.input();
    let drawing = svg(&builder.finish(input));
    let texts = texts(&Document::parse(&drawing).unwrap());
    assert!(texts.contains(&"input 7".to_owned()) && texts.contains(&"output 7".to_owned()));
}
