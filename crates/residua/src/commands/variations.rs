//! In what a network may differ from the published one.

use clap::{Args, ValueEnum};
use residua::graph::Activation;
use residua::graph::catalog::VariationOptions;
use residua::graph::families::{Norm, Shortcut};
use serde_json::{Map, Value};

use super::rate;

/// Above these options in the help.
const HEADING: &str = "Variations of the network";

/// Changes to a network of the catalog.
#[derive(Debug, Args)]
#[group(id = "variations", multiple = true)]
pub(crate) struct VariationArgs {
    /// What residual blocks add to their branches
    #[arg(long, value_enum, help_heading = HEADING)]
    shortcut: Option<ShortcutName>,
    /// Normalise groups of channels, sample by sample, in place of batch norm
    #[arg(long, help_heading = HEADING, value_name = "GROUPS", value_parser = clap::value_parser!(u32).range(1..))]
    group_norm: Option<u32>,
    /// What follows norms
    #[arg(long, value_enum, help_heading = HEADING)]
    activation: Option<ActivationName>,
    /// Share of numbers dropped before the last convolution of each residual branch, or in the classifier
    #[arg(long, help_heading = HEADING, value_name = "SHARE", value_parser = rate)]
    dropout: Option<f32>,
    /// Share of samples that skip the last residual branch; earlier ones are skipped less often
    #[arg(long, help_heading = HEADING, value_name = "SHARE", value_parser = rate)]
    stochastic_depth: Option<f32>,
    /// Start residual blocks as the identity: the scale of their last norm begins at 0
    #[arg(long, help_heading = HEADING)]
    zero_last_norm: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShortcutName {
    /// Nothing: a plain network
    None,
    /// Option A: zero channels where the shape changes
    ZeroPad,
    /// Option B: a convolution where the shape changes
    Projection,
    /// Option C: a convolution in every block
    AllProjections,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ActivationName {
    /// max(x, 0)
    Relu,
    /// x where positive, 0.01 x elsewhere
    LeakyRelu,
    /// x · sigmoid(x)
    Silu,
    /// x · Φ(x)
    Gelu,
}

impl VariationArgs {
    /// Puts what was asked for in place of what was there.
    pub(crate) fn apply(&self, options: &mut VariationOptions) {
        let shortcut = self.shortcut.map(|name| match name {
            ShortcutName::None => Shortcut::None,
            ShortcutName::ZeroPad => Shortcut::ZeroPad,
            ShortcutName::Projection => Shortcut::Projection,
            ShortcutName::AllProjections => Shortcut::AllProjections,
        });
        let activation = self.activation.map(|name| match name {
            ActivationName::Relu => Activation::Relu,
            ActivationName::LeakyRelu => Activation::LeakyRelu,
            ActivationName::Silu => Activation::Silu,
            ActivationName::Gelu => Activation::Gelu,
        });
        let norm = self.group_norm.map(|groups| Norm::Group {
            groups: groups as usize,
        });
        replace(&mut options.shortcut, shortcut);
        replace(&mut options.activation, activation);
        replace(&mut options.norm, norm);
        replace(&mut options.dropout, self.dropout);
        replace(&mut options.stochastic_depth, self.stochastic_depth);
        replace(
            &mut options.zero_last_norm,
            self.zero_last_norm.then_some(true),
        );
    }
}

/// Variations in words, `activation silu, dropout 0.2` for instance.
pub(crate) fn variations_text(variations: &Map<String, Value>) -> String {
    let words = variations.iter().map(|(key, value)| match value {
        Value::String(name) => format!("{key} {name}"),
        Value::Object(kind) => {
            let kinds = kind.iter().map(|(name, size)| match size {
                Value::Object(size) => {
                    let sizes: Vec<String> = size.values().map(Value::to_string).collect();
                    format!("{name} {}", sizes.join(" "))
                }
                size => format!("{name} {size}"),
            });
            format!("{key} {}", kinds.collect::<Vec<_>>().join(" "))
        }
        // 32-bit numbers, with no more digits than they have.
        Value::Number(number) if number.is_f64() => {
            let share = number.as_f64().unwrap_or_default() as f32;
            format!("{key} {share}")
        }
        value => format!("{key} {value}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn replace<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}
