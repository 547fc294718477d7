//! What may be varied in a family.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shortcut::Shortcut;
use super::stages::Depth;
use crate::builder::GraphBuilder;
use crate::graph::{GraphError, NodeId};
use crate::operation::{
    Activation, BatchNorm, Convolution, DropUnit, Dropout, GroupNorm, InitialScale, Operation,
};

/// Norms, activations and regularisers of a residual network; the defaults are those of the published
/// ones.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Variations {
    /// The norm that follows (or precedes) convolutions. Gates keep their own.
    pub norm: Norm,
    /// What follows norms. Gates keep their own.
    pub activation: Activation,
    /// Share of numbers dropped before the last convolution of each residual branch
    /// (Zagoruyko and Komodakis 2016, §2.4).
    pub dropout: f32,
    /// Share of samples for which the last block's residual branch is dropped; it rises
    /// linearly from block to block (Huang et al. 2016, "Deep Networks with Stochastic Depth", §3).
    pub stochastic_depth: f32,
    /// Where the scale of the last norm of each residual branch starts. Without effect where the
    /// branch ends in a convolution, as in pre-activation networks.
    pub last_norm: InitialScale,
}

/// A kind of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Over the batch, channel by channel.
    #[default]
    Batch,
    /// Over groups of channels, sample by sample.
    Group {
        /// How many groups.
        groups: usize,
    },
}

impl Norm {
    /// The operation that normalises.
    pub fn operation(self, initial_scale: InitialScale) -> Operation {
        match self {
            Self::Batch => Operation::BatchNorm(BatchNorm {
                initial_scale,
                ..BatchNorm::default()
            }),
            Self::Group { groups } => Operation::GroupNorm(GroupNorm {
                groups,
                // PyTorch's default.
                epsilon: 1e-5,
                initial_scale,
            }),
        }
    }
}

/// The settings of a spec that a user may change; `None` where the family has no such thing.
#[derive(Debug, Default)]
pub(crate) struct Variable<'a> {
    pub(crate) shortcut: Option<&'a mut Shortcut>,
    pub(crate) norm: Option<&'a mut Norm>,
    pub(crate) activation: Option<&'a mut Activation>,
    pub(crate) dropout: Option<&'a mut f32>,
    pub(crate) stochastic_depth: Option<&'a mut f32>,
    pub(crate) last_norm: Option<&'a mut InitialScale>,
}

impl Variations {
    /// Everything that a network with these shortcuts may change. Without any, a branch that
    /// gives nothing would give nothing to all that follows.
    pub(super) fn variable<'a>(&'a mut self, shortcut: &'a mut Shortcut) -> Variable<'a> {
        let is_residual = *shortcut != Shortcut::None;
        Variable {
            shortcut: Some(shortcut),
            norm: Some(&mut self.norm),
            activation: Some(&mut self.activation),
            dropout: Some(&mut self.dropout),
            stochastic_depth: is_residual.then_some(&mut self.stochastic_depth),
            last_norm: is_residual.then_some(&mut self.last_norm),
        }
    }

    /// Appends the norm.
    pub(super) fn norm(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        builder.push(name, self.norm.operation(InitialScale::One), &[x])
    }

    /// Appends the last norm of a residual branch.
    pub(super) fn last_norm(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        builder.push(name, self.norm.operation(self.last_norm), &[x])
    }

    /// Appends the activation.
    pub(super) fn activation(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        builder.push(name, Operation::Activation(self.activation), &[x])
    }

    /// Appends a convolution, its norm and its activation as parts of a module, with timm's names.
    pub(super) fn convolution_unit(
        &self,
        builder: &mut GraphBuilder,
        path: &str,
        x: NodeId,
        convolution: Convolution,
    ) -> Result<NodeId, GraphError> {
        let x = builder.convolution(format!("{path}.conv"), x, convolution)?;
        let x = self.norm(builder, format!("{path}.bn"), x)?;
        self.activation(builder, format!("{path}.act"), x)
    }

    /// Appends the dropout before a branch's last convolution, if there is one.
    pub(super) fn dropout(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        drop_numbers(builder, name, x, self.dropout)
    }

    /// Appends the stochastic depth of a residual branch, if there is one.
    pub(super) fn stochastic_depth(
        &self,
        builder: &mut GraphBuilder,
        name: String,
        branch: NodeId,
        depth: Depth,
    ) -> Result<NodeId, GraphError> {
        let rate = self.stochastic_depth * depth.share();
        let unit = DropUnit::Sample;
        drop_if_any(builder, name, branch, Dropout { unit, rate })
    }
}

/// Appends the dropout of this share of numbers, if it is not zero.
pub(super) fn drop_numbers(
    builder: &mut GraphBuilder,
    name: String,
    x: NodeId,
    rate: f32,
) -> Result<NodeId, GraphError> {
    let unit = DropUnit::Number;
    drop_if_any(builder, name, x, Dropout { unit, rate })
}

fn drop_if_any(
    builder: &mut GraphBuilder,
    name: String,
    x: NodeId,
    dropout: Dropout,
) -> Result<NodeId, GraphError> {
    if dropout.rate == 0.0 {
        return Ok(x);
    }
    builder.push(name, Operation::Dropout(dropout), &[x])
}
