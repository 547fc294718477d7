//! How far a figure could be off for a different sample of images: percentile intervals of the
//! bootstrap.
//!
//! Efron and Tibshirani 1993, "An Introduction to the Bootstrap", sections 6.2 and 13.3: from `N`
//! samples `N` are drawn with replacement, the figure is computed for them, and this is done `B`
//! times. The interval of level `a` reaches from the `(1 - a) / 2` to the `(1 + a) / 2` quantile of
//! the `B` figures (with linear interpolation between order statistics, as numpy's default).
//!
//! It says how much a figure depends on which images were tested, not how much it depends on the seed
//! of training: for that see [`convergence`](super::convergence).
//!
//! Draw number `b` comes from `stream.child_index(b)`, so an interval depends on the stream, the
//! data and the settings alone.

mod areas;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{MetricError, finite};
use crate::seed::SeedStream;

pub use areas::{AreaIntervals, area_intervals};

/// More samples than this are refused: drawing them again and again would take hours.
pub const MOST_SAMPLES: u64 = 100_000_000;

/// More resamples than this are refused: their figures are kept in memory.
pub const MOST_RESAMPLES: usize = 10_000_000;

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSettings {
    /// Share of resamples within the interval, above 0 and below 1.
    pub level: f64,
    /// Number of resamples, at least 1.
    pub resamples: usize,
}

impl Default for BootstrapSettings {
    /// 95 %, 1000 resamples (Efron and Tibshirani 1993, section 13.3: B = 1000 is usual for
    /// percentile intervals).
    fn default() -> Self {
        Self {
            level: 0.95,
            resamples: 1000,
        }
    }
}

impl BootstrapSettings {
    fn check(&self) -> Result<(), MetricError> {
        let setting = |name, value, expected| MetricError::Setting {
            name,
            value,
            expected,
        };
        if !(self.level > 0.0 && self.level < 1.0) {
            let name = "the level of confidence";
            return Err(setting(name, self.level, "above 0 and below 1"));
        }
        if !(1..=MOST_RESAMPLES).contains(&self.resamples) {
            let name = "the number of resamples";
            return Err(setting(name, self.resamples as f64, "1 to 10,000,000"));
        }
        Ok(())
    }
}

/// A figure and its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceInterval {
    /// The figure of the samples themselves; `None` where it is undefined.
    pub estimate: Option<f64>,
    /// Lower end; `None` where no resample has the figure.
    pub lower: Option<f64>,
    /// Upper end; `None` where no resample has the figure.
    pub upper: Option<f64>,
    /// Share of resamples within the interval.
    pub level: f64,
    /// Number of resamples that have the figure (others, say without positives, are left out).
    pub resamples: usize,
}

impl ConfidenceInterval {
    fn new(estimate: Option<f64>, mut values: Vec<f64>, level: f64) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self {
            estimate,
            lower: quantile(&values, (1.0 - level) / 2.0),
            upper: quantile(&values, (1.0 + level) / 2.0),
            level,
            resamples: values.len(),
        }
    }
}

/// The interval of any figure of `samples` samples. `statistic` computes it for a list of indices
/// below `samples`, in which some occur repeatedly and others not at all; `None` (or a number that is
/// not finite) says that it is undefined for them.
///
/// ```
/// use residua_core::metrics::bootstrap::{BootstrapSettings, interval};
/// use residua_core::seed::SeedStream;
///
/// let losses = [0.2, 0.4, 0.3, 0.9, 0.1, 0.5];
/// let mean = |indices: &[usize]| {
///     let sum: f64 = indices.iter().map(|&index| losses[index]).sum();
///     Some(sum / indices.len() as f64)
/// };
/// let stream = SeedStream::new(0).child("bootstrap");
/// let found = interval(losses.len(), BootstrapSettings::default(), stream, mean)?;
/// assert!(found.lower < found.estimate && found.estimate < found.upper);
/// # Ok::<(), residua_core::metrics::MetricError>(())
/// ```
///
/// # Errors
/// When a setting is out of range or there are more than [`MOST_SAMPLES`] samples. Without samples
/// nothing is defined, and `statistic` is not called.
pub fn interval(
    samples: usize,
    settings: BootstrapSettings,
    stream: SeedStream,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Result<ConfidenceInterval, MetricError> {
    settings.check()?;
    check_samples(samples as u128)?;
    if samples == 0 {
        return Ok(ConfidenceInterval::new(None, Vec::new(), settings.level));
    }
    let mut figure = |indices: &[usize]| statistic(indices).and_then(finite);
    let mut indices: Vec<usize> = (0..samples).collect();
    let estimate = figure(&indices);
    let mut values = Vec::with_capacity(settings.resamples);
    for resample in 0..settings.resamples {
        let mut rng = stream.child_index(resample as u64).rng();
        indices.fill_with(|| rng.random_range(0..samples));
        values.extend(figure(&indices));
    }
    Ok(ConfidenceInterval::new(estimate, values, settings.level))
}

/// What [`classification_intervals`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassificationIntervals {
    /// Share of samples whose most likely class is the true one.
    pub accuracy: ConfidenceInterval,
    /// Mean F1 over the classes that occur among labels or predictions of a resample, as
    /// [`ClassificationSummary::macro_average`](super::ClassificationSummary).
    pub macro_f1: ConfidenceInterval,
}

