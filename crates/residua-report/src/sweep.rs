//! Settings that were searched: what was tried, and what came of it.

use maud::{Markup, html};
use residua_core::task::Measure;

use crate::chart::{Axis, Bar, BarChart, Chart, CloudChart, CloudGroup, Point, Scale, Size};
use crate::measure;
use crate::number;
use crate::page::{
    Fact, Page, Section, Tone, figure, figures, key_figures, note, paragraphs, with_forms,
};
use crate::table::{Column, Table};

/// A search for settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// What the page is called.
    pub title: String,
    /// What all trials have in common, in sentences. An empty line separates paragraphs.
    pub recipe: String,
    /// What makes the figures mean less than they seem to, in sentences.
    pub warnings: Vec<String>,
    /// The figure that [`SweptTrial::score`] is.
    pub measure: Measure,
    /// What was searched.
    pub settings: Vec<SweptSetting>,
    /// The trials, the best first.
    pub trials: Vec<SweptTrial>,
    /// What to do next.
    pub commands: Vec<NextCommand>,
}

/// A setting that was searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptSetting {
    /// Its key.
    pub key: String,
    /// How its numbers become lengths.
    pub scale: Scale,
}

/// Settings that were tried.
#[derive(Debug, Clone, PartialEq)]
pub struct SweptTrial {
    /// Its number, from 0.
    pub number: u64,
    /// A value for each of [`Sweep::settings`].
    pub values: Vec<SettingValue>,
    /// The best on the validation images, by [`Sweep::measure`]; `None` where the training diverged.
    pub score: Option<f64>,
    /// The lower and the upper end of its 95 % interval, if there is one.
    pub interval: Option<[f64; 2]>,
    /// Epochs that it was trained.
    pub epochs: u64,
    /// Seconds that this took.
    pub seconds: f64,
    /// How it ended.
    pub ending: TrialEnding,
}

/// What a setting was.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// A number.
    Number(f64),
    /// Anything else, as text.
    Words(String),
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrialEnding {
    /// It was trained to its end.
    Finished,
    /// Others were better before its end.
    LeftBehind,
    /// Its loss became no number any more.
    Diverged,
}

/// A command line and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextCommand {
    /// What it does, in half a sentence.
    pub purpose: String,
    /// What to type.
    pub line: String,
}

impl TrialEnding {
    fn words(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::LeftBehind => "left behind",
            Self::Diverged => "diverged",
        }
    }
}

impl SettingValue {
    fn text(&self) -> String {
        match self {
            Self::Number(value) => value.to_string(),
            Self::Words(text) => text.clone(),
        }
    }
}

impl Sweep {
    /// The trials with their settings, the best first.
    pub fn table(&self) -> Table {
        let mut columns = vec![
            Column::figures("trial"),
            Column::figures(measure::column(self.measure)),
            Column::figures("95 % interval"),
        ];
        columns.extend(self.settings.iter().enumerate().map(|(index, setting)| {
            match self.is_numeric(index) {
                true => Column::figures(&setting.key),
                false => Column::words(&setting.key),
            }
        }));
        columns.extend([
            Column::figures("epochs"),
            Column::figures("minutes"),
            Column::words("ending"),
        ]);
        let rows = self.trials.iter().map(|trial| {
            let written = |score| measure::cell(self.measure, score);
            let interval = trial
                .interval
                .map(|[lower, upper]| format!("{} to {}", written(lower), written(upper)));
            let mut row = vec![
                trial.number.to_string(),
                number::optional(trial.score, written),
                interval.unwrap_or_else(|| number::NONE.to_owned()),
            ];
            row.extend(trial.values.iter().map(SettingValue::text));
            row.extend([
                trial.epochs.to_string(),
                number::significant(trial.seconds / 60.0),
                trial.ending.words().to_owned(),
            ]);
            row
        });
        Table {
            caption: "Trials, the best first".to_owned(),
            columns,
            rows: rows.collect(),
            note: Some(self.note_on_scores()),
        }
    }

    fn note_on_scores(&self) -> String {
        let (score, figure) = match self.measure {
            Measure::Accuracy => ("Accuracy: ", "accuracy"),
            Measure::RocAuc => ("ROC-AUC: the mean over classes, ", "area"),
        };
        format!(
            "{score}the best of a trial's epochs, on the images that all trials were validated on. Intervals \
             are those of the {figure} of one network on other images of the same kind; they do not \
             account for the choice among trials."
        )
    }

