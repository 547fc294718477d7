//! Any bytes as a safetensors file: an error, or tensors that are what their shapes say.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use residua_weights::TensorFile;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = TensorFile::from_safetensors(bytes, Path::new("fuzz")) {
        for tensor in &file.tensors {
            assert_eq!(tensor.shape.iter().product::<usize>(), tensor.elements());
        }
    }
});