/// The intervals of accuracy and macro F1 from a confusion matrix (rows are true classes, columns
/// predicted ones: [`ClassificationSummary::confusion`](super::ClassificationSummary) or
/// [`Predictions::confusion`](super::Predictions::confusion)).
///
/// Both figures depend on the counts of (label, prediction) alone, so resamples are counted and
/// never stored, and the order of the samples has no influence.
///
/// # Errors
/// When the matrix is not square, a setting is out of range, or there are more than [`MOST_SAMPLES`]
/// samples.
pub fn classification_intervals(
    confusion: &[Vec<u64>],
    settings: BootstrapSettings,
    stream: SeedStream,
) -> Result<ClassificationIntervals, MetricError> {
    settings.check()?;
    let cells = Cells::new(confusion)?;
    let samples = cells.cell_of_sample.len();
    let mut accuracies = Vec::with_capacity(settings.resamples);
    let mut scores = Vec::with_capacity(settings.resamples);
    let mut figures = Figures::new(confusion.len());
    let mut counts = cells.counts();
    let estimate = figures.compute(&cells.places, &counts);
    for resample in 0..settings.resamples {
        if samples == 0 {
            break;
        }
        let mut rng = stream.child_index(resample as u64).rng();
        counts.fill(0);
        for _ in 0..samples {
            counts[cells.cell_of_sample[rng.random_range(0..samples)] as usize] += 1;
        }
        let (accuracy, macro_f1) = figures.compute(&cells.places, &counts);
        accuracies.extend(accuracy);
        scores.extend(macro_f1);
    }
    Ok(ClassificationIntervals {
        accuracy: ConfidenceInterval::new(estimate.0, accuracies, settings.level),
        macro_f1: ConfidenceInterval::new(estimate.1, scores, settings.level),
    })
}

/// The cells of a confusion matrix that are not 0.
struct Cells {
    /// Label and prediction of each.
    places: Vec<(usize, usize)>,
    /// The index in `places` for each sample; a sample of the same cell is like any other.
    cell_of_sample: Vec<u32>,
}

impl Cells {
    fn new(confusion: &[Vec<u64>]) -> Result<Self, MetricError> {
        let classes = confusion.len();
        if let Some(row) = confusion.iter().find(|row| row.len() != classes) {
            return Err(MetricError::WrongLength {
                what: "columns in a confusion matrix, as many as rows,",
                expected: classes,
                found: row.len(),
            });
        }
        let total = confusion.iter().flatten().map(|&count| u128::from(count));
        check_samples(total.sum())?;
        let mut cells = Self {
            places: Vec::new(),
            cell_of_sample: Vec::new(),
        };
        for (label, row) in confusion.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate().filter(|&(_, &count)| count > 0) {
                // At most as many cells as samples, which fit.
                let cell = cells.places.len() as u32;
                cells.places.push((label, predicted));
                let filled = cells.cell_of_sample.len() + count as usize;
                cells.cell_of_sample.resize(filled, cell);
            }
        }
        Ok(cells)
    }

    /// The number of samples in each cell.
    fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.places.len()];
        for &cell in &self.cell_of_sample {
            counts[cell as usize] += 1;
        }
        counts
    }
}

/// Computes accuracy and macro F1 from counts, again and again in the same memory.
struct Figures {
    hits: Vec<u64>,
    /// Support plus number of predictions of each class.
    occurrences: Vec<u64>,
}

