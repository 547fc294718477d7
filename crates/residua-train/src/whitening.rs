//! A first convolution that whitens: its filters are the directions in which patches of training images
//! differ, divided by how much they differ along them, so that all that follows begins with
//! uncorrelated inputs of one size (Page 2018, "How to Train Your ResNet", part 8; Jordan 2024, §3.2).

use burn::tensor::{Tensor, TensorData};
use residua_core::setting::SettingError;
use residua_data::HostBatch;
use residua_graph::{Convolution, Graph, NodeId, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// Where the values of the convolution that reads the image come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StemRule {
    /// From the seed, like those of all others.
    #[default]
    Random,
    /// From patches of training images. They are usually frozen too (`parameter_groups`).
    Whitening,
}

/// How many training images of this size are looked at: 5000 of 32×32 pixels (Jordan 2024, §3.2), and as
/// many pixels of other sizes.
pub(crate) fn images(height: usize, width: usize) -> usize {
    const PIXELS: usize = 5000 * 32 * 32;
    (PIXELS / (height * width).max(1)).clamp(1, 5000)
}

/// About how many products the covariances of large patches are made of: seconds of work.
const MOST_PRODUCTS: usize = 8_000_000_000;

/// Added to the variances, so that directions in which patches hardly differ are not blown up (Jordan
/// 2024, §3.2).
const EPSILON: f64 = 5e-4;

/// The convolution that reads the image, if it can whiten.
///
/// # Errors
/// When the network's first layer is no such convolution.
pub(crate) fn stem(graph: &Graph) -> Result<(NodeId, Convolution), SettingError> {
    let readers = graph.consumers().swap_remove(0);
    let refuse = |reason: &str| {
        let problem = format!(
            "is whitening, and {} {reason}; expected an ungrouped convolution that alone reads the image",
            graph.name()
        );
        Err(SettingError::new("stem", problem))
    };
    let [first] = readers[..] else {
        return refuse("begins with several layers side by side");
    };
    match graph.node(first).operation {
        Operation::Convolution(convolution) if convolution.groups == 1 => Ok((first, convolution)),
        _ => refuse("begins with another operation"),
    }
}

/// Replaces filters of the network's first convolution: half of them by the strongest directions of the
/// patches, half by their opposites, so that a rectifier after it loses nothing. Where there are more
/// filters than directions with both signs, the rest stay as they are.
///
/// # Errors
/// As [`stem`].
pub(crate) fn whiten(network: &mut Network, images: &HostBatch) -> Result<(), SettingError> {
    let (node, convolution) = stem(network.graph())?;
    let [_, height, width, channels] = images.shape;
    let map = [height, width, channels];
    let kernel = convolution.kernel;
    let covariance = covariance(&images.images, map, kernel);
    let length = kernel[0] * kernel[1] * channels;
    let (variances, directions) = eigenvectors(covariance, length);
    let entry = network.first_entry(node);
    let mut weight: Vec<f32> = crate::network::host_values(network.values(entry));
    let pairs = length.min(convolution.out_channels / 2);
    for number in 0..pairs {
        let scale = 1.0 / (variances[number] + EPSILON).sqrt();
        let direction = &directions[number * length..][..length];
        for (sign, filter) in [(1.0, number), (-1.0, pairs + number)] {
            let filter = &mut weight[filter * length..][..length];
            for (value, part) in filter.iter_mut().zip(direction) {
                *value = (sign * scale * part) as f32;
            }
        }
    }
    let count = weight.len();
    let weight = Tensor::from_data(TensorData::new(weight, [count]), network.device());
    network.set_values(entry, weight);
    Ok(())
}

/// The covariances of the numbers of all patches, or of those on a grid where that would be too much work,
/// in the order of a filter: channel, row, column. The mean is taken to be 0, as of normalised images.
fn covariance(
    images: &[f32],
    [height, width, channels]: [usize; 3],
    kernel: [usize; 2],
) -> Vec<f64> {
    let area = kernel[0] * kernel[1];
    let length = area * channels;
    let products = images.len() / channels.max(1) * length * length;
    let step = (products as f64 / MOST_PRODUCTS as f64)
        .sqrt()
        .ceil()
        .max(1.0) as usize;
    let mut sums = vec![0.0; length * length];
    let mut patch = vec![0.0; length];
    let mut count = 0_u64;
    for image in images.chunks_exact(height * width * channels) {
        for row in (0..(height + 1).saturating_sub(kernel[0])).step_by(step) {
            for column in (0..(width + 1).saturating_sub(kernel[1])).step_by(step) {
                for (index, number) in patch.iter_mut().enumerate() {
                    let (channel, place) = (index / area, index % area);
                    let (y, x) = (row + place / kernel[1], column + place % kernel[1]);
                    *number = f64::from(image[(y * width + x) * channels + channel]);
                }
                for (sums, one) in sums.chunks_exact_mut(length).zip(&patch) {
                    for (sum, other) in sums.iter_mut().zip(&patch) {
                        *sum += one * other;
                    }
                }
                count += 1;
            }
        }
    }
    let count = count.max(1) as f64;
    sums.iter_mut().for_each(|sum| *sum /= count);
    sums
}

