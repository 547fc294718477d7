//! The shapes that operations produce.

use super::{Axis, Convolution, Edge, GroupNorm, Operation, SelfAttention, Slice};
use crate::shape::Shape;

impl Operation {
    /// The shape it produces from these inputs, or why it cannot.
    pub(crate) fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match (self, inputs) {
            (Self::Convolution(convolution), &[input]) => convolution.output_shape(input),
            (Self::BatchNorm(_) | Self::Activation(_), &[input]) => Ok(input),
            (Self::Dropout(dropout), &[input]) => {
                if !(0.0..1.0).contains(&dropout.rate) {
                    return Err(format!(
                        "a share of {} cannot be dropped; it must be at least 0 and less than 1",
                        dropout.rate
                    ));
                }
                Ok(input)
            }
            (Self::GroupNorm(norm), &[input]) => norm.output_shape(input),
            (Self::MaxPool(pool), &[input]) => {
                let [height, width] = windows(
                    map_of(input)?,
                    pool.kernel,
                    pool.stride,
                    pool.padding,
                    [1, 1],
                )?;
                Ok(Shape::map(height, width, input.channels()))
            }
            (Self::AveragePool(pool), &[input]) => {
                let size = map_of(input)?;
                let mut output = windows(size, pool.kernel, pool.stride, [0; 2], [1; 2])?;
                if pool.edge == Edge::Keep {
                    for axis in 0..2 {
                        let begun = size[axis] - pool.kernel[axis];
                        output[axis] = begun.div_ceil(pool.stride[axis]) + 1;
                        // A window must begin inside the map.
                        if (output[axis] - 1) * pool.stride[axis] >= size[axis] {
                            output[axis] -= 1;
                        }
                    }
                }
                Ok(Shape::map(output[0], output[1], input.channels()))
            }
            (&Self::AdaptiveAveragePool([height, width]), &[input]) => {
                map_of(input)?;
                if height == 0 || width == 0 {
                    return Err("the output has no pixels".into());
                }
                Ok(Shape::map(height, width, input.channels()))
            }
            (Self::GlobalAveragePool, &[input]) => {
                map_of(input)?;
                Ok(Shape::vector(input.channels()))
            }
            (Self::Flatten, &[input]) => Ok(Shape::vector(input.elements())),
            (Self::ChannelSummary, &[input]) => {
                let [height, width] = map_of(input)?;
                Ok(Shape::map(height, width, 2))
            }
            (Self::ChannelConvolution(convolution), &[input]) => {
                if map_of(input)? != [1, 1] {
                    return Err(format!("needs a map of one pixel, and got {input}"));
                }
                if convolution.kernel.is_multiple_of(2) {
                    return Err(format!("a kernel of {} is not odd", convolution.kernel));
                }
                Ok(input)
            }
            (&Self::PathSoftmax { paths }, &[input]) => {
                if paths == 0 || !input.channels().is_multiple_of(paths) {
                    return Err(format!("{input} is not divided by {paths} paths"));
                }
                Ok(input)
            }
            (Self::SelfAttention(attention), &[input]) => attention.output_shape(input),
            (Self::ZeroPadShortcut(shortcut), &[input]) => {
                let [height, width] = map_of(input)?;
                if shortcut.stride == 0 {
                    return Err("the stride is 0".into());
                }
                let channels = shortcut.before + input.channels() + shortcut.after;
                let kept = |size: usize| size.div_ceil(shortcut.stride);
                Ok(Shape::map(kept(height), kept(width), channels))
            }
            (Self::Slice(slice), &[input]) => slice.output_shape(input),
            (Self::Concat(axis), inputs) if !inputs.is_empty() => concatenation(*axis, inputs),
            (Self::Add, &[left, right]) if left == right => Ok(left),
            (Self::Add, &[left, right]) => Err(format!("cannot add {left} and {right}")),
            (Self::Gate, &[map, gate]) => {
                let [height, width] = map_of(map)?;
                let channels = Shape::map(1, 1, map.channels());
                let pixels = Shape::map(height, width, 1);
                if gate == channels || gate == pixels {
                    Ok(map)
                } else {
                    Err(format!(
                        "needs a gate of {channels} or {pixels} for {map}, and got {gate}"
                    ))
                }
            }
            (Self::Linear(linear), &[Shape::Vector { .. }]) => {
                Ok(Shape::vector(linear.out_features))
            }
            (Self::Linear(_), &[input]) => Err(format!("needs a vector, and got {input}")),
            _ => Err(match self.arity() {
                Some(arity) => format!("reads {arity} inputs, and got {}", inputs.len()),
                None => "reads at least one input, and got none".into(),
            }),
        }
    }
}

