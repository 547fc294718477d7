//! Names of classes, layers and files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use residua::core::model_record::ModelRecord;
use residua::core::suggest;
use residua::graph::{Graph, NodeId};

use crate::failure::Failure;

/// A class by its name, or else by its number.
pub(super) fn class_index(record: &ModelRecord, text: &str) -> Result<usize, Failure> {
    if let Some(index) = record.classes.iter().position(|class| class == text) {
        return Ok(index);
    }
    match text.parse::<usize>() {
        Ok(number) if number < record.classes.len() => Ok(number),
        _ => {
            let near = suggest::closest(text, record.classes.iter().map(String::as_str));
            Err(Failure::bad_input(format!(
                "there is no class '{text}' among the {} of this network{}",
                record.classes.len(),
                suggest::did_you_mean(&near)
            )))
        }
    }
}

/// A layer, or the last one of a part such as `layer3`.
pub(crate) fn layer(graph: &Graph, name: &str) -> Result<NodeId, Failure> {
    graph.find(name).ok_or_else(|| {
        let names = graph.nodes().iter().map(|node| node.name.as_str());
        let near = suggest::closest(name, names);
        Failure::bad_input(format!(
            "{} has no layer '{name}'{}; `residua models show {}` lists all",
            graph.name(),
            suggest::did_you_mean(&near),
            graph.name()
        ))
    })
}

/// The files of one explanation.
pub(super) struct Files {
    pub(super) overlay: PathBuf,
    pub(super) map: PathBuf,
}

/// Gives the files of each explanation names that nobody has yet.
pub(super) struct OutputNames<'a> {
    folder: &'a Path,
    used: HashSet<String>,
}

impl<'a> OutputNames<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            used: HashSet::new(),
        }
    }

    /// `cat.gradcam.tabby.png`; with a number where two pictures have the same name.
    pub(super) fn next(&mut self, image: &Path, method: &str, class: &str) -> Files {
        let stem = image.file_stem().unwrap_or_default().to_string_lossy();
        let harmless = |character: char| match character {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            other if other.is_control() || other.is_whitespace() => '_',
            other => other,
        };
        let class: String = class.chars().take(40).map(harmless).collect();
        let name = format!("{stem}.{method}.{class}");
        let numbered = (2..).map(|number| format!("{name}.{number}"));
        let mut candidates = std::iter::once(name.clone()).chain(numbered);
        let free = candidates.find(|name| self.used.insert(name.clone()));
        let name = free.unwrap_or(name);
        Files {
            overlay: self.folder.join(format!("{name}.png")),
            map: self.folder.join(format!("{name}.npy")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_name_do_not_overwrite_each_other() {
        let mut names = OutputNames::new(Path::new("out"));
        let mut next = |image: &str| names.next(Path::new(image), "gradcam", "a/b c").overlay;
        assert_eq!(next("x/cat.jpg"), Path::new("out/cat.gradcam.a_b_c.png"));
        assert_eq!(next("y/cat.jpg"), Path::new("out/cat.gradcam.a_b_c.2.png"));
    }
}