/// The eigenvalues of a symmetric matrix, the largest first, and its unit eigenvectors one after the
/// other, by Jacobi's rotations (Golub and Van Loan 2013, §8.5.2). The largest part of each is positive.
fn eigenvectors(mut matrix: Vec<f64>, size: usize) -> (Vec<f64>, Vec<f64>) {
    /// Far more than matrices of a few dozen rows need.
    const MOST_SWEEPS: usize = 60;
    let mut vectors = vec![0.0; size * size];
    (0..size).for_each(|index| vectors[index * size + index] = 1.0);
    let norm: f64 = matrix.iter().map(|number| number * number).sum();
    for _ in 0..MOST_SWEEPS {
        let mut rest = 0.0;
        for p in 0..size {
            for q in p + 1..size {
                rest += matrix[p * size + q].powi(2);
                rotate(&mut matrix, &mut vectors, size, [p, q]);
            }
        }
        if rest <= norm * f64::EPSILON * f64::EPSILON {
            break;
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|one, other| matrix[other * size + other].total_cmp(&matrix[one * size + one]));
    let values = order
        .iter()
        .map(|index| matrix[index * size + index].max(0.0));
    let columns = order.iter().flat_map(|column| {
        let column: Vec<f64> = (0..size).map(|row| vectors[row * size + column]).collect();
        let largest = column.iter().copied().fold(0.0_f64, |largest, number| {
            if number.abs() > largest.abs() {
                number
            } else {
                largest
            }
        });
        column
            .into_iter()
            .map(move |number| number * largest.signum())
    });
    (values.collect(), columns.collect())
}

/// Turns the axes `p` and `q` so that the matrix is 0 at their crossing.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, [p, q]: [usize; 2]) {
    let crossing = matrix[p * size + q];
    if crossing == 0.0 {
        return;
    }
    let slope = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * crossing);
    let tangent = slope.signum() / (slope.abs() + (slope * slope + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |matrix: &mut [f64], one: usize, other: usize| {
        let (a, b) = (matrix[one], matrix[other]);
        matrix[one] = cosine * a - sine * b;
        matrix[other] = sine * a + cosine * b;
    };
    for index in 0..size {
        turn(matrix, index * size + p, index * size + q);
        turn(vectors, index * size + p, index * size + q);
    }
    for index in 0..size {
        turn(matrix, p * size + index, q * size + index);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use rand::RngExt;
    use residua_core::seed::SeedStream;
    use residua_graph::catalog::{self, BuildOptions};

    use super::*;

    fn random(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = SeedStream::new(seed).rng();
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn eigenvectors_rebuild_the_matrix() {
        for size in [1, 2, 5, 27] {
            let factor = random(size * size, size as u64);
            let at = |row: usize, column: usize| -> f64 {
                (0..size)
                    .map(|k| factor[row * size + k] * factor[column * size + k])
                    .sum()
            };
            let matrix: Vec<f64> = (0..size * size).map(|i| at(i / size, i % size)).collect();
            let (values, vectors) = eigenvectors(matrix.clone(), size);
            assert!(values.is_sorted_by(|one, other| one >= other));
            for (index, expected) in matrix.iter().enumerate() {
                let (row, column) = (index / size, index % size);
                let found: f64 = (0..size)
                    .map(|k| values[k] * vectors[k * size + row] * vectors[k * size + column])
                    .sum();
                assert!(
                    (found - expected).abs() < 1e-10,
                    "{size}: {found} {expected}"
                );
            }
        }
    }

    /// Images whose channels and neighbours resemble each other.
    fn images(count: usize) -> HostBatch {
        let mut rng = SeedStream::new(7).rng();
        let shape = [count, 32, 32, 3];
        let mut images: Vec<f32> = Vec::new();
        for _ in 0..count * 32 * 32 {
            let light: f32 = rng.random_range(-1.0..1.0);
            let before = images
                .len()
                .checked_sub(3)
                .map_or(0.0, |index| images[index]);
            images.extend(
                [0.0; 3].map(|_: f32| {
                    0.6 * before + 0.7 * light + 0.1 * rng.random_range(-1.0_f32..1.0)
                }),
            );
        }
        HostBatch {
            epoch: 0,
            index: 0,
            shape,
            images,
            labels: vec![0; count].into(),
            mixture: None,
            samples: (0..count).collect(),
        }
    }

    #[test]
    fn what_the_stem_sees_becomes_white() {
        let graph = catalog::build("fast_resnet10", &BuildOptions::default()).unwrap();
        let mut network = Network::initialise(graph, SeedStream::new(0), &Device::flex());
        let images = images(20);
        whiten(&mut network, &images).unwrap();
        let (node, _) = stem(network.graph()).unwrap();
        let weight = crate::network::host_values(network.values(network.first_entry(node)));
        let covariance = covariance(&images.images, [32, 32, 3], [2, 2]);
        for (one, first) in weight.chunks_exact(12).take(12).enumerate() {
            for (other, second) in weight.chunks_exact(12).take(12).enumerate() {
                let mut product = 0.0;
                for (row, a) in first.iter().enumerate() {
                    for (column, b) in second.iter().enumerate() {
                        product += f64::from(*a) * covariance[row * 12 + column] * f64::from(*b);
                    }
                }
                let expected = if one == other { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 0.2, "{one} {other}: {product}");
            }
            let opposite = &weight[(12 + one) * 12..][..12];
            assert!(first.iter().zip(opposite).all(|(a, b)| *a == -*b));
        }
    }

    #[test]
    fn a_network_without_such_a_stem_is_refused() {
        let graph = catalog::build("resnet20", &BuildOptions::default()).unwrap();
        assert!(stem(&graph).is_ok());
        let mut builder =
            residua_graph::GraphBuilder::new("pool", residua_graph::Shape::map(4, 4, 3));
        let image = builder.input();
        let x = builder.global_average_pool("pool", image).unwrap();
        let logits = builder.linear("fc", x, 2).unwrap();
        let message = stem(&builder.finish(logits)).unwrap_err().to_string();
        assert!(
            message.contains("begins with another operation"),
            "{message}"
        );
    }
}
