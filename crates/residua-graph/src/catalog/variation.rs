//! Variations of catalog networks: what a user asks for, and what each family takes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ModelSpec;
use crate::families::{Norm, Shortcut, Variable};
use crate::operation::{Activation, InitialScale};

/// How a network differs from its published form; `None` leaves a setting as published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct VariationOptions {
    /// What is added to residual branches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Shortcut>,
    /// The norm that follows (or precedes) convolutions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// What follows norms, or convolutions where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Share of numbers dropped where the family drops some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f32>,
    /// Share of samples for which the last residual branch is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stochastic_depth: Option<f32>,
    /// Whether the scale of the last norm of each residual branch starts at zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_last_norm: Option<bool>,
}

impl VariationOptions {
    /// Whether nothing differs from the published form.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, those of `others`.
    #[must_use]
    pub fn on_top_of(self, others: Self) -> Self {
        Self {
            shortcut: self.shortcut.or(others.shortcut),
            norm: self.norm.or(others.norm),
            activation: self.activation.or(others.activation),
            dropout: self.dropout.or(others.dropout),
            stochastic_depth: self.stochastic_depth.or(others.stochastic_depth),
            zero_last_norm: self.zero_last_norm.or(others.zero_last_norm),
        }
    }
}

/// Why a network cannot be varied like that.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VariationError {
    /// Its family has no such thing, or not with its shortcuts.
    #[error("takes no {variation}, only {takes}")]
    NotTaken {
        /// What was asked for.
        variation: &'static str,
        /// What could be.
        takes: String,
    },
    /// A share that is none.
    #[error("takes no {variation} of {rate}; it must be at least 0 and less than 1")]
    Rate {
        /// What was asked for.
        variation: &'static str,
        /// How much of it.
        rate: String,
    },
}

impl VariationError {
    /// The variation, as [`VariationOptions`] is keyed.
    pub fn variation(&self) -> &'static str {
        match self {
            Self::NotTaken { variation, .. } | Self::Rate { variation, .. } => variation,
        }
    }
}

const SHORTCUT: &str = "shortcut";
const NORM: &str = "norm";
const ACTIVATION: &str = "activation";
const DROPOUT: &str = "dropout";
const STOCHASTIC_DEPTH: &str = "stochastic-depth";
const ZERO_LAST_NORM: &str = "zero-last-norm";

impl ModelSpec {
    /// The same network, varied.
    ///
    /// # Errors
    /// When the family does not take one of the variations.
    pub fn vary(&self, options: &VariationOptions) -> Result<Self, VariationError> {
        let mut spec = self.clone();
        let variable = spec.variable();
        let taken = Taken::of(&variable);
        taken.set(variable.shortcut, options.shortcut, SHORTCUT)?;
        // What else is taken depends on the shortcut.
        let variable = spec.variable();
        let taken = Taken::of(&variable);
        let last_norm = options.zero_last_norm.map(|zero| match zero {
            true => InitialScale::Zero,
            false => InitialScale::One,
        });
        taken.set(variable.norm, options.norm, NORM)?;
        taken.set(variable.activation, options.activation, ACTIVATION)?;
        taken.set_rate(variable.dropout, options.dropout, DROPOUT)?;
        let stochastic_depth = variable.stochastic_depth;
        taken.set_rate(stochastic_depth, options.stochastic_depth, STOCHASTIC_DEPTH)?;
        taken.set(variable.last_norm, last_norm, ZERO_LAST_NORM)?;
        Ok(spec)
    }

    fn variable(&mut self) -> Variable<'_> {
        match self {
            Self::ResNet(spec) => spec.variable(),
            Self::PreActivation(spec) => spec.variable(),
            Self::BottleneckTransformer(spec) => spec.variable(),
            Self::DenseNet(spec) => spec.variable(),
            Self::Vgg(spec) => spec.variable(),
            Self::AlexNet(spec) => spec.variable(),
            Self::Shallow(spec) => spec.variable(),
        }
    }
}

/// The names of everything that may be varied.
struct Taken(Vec<&'static str>);

impl Taken {
    fn of(variable: &Variable<'_>) -> Self {
        let all = [
            (variable.shortcut.is_some(), SHORTCUT),
            (variable.norm.is_some(), NORM),
            (variable.activation.is_some(), ACTIVATION),
            (variable.dropout.is_some(), DROPOUT),
            (variable.stochastic_depth.is_some(), STOCHASTIC_DEPTH),
            (variable.last_norm.is_some(), ZERO_LAST_NORM),
        ];
        let taken = all.into_iter().filter(|(is_taken, _)| *is_taken);
        Self(taken.map(|(_, name)| name).collect())
    }

    fn set<T>(
        &self,
        place: Option<&mut T>,
        value: Option<T>,
        variation: &'static str,
    ) -> Result<(), VariationError> {
        match (place, value) {
            (_, None) => Ok(()),
            (Some(place), Some(value)) => {
                *place = value;
                Ok(())
            }
            (None, Some(_)) => Err(VariationError::NotTaken {
                variation,
                takes: self.to_string(),
            }),
        }
    }

    fn set_rate(
        &self,
        place: Option<&mut f32>,
        rate: Option<f32>,
        variation: &'static str,
    ) -> Result<(), VariationError> {
        self.set(place, rate, variation)?;
        match rate {
            Some(rate) if !(0.0..1.0).contains(&rate) => Err(VariationError::Rate {
                variation,
                rate: rate.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Taken {
    /// `norm, activation and dropout`; every family has at least two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [others @ .., last] if !others.is_empty() => {
                write!(f, "{} and {last}", others.join(", "))
            }
            names => f.write_str(&names.concat()),
        }
    }
}
