//! Which networks of the catalog a file fits.

use residua_graph::catalog::{self, BuildOptions, CatalogError, Entry};
use residua_graph::{Graph, Shape};

use crate::fit::{Fit, class_count, fit, named_in};
use crate::tensor_file::TensorFile;

/// How a file fits a network of the catalog, with as many classes and image channels as the file has.
///
/// # Errors
/// When the network cannot be built for so many.
pub fn fit_entry<'a>(entry: &Entry, file: &'a TensorFile) -> Result<Fit<'a>, CatalogError> {
    let published = entry.build(&BuildOptions::default())?;
    let [height, width] = entry.input.spatial();
    let input =
        image_channels(&published, file).map(|channels| Shape::map(height, width, channels));
    let options = BuildOptions {
        classes: Some(class_count(&published, file)),
        input,
        ..BuildOptions::default()
    };
    Ok(fit(&entry.build(&options)?, file))
}

/// The names of the networks of the catalog with exactly the tensors of a file. Those that differ in
/// nothing but operations without parameters cannot be told apart.
pub fn fitting_models(file: &TensorFile) -> Vec<String> {
    let fits = |entry: &Entry| fit_entry(entry, file).is_ok_and(|fit| fit.report.is_complete());
    let entries = catalog::entries().into_iter().filter(fits);
    entries.map(|entry| entry.name).collect()
}

/// How many channels an image has for the first layer of a file, if it has that layer.
fn image_channels(graph: &Graph, file: &TensorFile) -> Option<usize> {
    let first = *graph.consumers().first()?.first()?;
    let weight = graph.state_of(first).into_iter().next()?;
    match named_in(graph, file, &weight.name)?.shape[..] {
        [_, channels, _, _] if (1..=MOST_CHANNELS).contains(&channels) => Some(channels),
        _ => None,
    }
}

/// More than any image has; it keeps absurd shapes from becoming networks.
const MOST_CHANNELS: usize = 64;
