//! Learning-rate schedules: the rate is a function of the step, and for [`ScheduleConfig::Plateau`] of
//! the validations before it. A schedule may change the momentum too.

use std::f64::consts::PI;

use residua_core::setting::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a run. Lengths are in epochs or shares of the run, so
/// that a schedule does not depend on the batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The same rate throughout.
    Constant,
    /// Up and down once (Smith and Topin 2018, "Super-Convergence"), as PyTorch's
    /// `OneCycleLR` computes it.
    #[schemars(extend("default" = Self::one_cycle()))]
    OneCycle {
        /// Share of the run spent going up.
        warmup_fraction: f64,
        /// The run starts with the peak rate divided by this.
        start_divisor: f64,
        /// It ends with the starting rate divided by this.
        end_divisor: f64,
        /// The shape of both slopes.
        anneal: Anneal,
        /// The momentum on the way; as the optimiser has it unless set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        momentum: Option<MomentumCycle>,
    },
    /// A linear warm-up followed by half a cosine down to zero (Loshchilov and Hutter 2017,
    /// without restarts).
    Cosine {
        /// Length of the warm-up.
        warmup_epochs: f64,
    },
    /// The rate is multiplied by `factor` at each milestone (He et al. 2015, §4.2).
    MultiStep {
        /// When it changes, in epochs.
        milestone_epochs: Vec<f64>,
        /// What it is multiplied by.
        factor: f64,
        /// So many epochs begin with a tenth of the rate (He et al. 2015, §4.2, for 110 layers).
        #[serde(default, skip_serializing_if = "is_zero")]
        warmup_epochs: f64,
    },
    /// The rate is multiplied by `factor` when validation has stopped to improve, as PyTorch's
    /// `ReduceLROnPlateau` decides it.
    #[schemars(extend("default" = Self::plateau()))]
    Plateau {
        /// What it is multiplied by.
        factor: f64,
        /// Epochs without improvement that are tolerated.
        patience: u64,
        /// An improvement is a validation loss that is less than the best by at least this share of it.
        minimum_gain: f64,
    },
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// A momentum that goes down while the rate goes up, and up again with it (Smith 2018, "A disciplined
/// approach to neural network hyper-parameters", §4.2). For Adam and its relatives it is the
/// decay of the mean gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MomentumCycle {
    /// At both ends of the run.
    pub highest: f64,
    /// With the peak rate.
    pub lowest: f64,
}

impl Default for MomentumCycle {
    /// PyTorch's defaults.
    fn default() -> Self {
        Self {
            highest: 0.95,
            lowest: 0.85,
        }
    }
}

/// How a step is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Its learning rate.
    pub learning_rate: f64,
    /// Its momentum, if it is not the optimiser's.
    pub momentum: Option<f64>,
}

impl Pace {
    /// This rate, with the optimiser's momentum.
    pub const fn rate(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            momentum: None,
        }
    }
}

/// The shape of a slope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Anneal {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
}

impl ScheduleConfig {
    /// One cycle with PyTorch's defaults, except that it goes up for a share of the run that
    /// suits short runs.
    pub fn one_cycle() -> Self {
        Self::OneCycle {
            warmup_fraction: 0.25,
            start_divisor: 25.0,
            end_divisor: 1e4,
            anneal: Anneal::Cosine,
            momentum: None,
        }
    }

    /// PyTorch's defaults, with less patience, as runs here have dozens of epochs.
    pub fn plateau() -> Self {
        Self::Plateau {
            factor: 0.1,
            patience: 5,
            minimum_gain: 1e-4,
        }
    }

    /// The momentum that goes with the peak rate, if it is not the optimiser's.
    pub(crate) fn peak_momentum(&self) -> Option<f64> {
        match self {
            Self::OneCycle { momentum, .. } => momentum.map(|cycle| cycle.lowest),
            _ => None,
        }
    }

