//! Class activation maps.

use residua_graph::Shape;

use super::Attribution;

/// How a map is made of the values at a tap and their gradients. For each pixel, the channels are
/// weighted and added; negative results become zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CamMethod {
    /// A channel weighs as much as its mean gradient (Selvaraju et al. 2017, eq. 1 and 2).
    GradCam,
    /// Positive gradients weigh, more where they are alone (Chattopadhay et al. 2018, eq. 19).
    GradCamPlusPlus,
    /// Every number weighs as much as its own positive gradient (Jiang et al. 2021, "LayerCAM", §3.2).
    LayerCam,
    /// The first principal component of the values, whatever the class (Muhammad and Yeasin 2020).
    EigenCam,
}

/// A number for each pixel of a tap; zero where nothing speaks for the class.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// The same with values from 0 to 1; all zero for a map that is the same everywhere.
    pub fn normalised(&self) -> Self {
        let values = self.values.iter().copied();
        let (least, most) = values.fold((f32::MAX, f32::MIN), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let range = most - least;
        let scale = |value: &f32| {
            if range > 0.0 {
                (value - least) / range
            } else {
                0.0
            }
        };
        Self {
            values: self.values.iter().map(scale).collect(),
            ..*self
        }
    }
}

impl CamMethod {
    /// The map of each image.
    pub fn maps(self, attribution: &Attribution) -> Vec<HeatMap> {
        let Shape::Map {
            height,
            width,
            channels,
        } = attribution.shape
        else {
            unreachable!("an attribution is made of a map")
        };
        let size = height * width * channels;
        let values = attribution.values.chunks_exact(size);
        let images = values.zip(attribution.gradients.chunks_exact(size));
        images
            .map(|(values, gradients)| {
                let raw = match self {
                    Self::GradCam => weighted(values, &mean_gradients(gradients, channels)),
                    Self::GradCamPlusPlus => {
                        weighted(values, &plus_plus_weights(values, gradients, channels))
                    }
                    Self::LayerCam => positive_products(values, gradients, channels),
                    Self::EigenCam => principal_component(values, channels),
                };
                HeatMap {
                    height,
                    width,
                    values: raw.iter().map(|number| number.max(0.0) as f32).collect(),
                }
            })
            .collect()
    }
}

/// For each pixel, the sum over the channels of value times weight.
fn weighted(values: &[f32], weights: &[f64]) -> Vec<f64> {
    let pixels = values.chunks_exact(weights.len());
    pixels
        .map(|pixel| {
            let pairs = pixel.iter().zip(weights);
            pairs
                .map(|(value, weight)| f64::from(*value) * weight)
                .sum()
        })
        .collect()
}

fn mean_gradients(gradients: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = channel_sums(gradients, channels);
    let pixels = (gradients.len() / channels) as f64;
    sums.iter_mut().for_each(|sum| *sum /= pixels);
    sums
}

fn channel_sums(numbers: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for pixel in numbers.chunks_exact(channels) {
        for (sum, number) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(*number);
        }
    }
    sums
}

/// With gradient g and value A, `α = g² / (2 g² + g³ ΣA + 10⁻⁶)`, 0 where g is 0; a channel weighs
/// the sum of `max(g, 0) α`.
fn plus_plus_weights(values: &[f32], gradients: &[f32], channels: usize) -> Vec<f64> {
    let sums = channel_sums(values, channels);
    let mut weights = vec![0.0; channels];
    for pixel in gradients.chunks_exact(channels) {
        for ((weight, sum), gradient) in weights.iter_mut().zip(&sums).zip(pixel) {
            let gradient = f64::from(*gradient);
            if gradient > 0.0 {
                let square = gradient * gradient;
                let alpha = square / (2.0 * square + sum * square * gradient + 1e-6);
                *weight += gradient * alpha;
            }
        }
    }
    weights
}

fn positive_products(values: &[f32], gradients: &[f32], channels: usize) -> Vec<f64> {
    let pixels = values
        .chunks_exact(channels)
        .zip(gradients.chunks_exact(channels));
    pixels
        .map(|(values, gradients)| {
            let pairs = values.iter().zip(gradients);
            pairs
                .map(|(value, gradient)| f64::from(*value) * f64::from(gradient.max(0.0)))
                .sum()
        })
        .collect()
}

