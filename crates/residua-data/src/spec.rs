//! How data are named on the command line and in configuration files.

use std::fmt;
use std::io;
use std::path::{self, PathBuf};
use std::str::FromStr;

use residua_core::suggest::{closest, did_you_mean};
use residua_core::task::Task;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{npz, spreadsheet};

/// Which data are meant: `builtin`, `cifar10:DIR`, `folder:DIR`, `csv:FILE`, `npz:FILE` or
/// `idx:DIR`.
///
/// It reads and prints as that text, also in serialised form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum DataSpec {
    /// The 2,000 training and 500 test images of CIFAR-10 that are part of the program.
    Builtin,
    /// CIFAR-10 in its official binary files.
    Cifar10 {
        /// The folder that holds them: plain, xz-compressed or in the official archive.
        folder: PathBuf,
    },
    /// Image files, one folder per class.
    Folder {
        /// The folder that holds `train`, `val` and `test`, or the class folders themselves.
        folder: PathBuf,
    },
    /// Image files that a spreadsheet lists with their labels (see
    /// [`spreadsheet`]).
    Csv {
        /// The spreadsheet.
        file: PathBuf,
    },
    /// The arrays of a NumPy archive, as MedMNIST has them (see [`npz`]).
    Npz {
        /// The archive.
        file: PathBuf,
    },
    /// MNIST and data sets in its form (see [`idx`](crate::idx)).
    Idx {
        /// The folder that holds the four files.
        folder: PathBuf,
    },
}

/// Data that are at a place.
struct Kind {
    name: &'static str,
    place: Place,
    at: fn(PathBuf) -> DataSpec,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "cifar10",
        place: Place::Folder,
        at: |folder| DataSpec::Cifar10 { folder },
    },
    Kind {
        name: "folder",
        place: Place::Folder,
        at: |folder| DataSpec::Folder { folder },
    },
    Kind {
        name: "csv",
        place: Place::File,
        at: |file| DataSpec::Csv { file },
    },
    Kind {
        name: "npz",
        place: Place::File,
        at: |file| DataSpec::Npz { file },
    },
    Kind {
        name: "idx",
        place: Place::Folder,
        at: |folder| DataSpec::Idx { folder },
    },
];

/// What a name of data expects behind its colon. It prints as a word.
#[derive(Clone, Copy)]
enum Place {
    Folder,
    File,
}

impl Place {
    fn symbol(self) -> &'static str {
        match self {
            Self::Folder => "DIR",
            Self::File => "FILE",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Folder => "folder",
            Self::File => "file",
        })
    }
}

impl DataSpec {
    /// What is asked about the images, as far as can be told before they are listed: a spreadsheet
    /// says it in its first line, a NumPy archive by the shape of its labels, and data of other forms
    /// have one class for each image. A file that cannot be read is taken to have one, too.
    pub fn task(&self) -> Task {
        match self {
            Self::Csv { file } => spreadsheet::task(file),
            Self::Npz { file } => npz::task(file),
            _ => Task::SingleLabel,
        }
    }

    /// The same data, named so that it can be found from any working folder.
    ///
    /// # Errors
    /// When the working folder itself cannot be found.
    pub fn absolute(self) -> io::Result<Self> {
        Ok(match self {
            Self::Builtin => Self::Builtin,
            Self::Cifar10 { folder } => Self::Cifar10 {
                folder: path::absolute(folder)?,
            },
            Self::Folder { folder } => Self::Folder {
                folder: path::absolute(folder)?,
            },
            Self::Csv { file } => Self::Csv {
                file: path::absolute(file)?,
            },
            Self::Npz { file } => Self::Npz {
                file: path::absolute(file)?,
            },
            Self::Idx { folder } => Self::Idx {
                folder: path::absolute(folder)?,
            },
        })
    }
}

/// A text that names no data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "\"{given}\" names no data; expected builtin, cifar10:DIR, folder:DIR, csv:FILE, npz:FILE or \
     idx:DIR{hint}"
)]
pub struct ParseDataSpecError {
    given: String,
    hint: String,
}

