//! What came of a trial.

use std::path::PathBuf;

use residua::core::run::{RunFolder, RunMetrics};
use residua::core::task::Measure;
use residua::report::comparison::EpochPoint;
use residua::report::sweep::{SettingValue, SweptTrial, TrialEnding};
use residua::train::search::ChosenSetting;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::commands::run_set::epoch_points;
use crate::failure::Failure;

/// A trial that was trained as far as it should be; in `sweep.json` as it is here.
#[derive(Serialize)]
pub(super) struct Trial {
    pub(super) number: u64,
    /// Its folder.
    pub(super) run: PathBuf,
    #[serde(serialize_with = "as_map")]
    pub(super) settings: Vec<ChosenSetting>,
    #[serde(flatten)]
    pub(super) score: Score,
    /// Its confidence interval, where the trial was trained to its end.
    pub(super) interval: Option<[f64; 2]>,
    /// Epochs trained.
    pub(super) epochs: u64,
    pub(super) seconds: f64,
    pub(super) ending: EndingName,
    #[serde(skip)]
    pub(super) metrics: Option<RunMetrics>,
}

/// The best validation of a trial, under the name of its figure; null where it diverged.
pub(super) struct Score {
    pub(super) measure: Measure,
    pub(super) value: Option<f64>,
}

impl Score {
    /// As people read it.
    pub(super) fn written(&self) -> String {
        let written = |value| self.measure.written(value);
        self.value.map_or_else(String::new, written)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.measure.key(), &self.value)?;
        map.end()
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EndingName {
    Finished,
    LeftBehind,
    Diverged,
}

impl From<EndingName> for TrialEnding {
    fn from(name: EndingName) -> Self {
        match name {
            EndingName::Finished => Self::Finished,
            EndingName::LeftBehind => Self::LeftBehind,
            EndingName::Diverged => Self::Diverged,
        }
    }
}

fn as_map<S: Serializer>(settings: &[ChosenSetting], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(settings.len()))?;
    for setting in settings {
        map.serialize_entry(&setting.key, &setting.value)?;
    }
    map.end()
}

impl Trial {
    pub(super) fn read(
        number: u64,
        settings: Vec<ChosenSetting>,
        folder: &RunFolder,
        measure: Measure,
        has_diverged: bool,
    ) -> Result<Self, Failure> {
        let points = epoch_points(folder)?;
        let metrics = match folder.metrics().is_file() {
            true => Some(folder.read_metrics().map_err(Failure::bad_input)?),
            false => None,
        };
        let best = points.iter().map(EpochPoint::score).reduce(f64::max);
        let interval = metrics.as_ref().and_then(RunMetrics::score_interval);
        let interval = interval.and_then(|interval| Some([interval.lower?, interval.upper?]));
        Ok(Self {
            number,
            run: folder.root().to_owned(),
            settings,
            score: Score {
                measure,
                value: best.filter(|_| !has_diverged),
            },
            interval,
            epochs: points.last().map_or(0, |last| last.epoch),
            seconds: points.last().map_or(0.0, |last| last.seconds_since_start),
            ending: match (has_diverged, &metrics) {
                (true, _) => EndingName::Diverged,
                (false, Some(_)) => EndingName::Finished,
                (false, None) => EndingName::LeftBehind,
            },
            metrics,
        })
    }

    pub(super) fn swept(&self) -> SweptTrial {
        SweptTrial {
            number: self.number,
            values: self.settings.iter().map(value).collect(),
            score: self.score.value,
            interval: self.interval,
            epochs: self.epochs,
            seconds: self.seconds,
            ending: self.ending.into(),
        }
    }
}

fn value(setting: &ChosenSetting) -> SettingValue {
    let value = &setting.value;
    match (value.as_float(), value.as_integer(), value.as_str()) {
        (Some(number), ..) => SettingValue::Number(number),
        (_, Some(number), _) => SettingValue::Number(number as f64),
        (.., Some(text)) => SettingValue::Words(text.to_owned()),
        _ => SettingValue::Words(value.to_string()),
    }
}
