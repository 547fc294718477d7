//! Images mixed with others of their batch.

use rand::{Rng, RngExt};
use rand_distr::Beta;
use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::below;
use crate::label::Labels;
use crate::resize::Rectangle;

/// How the images of a training batch are mixed with one another, as in timm.
///
/// A batch is mixed as a whole: all of its images get the same share, and each gets its partner
/// from the other end of the batch (the first from the last, and so on; the middle one of an odd
/// number is its own). The order of the batches is random, so partners are too.
///
/// - **Mixup** (Zhang et al. 2017, "mixup: Beyond Empirical Risk Minimization" §2): the pixels are
///   `share * own + (1 - share) * partner`, with a share from Beta(`mixup_alpha`, `mixup_alpha`).
/// - **CutMix** (Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with
///   Localizable Features" §3): a rectangle of the image's proportions is the partner's. Its area
///   is `1 - share` of the image's, with a share from Beta(`cutmix_alpha`, `cutmix_alpha`); its
///   centre is any pixel, and what lies over the border is cut off, which the share then counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Both parameters of Mixup's beta distribution, 0.001 to 1000, or 0 for no Mixup. The smaller,
    /// the more batches are left nearly as they are.
    pub mixup_alpha: f64,
    /// The same for CutMix.
    pub cutmix_alpha: f64,
    /// The share of the batches that are mixed, 0 to 1.
    pub probability: f64,
    /// The share of the mixed batches that get CutMix where both are wanted, 0 to 1.
    pub switch_probability: f64,
    /// How many epochs at the end of a run are without.
    pub off_epochs: u64,
}

impl Default for Mix {
    /// Neither of both, yet; every batch, half of them with CutMix where both are wanted.
    fn default() -> Self {
        Self {
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
            probability: 1.0,
            switch_probability: 0.5,
            off_epochs: 0,
        }
    }
}

/// Which classes the images of a mixed batch show.
///
/// Image i is what `labels` of its batch says for `shares[i]`, and what `partner_labels` says for the
/// rest: the soft target of class c is `share * [c in labels] + (1 - share) * [c in partner_labels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// What the partners are labelled with, N.
    pub partner_labels: Labels,
    /// N shares, 0 to 1: for CutMix that of the area that is the image's own.
    pub shares: Vec<f32>,
}

impl Mixture {
    /// The mixture of `count` images from image `first` on; fewer where the batch ends before.
    pub fn part(&self, first: usize, count: usize) -> Self {
        let shares = self.shares.iter().skip(first).take(count);
        Self {
            partner_labels: self.partner_labels.part(first, count),
            shares: shares.copied().collect(),
        }
    }
}

/// Bounds within which samples of the beta distribution are numbers of 0 to 1.
const LEAST_ALPHA: f64 = 0.001;
const MOST_ALPHA: f64 = 1_000.0;

impl Mix {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        let alphas = [
            ("mixup_alpha", self.mixup_alpha),
            ("cutmix_alpha", self.cutmix_alpha),
        ];
        for (key, value) in alphas {
            if value != 0.0 && !(LEAST_ALPHA..=MOST_ALPHA).contains(&value) {
                let expected = "0.001 to 1000, or 0 to leave it out";
                return Err(SettingError::value(key, value, expected));
            }
        }
        if alphas.iter().all(|&(_, alpha)| alpha == 0.0) {
            return Err(SettingError::of_key(
                Vec::new(),
                "has mixup_alpha and cutmix_alpha both at 0; expected at least one above 0, or no \
                 mix at all",
            ));
        }
        super::check_probability("probability", self.probability)?;
        super::check_probability("switch_probability", self.switch_probability)
    }

    /// Whether batches of this epoch are mixed in a run of `epochs`; without a number of epochs
    /// there is no end and none is left out.
    pub(crate) fn is_on(&self, epoch: u64, epochs: Option<u64>) -> bool {
        epochs.is_none_or(|epochs| epoch.saturating_add(self.off_epochs) < epochs)
    }

    /// Mixes the normalised images of a batch, `[N, H, W, C]`; `None` if it is left as it is.
    pub(crate) fn apply(
        &self,
        images: &mut [f32],
        shape: [usize; 4],
        labels: &Labels,
        rng: &mut impl Rng,
    ) -> Option<Mixture> {
        if !rng.random_bool(self.probability) {
            return None;
        }
        let [_, height, width, _] = shape;
        let is_cut = match (self.mixup_alpha > 0.0, self.cutmix_alpha > 0.0) {
            (true, true) => rng.random_bool(self.switch_probability),
            (_, wants_cut) => wants_cut,
        };
        let share = if is_cut {
            let wanted = beta(self.cutmix_alpha, rng)?;
            let centre = [below(height, rng), below(width, rng)];
            let rectangle = rectangle_about(centre, [height, width], wanted);
            exchange(images, shape, rectangle);
            let cut = (rectangle.height * rectangle.width) as f64 / (height * width) as f64;
            (1.0 - cut) as f32
        } else {
            let share = beta(self.mixup_alpha, rng)? as f32;
            blend(images, shape, share);
            share
        };
        // The share as the loss will see it: one that only rounds to 1 mixes nothing either.
        (share < 1.0).then(|| Mixture {
            partner_labels: labels.reversed(),
            shares: vec![share; labels.len()],
        })
    }
}

