//! What of a weight file fits a network, in words.

use std::fmt;

use residua_core::suggest;
use serde::Serialize;

/// What of a file fits a network.
///
/// Names are those of the network's state, PyTorch's `state_dict` keys; those of tensors that it has
/// no place for are as in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// What stands in the file before all names of the network, `state_dict.module.` for instance.
    pub prefix: String,
    /// Other places of the file with as many names of the network, an average of the weights for
    /// instance.
    pub other_prefixes: Vec<String>,
    /// Tensors that fit.
    pub applied: Vec<String>,
    /// Tensors that the network needs and the file lacks.
    pub missing: Vec<Missing>,
    /// Tensors behind the prefix that the network has no place for.
    pub unused: Vec<String>,
    /// Tensors with the right name and a wrong shape or type.
    pub wrong_shape: Vec<WrongShape>,
    /// Tensors with a value that is NaN or infinite: the file is damaged, or its training diverged.
    pub not_finite: Vec<NotFinite>,
    /// Weights of the first layer that were made to fit another number of image channels.
    pub adapted: Vec<WrongShape>,
    /// Tensors without the prefix, an optimiser's memory for instance.
    pub outside: Vec<String>,
    /// Tensors of the network that were not looked for, because they are to start anew.
    pub reset: Vec<String>,
}

/// A tensor that a file lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// An unused tensor of the file that has almost this name.
    pub did_you_mean: Option<String>,
}

/// A tensor that does not have the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrongShape {
    /// Its name.
    pub name: String,
    /// The shape that the network needs.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// A tensor that no network can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotFinite {
    /// Its name.
    pub name: String,
    /// Place of the first such value.
    pub position: usize,
    /// The value in words: NaN, inf or -inf.
    pub value: String,
}

impl LoadReport {
    /// The same with the nearest unused name for each of the first missing ones. That takes time in
    /// proportion to both, so that only a report that somebody reads should get it.
    pub fn with_suggestions(mut self) -> Self {
        /// Lists that are longer, and names, come from a file of something else.
        const MOST: usize = 500;
        let unused = self.unused.iter().map(String::as_str);
        let unused: Vec<&str> = unused.filter(|name| name.len() < MOST).take(MOST).collect();
        for tensor in self.missing.iter_mut().take(MOST) {
            let nearest = suggest::closest(&tensor.name, unused.iter().copied());
            tensor.did_you_mean = nearest.first().map(|name| (*name).to_owned());
        }
        self
    }

    /// Whether the network gets everything it needs and nothing of its kind is left over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.unused.is_empty()
            && self.wrong_shape.is_empty()
            && self.not_finite.is_empty()
    }

    /// Whether all names and shapes fit, and nothing but the numbers is wrong.
    pub fn is_damaged_only(&self) -> bool {
        !self.not_finite.is_empty()
            && self.missing.is_empty()
            && self.unused.is_empty()
            && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.applied.len()
            + self.missing.len()
            + self.wrong_shape.len()
            + self.not_finite.len()
            + self.adapted.len();
        write!(
            f,
            "{} of the network's {total} tensors fit",
            self.applied.len()
        )?;
        if !self.prefix.is_empty() {
            write!(f, ", under '{}'", self.prefix.trim_end_matches('.'))?;
        }
        for other in &self.other_prefixes {
            write!(f, "; as many under '{}'", other.trim_end_matches('.'))?;
        }
        let missing = self.missing.iter().map(|tensor| {
            let near = tensor.did_you_mean.as_ref();
            let near = near.map(|near| format!(" (the file has '{near}')"));
            format!("{}{}", tensor.name, near.unwrap_or_default())
        });
        list(f, "missing", missing)?;
        list(f, "unused", self.unused.iter())?;
        let wrong = self.wrong_shape.iter().map(|tensor| {
            if tensor.expected == tensor.found {
                return format!("{}: of whole numbers", tensor.name);
            }
            format!(
                "{}: expected {:?}, found {:?}",
                tensor.name, tensor.expected, tensor.found
            )
        });
        list(f, "of the wrong shape or type", wrong)?;
        let not_finite = self.not_finite.iter().map(|tensor| {
            format!(
                "{}: {} at position {}",
                tensor.name, tensor.value, tensor.position
            )
        });
        list(
            f,
            "not finite (damaged, or of a training that diverged)",
            not_finite,
        )?;
        let adapted = self.adapted.iter().map(|tensor| {
            format!(
                "{}: {:?} made of {:?}",
                tensor.name, tensor.expected, tensor.found
            )
        });
        list(f, "adapted to the image channels", adapted)?;
        list(f, "left to start anew", self.reset.iter())?;
        if !self.outside.is_empty() {
            let count = self.outside.len();
            write!(
                f,
                "\nnot part of the network's state: {count} other tensors"
            )?;
        }
        Ok(())
    }
}

/// The first few of some lines under a title, which say enough about a list of wrong names.
fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    lines: impl ExactSizeIterator<Item = T>,
) -> fmt::Result {
    const SHOWN: usize = 5;
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    write!(f, "\n{title} ({count}):")?;
    for line in lines.take(SHOWN) {
        write!(f, "\n  {line}")?;
    }
    if count > SHOWN {
        write!(f, "\n  … and {} more", count - SHOWN)?;
    }
    Ok(())
}