/// The values of all pixels along the direction in which they differ most, found by power iteration;
/// its sign is that with which the pixels of large values come out positive.
fn principal_component(values: &[f32], channels: usize) -> Vec<f64> {
    const ITERATIONS: usize = 100;
    let pixels = values.len() / channels;
    let mut means = channel_sums(values, channels);
    means.iter_mut().for_each(|mean| *mean /= pixels as f64);
    let centred: Vec<f64> = { values.chunks_exact(channels) }
        .flat_map(|pixel| {
            pixel
                .iter()
                .zip(&means)
                .map(|(x, mean)| f64::from(*x) - mean)
        })
        .collect();
    let project = |direction: &[f64]| -> Vec<f64> {
        let pixels = centred.chunks_exact(channels);
        pixels
            .map(|pixel| pixel.iter().zip(direction).map(|(x, d)| x * d).sum())
            .collect()
    };
    // The channel that varies most is not at right angles to the component, if anything varies.
    let variance = |channel: usize| -> f64 {
        let numbers = centred.iter().skip(channel).step_by(channels);
        numbers.map(|number| number * number).sum()
    };
    let strongest = (0..channels).max_by(|a, b| variance(*a).total_cmp(&variance(*b)));
    let mut direction = vec![0.0; channels];
    direction[strongest.unwrap_or(0)] = 1.0;
    for _ in 0..ITERATIONS {
        let along = project(&direction);
        let mut next = vec![0.0; channels];
        for (pixel, weight) in centred.chunks_exact(channels).zip(&along) {
            for (sum, number) in next.iter_mut().zip(pixel) {
                *sum += number * weight;
            }
        }
        let length = next.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            break;
        }
        next.iter_mut().for_each(|x| *x /= length);
        direction = next;
    }
    // Projections of the values themselves, as the method's authors show them.
    let mut result = weighted(values, &direction);
    let along: f64 = means.iter().zip(&direction).map(|(m, d)| m * d).sum();
    if along < 0.0 {
        result.iter_mut().for_each(|number| *number = -*number);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribution(values: Vec<f32>, gradients: Vec<f32>) -> Attribution {
        Attribution {
            shape: Shape::map(1, 2, 2),
            classes: vec![0],
            logits: vec![0.0],
            values,
            gradients,
        }
    }

    fn map(method: CamMethod, attribution: &Attribution) -> Vec<f32> {
        method.maps(attribution).swap_remove(0).values
    }

    #[test]
    fn channels_are_weighted_by_their_gradients() {
        // Pixels (1, 2) and (3, 1); mean gradients 1 and -0.5.
        let found = attribution(vec![1.0, 2.0, 3.0, 1.0], vec![0.0, -1.0, 2.0, 0.0]);
        assert_eq!(map(CamMethod::GradCam, &found), [0.0, 2.5]);
        assert_eq!(map(CamMethod::LayerCam, &found), [0.0, 6.0]);
    }

    #[test]
    fn the_principal_component_is_where_pixels_differ_most() {
        let found = attribution(vec![1.0, 5.0, 1.0, 9.0], vec![0.0; 4]);
        let values = map(CamMethod::EigenCam, &found);
        assert!(
            (values[0] - 5.0).abs() < 1e-5 && (values[1] - 9.0).abs() < 1e-5,
            "{values:?}"
        );
        let same = attribution(vec![2.0; 4], vec![0.0; 4]);
        assert!(
            map(CamMethod::EigenCam, &same)
                .iter()
                .all(|x| x.is_finite())
        );
    }

    #[test]
    fn a_normalised_map_goes_from_nothing_to_one() {
        let map = |values: &[f32]| HeatMap {
            height: 1,
            width: values.len(),
            values: values.to_vec(),
        };
        assert_eq!(map(&[1.0, 3.0, 2.0]).normalised().values, [0.0, 1.0, 0.5]);
        assert_eq!(map(&[4.0, 4.0]).normalised().values, [0.0, 0.0]);
    }
}
