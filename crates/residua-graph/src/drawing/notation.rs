//! The words of a drawing: operations in the notation of the field, short counts, and text
//! cut to a width.

use crate::graph::{Graph, NodeId};
use crate::operation::{Axis, Convolution, Operation, Slice};

/// An operation as papers write it, `3×3 conv, 64, /2` for instance.
pub(super) fn label(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let before = graph.input_shape_of(id);
    match &node.operation {
        Operation::Convolution(c) => convolution(c, before.channels()),
        Operation::MaxPool(pool) if pool.kernel == before.spatial() && pool.stride == [1, 1] => {
            "global max pool".into()
        }
        Operation::MaxPool(pool) => {
            format!("{} max pool{}", size(pool.kernel), stride(pool.stride))
        }
        Operation::AveragePool(pool) => {
            format!("{} average pool{}", size(pool.kernel), stride(pool.stride))
        }
        Operation::AdaptiveAveragePool([1, 1]) => "global average pool".into(),
        Operation::AdaptiveAveragePool(output) => format!("average pool to {}", size(*output)),
        Operation::Linear(linear) => format!("fc, {}", linear.out_features),
        Operation::Dropout(dropout) => {
            let rate = (dropout.rate * 1000.0).round() / 1000.0;
            format!("{} {rate}", node.operation.kind())
        }
        Operation::GroupNorm(norm) => format!("group norm, {} groups", norm.groups),
        Operation::ChannelConvolution(c) => format!("conv over {} channels", c.kernel),
        Operation::PathSoftmax { paths } => format!("softmax over {paths} paths"),
        Operation::SelfAttention(attention) => {
            format!("self-attention, {} heads", attention.heads)
        }
        Operation::Slice(slice) => part(slice),
        Operation::ZeroPadShortcut(shortcut) => {
            let channels = node.shape.channels();
            format!("zero-pad, {channels}{}", stride([shortcut.stride; 2]))
        }
        operation => operation.kind().to_owned(),
    }
}

/// Counted from 1.
fn part(slice: &Slice) -> String {
    let (first, last) = (slice.begin + 1, slice.begin + slice.length);
    let unit = match slice.axis {
        Axis::Rows => "row",
        Axis::Channels => "channel",
    };
    if first == last {
        format!("{unit} {first}")
    } else {
        format!("{unit}s {first}–{last}")
    }
}

fn convolution(c: &Convolution, in_channels: usize) -> String {
    let depthwise = c.groups > 1 && c.groups == in_channels;
    let mut label = size(c.kernel);
    label += if depthwise {
        " depthwise conv"
    } else {
        " conv"
    };
    label += &format!(", {}", c.out_channels);
    if c.groups > 1 && !depthwise {
        label += &format!(", {} groups", c.groups);
    }
    if c.dilation != [1; 2] {
        label += &format!(", dilation {}", pair(c.dilation, "×"));
    }
    label + &stride(c.stride)
}

fn size(kernel: [usize; 2]) -> String {
    format!("{}×{}", kernel[0], kernel[1])
}

fn stride(stride: [usize; 2]) -> String {
    match stride {
        [1, 1] => String::new(),
        _ => format!(", /{}", pair(stride, "×")),
    }
}

/// One number where both are equal.
fn pair([first, second]: [usize; 2], separator: &str) -> String {
    if first == second {
        first.to_string()
    } else {
        format!("{first}{separator}{second}")
    }
}

/// A count with at most four digits and a unit prefix: `11.69 M`.
pub(super) fn short_count(count: u64) -> String {
    const PREFIXES: [&str; 7] = ["", " k", " M", " G", " T", " P", " E"];
    let mut scaled = count as f64;
    let mut prefix = 0;
    // 999.95 would be written as 1000.0.
    while scaled >= 999.95 && prefix + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        prefix += 1;
    }
    let digits = match prefix {
        0 => 0,
        _ if scaled < 99.995 => 2,
        _ => 1,
    };
    format!("{scaled:.digits$}{}", PREFIXES[prefix])
}

/// `1 block`, `2 blocks`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// An upper estimate of the width of a text in pixels.
///
/// Which font will be there is unknown, so the estimate follows the bold weight of the widest
/// among the common interface fonts.
pub(super) fn text_width(text: &str, font_size: i32) -> i32 {
    let hundredths: i32 = text.chars().map(character_width).sum();
    (hundredths * font_size + 99) / 100
}

/// In hundredths of the font size.
fn character_width(character: char) -> i32 {
    match character {
        'i' | 'j' | 'l' | '\'' | '|' => 36,
        ' ' | '.' | ',' | ':' | ';' | '/' | '-' | '(' | ')' | '!' | '·' => 42,
        'f' | 'r' | 't' => 50,
        'm' | 'M' | 'W' | '@' | '%' => 112,
        'w' | 'N' | 'O' | 'Q' | 'G' | 'D' | 'H' | 'U' | '<' | '>' | '&' | '=' | '+' | '~' => 90,
        '×' | '–' | 'A'..='Z' => 82,
        '!'..='~' => 72,
        _ => 108,
    }
}