    /// The same schedule for a run that is `factor` times as long: what is told in epochs moves along.
    pub fn stretched(self, factor: f64) -> Self {
        match self {
            Self::Cosine { warmup_epochs } => Self::Cosine {
                warmup_epochs: warmup_epochs * factor,
            },
            Self::MultiStep {
                milestone_epochs,
                factor: step,
                warmup_epochs,
            } => Self::MultiStep {
                milestone_epochs: milestone_epochs.iter().map(|at| at * factor).collect(),
                factor: step,
                warmup_epochs: warmup_epochs * factor,
            },
            as_it_is @ (Self::Constant | Self::OneCycle { .. } | Self::Plateau { .. }) => as_it_is,
        }
    }

    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        let refuse =
            |key: &str, value: f64, expected: &str| Err(SettingError::value(key, value, expected));
        match self {
            Self::Constant => Ok(()),
            Self::OneCycle {
                warmup_fraction,
                start_divisor,
                end_divisor,
                momentum,
                ..
            } => {
                if !(0.0..1.0).contains(warmup_fraction) {
                    let expected = "0 or more and less than 1";
                    return refuse("warmup_fraction", *warmup_fraction, expected);
                }
                for (key, divisor) in [
                    ("start_divisor", *start_divisor),
                    ("end_divisor", *end_divisor),
                ] {
                    if !(divisor.is_finite() && divisor >= 1.0) {
                        return refuse(key, divisor, "1 or more");
                    }
                }
                if let Some(MomentumCycle { highest, lowest }) = momentum {
                    for (key, value) in [("highest", *highest), ("lowest", *lowest)] {
                        if !(0.0..1.0).contains(&value) {
                            let refused = refuse(key, value, "0 or more and less than 1");
                            return refused.map_err(|error| error.within("momentum"));
                        }
                    }
                    if highest < lowest {
                        let expected = format!("at least the {lowest} of momentum.lowest");
                        let refused = refuse("highest", *highest, &expected);
                        return refused.map_err(|error| error.within("momentum"));
                    }
                }
                Ok(())
            }
            Self::Cosine { warmup_epochs } => {
                if warmup_epochs.is_finite() && *warmup_epochs >= 0.0 {
                    Ok(())
                } else {
                    refuse("warmup_epochs", *warmup_epochs, "0 or more")
                }
            }
            Self::MultiStep {
                milestone_epochs,
                factor,
                warmup_epochs,
            } => {
                if !(warmup_epochs.is_finite() && *warmup_epochs >= 0.0) {
                    return refuse("warmup_epochs", *warmup_epochs, "0 or more");
                }
                let bad = milestone_epochs
                    .iter()
                    .find(|m| !(m.is_finite() && **m >= 0.0));
                if let Some(milestone) = bad {
                    let problem = format!("has {milestone}; expected numbers of 0 or more");
                    return Err(SettingError::new("milestone_epochs", problem));
                }
                if let Some([one, next]) =
                    { milestone_epochs.array_windows() }.find(|[one, next]| next <= one)
                {
                    let problem = format!("has {next} after {one}; expected rising numbers");
                    return Err(SettingError::new("milestone_epochs", problem));
                }
                if factor.is_finite() && *factor > 0.0 {
                    Ok(())
                } else {
                    refuse("factor", *factor, "more than 0")
                }
            }
            Self::Plateau {
                factor,
                minimum_gain,
                ..
            } => {
                if !(*factor > 0.0 && *factor < 1.0) {
                    return refuse("factor", *factor, "more than 0 and less than 1");
                }
                if !(0.0..1.0).contains(minimum_gain) {
                    return refuse("minimum_gain", *minimum_gain, "0 or more and less than 1");
                }
                Ok(())
            }
        }
    }
}

/// A schedule for a run of known length.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    config: ScheduleConfig,
    peak: f64,
    steps: u64,
    steps_per_epoch: f64,
    plateau: Plateau,
}

/// What a schedule remembers of past validations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The least validation loss so far.
    best_loss: Option<f64>,
    /// Epochs since then, or since the last reduction.
    waited: u64,
    /// How often the rate was reduced.
    reductions: i32,
}

impl Schedule {
    /// A schedule that reaches `peak` over `steps` steps.
    pub fn new(config: ScheduleConfig, peak: f64, steps: u64, steps_per_epoch: u64) -> Self {
        Self {
            config,
            peak,
            steps,
            steps_per_epoch: steps_per_epoch as f64,
            plateau: Plateau::default(),
        }
    }

