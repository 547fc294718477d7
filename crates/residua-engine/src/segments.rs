//! Gradient checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", §4): the
//! steps of a graph in segments, of which a forward pass keeps only the last value.

use std::ops::Range;

use residua_core::checkpointing::GradientCheckpointing;

use crate::layout::Layout;

/// Steps of which all values are there at once in the reverse pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) steps: Range<usize>,
    /// Whether its values are computed again in the reverse pass.
    pub(crate) is_recomputed: bool,
}

/// The segments of a pass.
pub(crate) fn segments(layout: &Layout, checkpointing: GradientCheckpointing) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut begin = 0;
    if checkpointing == GradientCheckpointing::On {
        for end in ends(layout) {
            segments.push(Segment {
                steps: begin..end,
                is_recomputed: true,
            });
            begin = end;
        }
    }
    // The reverse pass begins with the last one, whose values are there already.
    segments.push(Segment {
        steps: begin..layout.steps.len(),
        is_recomputed: false,
    });
    segments
}

/// Where all segments but the last end: after steps whose value alone is read later, about as many
/// of them as there are such steps in a segment, with about equal memory in each.
fn ends(layout: &Layout) -> Vec<usize> {
    let bottlenecks = bottlenecks(layout);
    let wanted = (bottlenecks.len() as f64).sqrt().round().max(1.0);
    let sizes: Vec<usize> = layout
        .steps
        .iter()
        .map(|step| elements(layout, step))
        .collect();
    let share = sizes.iter().sum::<usize>() as f64 / wanted;
    let mut ends = Vec::new();
    let (mut from, mut filled) = (0, 0.0);
    for step in bottlenecks {
        filled += sizes[from..=step].iter().sum::<usize>() as f64;
        from = step + 1;
        if filled >= share && from < layout.steps.len() {
            ends.push(from);
            filled = 0.0;
        }
    }
    ends
}

/// Numbers in what a step leaves of one sample. (More than is stored where a reader computes the value
/// itself; it is there to divide a network about equally.)
fn elements(layout: &Layout, step: &residua_graph::Step) -> usize {
    layout.graph.shape_of(step.output).elements()
}

/// The steps after which nothing but their own value is read.
fn bottlenecks(layout: &Layout) -> Vec<usize> {
    let mut last_reader = vec![0; layout.graph.nodes().len()];
    for (index, step) in layout.steps.iter().enumerate() {
        for input in &step.inputs {
            last_reader[input.index()] = index;
        }
    }
    let mut found = Vec::new();
    // Values of earlier steps that are still to be read.
    let mut open: Vec<usize> = Vec::new();
    for (index, step) in layout.steps.iter().enumerate() {
        open.retain(|&node| last_reader[node] > index);
        if open.is_empty() && last_reader[step.output.index()] > index {
            found.push(index);
        }
        if last_reader[step.output.index()] > index {
            open.push(step.output.index());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use residua_graph::catalog::{self, BuildOptions};

    use super::*;

    fn layout(name: &str) -> Layout {
        Layout::new(&catalog::build(name, &BuildOptions::default()).unwrap())
    }

    #[test]
    fn segments_cover_all_steps_and_end_where_one_value_goes_on() {
        for entry in catalog::entries() {
            let graph = entry.build(&BuildOptions::default()).unwrap();
            let layout = Layout::new(&graph);
            let segments = segments(&layout, GradientCheckpointing::On);
            let mut next = 0;
            for segment in &segments {
                assert_eq!(segment.steps.start, next, "{}", entry.name);
                assert!(!segment.steps.is_empty(), "{}", entry.name);
                next = segment.steps.end;
                let last = layout.steps[next - 1].output;
                for step in &layout.steps[next..] {
                    let earlier = step.inputs.iter().filter(|input| **input < last);
                    let inside = |id: &residua_graph::NodeId| {
                        layout.steps[..next].iter().any(|step| step.output == *id)
                    };
                    assert_eq!(earlier.filter(|id| inside(id)).count(), 0, "{}", entry.name);
                }
            }
            assert_eq!(next, layout.steps.len());
        }
    }

    #[test]
    fn a_deep_network_has_about_as_many_segments_as_blocks_in_each() {
        let segments = segments(&layout("resnet1202"), GradientCheckpointing::On);
        assert!((15..40).contains(&segments.len()), "{}", segments.len());
        let without = super::segments(&layout("resnet1202"), GradientCheckpointing::Off);
        assert_eq!(without.len(), 1);
    }
}
