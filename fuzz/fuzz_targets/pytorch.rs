//! Any bytes as a file that somebody calls a checkpoint: an error, or tensors that are what their
//! shapes say.

#![no_main]

use std::cell::RefCell;
use std::fs;

use libfuzzer_sys::fuzz_target;
use residua_weights::TensorFile;
use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with_borrow(|folder| {
        let path = folder.path().join("checkpoint");
        fs::write(&path, bytes).expect("a file can be written");
        if let Ok(file) = TensorFile::read(&path) {
            for tensor in &file.tensors {
                assert_eq!(tensor.shape.iter().product::<usize>(), tensor.elements());
            }
        }
    });
});
