//! What came of a search: table, page, figures, JSON.

use std::path::{Path, PathBuf};

use residua::core::task::Measure;
use residua::report::chart::Scale;
use residua::report::sweep::{NextCommand, Sweep, SweptSetting};
use residua::train::search::{Range, SearchMethod, SearchedSetting};
use serde::Serialize;

use super::Search;
use super::trial::Trial;
use crate::commands::page_folder::PageFolder;
use crate::commands::settings_line;
use crate::commands::train::program;
use crate::failure::Failure;
use crate::output::{grouped, write_file};

/// The result of a search, and where it goes.
pub(super) struct SweepResult<'a> {
    out: &'a Path,
    page: PathBuf,
    search: SearchReport,
    trials: Vec<Trial>,
    sweep: Sweep,
}

/// `residua.sweep/1`, or `residua.sweep-labels/1` where images show any number of classes.
#[derive(Serialize)]
pub(super) struct SweepReport<'a> {
    schema: &'static str,
    page: &'a Path,
    search: &'a SearchReport,
    /// What makes the figures mean less than they seem to.
    warnings: &'a [String],
    /// The best first.
    trials: &'a [Trial],
    next: Vec<CommandReport<'a>>,
}

#[derive(Serialize)]
struct SearchReport {
    method: &'static str,
    /// The key of the figure that trials are compared by.
    measure: &'static str,
    trials: u64,
    seed: u64,
}

#[derive(Serialize)]
struct CommandReport<'a> {
    purpose: &'a str,
    command: &'a str,
}

impl<'a> SweepResult<'a> {
    /// `trials` are sorted, the best first, and `notes` are about those that diverged.
    pub(super) fn of(
        search: &Search<'a>,
        trials: Vec<Trial>,
        notes: Vec<String>,
    ) -> Result<Self, Failure> {
        let space = &search.space;
        let way = match space.method {
            SearchMethod::Random => "",
            _ => "; the worst trials were left behind on the way (successive halving)",
        };
        let recipe = format!(
            "Settings were drawn at random from the search space{way}. They took the place of these: {}, \
             {}.",
            search.base.model,
            settings_line(&search.base)
        );
        let split = { trials.iter() }.find_map(|trial| Some(&trial.metrics.as_ref()?.split));
        let is_on_test = split.is_some_and(|split| split == "test");
        let mut warnings = notes;
        warnings.extend(optimism(&trials, search.measure, is_on_test));
        let sweep = Sweep {
            title: "Settings searched".to_owned(),
            recipe,
            warnings,
            measure: search.measure,
            settings: space.settings.iter().map(swept_setting).collect(),
            trials: trials.iter().map(Trial::swept).collect(),
            commands: commands(&trials, search.base.seed, is_on_test),
        };
        Ok(Self {
            out: search.out,
            page: search.out.join("index.html"),
            search: SearchReport {
                method: space.method.name(),
                measure: search.measure.key(),
                trials: space.trials,
                seed: space.seed,
            },
            trials,
            sweep,
        })
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.sweep.warnings
    }

    /// The page, the table in four forms, the figures in two, and `sweep.json`.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let folder = PageFolder {
            html: self.sweep.html(),
            tables: vec![self.sweep.table()],
            figures: self.sweep.figures(),
        };
        folder.write(self.out)?;
        let json = serde_json::to_string_pretty(&self.json()).map_err(Failure::failed)?;
        write_file(&self.out.join("sweep.json"), format!("{json}\n").as_bytes())
    }

    pub(super) fn json(&self) -> SweepReport<'_> {
        let commands = self.sweep.commands.iter();
        let next = commands.map(|command| CommandReport {
            purpose: &command.purpose,
            command: &command.line,
        });
        SweepReport {
            schema: match self.sweep.measure {
                Measure::Accuracy => "residua.sweep/1",
                Measure::RocAuc => "residua.sweep-labels/1",
            },
            page: &self.page,
            search: &self.search,
            warnings: &self.sweep.warnings,
            trials: &self.trials,
            next: next.collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.sweep.table().markdown();
        text += "\nNext:\n";
        for command in &self.sweep.commands {
            text += &format!("  {}\n      {}\n", command.line, command.purpose);
        }
        text + &format!("Page: {}\n", self.page.display())
    }
}

fn swept_setting(setting: &SearchedSetting) -> SweptSetting {
    SweptSetting {
        key: setting.key.clone(),
        scale: scale(&setting.range),
    }
}

/// Ratios count where they did in the search, and among choices that are far apart.
fn scale(range: &Range) -> Scale {
    /// Choices whose largest is so many times the smallest.
    const FAR: f64 = 50.0;
    let numbers: Vec<f64> = match range {
        Range::LogUniform(_) => return Scale::Logarithmic,
        Range::Choice(values) => { values.iter() }
            .filter_map(|value| {
                let whole = value.as_integer().map(|whole| whole as f64);
                value.as_float().or(whole)
            })
            .collect(),
        _ => return Scale::Linear,
    };
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    match least > 0.0 && most >= FAR * least {
        true => Scale::Logarithmic,
        false => Scale::Linear,
    }
}

/// What the best of many is worth.
fn optimism(trials: &[Trial], measure: Measure, is_on_test: bool) -> Vec<String> {
    let judged = { trials.iter() }.filter(|trial| trial.score.value.is_some());
    let judged = judged.count();
    let images = { trials.iter() }.find_map(|trial| Some(trial.metrics.as_ref()?.images()));
    let images = images.map_or_else(
        || "images".to_owned(),
        |images| format!("{} images", grouped(images)),
    );
    let mut warnings = Vec::new();
    if judged > 1 {
        warnings.push(format!(
            "The best of {judged} trials was chosen by its {} on the same {images} that it was validated \
             on, so that figure is too good: some trials are best by luck. Judge it by images that had no \
             part in the choice.",
            measure.name()
        ));
    }
    if is_on_test {
        warnings.push(
            "The trials were validated on the test images, which are not unseen any more; hold out \
             training images in their place (--val-fraction 0.1), and keep the test images for the end."
                .to_owned(),
        );
    }
    warnings
}

fn commands(trials: &[Trial], seed: u64, is_on_test: bool) -> Vec<NextCommand> {
    let Some(best) = trials.first() else {
        return Vec::new();
    };
    let (program, run) = (program(), best.run.display());
    let score = best.score.written();
    let mut commands = vec![NextCommand {
        purpose: format!(
            "trains with the best settings (trial {}, {score}) anew, from another seed",
            best.number
        ),
        line: format!(
            "{program} train --config '{run}/config.toml' --seed {}",
            seed.wrapping_add(1) & i64::MAX as u64
        ),
    }];
    if !is_on_test {
        commands.push(NextCommand {
            purpose: "judges the best trial by the test images, if the data have any".to_owned(),
            line: format!("{program} eval --run '{run}' --split test"),
        });
    }
    commands
}
