//! Which learning rate a network can take: a short training whose rate rises from step to step (Smith
//! 2017, "Cyclical Learning Rates for Training Neural Networks", §3.3).

use std::sync::atomic::Ordering;

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::learner::Learner;
use crate::observer::Observer;
use crate::schedule::Pace;
use crate::trainer::{RunOptions, initial_network, learner_settings, open_data, teacher};

/// How the rate rises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateSearch {
    /// Rate of the first step.
    pub lowest: f64,
    /// Rate of the last step.
    pub highest: f64,
    /// Steps, at least 2. Each multiplies the rate by the same factor.
    pub steps: u64,
}

impl Default for RateSearch {
    fn default() -> Self {
        Self {
            lowest: 1e-5,
            highest: 10.0,
            steps: 100,
        }
    }
}

impl RateSearch {
    /// Says whether the values can be used, or which cannot and what was expected.
    fn validate(&self) -> Result<(), TrainError> {
        let refuse = |message: String| Err(TrainError::Config(message));
        let Self {
            lowest,
            highest,
            steps,
        } = *self;
        if !(lowest > 0.0 && lowest < highest && highest.is_finite()) {
            return refuse(format!(
                "rates from {lowest} to {highest}: expected two numbers above 0, the lower one first"
            ));
        }
        if steps < 2 {
            return refuse(format!("{steps} steps: expected at least 2"));
        }
        Ok(())
    }

    fn rate(&self, step: u64) -> f64 {
        let share = step as f64 / (self.steps - 1) as f64;
        self.lowest * (self.highest / self.lowest).powf(share)
    }
}

/// A step of the search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePoint {
    /// Its learning rate.
    pub learning_rate: f64,
    /// Training loss, averaged over the last steps.
    pub loss: f64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct RateCurve {
    /// In the order of the rates. It ends early where the loss explodes.
    pub points: Vec<RatePoint>,
}

impl RateCurve {
    /// The rate of the least loss.
    pub fn lowest_loss(&self) -> Option<RatePoint> {
        let points = self.points.iter().copied();
        points.min_by(|one, other| one.loss.total_cmp(&other.loss))
    }

    /// A peak rate to begin with: a tenth of the rate of the least loss, where training is fast and still
    /// stable. The rule is that of the fastai library (Howard and Gugger 2020).
    pub fn suggestion(&self) -> Option<f64> {
        let lowest = self.lowest_loss()?;
        // Without a descent there is nothing to learn from.
        let first = self.points.first()?;
        (lowest.loss < first.loss).then_some(lowest.learning_rate / 10.0)
    }
}

/// Trains for a few steps with a rising rate. Nothing is kept of it.
///
/// # Errors
/// When data or configuration cannot be used, or an image vanished.
pub fn search_rate(
    config: &TrainConfig,
    options: &RunOptions,
    search: &RateSearch,
    observer: &mut (dyn Observer + Sync),
    on_step: &mut dyn FnMut(RatePoint),
) -> Result<RateCurve, TrainError> {
    /// Share of the average that a step keeps, as fastai has it.
    const KEPT: f64 = 0.98;
    /// A loss of so many times the least one has exploded.
    const EXPLODED: f64 = 4.0;
    config.validate()?;
    search.validate()?;
    let data = open_data(config, options, observer)?;
    let network = initial_network(config, &data, options, observer)?;
    let settings = learner_settings(config, &data, &network)?;
    let teacher = teacher(config, &data, &options.device)?;
    let mut learner = Learner::new(network, settings).taught_by(teacher);
    // With everything that learns at some time, and the momentum that goes with the peak rate.
    learner.begin_epoch(config.epochs - 1);
    let momentum = config.schedule.peak_momentum();
    let mut batches = (0..).flat_map(|epoch| data.train.epoch(epoch));
    let mut points: Vec<RatePoint> = Vec::new();
    let (mut average, mut least) = (0.0, f64::INFINITY);
    for step in 0..search.steps {
        let Some(batch) = batches.next() else { break };
        let learning_rate = search.rate(step);
        let pace = Pace {
            learning_rate,
            momentum,
        };
        // A loss that is no number is where the search ends.
        let Ok(learned) = learner.learn(batch?, pace, step + 1) else {
            break;
        };
        average = KEPT * average + (1.0 - KEPT) * learned.loss / learned.images.max(1) as f64;
        let loss = average / (1.0 - KEPT.powf((step + 1) as f64));
        let point = RatePoint {
            learning_rate,
            loss,
        };
        points.push(point);
        on_step(point);
        least = loss.min(least);
        if loss > EXPLODED * least || options.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if let Some(message) = data.pictures.take_warning() {
        observer.warned(&message);
    }
    Ok(RateCurve { points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_by_the_same_factor() {
        let search = RateSearch {
            lowest: 0.01,
            highest: 10.0,
            steps: 4,
        };
        for (step, expected) in (0..).zip([0.01, 0.1, 1.0, 10.0]) {
            assert!((search.rate(step) / expected - 1.0).abs() < 1e-12);
        }
        let upside_down = RateSearch {
            lowest: 1.0,
            highest: 0.1,
            steps: 4,
        };
        assert!(upside_down.validate().is_err());
    }

    #[test]
    fn a_tenth_of_the_best_rate_is_suggested_if_anything_was_learned() {
        let curve = |losses: [f64; 3]| RateCurve {
            points: [0.1, 1.0, 10.0]
                .into_iter()
                .zip(losses)
                .map(|(learning_rate, loss)| RatePoint {
                    learning_rate,
                    loss,
                })
                .collect(),
        };
        assert_eq!(curve([2.3, 1.5, 7.0]).suggestion(), Some(0.1));
        assert_eq!(curve([2.3, 2.4, 7.0]).suggestion(), None);
        assert_eq!(RateCurve { points: Vec::new() }.suggestion(), None);
    }
}