    /// The same, going on from what it remembered.
    pub fn remembering(self, plateau: Plateau) -> Self {
        Self { plateau, ..self }
    }

    /// What it remembers.
    pub fn plateau(&self) -> Plateau {
        self.plateau
    }

    /// Takes in the loss of a validation.
    pub fn validated(&mut self, loss: f64) {
        let ScheduleConfig::Plateau {
            patience,
            minimum_gain,
            ..
        } = self.config
        else {
            return;
        };
        let plateau = &mut self.plateau;
        if plateau
            .best_loss
            .is_none_or(|best| loss < best * (1.0 - minimum_gain))
        {
            plateau.best_loss = Some(loss);
            plateau.waited = 0;
            return;
        }
        plateau.waited += 1;
        if plateau.waited > patience {
            plateau.reductions += 1;
            plateau.waited = 0;
        }
    }

    /// How a step, counted from 0, is taken.
    pub fn pace(&self, step: u64) -> Pace {
        Pace {
            learning_rate: self.rate(step),
            momentum: self.momentum(step),
        }
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        let ScheduleConfig::OneCycle {
            warmup_fraction,
            anneal,
            momentum: Some(MomentumCycle { highest, lowest }),
            ..
        } = self.config
        else {
            return None;
        };
        Some(match self.slope(step, warmup_fraction) {
            Slope::Up(share) => anneal.between(highest, lowest, share),
            Slope::Down(share) => anneal.between(lowest, highest, share),
        })
    }

    /// Where a step of a cycle is.
    fn slope(&self, step: u64, warmup_fraction: f64) -> Slope {
        let at = step as f64;
        let top = warmup_fraction * self.steps as f64 - 1.0;
        let last = self.steps as f64 - 1.0;
        if at <= top {
            Slope::Up(at / top.max(f64::MIN_POSITIVE))
        } else {
            Slope::Down(((at - top) / (last - top).max(f64::MIN_POSITIVE)).min(1.0))
        }
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let at = step as f64;
        match &self.config {
            ScheduleConfig::Constant => self.peak,
            ScheduleConfig::Plateau { factor, .. } => {
                self.peak * factor.powi(self.plateau.reductions)
            }
            ScheduleConfig::OneCycle {
                warmup_fraction,
                start_divisor,
                end_divisor,
                anneal,
                ..
            } => {
                let start = self.peak / start_divisor;
                match self.slope(step, *warmup_fraction) {
                    Slope::Up(share) => anneal.between(start, self.peak, share),
                    Slope::Down(share) => anneal.between(self.peak, start / end_divisor, share),
                }
            }
            ScheduleConfig::Cosine { warmup_epochs } => {
                let warmup = (warmup_epochs * self.steps_per_epoch).round();
                if at < warmup {
                    return self.peak * (at + 1.0) / warmup;
                }
                let length = (self.steps as f64 - warmup).max(1.0);
                Anneal::Cosine.between(self.peak, 0.0, ((at - warmup) / length).min(1.0))
            }
            ScheduleConfig::MultiStep {
                milestone_epochs,
                factor,
                warmup_epochs,
            } => {
                if at < (warmup_epochs * self.steps_per_epoch).round() {
                    return self.peak / 10.0;
                }
                let passed = milestone_epochs
                    .iter()
                    .filter(|epoch| at >= (*epoch * self.steps_per_epoch).round());
                self.peak * factor.powi(passed.count() as i32)
            }
        }
    }
}

/// One side of a cycle, and how far a step is on it.
#[derive(Debug, Clone, Copy)]
enum Slope {
    Up(f64),
    Down(f64),
}

impl Anneal {
    /// From `start` to `end` as `share` goes from 0 to 1.
    fn between(self, start: f64, end: f64, share: f64) -> f64 {
        match self {
            Self::Cosine => end + (start - end) * (1.0 + (PI * share).cos()) / 2.0,
            Self::Linear => start + (end - start) * share,
        }
    }
}

#[cfg(test)]
mod tests;