impl Convolution {
    fn output_shape(&self, input: Shape) -> Result<Shape, String> {
        let size = map_of(input)?;
        let divides = |channels: usize| self.groups > 0 && channels.is_multiple_of(self.groups);
        if !divides(input.channels()) || !divides(self.out_channels) {
            return Err(format!(
                "{} groups do not divide {} input and {} output channels",
                self.groups,
                input.channels(),
                self.out_channels
            ));
        }
        let [height, width] = windows(size, self.kernel, self.stride, self.padding, self.dilation)?;
        Ok(Shape::map(height, width, self.out_channels))
    }
}

impl GroupNorm {
    fn output_shape(&self, input: Shape) -> Result<Shape, String> {
        map_of(input)?;
        if self.groups == 0 || !input.channels().is_multiple_of(self.groups) {
            return Err(format!(
                "{} groups do not divide {} channels",
                self.groups,
                input.channels()
            ));
        }
        Ok(input)
    }
}

impl SelfAttention {
    fn output_shape(&self, input: Shape) -> Result<Shape, String> {
        let [height, width] = map_of(input)?;
        if self.heads == 0 || !input.channels().is_multiple_of(3 * self.heads) {
            return Err(format!(
                "{input} is not divided into queries, keys and values of {} heads",
                self.heads
            ));
        }
        Ok(Shape::map(height, width, input.channels() / 3))
    }
}

impl Slice {
    fn output_shape(&self, input: Shape) -> Result<Shape, String> {
        let [height, width] = map_of(input)?;
        let available = match self.axis {
            Axis::Rows => height,
            Axis::Channels => input.channels(),
        };
        let end = self.begin.checked_add(self.length);
        if self.length == 0 || end.is_none_or(|end| end > available) {
            return Err(format!(
                "{} from {} on are not a part of {available}",
                self.length, self.begin
            ));
        }
        Ok(match self.axis {
            Axis::Rows => Shape::map(self.length, width, input.channels()),
            Axis::Channels => Shape::map(height, width, self.length),
        })
    }
}

fn concatenation(axis: Axis, inputs: &[Shape]) -> Result<Shape, String> {
    let (mut rows, mut channels) = (0, 0);
    let [height, width] = map_of(inputs[0])?;
    for input in inputs {
        let size = map_of(*input)?;
        let fits = match axis {
            Axis::Rows => size[1] == width && input.channels() == inputs[0].channels(),
            Axis::Channels => size == [height, width],
        };
        if !fits {
            return Err(format!("cannot join {} and {input}", inputs[0]));
        }
        rows += size[0];
        channels += input.channels();
    }
    Ok(match axis {
        Axis::Rows => Shape::map(rows, width, inputs[0].channels()),
        Axis::Channels => Shape::map(height, width, channels),
    })
}

fn map_of(shape: Shape) -> Result<[usize; 2], String> {
    match shape {
        Shape::Map { height, width, .. } => Ok([height, width]),
        Shape::Vector { .. } => Err(format!("needs a feature map, and got a vector of {shape}")),
    }
}

