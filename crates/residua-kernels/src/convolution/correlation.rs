//! Forward convolution and input gradient as one operation: a correlation in phases.
//!
//! Every target pixel is a sum over taps of `source[position * source_step + shift] * weight[tap]`.
//! A forward convolution is one phase: all target pixels, source step = stride, shift = tap ·
//! dilation − padding. In the input gradient the roles of input and output change; with a stride
//! above one, target pixels at different remainders modulo the stride meet different taps, so each
//! remainder is a phase with its own taps, and no product with an inserted zero is computed.

use super::ConvolutionGeometry;

/// One kernel position in a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    /// Source row and column relative to `position * source_step`.
    pub(super) shift: [isize; 2],
    /// Index of the kernel position, row-major.
    pub(super) position: usize,
}

/// A regular grid of target pixels that share their taps.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    /// The first target row and column.
    pub(super) first: [usize; 2],
    /// Rows and columns of the grid.
    pub(super) count: [usize; 2],
    /// In ascending order of the source address.
    pub(super) taps: Vec<Tap>,
}

/// How to find an element of the weight tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightStrides {
    /// From one group to the next.
    pub(super) group: usize,
    /// From one target channel to the next.
    pub(super) target: usize,
    /// From one source channel to the next.
    pub(super) source: usize,
}

/// A whole correlation.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    pub(super) batch: usize,
    pub(super) source: [usize; 2],
    pub(super) source_channels: usize,
    pub(super) target: [usize; 2],
    pub(super) target_channels: usize,
    pub(super) groups: usize,
    /// Source pixels from one pixel of a phase to the next.
    pub(super) source_step: [usize; 2],
    /// Target pixels from one pixel of a phase to the next.
    pub(super) target_step: [usize; 2],
    pub(super) phases: Vec<Phase>,
    pub(super) weight_strides: WeightStrides,
    /// Source channels in a word, the unit of the inner product; see [`Self::in_words`].
    pub(super) numbers_per_word: usize,
}

impl Correlation {
    /// The forward convolution.
    pub(super) fn forward(geometry: &ConvolutionGeometry) -> Self {
        let spec = geometry.spec();
        let shifts = [0, 1].map(|axis| {
            (0..spec.kernel[axis])
                .map(|element| {
                    (element * spec.dilation[axis]) as isize - spec.padding[axis] as isize
                })
                .enumerate()
                .collect::<Vec<_>>()
        });
        let phase = Phase {
            first: [0, 0],
            count: geometry.output(),
            taps: cross(&shifts, spec.kernel[1]),
        };
        Self {
            batch: spec.batch,
            source: spec.input,
            source_channels: spec.in_channels,
            target: geometry.output(),
            target_channels: spec.out_channels,
            groups: spec.groups,
            source_step: spec.stride,
            target_step: [1, 1],
            phases: vec![phase],
            weight_strides: WeightStrides {
                group: geometry.group_out_channels()
                    * geometry.group_in_channels()
                    * geometry.taps(),
                target: geometry.group_in_channels() * geometry.taps(),
                source: geometry.taps(),
            },
            numbers_per_word: 1,
        }
        .flattened()
    }

    /// The gradient with respect to the input, as a correlation of the output gradient.
    pub(super) fn input_gradient(geometry: &ConvolutionGeometry) -> Self {
        let spec = geometry.spec();
        let mut phases = Vec::new();
        for row in 0..spec.stride[0].min(spec.input[0]) {
            for column in 0..spec.stride[1].min(spec.input[1]) {
                let first = [row, column];
                let shifts = [0, 1].map(|axis| gradient_shifts(geometry, axis, first[axis]));
                phases.push(Phase {
                    first,
                    count: [0, 1]
                        .map(|axis| (spec.input[axis] - first[axis]).div_ceil(spec.stride[axis])),
                    taps: cross(&shifts, spec.kernel[1]),
                });
            }
        }
        Self {
            batch: spec.batch,
            source: geometry.output(),
            source_channels: spec.out_channels,
            target: spec.input,
            target_channels: spec.in_channels,
            groups: spec.groups,
            source_step: [1, 1],
            target_step: spec.stride,
            phases,
            weight_strides: WeightStrides {
                group: geometry.group_out_channels()
                    * geometry.group_in_channels()
                    * geometry.taps(),
                target: geometry.taps(),
                source: geometry.group_in_channels() * geometry.taps(),
            },
            numbers_per_word: 1,
        }
        .flattened()
    }

    /// The same with words of `numbers_per_word` neighbouring source channels. A group's last word
    /// is filled up with a zero.
    pub(super) fn in_words(mut self, numbers_per_word: usize) -> Self {
        self.numbers_per_word = numbers_per_word;
        self
    }

    /// Words of one group of the source.
    pub(super) fn group_source_words(&self) -> usize {
        self.group_source_channels().div_ceil(self.numbers_per_word)
    }

    /// Words of a source pixel.
    pub(super) fn source_words(&self) -> usize {
        self.groups * self.group_source_words()
    }

    /// Channels of one group of the source.
    pub(super) fn group_source_channels(&self) -> usize {
        self.source_channels / self.groups
    }

    /// Channels of one group of the target.
    pub(super) fn group_target_channels(&self) -> usize {
        self.target_channels / self.groups
    }

    /// A pointwise correlation does not see image borders: every pixel becomes an image of its own,
    /// so that work can be cut anywhere.
    fn flattened(mut self) -> Self {
        let pointwise = self.source == self.target
            && self.source_step == [1, 1]
            && self.target_step == [1, 1]
            && self
                .phases
                .iter()
                .all(|phase| phase.taps.len() == 1 && phase.taps[0].shift == [0, 0]);
        if pointwise {
            self.batch *= self.source[0] * self.source[1];
            self.source = [1, 1];
            self.target = [1, 1];
            self.phases[0].count = [1, 1];
        }
        self
    }
}

/// Kernel elements of one axis that reach target coordinates ≡ `first` modulo the stride, with
/// their source shift, in ascending order of the shift.
fn gradient_shifts(
    geometry: &ConvolutionGeometry,
    axis: usize,
    first: usize,
) -> Vec<(usize, isize)> {
    let spec = geometry.spec();
    let stride = spec.stride[axis] as isize;
    let mut shifts: Vec<_> = (0..spec.kernel[axis])
        .filter_map(|element| {
            let distance =
                (first + spec.padding[axis]) as isize - (element * spec.dilation[axis]) as isize;
            (distance.rem_euclid(stride) == 0).then(|| (element, distance.div_euclid(stride)))
        })
        .collect();
    shifts.sort_by_key(|&(_, shift)| shift);
    shifts
}

/// All pairs of vertical and horizontal (kernel element, shift).
fn cross(shifts: &[Vec<(usize, isize)>; 2], kernel_width: usize) -> Vec<Tap> {
    let mut taps = Vec::new();
    for &(row, vertical) in &shifts[0] {
        for &(column, horizontal) in &shifts[1] {
            taps.push(Tap {
                shift: [vertical, horizontal],
                position: row * kernel_width + column,
            });
        }
    }
    taps
}