impl Figures {
    fn new(classes: usize) -> Self {
        Self {
            hits: vec![0; classes],
            occurrences: vec![0; classes],
        }
    }

    /// `None` without samples.
    fn compute(&mut self, places: &[(usize, usize)], counts: &[u32]) -> (Option<f64>, Option<f64>) {
        self.hits.fill(0);
        self.occurrences.fill(0);
        let (mut right, mut total) = (0, 0);
        for (&(label, predicted), &count) in places.iter().zip(counts) {
            let count = u64::from(count);
            total += count;
            self.occurrences[label] += count;
            self.occurrences[predicted] += count;
            if label == predicted {
                right += count;
                self.hits[label] = count;
            }
        }
        let (mut sum, mut occurring) = (0.0, 0_u64);
        for (&hits, &occurrences) in self.hits.iter().zip(&self.occurrences) {
            if occurrences > 0 {
                sum += (2 * hits) as f64 / occurrences as f64;
                occurring += 1;
            }
        }
        (
            finite(right as f64 / total as f64),
            finite(sum / occurring as f64),
        )
    }
}

fn check_samples(samples: u128) -> Result<(), MetricError> {
    if samples <= u128::from(MOST_SAMPLES) {
        return Ok(());
    }
    Err(MetricError::Setting {
        name: "the number of samples to draw from",
        value: samples as f64,
        expected: "at most 100,000,000",
    })
}

/// The quantile of sorted values, interpolated between the two nearest; `None` without values.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? as f64 * share.clamp(0.0, 1.0);
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let weight = position - below as f64;
    // A weighted sum, because the difference of two finite numbers may overflow.
    finite(sorted[below] * (1.0 - weight) + sorted[above] * weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 8], [0, 0.1, 0.5, 0.9, 1])
        let values = [1.0, 2.0, 4.0, 8.0];
        for (share, expected) in [(0.0, 1.0), (0.1, 1.3), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            assert!((quantile(&values, share).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn settings_and_matrices_are_checked() {
        let stream = SeedStream::new(0);
        let with = |level, resamples| {
            let settings = BootstrapSettings { level, resamples };
            let first = interval(3, settings, stream, |_| Some(1.0)).is_err();
            let second = classification_intervals(&[vec![1]], settings, stream).is_err();
            assert_eq!(first, second);
            first
        };
        assert!(with(0.0, 10) && with(1.0, 10) && with(f64::NAN, 10) && with(0.9, 0));
        assert!(with(0.9, usize::MAX));
        assert!(!with(0.9, 10));
        let settings = BootstrapSettings::default();
        let refused = |confusion: &[Vec<u64>]| {
            classification_intervals(confusion, settings, stream)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(&[vec![1, 2]]).contains("expected 1 columns"));
        assert!(refused(&[vec![u64::MAX, u64::MAX], vec![0, 0]]).contains("at most 100,000,000"));
        assert!(interval(usize::MAX, settings, stream, |_| None).is_err());
    }

    #[test]
    fn undefined_figures_have_no_interval() {
        let (settings, stream) = (BootstrapSettings::default(), SeedStream::new(1));
        for confusion in [vec![], vec![vec![0, 0], vec![0, 0]]] {
            let found = classification_intervals(&confusion, settings, stream).unwrap();
            assert_eq!(found.accuracy.estimate, None);
            assert_eq!((found.macro_f1.lower, found.macro_f1.resamples), (None, 0));
        }
        let never = interval(5, settings, stream, |_| Some(f64::NAN)).unwrap();
        assert_eq!(
            (never.estimate, never.lower, never.resamples),
            (None, None, 0)
        );
        let empty = interval(0, settings, stream, |_| unreachable!()).unwrap();
        assert_eq!(empty.estimate, None);
        // Only resamples that contain the first sample have a figure.
        let some = interval(2, settings, stream, |i| i.contains(&0).then_some(1.0)).unwrap();
        assert!((600..900).contains(&some.resamples), "{}", some.resamples);
    }

    #[test]
    fn a_certain_figure_has_a_narrow_interval() {
        let confusion = [vec![7, 0], vec![0, 5]];
        let found =
            classification_intervals(&confusion, BootstrapSettings::default(), SeedStream::new(2));
        let accuracy = found.unwrap().accuracy;
        assert_eq!((accuracy.lower, accuracy.upper), (Some(1.0), Some(1.0)));
    }
}
