//! Which vector instructions the kernels use, found when the program runs.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Avx512Bf16};
use crate::simd::{Kernel, Portable, Simd};

/// A set of vector instructions that this machine is known to have.
///
/// A value can only be obtained from [`InstructionSet::detect`] or [`InstructionSet::available`],
/// so holding one proves that the processor understands its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionSet(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512Bf16),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

thread_local! {
    static OVERRIDE: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

impl InstructionSet {
    /// The best set of this machine.
    pub fn detect() -> Self {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// Every set of this machine, the best first; the last one is always the portable one.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(Avx512Bf16::detect().map(|token| Self(Level::Avx512Bf16(token))));
            sets.extend(Avx512::detect().map(|token| Self(Level::Avx512(token))));
            sets.extend(Avx2::detect().map(|token| Self(Level::Avx2(token))));
        }
        sets.push(Self(Level::Portable));
        sets
    }

    /// A short lower-case name: `avx512bf16`, `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(_) => "avx512bf16",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            Level::Portable => "portable",
        }
    }

    /// The set that kernels called from this thread use.
    pub(crate) fn current() -> Self {
        OVERRIDE.get().unwrap_or_else(Self::detect)
    }

    /// Numbers in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(_) => Avx512Bf16::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => Avx2::LANES,
            Level::Portable => Portable::LANES,
        }
    }

    /// Vectors of output channels in the widest register tile.
    pub(crate) fn panel_vectors(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(_) => Avx512Bf16::PANEL_VECTORS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => Avx512::PANEL_VECTORS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => Avx2::PANEL_VECTORS,
            Level::Portable => Portable::PANEL_VECTORS,
        }
    }

    /// The sum of accumulators that a register tile may hold.
    pub(crate) fn accumulators(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(_) => Avx512Bf16::ACCUMULATORS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => Avx512::ACCUMULATORS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => Avx2::ACCUMULATORS,
            Level::Portable => Portable::ACCUMULATORS,
        }
    }

    /// Runs `kernel` compiled for this set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16(token) => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => token.run(kernel),
            Level::Portable => kernel.run(Portable),
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Runs `body` with the kernels that it calls *from this thread* confined to `set`.
///
/// Meant for tests and comparisons; without it the kernels use [`InstructionSet::detect`]. The
/// threads that a kernel spreads its own work over follow the calling thread.
pub fn with_instruction_set<R>(set: InstructionSet, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<InstructionSet>);
    impl Drop for Restore {
        fn drop(&mut self) {
            OVERRIDE.set(self.0);
        }
    }
    let _restore = Restore(OVERRIDE.replace(Some(set)));
    body()
}
