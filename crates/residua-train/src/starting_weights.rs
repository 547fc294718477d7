//! Starting from the weights of a file rather than from fresh values.

use std::path::PathBuf;

use burn::tensor::Device;
use residua_core::seed::SeedStream;
use residua_core::setting::SettingError;
use residua_graph::Graph;
use residua_weights::{LoadReport, TensorFile, fit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::without_training_state;
use crate::error::TrainError;
use crate::network::{Network, other_networks};

/// A weight file whose values a network has before its first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartingWeights {
    /// The file.
    pub file: PathBuf,
    /// What becomes of the last layer.
    #[serde(default)]
    pub head: HeadRule,
    /// What becomes of tensors that do not fit.
    #[serde(default)]
    pub misfits: MisfitRule,
}

/// What becomes of the layer that makes classes out of features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeadRule {
    /// It is taken from the file like all others.
    #[default]
    Keep,
    /// It starts anew, for other classes than those of the file.
    Reset,
}

/// What becomes of tensors that are missing in the file, too many in it, or of another shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MisfitRule {
    /// They are an error.
    #[default]
    Refuse,
    /// They are left out, and layers without values start anew. At least one tensor must fit.
    LeaveOut,
}

impl StartingWeights {
    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        match self.file.as_os_str().is_empty() {
            true => Err(SettingError::new(
                "file",
                "is empty; expected a weight file",
            )),
            false => Ok(()),
        }
    }

    /// A network with the values of the file, and fresh ones where the rules say so.
    ///
    /// # Errors
    /// When the file is damaged or does not fit the network as the rules ask.
    pub(crate) fn network(
        &self,
        graph: Graph,
        seed: SeedStream,
        device: &Device,
    ) -> Result<(Network, LoadReport), TrainError> {
        let file = without_training_state(TensorFile::read(&self.file)?);
        let mut fit = fit(&graph, &file);
        fit.adapt_input(&graph, &file);
        if let (HeadRule::Reset, Some(head)) = (self.head, graph.head()) {
            let state = graph.state_of(head);
            fit.reset(|name| state.iter().any(|entry| entry.name == name));
        }
        let fits = match self.misfits {
            MisfitRule::Refuse => fit.report.is_complete(),
            MisfitRule::LeaveOut => !fit.report.applied.is_empty(),
        };
        if !fits {
            return Err(TrainError::WeightsDoNotFit {
                model: graph.name().to_owned(),
                file: self.file.clone(),
                advice: self.advice(&graph, &fit.report, &file),
                report: Box::new(fit.report.with_suggestions()),
            });
        }
        let network = Network::start_from(graph, &fit, seed, device)?;
        Ok((network, fit.report))
    }

    /// How a misfit can be mended.
    fn advice(&self, graph: &Graph, report: &LoadReport, file: &TensorFile) -> String {
        let head = graph.head().map(|head| graph.state_of(head));
        let is_of_head = |name: &str| head.iter().flatten().any(|entry| entry.name == name);
        let wrong = report.wrong_shape.iter().map(|tensor| &tensor.name);
        let missing = report.missing.iter().map(|tensor| &tensor.name);
        let mut misfits = wrong.chain(missing).peekable();
        let only_the_head = misfits.peek().is_some() && misfits.all(|name| is_of_head(name));
        if !report.not_finite.is_empty() {
            return "no network can use such numbers; fetch the file again, or take an earlier one"
                .to_owned();
        }
        match self.misfits {
            MisfitRule::Refuse if only_the_head && report.unused.is_empty() => {
                "for other classes than those of the file, --reset-head gives the network a new \
                 last layer"
                    .to_owned()
            }
            _ if report.applied.is_empty() => other_networks(file),
            _ => format!(
                "{}; --allow-partial takes what fits and starts the rest anew",
                other_networks(file)
            ),
        }
    }
}