/// `None` for parameters that no validated mix has.
fn beta(alpha: f64, rng: &mut impl Rng) -> Option<f64> {
    let distribution = Beta::new(alpha, alpha).ok()?;
    Some(rng.sample(distribution))
}

/// What CutMix takes of the partner so that about `share` of the image remains.
pub(super) fn rectangle_about(
    centre: [usize; 2],
    [height, width]: [usize; 2],
    share: f64,
) -> Rectangle {
    let side_share = (1.0 - share).sqrt();
    let part = |centre: usize, length: usize| {
        let cut = (length as f64 * side_share) as usize;
        let start = centre.saturating_sub(cut / 2);
        (start, (centre + cut.div_ceil(2)).min(length) - start)
    };
    let (top, height) = part(centre[0], height);
    let (left, width) = part(centre[1], width);
    Rectangle {
        top,
        left,
        height,
        width,
    }
}

/// Every image and its partner, each pair once.
fn pairs(images: &mut [f32], image_len: usize) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
    let count = images.len() / image_len;
    let (first, second) = images.split_at_mut(count.div_ceil(2) * image_len);
    let partners = second.rchunks_exact_mut(image_len);
    first.chunks_exact_mut(image_len).zip(partners)
}

/// Every image and its partner exchange a rectangle.
fn exchange(images: &mut [f32], [_, height, width, channels]: [usize; 4], rectangle: Rectangle) {
    for (image, partner) in pairs(images, height * width * channels) {
        for row in rectangle.top..rectangle.top + rectangle.height {
            let start = (row * width + rectangle.left) * channels;
            let pixels = start..start + rectangle.width * channels;
            image[pixels.clone()].swap_with_slice(&mut partner[pixels]);
        }
    }
}

