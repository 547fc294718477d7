//! Which parameters learn, from when on, and how fast.

use globset::Glob;
use residua_core::setting::SettingError;
use residua_core::suggest;
use residua_graph::{Graph, NodeId, StateEntry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules for the [stages](Graph::stages) of a network, for training that begins with the weights of
/// another task: what is near the image serves most tasks as it is. The head always learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageRules {
    /// The learning rate of a stage as a share of that of the stage after it, or of the head's (Howard
    /// and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", §3.2, take
    /// 1 / 2.6).
    pub rate_decay: f64,
    /// How many stages, counted from the image, never learn.
    pub frozen: usize,
    /// All stages are frozen at first, and the last of those that are thaws whenever so many epochs
    /// are over (gradual unfreezing: §3.3 there, with one epoch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfreeze_every: Option<u64>,
}

impl Default for StageRules {
    fn default() -> Self {
        Self {
            rate_decay: 1.0,
            frozen: 0,
            unfreeze_every: None,
        }
    }
}

impl StageRules {
    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        if !(self.rate_decay > 0.0 && self.rate_decay <= 1.0) {
            let expected = "more than 0 and at most 1";
            return Err(SettingError::value("rate_decay", self.rate_decay, expected));
        }
        if self.unfreeze_every == Some(0) {
            return Err(SettingError::value("unfreeze_every", 0, "at least 1 epoch"));
        }
        Ok(())
    }

    /// Says whether the rules suit a network that begins with random values: there is nothing in its
    /// stages to be kept.
    pub(crate) fn check_fresh(&self) -> Result<(), SettingError> {
        let (key, value) = match (self.frozen, self.unfreeze_every) {
            (0, None) => return Ok(()),
            (0, Some(every)) => ("unfreeze_every", every),
            (frozen, _) => ("frozen", frozen as u64),
        };
        let problem = format!(
            "is {value}, and the network begins with random values, which are not worth keeping; expected \
             weights to begin with (--weights FILE, and --reset-head for other classes)"
        );
        Err(SettingError::new(key, problem))
    }

    /// The same rules for a run that is `factor` times as long: what is told in epochs moves along.
    pub fn stretched(self, factor: f64) -> Self {
        let moved = |every: u64| ((every as f64 * factor).round() as u64).max(1);
        Self {
            unfreeze_every: self.unfreeze_every.map(moved),
            ..self
        }
    }

    /// For stage `stage` of `stages`.
    fn treatment(&self, stage: usize, stages: usize) -> Treatment {
        let distance = (stages - stage) as u64;
        Treatment {
            rate: self.rate_decay.powi(distance as i32),
            weight_decay: None,
            learns_from: (stage >= self.frozen)
                .then(|| self.unfreeze_every.map_or(0, |every| every * distance)),
        }
    }
}

/// Parameters that are treated alike. A parameter belongs to the first group whose names fit it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterGroup {
    /// Their names, with `*` for anything, `?` for any letter, `[12]` for one of some and `{a,b}` for
    /// one of several: `layer[12].*`, `*.bias`, `*.bn?.*`.
    pub names: String,
    /// What their learning rate is multiplied by.
    #[serde(default = "one")]
    pub rate: f64,
    /// Their weight decay, in place of the optimiser's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Whether they learn.
    #[serde(default)]
    pub frozen: Freezing,
}

fn one() -> f64 {
    1.0
}

/// When parameters do not learn. Where all parameters from the image up to some place are frozen, the
/// normalisations there use their running statistics, and leave them as they are; those of
/// other frozen parameters go on with the statistics of the batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Freezing {
    /// They learn from the first step on.
    #[default]
    Never,
    /// They stay as they are.
    Always,
    /// They learn when so many epochs are over.
    ForEpochs(u64),
}

impl ParameterGroup {
    /// Says whether the values can be used, or which cannot and what was expected.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        if let Err(failure) = Glob::new(&self.names) {
            let problem = format!(
                "is '{}', which is no pattern ({}); expected for instance layer1.*",
                self.names,
                failure.kind()
            );
            return Err(SettingError::new("names", problem));
        }
        let numbers = [
            ("rate", self.rate),
            ("weight_decay", self.weight_decay.unwrap_or(0.0)),
        ];
        let bad = |(_, value): &(&str, f64)| !(value.is_finite() && *value >= 0.0);
        match numbers.into_iter().find(bad) {
            Some((key, value)) => Err(SettingError::value(key, value, "0 or more")),
            None => Ok(()),
        }
    }
}

/// How each tensor of a network's state is treated.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterPlan {
    /// Of each entry; all alike if there are none.
    treatments: Vec<Treatment>,
}

/// How one tensor is treated.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Treatment {
    /// What its learning rate is multiplied by.
    rate: f64,
    weight_decay: Option<f64>,
    /// Epochs that are over when it begins to learn; `None` if it never does.
    learns_from: Option<u64>,
}

impl Treatment {
    /// As if there were no rules.
    const PLAIN: Self = Self {
        rate: 1.0,
        weight_decay: None,
        learns_from: Some(0),
    };

    fn in_group(self, group: &ParameterGroup) -> Self {
        let of_group = match group.frozen {
            Freezing::Never => Some(0),
            Freezing::Always => None,
            Freezing::ForEpochs(epochs) => Some(epochs),
        };
        Self {
            rate: self.rate * group.rate,
            weight_decay: group.weight_decay,
            learns_from: match (self.learns_from, of_group) {
                (Some(one), Some(other)) => Some(one.max(other)),
                _ => None,
            },
        }
    }
}

impl ParameterPlan {
    /// Everything learns, and equally fast.
    pub(crate) const ALL_ALIKE: Self = Self {
        treatments: Vec::new(),
    };