/// The text itself, or its two ends around an ellipsis if it is wider than `width` pixels.
/// The middle goes because names differ at their ends.
pub(super) fn fit(text: &str, font_size: i32, width: i32) -> String {
    // Longer texts cannot fit, and need not be measured.
    const LONGEST: usize = 400;
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= LONGEST && text_width(text, font_size) <= width {
        return text.to_owned();
    }
    let mut kept = characters.len().saturating_sub(1).min(LONGEST);
    loop {
        let head = characters[..kept.div_ceil(2)].iter();
        let tail = characters[characters.len() - kept / 2..].iter();
        let shortened: String = head.chain(&['…']).chain(tail).collect();
        if kept == 0 || text_width(&shortened, font_size) <= width {
            return shortened;
        }
        kept -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{self, BuildOptions, VariationOptions};
    use crate::families::Norm;
    use crate::{GraphBuilder, MaxPool, Shape};

    fn labels(convolutions: &[Convolution]) -> Vec<String> {
        let mut builder = GraphBuilder::new("labels", Shape::map(64, 64, 8));
        let image = builder.input();
        for (index, convolution) in convolutions.iter().enumerate() {
            let name = format!("conv{index}");
            builder.convolution(name, image, *convolution).unwrap();
        }
        let graph = builder.finish(image);
        graph.ids().skip(1).map(|id| label(&graph, id)).collect()
    }

    #[test]
    fn convolutions_read_as_in_papers() {
        let plain = Convolution::square(16, 3);
        let found = labels(&[
            plain,
            plain.stride(2),
            Convolution { groups: 4, ..plain },
            Convolution { groups: 8, ..plain },
            Convolution {
                kernel: [1, 7],
                dilation: [2, 2],
                stride: [2, 1],
                ..plain
            },
        ]);
        let expected = [
            "3×3 conv, 16",
            "3×3 conv, 16, /2",
            "3×3 conv, 16, 4 groups",
            "3×3 depthwise conv, 16",
            "1×7 conv, 16, dilation 2, /2×1",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn pools_show_window_and_stride() {
        let mut builder = GraphBuilder::new("pool", Shape::map(8, 8, 4));
        let pool = MaxPool {
            kernel: [3; 2],
            stride: [2; 2],
            padding: [1; 2],
        };
        let id = builder.max_pool("maxpool", builder.input(), pool).unwrap();
        assert_eq!(label(&builder.finish(id), id), "3×3 max pool, /2");
    }

    #[test]
    fn operations_of_all_families_have_words() {
        let words = |name: &str| -> Vec<String> {
            let graph = catalog::build(name, &BuildOptions::default()).unwrap();
            graph.ids().map(|id| label(&graph, id)).collect()
        };
        for (name, expected) in [
            ("densenet121", &["2×2 average pool, /2", "concatenate"][..]),
            ("vgg16", &["average pool to 7×7", "flatten", "dropout 0.5"]),
            ("ecaresnet26t", &["conv over 5 channels", "sigmoid", "gate"]),
            (
                "resnet50_cbam",
                &["global max pool", "channel mean and max", "row 1", "row 2"],
            ),
            (
                "skresnet18",
                &["channels 1–32", "channels 33–64", "softmax over 2 paths"],
            ),
            ("botnet26t_256", &["self-attention, 4 heads"]),
            ("resnetv2_50", &["global average pool", "1×1 conv, 1000"]),
        ] {
            let words = words(name);
            for word in expected {
                assert!(words.iter().any(|own| own == word), "{word} in {name}");
            }
        }
    }

    #[test]
    fn variations_have_words() {
        let options = BuildOptions {
            variations: VariationOptions {
                norm: Some(Norm::Group { groups: 8 }),
                stochastic_depth: Some(0.5),
                ..VariationOptions::default()
            },
            ..BuildOptions::default()
        };
        let graph = catalog::build("resnet8", &options).unwrap();
        let find = |name| label(&graph, graph.find(name).unwrap());
        assert_eq!(find("bn1"), "group norm, 8 groups");
        assert_eq!(find("layer3.0.drop_path"), "stochastic depth 0.5");
        // A third of it, to three digits.
        assert_eq!(find("layer1.0.drop_path"), "stochastic depth 0.167");
    }

    #[test]
    fn counts_have_at_most_four_digits() {
        let texts = [0, 999, 1_000, 269_722, 11_689_512, 999_999, u64::MAX].map(short_count);
        let expected = [
            "0", "999", "1.00 k", "269.7 k", "11.69 M", "1.00 M", "18.45 E",
        ];
        assert_eq!(texts, expected);
        assert_eq!(counted(1, "block"), "1 block");
        assert_eq!(counted(0, "block"), "0 blocks");
    }

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(fit("layer1.0", 12, 100), "layer1.0");
        let long = format!("layer1{}.conv7", "x".repeat(100_000));
        let fitted = fit(&long, 12, 100);
        assert!(text_width(&fitted, 12) <= 100, "{fitted}");
        assert!(
            fitted.starts_with("lay") && fitted.ends_with("nv7"),
            "{fitted}"
        );
        assert_eq!(fit("abc", 12, 0), "…");
    }
}
