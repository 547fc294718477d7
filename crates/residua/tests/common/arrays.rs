//! NumPy archives, as MedMNIST has them.

use std::fs;
use std::io::Write;
use std::path::Path;

use npyz::WriterBuilder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// An array of bytes: its name, its shape and its values.
pub(crate) type Array<'a> = (&'a str, &'a [u64], Vec<u8>);

/// Writes an archive of arrays.
pub(crate) fn archive(file: &Path, arrays: &[Array<'_>]) {
    let mut archive = ZipWriter::new(fs::File::create(file).unwrap());
    for (name, shape, values) in arrays {
        let options = SimpleFileOptions::default();
        archive.start_file(format!("{name}.npy"), options).unwrap();
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values.iter().copied()).unwrap();
        writer.finish().unwrap();
        archive.write_all(&bytes).unwrap();
    }
    archive.finish().unwrap();
}
