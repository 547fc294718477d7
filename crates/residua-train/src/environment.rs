//! Where this process computes.

use burn::tensor::Device;
use residua_core::run::Environment;
use residua_ops::{InstructionSet, is_host};

/// The program, the machine and the device.
pub(crate) fn environment(device: &Device) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        processor: processor().unwrap_or_default(),
        instruction_set: InstructionSet::detect().name().to_owned(),
        threads: rayon::current_num_threads(),
        device: device_name(device),
    }
}

fn device_name(device: &Device) -> String {
    if is_host(device) {
        "cpu".to_owned()
    } else {
        format!("{device:?}")
    }
}

/// What Linux says of the first processor.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
