//! What the crate promises about whole data sets.

mod augmenting;
mod caching;
mod checking;
mod cifar_files;
mod decoding;
mod folders;
mod loading;
mod real_data;
mod resizing;
mod sources;
mod support;
