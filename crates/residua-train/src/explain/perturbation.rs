//! Maps that ask the image, not a layer.

use burn::tensor::{Tensor, TensorData};

use super::HeatMap;
use residua_core::metrics::log_softmax;
use residua_core::metrics::probabilities::sigmoid;
use residua_core::task::Task;

use super::attribution::{Target, differentiate};
use crate::network::{Network, host_values};

/// For each pixel the largest change of the class score with one of its channels (Simonyan et al. 2014,
/// "Deep Inside Convolutional Networks", §3.1).
///
/// # Shapes
/// `images`: `[N, H, W, C]`, prepared for the network.
pub fn saliency(network: &Network, images: Tensor<4>, class: Option<usize>) -> Vec<HeatMap> {
    let input = network.graph().ids().next().expect("a graph has an input");
    let target = class.map_or(Target::Predicted, Target::Class);
    let attribution = differentiate(network, images, input, target);
    let ([height, width], channels) = (attribution.shape.spatial(), attribution.shape.channels());
    let images = attribution
        .gradients
        .chunks_exact(height * width * channels);
    images
        .map(|gradients| HeatMap {
            height,
            width,
            values: { gradients.chunks_exact(channels) }
                .map(|pixel| pixel.iter().fold(0.0, |most: f32, g| most.max(g.abs())))
                .collect(),
        })
        .collect()
}

/// How a covering patch moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occlusion {
    /// Height and width of the patch.
    pub patch: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
}

impl Occlusion {
    /// A patch of an eighth of the image, moved by half of it.
    pub fn for_size([height, width]: [usize; 2]) -> Self {
        let patch = (height.min(width) / 8).max(1);
        Self {
            patch,
            stride: (patch / 2).max(1),
        }
    }

    /// Where the patch begins along an axis; the last place ends at the border.
    fn places(self, size: usize) -> Vec<usize> {
        let last = size.saturating_sub(self.patch);
        let mut places: Vec<usize> = (0..last).step_by(self.stride.max(1)).collect();
        places.push(last);
        places
    }
}

/// Images that are evaluated at once.
const BATCH: usize = 32;

/// For each pixel how much probability the class loses on average when a patch covers it (Zeiler and
/// Fergus 2014, "Visualizing and Understanding Convolutional Networks", §4.2); gains count as nothing.
/// The patch has the colour that normalisation takes to zero. The task says what a probability is: the
/// softmax of the logits, or the sigmoid of one.
///
/// # Shapes
/// `image`: `[H, W, C]`, prepared for the network.
pub fn occlusion(
    network: &Network,
    image: &[f32],
    class: Option<usize>,
    task: Task,
    settings: Occlusion,
) -> HeatMap {
    let shape = network.graph().input_shape();
    let ([height, width], channels) = (shape.spatial(), shape.channels());
    let probabilities = |row: &[f32]| -> Vec<f64> {
        match task {
            Task::SingleLabel => log_softmax(row).into_iter().map(f64::exp).collect(),
            Task::MultiLabel => row.iter().map(|logit| sigmoid(*logit)).collect(),
        }
    };
    let evaluate = |images: Vec<f32>| -> Vec<Vec<f64>> {
        let count = images.len() / shape.elements();
        let data = TensorData::new(images, [count, height, width, channels]);
        let logits = network.evaluate(Tensor::from_data(data, network.device()));
        let logits = host_values(&logits);
        let rows = logits.chunks(logits.len() / count.max(1));
        rows.map(probabilities).collect()
    };
    let whole = evaluate(image.to_vec()).swap_remove(0);
    let most_probable = || {
        let classes = 0..whole.len();
        classes.reduce(|best, class| {
            if whole[class] > whole[best] {
                class
            } else {
                best
            }
        })
    };
    let class = class.or_else(most_probable).unwrap_or(0);
    let places: Vec<[usize; 2]> = { settings.places(height).into_iter() }
        .flat_map(|top| {
            settings
                .places(width)
                .into_iter()
                .map(move |left| [top, left])
        })
        .collect();
    let mut lost = vec![0.0f64; height * width];
    let mut covered = vec![0u32; height * width];
    for places in places.chunks(BATCH) {
        let mut images = Vec::with_capacity(places.len() * image.len());
        for place in places {
            let begin = images.len();
            images.extend_from_slice(image);
            for pixel in settings.pixels(*place, [height, width]) {
                images[begin + pixel * channels..][..channels].fill(0.0);
            }
        }
        for (place, found) in places.iter().zip(evaluate(images)) {
            let loss = whole[class] - found[class];
            for pixel in settings.pixels(*place, [height, width]) {
                lost[pixel] += loss;
                covered[pixel] += 1;
            }
        }
    }
    let mean =
        |(lost, covered): (&f64, &u32)| (lost / f64::from((*covered).max(1))).max(0.0) as f32;
    HeatMap {
        height,
        width,
        values: lost.iter().zip(&covered).map(mean).collect(),
    }
}

impl Occlusion {
    /// The pixels under a patch that begins here.
    fn pixels(
        self,
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> impl Iterator<Item = usize> {
        let rows = top..(top + self.patch).min(height);
        rows.flat_map(move |row| {
            let columns = left..(left + self.patch).min(width);
            columns.map(move |column| row * width + column)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_cover_every_pixel() {
        for (size, patch, stride) in [(32, 4, 2), (7, 3, 3), (5, 9, 2), (1, 1, 1), (10, 4, 5)] {
            let settings = Occlusion { patch, stride };
            let mut covered = vec![false; size * size];
            for top in settings.places(size) {
                for left in settings.places(size) {
                    for pixel in settings.pixels([top, left], [size, size]) {
                        covered[pixel] = true;
                    }
                }
            }
            let all = stride <= patch;
            assert!(
                !all || covered.iter().all(|covered| *covered),
                "{size} {settings:?}"
            );
        }
    }
}