    /// The score against each setting, in their order. Trials that diverged have no place.
    pub fn figures(&self) -> Vec<Chart> {
        let indices = 0..self.settings.len();
        indices.map(|index| self.chart(index)).collect()
    }

    /// The page, as an HTML document that needs no other file.
    pub fn html(&self) -> String {
        let charts = self.figures();
        let charts: Vec<Markup> = { charts.iter() }
            .map(|chart| figure(chart, chart.title()))
            .collect();
        let page = Page {
            kind: "Search for settings".to_owned(),
            heading: self.title.clone(),
            head: self.head(),
            sections: vec![
                Section::new("Trials", with_forms(&self.table())),
                Section::new("Settings", figures(&charts)),
                Section::new(
                    "What to do next",
                    html! {
                        @for command in &self.commands {
                            p { (command.purpose) ":" }
                            pre tabindex="0" { code { (command.line) } }
                        }
                    },
                ),
            ],
        };
        page.html()
    }

    fn head(&self) -> Markup {
        html! {
            p.lead { (number::counted(self.trials.len() as u64, "trial", "trials")) "." }
            (paragraphs(&self.recipe))
            (key_figures(&self.key_figures()))
            (note(Tone::Warning, &self.warnings))
        }
    }

    fn key_figures(&self) -> Vec<Fact> {
        let best = self.trials.first();
        let Some((best, score)) = best.and_then(|best| Some((best, best.score?))) else {
            return Vec::new();
        };
        let name = format!("Best {}", self.measure.name());
        let mut facts = vec![
            Fact::new(name, number::score(self.measure, score))
                .with_detail(format!("trial {}", best.number)),
        ];
        let settings = self.settings.iter().zip(&best.values);
        facts.extend(settings.map(|(setting, value)| Fact::new(&setting.key, value.text())));
        facts
    }

    fn is_numeric(&self, setting: usize) -> bool {
        let mut values = self.trials.iter().map(|trial| trial.values.get(setting));
        values.all(|value| matches!(value, Some(SettingValue::Number(_))))
    }

    fn chart(&self, setting: usize) -> Chart {
        match self.is_numeric(setting) {
            true => self.against_numbers(setting),
            false => self.for_each_word(setting),
        }
    }

    fn against_numbers(&self, setting: usize) -> Chart {
        let SweptSetting { key, scale } = &self.settings[setting];
        let group = |ending: TrialEnding| {
            let own = self.trials.iter().filter(|trial| trial.ending == ending);
            let points = own.filter_map(|trial| match trial.values[setting] {
                SettingValue::Number(value) => Some(Point::new(value, trial.score?)),
                SettingValue::Words(_) => None,
            });
            CloudGroup {
                name: ending.words().to_owned(),
                points: points.collect(),
            }
        };
        let groups = [TrialEnding::Finished, TrialEnding::LeftBehind].map(group);
        let groups = groups.into_iter().filter(|group| !group.points.is_empty());
        CloudChart {
            title: format!("{} against {key}", measure::title(self.measure)),
            horizontal: Axis::new(key).scaled(*scale),
            vertical: Axis::new(format!("validation {}", self.measure.name()))
                .written(measure::unit(self.measure)),
            groups: groups.collect(),
            size: Size::COLUMN,
        }
        .into()
    }

    /// The best score with each value.
    fn for_each_word(&self, setting: usize) -> Chart {
        let key = &self.settings[setting].key;
        let mut bars: Vec<Bar> = Vec::new();
        for trial in &self.trials {
            let name = trial
                .values
                .get(setting)
                .map_or_else(String::new, SettingValue::text);
            let value = trial.score;
            match bars.iter_mut().find(|bar| bar.name == name) {
                Some(bar) if value > bar.value => bar.value = value,
                Some(_) => {}
                None => bars.push(Bar { name, value }),
            }
        }
        bars.sort_by(|one, other| one.name.cmp(&other.name));
        let name = self.measure.name();
        BarChart {
            title: format!("Best {name} for each {key}"),
            label: format!("best validation {name} for each {key}"),
            unit: measure::unit(self.measure),
            bars,
            reference: None,
        }
        .into()
    }
}