/// How many windows fit in each direction.
fn windows(
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
) -> Result<[usize; 2], String> {
    let mut count = [0; 2];
    for axis in 0..2 {
        if kernel[axis] == 0 || stride[axis] == 0 || dilation[axis] == 0 {
            return Err("kernel, stride and dilation must be at least 1".into());
        }
        let padded = size[axis] + 2 * padding[axis];
        let reach = dilation[axis] * (kernel[axis] - 1) + 1;
        if padded < reach {
            return Err(format!(
                "a window of {reach} does not fit into {} pixels padded to {padded}; \
                 use a larger input",
                size[axis]
            ));
        }
        count[axis] = (padded - reach) / stride[axis] + 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::AveragePool;

    #[test]
    fn average_pools_of_odd_sizes_follow_pytorch() {
        // Rows of avg_pool2d's result for a size, a kernel and a stride, with ceil_mode off and on;
        // from torch 2.15.
        for (size, kernel, stride, dropped, kept) in [
            (3, 2, 2, 1, 2),
            (5, 2, 2, 2, 3),
            (7, 2, 2, 3, 4),
            (9, 2, 2, 4, 5),
            (4, 3, 2, 1, 2),
            (8, 3, 2, 3, 4),
            (4, 2, 3, 1, 2),
            (7, 2, 3, 2, 3),
            (4, 3, 3, 1, 2),
            (5, 3, 3, 1, 2),
            (7, 3, 3, 2, 3),
            (8, 3, 3, 2, 3),
            (5, 2, 4, 1, 2),
            (9, 2, 4, 2, 3),
            (4, 2, 2, 2, 2),
            (3, 3, 2, 1, 1),
            (7, 3, 2, 3, 3),
            (3, 2, 3, 1, 1),
            (8, 2, 3, 3, 3),
            (3, 3, 3, 1, 1),
            (3, 1, 2, 2, 2),
            (5, 1, 2, 3, 3),
            (8, 1, 2, 4, 4),
            (3, 2, 4, 1, 1),
            (7, 2, 4, 2, 2),
            (3, 3, 1, 1, 1),
            (5, 3, 1, 3, 3),
            (8, 3, 1, 6, 6),
        ] {
            for (edge, expected) in [(Edge::Drop, dropped), (Edge::Keep, kept)] {
                let pool = Operation::AveragePool(AveragePool {
                    kernel: [kernel, 1],
                    stride: [stride, 1],
                    edge,
                });
                let output = pool.output_shape(&[Shape::map(size, 6, 3)]);
                let expected = Shape::map(expected, 6, 3);
                assert_eq!(output, Ok(expected), "{size}, {kernel}, {stride}, {edge:?}");
            }
        }
    }

    #[test]
    fn gates_fit_channels_or_pixels() {
        let map = Shape::map(5, 4, 6);
        for gate in [Shape::map(1, 1, 6), Shape::map(5, 4, 1)] {
            assert_eq!(Operation::Gate.output_shape(&[map, gate]), Ok(map));
        }
        for gate in [
            map,
            Shape::map(1, 1, 1),
            Shape::map(4, 5, 1),
            Shape::vector(6),
        ] {
            assert!(
                Operation::Gate.output_shape(&[map, gate]).is_err(),
                "{gate}"
            );
        }
    }

    #[test]
    fn slices_and_concatenations_are_parts_and_wholes() {
        let map = Shape::map(4, 3, 6);
        let slice = |axis, begin, length| {
            let slice = Slice {
                axis,
                begin,
                length,
            };
            Operation::Slice(slice).output_shape(&[map])
        };
        assert_eq!(slice(Axis::Rows, 1, 3), Ok(Shape::map(3, 3, 6)));
        assert_eq!(slice(Axis::Channels, 4, 2), Ok(Shape::map(4, 3, 2)));
        assert!(slice(Axis::Rows, 2, 3).is_err());
        assert!(slice(Axis::Channels, 0, 0).is_err());
        assert!(slice(Axis::Channels, usize::MAX, 2).is_err());
        let joined = |axis, other| Operation::Concat(axis).output_shape(&[map, other]);
        assert_eq!(
            joined(Axis::Rows, Shape::map(2, 3, 6)),
            Ok(Shape::map(6, 3, 6))
        );
        assert_eq!(
            joined(Axis::Channels, Shape::map(4, 3, 1)),
            Ok(Shape::map(4, 3, 7))
        );
        assert!(joined(Axis::Rows, Shape::map(4, 3, 5)).is_err());
        assert!(joined(Axis::Channels, Shape::map(4, 4, 6)).is_err());
        assert!(Operation::Concat(Axis::Rows).output_shape(&[]).is_err());
    }
}
