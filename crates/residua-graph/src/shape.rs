//! The shape of one sample as it flows through a network.

use std::fmt;

/// A feature map `[H, W, C]` or a vector `[C]`, without the batch dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A feature map.
    Map {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Channels.
        channels: usize,
    },
    /// A vector.
    Vector {
        /// Its length.
        features: usize,
    },
}

impl Shape {
    /// A feature map of `height` × `width` pixels.
    pub fn map(height: usize, width: usize, channels: usize) -> Self {
        Self::Map {
            height,
            width,
            channels,
        }
    }

    /// A vector.
    pub fn vector(features: usize) -> Self {
        Self::Vector { features }
    }

    /// Channels of a map, features of a vector.
    pub fn channels(self) -> usize {
        match self {
            Self::Map { channels, .. } => channels,
            Self::Vector { features } => features,
        }
    }

    /// Height and width; `[1, 1]` for a vector.
    pub fn spatial(self) -> [usize; 2] {
        match self {
            Self::Map { height, width, .. } => [height, width],
            Self::Vector { .. } => [1, 1],
        }
    }

    /// Number of values.
    pub fn elements(self) -> usize {
        let [height, width] = self.spatial();
        height * width * self.channels()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map {
                height,
                width,
                channels,
            } => write!(f, "{height}×{width}×{channels}"),
            Self::Vector { features } => write!(f, "{features}"),
        }
    }
}
