//! In what a network may differ from the published one.

use clap::{Args, ValueEnum};
use residua::graph::Activation;
use residua::graph::catalog::VariationOptions;
use residua::graph::families::{Norm, Shortcut};

use super::rate;

/// Changes to a network of the catalog.
#[derive(Debug, Args)]
#[group(id = "variations", multiple = true)]
#[command(next_help_heading = "Variations of the network")]
pub(crate) struct VariationArgs {
    /// What residual blocks add to their branches
    #[arg(long, value_enum)]
    shortcut: Option<ShortcutName>,
    /// Normalise groups of channels, sample by sample, in place of batch norm
    #[arg(long, value_name = "GROUPS", value_parser = clap::value_parser!(u32).range(1..))]
    group_norm: Option<u32>,
    /// What follows norms
    #[arg(long, value_enum)]
    activation: Option<ActivationName>,
    /// Share of numbers dropped before the last convolution of each residual branch, or in the classifier
    #[arg(long, value_name = "SHARE", value_parser = rate)]
    dropout: Option<f32>,
    /// Share of samples that skip the last residual branch; earlier ones are skipped less often
    #[arg(long, value_name = "SHARE", value_parser = rate)]
    stochastic_depth: Option<f32>,
    /// Start residual blocks as the identity: the scale of their last norm begins at 0
    #[arg(long)]
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

fn replace<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}