    /// By these rules for a network and the entries of its state.
    ///
    /// # Errors
    /// For a rule that fits nothing, or rules that leave nothing to learn.
    pub fn new(
        graph: &Graph,
        entries: &[StateEntry],
        stages: Option<StageRules>,
        groups: &[ParameterGroup],
    ) -> Result<Self, SettingError> {
        if stages.is_none() && groups.is_empty() {
            return Ok(Self::ALL_ALIKE);
        }
        let of_stages = stage_treatments(graph, stages.unwrap_or_default())?;
        let patterns = groups.iter().enumerate().map(|(number, group)| {
            let glob = Glob::new(&group.names);
            let glob =
                glob.map_err(|failure| of_group(number, format!("is no pattern: {failure}")));
            glob.map(|glob| glob.compile_matcher())
        });
        let patterns: Vec<_> = patterns.collect::<Result<_, _>>()?;
        let mut has_members = vec![false; groups.len()];
        let mut treatments = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut treatment = of_stages[entry.node.index()];
            let fits = |pattern: &globset::GlobMatcher| pattern.is_match(&entry.name);
            if entry.role.is_trainable()
                && let Some(group) = patterns.iter().position(fits)
            {
                has_members[group] = true;
                treatment = treatment.in_group(&groups[group]);
            }
            treatments.push(treatment);
        }
        if let Some(empty) = has_members.iter().position(|has| !has) {
            return Err(no_members(empty, groups, entries));
        }
        let mut trained =
            { entries.iter().zip(&treatments) }.filter(|(entry, _)| entry.role.is_trainable());
        if trained.all(|(_, treatment)| treatment.learns_from.is_none()) {
            let problem = "and stages freeze all parameters, and nothing is left to learn";
            return Err(SettingError::new("parameter_groups", problem));
        }
        Ok(Self { treatments })
    }

    /// Says whether anything learns in a run of so many epochs.
    pub(crate) fn check_epochs(
        &self,
        entries: &[StateEntry],
        epochs: u64,
    ) -> Result<(), SettingError> {
        let mut numbered = entries.iter().enumerate();
        if numbered.any(|(index, entry)| {
            entry.role.is_trainable() && self.learns(index, epochs.saturating_sub(1))
        }) {
            return Ok(());
        }
        let problem =
            "and stages thaw nothing before the run ends; train longer, or thaw something sooner";
        Err(SettingError::new("parameter_groups", problem))
    }

    fn of(&self, entry: usize) -> Treatment {
        self.treatments
            .get(entry)
            .copied()
            .unwrap_or(Treatment::PLAIN)
    }

    /// Whether a tensor learns in an epoch, counted from 0.
    pub(crate) fn learns(&self, entry: usize, epoch: u64) -> bool {
        self.of(entry).learns_from.is_some_and(|from| from <= epoch)
    }

    /// Epochs that are over when it begins to learn; 0 if it never does.
    pub(crate) fn learns_from(&self, entry: usize) -> u64 {
        self.of(entry).learns_from.unwrap_or(0)
    }

    /// What its learning rate is multiplied by.
    pub(crate) fn rate(&self, entry: usize) -> f64 {
        self.of(entry).rate
    }

    /// Its weight decay, if it is not the optimiser's.
    pub(crate) fn weight_decay(&self, entry: usize) -> Option<f64> {
        self.of(entry).weight_decay
    }

    /// The last cut of the network before which nothing learns in an epoch, counted from 0.
    pub(crate) fn frozen_part(
        &self,
        graph: &Graph,
        entries: &[StateEntry],
        epoch: u64,
    ) -> Option<NodeId> {
        let mut numbered = entries.iter().enumerate();
        let first =
            numbered.find(|(index, entry)| entry.role.is_trainable() && self.learns(*index, epoch));
        let first = first.map(|(_, entry)| entry.node)?;
        // Without a parameter before it there is nothing to freeze.
        let begin = entries.first()?.node;
        let cuts = graph.cuts().into_iter();
        { cuts }.rfind(|cut| *cut < first && *cut >= begin)
    }
}

/// How the parameters of each node are treated by the rules for stages.
fn stage_treatments(graph: &Graph, rules: StageRules) -> Result<Vec<Treatment>, SettingError> {
    let stages = graph.stages();
    if rules.frozen > stages.len() {
        let problem = format!(
            "is {}, and {} has {} stages; expected at most as many",
            rules.frozen,
            graph.name(),
            stages.len()
        );
        return Err(SettingError::new("frozen", problem).within("stages"));
    }
    let mut treatments = vec![Treatment::PLAIN; graph.nodes().len()];
    for (number, stage) in stages.iter().enumerate() {
        treatments[stage.clone()].fill(rules.treatment(number, stages.len()));
    }
    Ok(treatments)
}

/// What is wrong with the names of a group.
fn of_group(number: usize, problem: String) -> SettingError {
    let error = SettingError::new("names", problem);
    error.within(&number.to_string()).within("parameter_groups")
}

fn no_members(number: usize, groups: &[ParameterGroup], entries: &[StateEntry]) -> SettingError {
    let names = &groups[number].names;
    let trained = entries.iter().filter(|entry| entry.role.is_trainable());
    let known: Vec<&str> = trained.map(|entry| entry.name.as_str()).collect();
    if groups[..number].iter().any(|group| group.names == *names) {
        let problem = format!("is '{names}', as in a group before it, which takes all");
        return of_group(number, problem);
    }
    let near = suggest::closest(names, known.iter().copied());
    let some = known.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let problem = format!(
        "is '{names}', which fits no parameter that is not in a group before it{}; they are called {some} \
         and so on (`residua models show NAME` lists them)",
        suggest::did_you_mean(&near)
    );
    of_group(number, problem)
}

#[cfg(test)]
mod tests;
