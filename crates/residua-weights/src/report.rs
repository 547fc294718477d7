//! How a weight file fits a network.

use std::collections::HashSet;
use std::fmt;

use residua_core::suggest;
use residua_graph::{Graph, StateRole};
use serde::Serialize;

use crate::tensor_file::{TensorFile, Values};

/// What of a file fits a network. Names are `state_dict` keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Tensors that fit.
    pub applied: Vec<String>,
    /// Tensors that the network needs and the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the network has no place for.
    pub unused: Vec<String>,
    /// Tensors with the right name and a wrong shape or type.
    pub wrong_shape: Vec<WrongShape>,
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

impl LoadReport {
    /// Whether the network gets everything it needs and nothing is left over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unused.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A damaged name list says enough after a few.
        const SHOWN: usize = 5;
        let total = self.applied.len() + self.missing.len() + self.wrong_shape.len();
        write!(f, "{} of {total} tensors fit", self.applied.len())?;
        let mut list = |title: &str, lines: Vec<String>| -> fmt::Result {
            if lines.is_empty() {
                return Ok(());
            }
            write!(f, "\n{title} ({}):", lines.len())?;
            for line in lines.iter().take(SHOWN) {
                write!(f, "\n  {line}")?;
            }
            if lines.len() > SHOWN {
                write!(f, "\n  … and {} more", lines.len() - SHOWN)?;
            }
            Ok(())
        };
        let unused: Vec<&str> = self.unused.iter().map(String::as_str).collect();
        let missing = self.missing.iter().map(|name| {
            let near = suggest::closest(name, unused.iter().copied());
            let near = near.first().map(|near| format!(" (the file has '{near}')"));
            format!("{name}{}", near.unwrap_or_default())
        });
        list("missing", missing.collect())?;
        list("unused", self.unused.clone())?;
        let wrong = self.wrong_shape.iter().map(|tensor| {
            format!(
                "{}: expected {:?}, found {:?}",
                tensor.name, tensor.expected, tensor.found
            )
        });
        list("of the wrong shape", wrong.collect())
    }
}

/// Matches a file with the state of a network.
///
/// `num_batches_tracked` is optional: old checkpoints lack it, and nothing depends on it.
pub fn fit(graph: &Graph, file: &TensorFile) -> LoadReport {
    let tensors = file.by_name();
    let mut report = LoadReport::default();
    let mut known = HashSet::new();
    for entry in graph.state() {
        let integer = entry.role == StateRole::BatchCount;
        match tensors.get(entry.name.as_str()) {
            None if integer => {}
            None => report.missing.push(entry.name.clone()),
            Some(tensor)
                if tensor.shape == entry.shape
                    && matches!(tensor.values, Values::Integer(_)) == integer =>
            {
                report.applied.push(entry.name.clone());
            }
            Some(tensor) => report.wrong_shape.push(WrongShape {
                name: entry.name.clone(),
                expected: entry.shape.clone(),
                found: tensor.shape.clone(),
            }),
        }
        known.insert(entry.name);
    }
    let names = file.tensors.iter().map(|tensor| tensor.name.clone());
    report.unused = names.filter(|name| !known.contains(name)).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_file::NamedTensor;
    use residua_graph::catalog::{self, BuildOptions};

    fn complete(graph: &Graph) -> TensorFile {
        let tensors = graph.state().into_iter().map(|entry| match entry.role {
            StateRole::BatchCount => NamedTensor::integer(entry.name, 0),
            _ => NamedTensor::float(
                entry.name.clone(),
                &entry.shape,
                vec![0.5; entry.elements()],
            ),
        });
        TensorFile {
            tensors: tensors.collect(),
            ..TensorFile::default()
        }
    }

    fn resnet20() -> Graph {
        catalog::build("resnet20", &BuildOptions::default()).unwrap()
    }

    #[test]
    fn a_complete_file_fits() {
        let graph = resnet20();
        let report = fit(&graph, &complete(&graph));
        assert!(report.is_complete());
        assert_eq!(report.applied.len(), graph.state().len());
    }

    #[test]
    fn the_batch_count_may_be_absent() {
        let graph = resnet20();
        let mut file = complete(&graph);
        file.tensors
            .retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
        assert!(fit(&graph, &file).is_complete());
    }

    #[test]
    fn every_kind_of_misfit_is_reported() {
        let graph = resnet20();
        let mut file = complete(&graph);
        for tensor in &mut file.tensors {
            match tensor.name.as_str() {
                "linear.weight" => tensor.shape = vec![64, 10],
                "conv1.weight" => tensor.name = "conv_1.weight".into(),
                _ => {}
            }
        }
        let report = fit(&graph, &file);
        assert_eq!(report.missing, ["conv1.weight"]);
        assert_eq!(report.unused, ["conv_1.weight"]);
        assert_eq!(report.wrong_shape[0].name, "linear.weight");
        let text = report.to_string();
        assert!(
            text.contains("conv1.weight (the file has 'conv_1.weight')"),
            "{text}"
        );
        assert!(
            text.contains("linear.weight: expected [10, 64], found [64, 10]"),
            "{text}"
        );
    }
}
