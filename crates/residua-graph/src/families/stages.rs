//! Stages of blocks, and where each block stands in its network.

/// A sequence of blocks of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Channels of the 3×3 convolutions.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
}

/// Stages of these widths and lengths.
pub(super) fn stages(widths: &[usize], blocks: &[usize]) -> Vec<Stage> {
    let pairs = widths.iter().zip(blocks);
    pairs
        .map(|(&width, &blocks)| Stage { width, blocks })
        .collect()
}

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its stage, from 0.
    pub(super) stage: usize,
    /// Its number in the stage, from 0.
    pub(super) block: usize,
    /// The width of the stage.
    pub(super) width: usize,
    /// 2 where it halves the map: at the start of each stage but the first.
    pub(super) stride: usize,
    /// How deep it lies.
    pub(super) depth: Depth,
}

/// The places of all blocks in the order of execution.
pub(super) fn places(stages: &[Stage]) -> Vec<Place> {
    let blocks = stages.iter().map(|stage| stage.blocks).sum();
    let mut places = Vec::with_capacity(blocks);
    for (stage, &Stage { width, blocks: own }) in stages.iter().enumerate() {
        for block in 0..own {
            let depth = Depth {
                block: places.len() + 1,
                blocks,
            };
            places.push(Place {
                stage,
                block,
                width,
                stride: if stage > 0 && block == 0 { 2 } else { 1 },
                depth,
            });
        }
    }
    places
}

/// Where a block stands among all of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Depth {
    /// Its number, from 1.
    pub(super) block: usize,
    /// How many there are.
    pub(super) blocks: usize,
}

impl Depth {
    /// `l / L` of Huang et al. 2016, "Deep Networks with Stochastic Depth", eq. 4.
    pub(super) fn share(self) -> f32 {
        self.block as f32 / self.blocks as f32
    }
}
