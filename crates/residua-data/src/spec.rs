//! How data are named on the command line and in configuration files.

use std::fmt;
use std::io;
use std::path::{self, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which data are meant: `builtin`, `cifar10:DIR` or `folder:DIR`.
///
/// It reads and prints as that text, also in serialised form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl DataSpec {
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
        })
    }
}

/// A text that names no data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{given}\" names no data; expected builtin, cifar10:DIR or folder:DIR{hint}")]
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
        let Some((kind, folder)) = text.split_once(':') else {
            return Err(refuse(match text {
                "" => String::new(),
                "cifar10" | "folder" => format!(" (the folder is missing: {text}:DIR)"),
                path => format!(" (for a folder of images: folder:{path})"),
            }));
        };
        if folder.is_empty() {
            return Err(refuse(
                " (the folder is missing after the colon)".to_owned(),
            ));
        }
        let folder = PathBuf::from(folder);
        match kind {
            "cifar10" => Ok(Self::Cifar10 { folder }),
            "folder" => Ok(Self::Folder { folder }),
            _ => Err(refuse(String::new())),
        }
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => formatter.write_str("builtin"),
            Self::Cifar10 { folder } => write!(formatter, "cifar10:{}", folder.display()),
            Self::Folder { folder } => write!(formatter, "folder:{}", folder.display()),
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
        for text in ["builtin", "cifar10:data/cifar", "folder:C:/pets"] {
            let spec: DataSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), text);
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<DataSpec>(&json).unwrap(), spec);
        }
    }

    #[test]
    fn other_names_say_what_was_expected() {
        let message = |text: &str| text.parse::<DataSpec>().unwrap_err().to_string();
        assert_eq!(
            message("imagenet:/data"),
            "\"imagenet:/data\" names no data; expected builtin, cifar10:DIR or folder:DIR"
        );
        assert_eq!(
            message("pets"),
            "\"pets\" names no data; expected builtin, cifar10:DIR or folder:DIR \
             (for a folder of images: folder:pets)"
        );
        assert!(message("cifar10").ends_with("(the folder is missing: cifar10:DIR)"));
        assert!(message("folder:").ends_with("(the folder is missing after the colon)"));
    }
}