impl FromStr for DataSpec {
    type Err = ParseDataSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |hint: String| ParseDataSpecError {
            given: text.to_owned(),
            hint,
        };
        if text == "builtin" {
            return Ok(Self::Builtin);
        }
        let Some((kind, place)) = text.split_once(':') else {
            return Err(refuse(hint_without_place(text)));
        };
        let Some(kind) = KINDS.iter().find(|known| known.name == kind) else {
            let names = KINDS.iter().map(|kind| kind.name);
            return Err(refuse(did_you_mean(&closest(kind, names))));
        };
        if place.is_empty() {
            return Err(refuse(format!(
                " (the {} is missing after the colon)",
                kind.place
            )));
        }
        Ok((kind.at)(PathBuf::from(place)))
    }
}

/// What may have been meant by a text without a colon.
fn hint_without_place(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == text) {
        let symbol = kind.place.symbol();
        return format!(" (the {} is missing: {text}:{symbol})", kind.place);
    }
    let lower = text.to_lowercase();
    if lower.ends_with(".csv") || lower.ends_with(".tsv") {
        return format!(" (for a spreadsheet of labels: csv:{text})");
    }
    if lower.ends_with(".npz") {
        return format!(" (for a NumPy archive: npz:{text})");
    }
    match closest(text, ["builtin"]).as_slice() {
        [] => format!(" (for a folder of images: folder:{text})"),
        names => did_you_mean(names),
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => formatter.write_str("builtin"),
            Self::Cifar10 { folder } => write!(formatter, "cifar10:{}", folder.display()),
            Self::Folder { folder } => write!(formatter, "folder:{}", folder.display()),
            Self::Csv { file } => write!(formatter, "csv:{}", file.display()),
            Self::Npz { file } => write!(formatter, "npz:{}", file.display()),
            Self::Idx { folder } => write!(formatter, "idx:{}", folder.display()),
        }
    }
}

impl TryFrom<String> for DataSpec {
    type Error = ParseDataSpecError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DataSpec> for String {
    fn from(spec: DataSpec) -> Self {
        spec.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_printed() {
        for text in [
            "builtin",
            "cifar10:data/cifar",
            "folder:C:/pets",
            "csv:scans/labels.csv",
            "npz:C:/bloodmnist.npz",
            "idx:fashion",
        ] {
            let spec: DataSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<DataSpec>(&json).unwrap(), spec);
        }
    }

    #[test]
    fn places_become_absolute() {
        for text in ["cifar10:a", "folder:a", "csv:a", "npz:a", "idx:a"] {
            let spec: DataSpec = text.parse().unwrap();
            let absolute = spec.clone().absolute().unwrap();
            let expected = path::absolute("a").unwrap();
            let kind = text.split_once(':').unwrap().0;
            assert_eq!(
                absolute.to_string(),
                format!("{kind}:{}", expected.display())
            );
            assert_eq!(absolute.clone().absolute().unwrap(), absolute);
        }
        assert_eq!(DataSpec::Builtin.absolute().unwrap(), DataSpec::Builtin);
    }

    #[test]
    fn other_names_say_what_was_expected() {
        let message = |text: &str| text.parse::<DataSpec>().unwrap_err().to_string();
        assert_eq!(
            message("imagenet:/data"),
            "\"imagenet:/data\" names no data; expected builtin, cifar10:DIR, folder:DIR, \
             csv:FILE, npz:FILE or idx:DIR"
        );
        for (text, hint) in [
            ("pets", "DIR (for a folder of images: folder:pets)"),
            (
                "a/Labels.CSV",
                "DIR (for a spreadsheet of labels: csv:a/Labels.CSV)",
            ),
            ("b.npz", "DIR (for a NumPy archive: npz:b.npz)"),
            ("bultin", "DIR; did you mean 'builtin'?"),
            ("cifar:data", "DIR; did you mean 'cifar10'?"),
            ("folders:data", "DIR; did you mean 'folder'?"),
            ("cifar10", "(the folder is missing: cifar10:DIR)"),
            ("csv", "(the file is missing: csv:FILE)"),
            ("folder:", "(the folder is missing after the colon)"),
            ("npz:", "(the file is missing after the colon)"),
            ("", "or idx:DIR"),
        ] {
            let message = message(text);
            assert!(message.ends_with(hint), "{message}");
        }
    }
}