pub(super) fn blend(images: &mut [f32], [_, height, width, channels]: [usize; 4], share: f32) {
    let rest = 1.0 - share;
    for (image, partner) in pairs(images, height * width * channels) {
        for (value, other) in image.iter_mut().zip(partner) {
            (*value, *other) = (
                *value * share + *other * rest,
                *other * share + *value * rest,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use residua_core::seed::SeedStream;

    use super::*;

    fn mixup() -> Mix {
        Mix {
            mixup_alpha: 0.4,
            ..Mix::default()
        }
    }

    fn cutmix() -> Mix {
        Mix {
            cutmix_alpha: 1.0,
            ..Mix::default()
        }
    }

    /// A batch whose images are their own numbers, mixed.
    fn mixed(mix: Mix, count: usize, seed: u64) -> (Vec<f32>, Option<Mixture>) {
        let shape = [count, 6, 9, 2];
        let mut images: Vec<f32> = (0..count * 108).map(|index| (index / 108) as f32).collect();
        let labels = Labels::Classes((0..count as u32).collect());
        let mixture = mix.apply(
            &mut images,
            shape,
            &labels,
            &mut SeedStream::new(seed).rng(),
        );
        (images, mixture)
    }

    #[test]
    fn a_share_that_rounds_to_one_is_no_mixture() {
        let (images, mixture) = mixed(mixup(), 2, 6_420_624_601_983_583_267);
        assert_eq!(mixture, None);
        assert!(images[..108].iter().all(|&value| value == 0.0));
    }

    proptest! {
        #[test]
        fn the_shares_say_what_the_images_are(count in 1_usize..8, seed: u64, cuts: bool) {
            let (images, mixture) = mixed(if cuts { cutmix() } else { mixup() }, count, seed);
            let Some(Mixture { partner_labels, shares }) = mixture else {
                let expected = (0..count * 108).map(|index| (index / 108) as f32);
                prop_assert_eq!(images, expected.collect::<Vec<_>>());
                return Ok(());
            };
            prop_assert_eq!(shares.len(), count);
            for (index, image) in images.chunks_exact(108).enumerate() {
                let (own, partner) = (index as f32, (count - 1 - index) as f32);
                prop_assert_eq!(partner_labels.shown(index), [partner as u32]);
                prop_assert!((0.0..1.0).contains(&shares[index]) && shares[index] == shares[0]);
                // The mean of an image is that of its numbers by share, however it was mixed.
                let mean = image.iter().sum::<f32>() / 108.0;
                let expected = shares[index] * own + (1.0 - shares[index]) * partner;
                prop_assert!((mean - expected).abs() < 1e-4, "{} {}", mean, expected);
                if cuts {
                    prop_assert!(image.iter().all(|&value| value == own || value == partner));
                }
            }
        }

        #[test]
        fn beta_gives_shares_for_all_parameters(exponent in -3.0_f64..=3.0, seed: u64) {
            let alpha = 10_f64.powf(exponent).clamp(LEAST_ALPHA, MOST_ALPHA);
            let share = beta(alpha, &mut SeedStream::new(seed).rng()).unwrap();
            prop_assert!((0.0..=1.0).contains(&share), "{}", share);
        }
    }

    #[test]
    fn shares_have_the_moments_of_the_beta_distribution() {
        for alpha in [0.2, 1.0, 4.0] {
            let mut rng = SeedStream::new(1).rng();
            let shares: Vec<f64> = (0..20_000)
                .map(|_| beta(alpha, &mut rng).unwrap())
                .collect();
            let mean = shares.iter().sum::<f64>() / 20_000.0;
            let squares = shares.iter().map(|share| (share - mean).powi(2));
            let variance = squares.sum::<f64>() / 20_000.0;
            assert!((mean - 0.5).abs() < 0.015, "{alpha}: {mean}");
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!(
                (variance / expected - 1.0).abs() < 0.04,
                "{alpha}: {variance}"
            );
        }
    }

    #[test]
    fn probabilities_choose_between_nothing_mixup_and_cutmix() {
        let mix = Mix {
            mixup_alpha: 1.0,
            cutmix_alpha: 1.0,
            probability: 0.5,
            switch_probability: 0.25,
            off_epochs: 0,
        };
        let (mut untouched, mut blended, mut cut) = (0, 0, 0);
        for seed in 0..2_000 {
            let (images, mixture) = mixed(mix, 2, seed);
            if mixture.is_none() {
                untouched += 1;
            } else if images.iter().all(|&value| value == 0.0 || value == 1.0) {
                cut += 1;
            } else {
                blended += 1;
            }
        }
        assert!((900..1_150).contains(&untouched), "{untouched}");
        assert!((180..320).contains(&cut), "{cut}");
        assert!((650..850).contains(&blended), "{blended}");
    }

    #[test]
    fn the_last_epochs_are_without() {
        let mix = Mix {
            off_epochs: 3,
            ..mixup()
        };
        let on = |epochs| (0..6).filter(|&epoch| mix.is_on(epoch, epochs)).count();
        assert_eq!(
            (on(Some(5)), on(Some(3)), on(Some(100)), on(None)),
            (2, 0, 6, 6)
        );
        assert!(mix.is_on(1, Some(5)) && !mix.is_on(2, Some(5)));
        assert!(mixup().is_on(4, Some(5)));
    }

    #[test]
    fn a_part_of_a_mixture_belongs_to_a_part_of_the_batch() {
        let whole = Mixture {
            partner_labels: vec![4, 3, 2, 1].into(),
            shares: vec![0.1, 0.2, 0.3, 0.4],
        };
        let part = whole.part(1, 2);
        assert_eq!(part.partner_labels, Labels::Classes(vec![3, 2]));
        assert_eq!(part.shares, [0.2, 0.3]);
        assert_eq!(whole.part(3, 5).partner_labels, vec![1].into());
        assert_eq!(whole.part(0, 4), whole);
    }
}
