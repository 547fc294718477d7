//! The ways around a residual branch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Convolution, ZeroPadShortcut};
use crate::shape::Shape;

/// What is added to the residual branch F(x) (He et al. 2015, §3.3 and §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shortcut {
    /// Nothing: a plain network.
    None,
    /// Option A: x itself; where the shape changes, every second pixel and zero channels,
    /// half of them before and half after.
    ZeroPad,
    /// Option B: x itself; where the shape changes, a 1×1 convolution.
    Projection,
    /// Option C: a 1×1 convolution in every block.
    AllProjections,
}

/// How one block goes around its branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Not at all.
    Nothing,
    /// x itself.
    Identity,
    /// Its pixels and zeros.
    ZeroPad(ZeroPadShortcut),
    /// A 1×1 convolution.
    Projection(Convolution),
}

impl Shortcut {
    /// The way around a branch that turns this shape into so many channels, with this stride.
    pub(super) fn way(self, before: Shape, out_channels: usize, stride: usize) -> Way {
        let in_channels = before.channels();
        let same_shape = stride == 1 && in_channels == out_channels;
        let projection = Way::Projection(Convolution::square(out_channels, 1).stride(stride));
        match self {
            Self::None => Way::Nothing,
            Self::AllProjections => projection,
            _ if same_shape => Way::Identity,
            Self::ZeroPad => {
                let added = out_channels.saturating_sub(in_channels);
                Way::ZeroPad(ZeroPadShortcut {
                    stride,
                    before: added / 2,
                    after: added - added / 2,
                })
            }
            Self::Projection => projection,
        }
    }
}
