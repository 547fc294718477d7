//! Where a command computes, and how precisely.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use residua::train::{Device, Precision};

use crate::failure::{Failure, Status};

/// Options of every command that computes.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    /// Threads that compute [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

/// Options of every command that loads many images.
#[derive(Debug, Args)]
pub(crate) struct LoadingArgs {
    /// Threads that read and prepare images ahead of the computation
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) workers: usize,
    /// Keep large pictures in this folder, reduced as --shorter-side says, and decode each once
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
}

impl LoadingArgs {
    /// The options again, for a command that goes on; a run does not remember them.
    pub(crate) fn repeated(&self) -> String {
        let mut options = String::new();
        if self.workers != 1 {
            options += &format!(" --workers {}", self.workers);
        }
        if let Some(folder) = &self.cache {
            options += &format!(" --cache '{}'", folder.display());
        }
        options
    }
}

/// A [`Precision`] as an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionName {
    /// 32-bit floating point
    F32,
    /// bfloat16 feature maps; parameters, sums and statistics are 32-bit
    Bf16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

/// The devices of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeviceName {
    /// The processor
    Cpu,
    /// A GPU through CUDA
    #[cfg(feature = "cuda")]
    Cuda,
    /// A GPU through ROCm
    #[cfg(feature = "rocm")]
    Rocm,
    /// A GPU through Metal
    #[cfg(feature = "metal")]
    Metal,
    /// A GPU through Vulkan
    #[cfg(feature = "vulkan")]
    Vulkan,
    /// A GPU through WebGPU
    #[cfg(feature = "wgpu")]
    Wgpu,
}

impl ComputeArgs {
    /// Sets up the threads and opens the device.
    pub(crate) fn device(&self) -> Result<Device, Failure> {
        if let Some(threads) = self.threads {
            // More than a few for each processor only wait for each other.
            let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            let most = 64.max(4 * processors);
            if threads == 0 || threads > most {
                return Err(Failure::usage(format!(
                    "--threads {threads}: expected 1 to {most}; this machine has {processors} processors"
                )));
            }
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build_global()
                .map_err(|error| Failure::new(Status::Device, error))?;
        }
        match self.device {
            DeviceName::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            DeviceName::Cuda => open(Device::cuda(burn::tensor::DeviceIndex::Default)),
            #[cfg(feature = "rocm")]
            DeviceName::Rocm => open(Device::rocm(burn::tensor::DeviceIndex::Default)),
            #[cfg(feature = "metal")]
            DeviceName::Metal => open(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "vulkan")]
            DeviceName::Vulkan => open(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "wgpu")]
            DeviceName::Wgpu => open(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        }
    }
}

/// Opens a GPU device. Burn does so only when the device is first used, and panics, on a thread of
/// its own, where there is none.
#[cfg(any(
    feature = "cuda",
    feature = "rocm",
    feature = "metal",
    feature = "vulkan",
    feature = "wgpu"
))]
fn open(device: Device) -> Result<Device, Failure> {
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::{Arc, Mutex, PoisonError};

    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reasons);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let reason = panic.payload_as_str().unwrap_or("unknown reason");
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(reason.to_owned());
    }));
    let opened = panic::catch_unwind(AssertUnwindSafe(|| device.identity()));
    panic::set_hook(usual);
    if opened.is_ok() {
        return Ok(device);
    }
    // The first panic is the cause, those after it follow from it.
    let reasons = reasons.lock().unwrap_or_else(PoisonError::into_inner);
    let reason = reasons.first().map_or("unknown reason", String::as_str);
    Err(Failure::new(
        Status::Device,
        format!("this device cannot be used: {reason}; the CPU is always there (--device cpu)"),
    ))
}
