//! What a running command shows on stderr.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use residua::core::task::{Measure, Task};
use residua::data::UnreadableImage;
use residua::train::{EpochReport, Observer, Plan, StepReport};
use residua::weights::LoadReport;

use super::variations::variations_text;
use crate::output::{counted, grouped};

/// A bar on a terminal, nothing elsewhere.
pub(crate) fn bar(total: u64, template: &str, quiet: bool) -> ProgressBar {
    if quiet || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    set_template(&bar, template);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn set_template(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
}

fn image_template(what: &str) -> String {
    format!("{what} {{bar:30}} {{pos}}/{{len}} images  {{elapsed}}")
}

/// A bar for work that is counted in images.
pub(crate) fn image_bar(what: &str, total: u64, quiet: bool) -> ProgressBar {
    bar(total, &image_template(what), quiet)
}

/// How many classes there are, and whether an image shows several.
fn classes(plan: &Plan) -> String {
    let classes = counted(plan.classes.len() as u64, "class", "classes");
    match plan.task {
        Task::SingleLabel => classes,
        Task::MultiLabel => format!("any number of {classes} for an image"),
    }
}

/// How good an epoch was, each figure under its name.
fn scores(report: &EpochReport) -> String {
    let train = report.train_accuracy * 100.0;
    match report.validation_roc_auc {
        None => format!(
            "train {train:>5.1} %  validation {:>5.1} %",
            report.validation_accuracy * 100.0
        ),
        Some(area) => format!("right answers {train:>5.1} %  validation ROC-AUC {area:.4}"),
    }
}

/// Shows a training.
pub(crate) struct TrainingProgress {
    quiet: bool,
    checking: ProgressBar,
    training: ProgressBar,
    plan: Option<Plan>,
    /// Whether it was said how to wait less for the loader.
    has_advised: bool,
}

impl TrainingProgress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            checking: bar(0, "{spinner} reading the images  {elapsed}", quiet),
            training: ProgressBar::hidden(),
            plan: None,
            has_advised: false,
        }
    }

    /// Shows nothing from now on: another display has the terminal.
    pub(crate) fn silence(&mut self) {
        self.clear();
        self.quiet = true;
        self.training = ProgressBar::hidden();
    }

    /// Takes the bar off the screen.
    pub(crate) fn clear(&self) {
        self.checking.finish_and_clear();
        self.training.finish_and_clear();
    }

    /// A line that stays.
    fn say(&self, line: &str) {
        if !self.quiet {
            self.training.suspend(|| eprintln!("{line}"));
        }
    }

    fn measure(&self) -> Measure {
        let task = self.plan.as_ref().map_or(Task::default(), |plan| plan.task);
        task.measure()
    }

    fn epochs(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| plan.epochs)
    }
}

/// Nothing while the loader keeps up with training: the first batch of an epoch always takes a moment.
fn waiting_text(share: f64) -> Option<String> {
    const WORTH_MENTIONING: f64 = 0.05;
    (share >= WORTH_MENTIONING).then(|| format!("waiting {:.0} %", share * 100.0))
}

impl Observer for TrainingProgress {
    fn weights_loaded(&mut self, report: &LoadReport) {
        self.say(&format!("starting from weights: {report}"));
    }

    fn checking(&self, done: usize, total: usize) {
        if self.checking.length() != Some(total as u64) {
            set_template(&self.checking, &image_template("checking"));
            self.checking.set_length(total as u64);
        }
        self.checking.set_position(done as u64);
    }

    fn quarantined(&mut self, images: &[UnreadableImage]) {
        /// Enough to see what is wrong; `residua data check` names them all.
        const SHOWN: usize = 5;
        self.checking.finish_and_clear();
        eprintln!(
            "warning: {} unreadable image{} left out:",
            images.len(),
            if images.len() == 1 { "" } else { "s" }
        );
        for image in images.iter().take(SHOWN) {
            eprintln!("  {}: {}", image.path, image.reason);
        }
        if images.len() > SHOWN {
            eprintln!("  … and {} more; see events.jsonl", images.len() - SHOWN);
        }
    }

    fn started(&mut self, plan: &Plan) {
        self.checking.finish_and_clear();
        let variations = match plan.variations.is_empty() {
            true => String::new(),
            false => format!(" with {}", variations_text(&plan.variations)),
        };
        self.say(&format!(
            "{}{variations}: {} parameters, {}, precision {}\n{} training and {} {} images; {}, {}",
            plan.model,
            grouped(plan.parameters),
            classes(plan),
            plan.precision,
            grouped(plan.train_images),
            grouped(plan.validation_images),
            plan.validation_split,
            counted(plan.epochs, "epoch", "epochs"),
            counted(plan.steps, "step", "steps")
        ));
        if plan.finished_steps > 0 {
            self.say(&format!(
                "continuing after step {}",
                grouped(plan.finished_steps)
            ));
        }
        self.training = bar(
            plan.steps,
            "{prefix} {wide_bar} {percent:>3} %  {msg}  {eta} left",
            self.quiet,
        );
        self.training.set_position(plan.finished_steps);
        self.training.reset_eta();
        self.plan = Some(plan.clone());
    }

    fn stepped(&mut self, report: &StepReport) {
        self.training
            .set_prefix(format!("epoch {}/{}", report.epoch, self.epochs()));
        self.training.set_message(format!(
            "loss {:.3}  {} {:>5.1} %  {:.0} images/s",
            report.loss,
            match self.measure() {
                Measure::Accuracy => "accuracy",
                Measure::RocAuc => "right answers",
            },
            report.accuracy * 100.0,
            report.images_per_second
        ));
        self.training.set_position(report.step);
    }

    fn validating(&mut self, done: u64, total: u64) {
        self.training
            .set_message(format!("validating {done}/{total}"));
    }

    fn warned(&mut self, message: &str) {
        self.training.suspend(|| eprintln!("warning: {message}"));
    }

    fn epoch_ended(&mut self, report: &EpochReport) {
        let width = self.epochs().to_string().len();
        self.say(&format!(
            "epoch {:>width$}/{}  loss {:.3}  {}  {:>4.0} images/s{}{}{}",
            report.epoch,
            self.epochs(),
            report.train_loss,
            scores(report),
            report.images_per_second,
            { report.smaller_images }.map_or_else(String::new, |[height, width]| format!(
                " of {height}×{width} pixels"
            )),
            if report.is_best { "  best" } else { "" },
            waiting_text(report.waiting_share).map_or_else(String::new, |text| format!("  {text}"))
        ));
        if let Some(text) = waiting_text(report.waiting_share)
            && !self.has_advised
        {
            self.has_advised = true;
            self.say(&format!(
                "the loader kept training {text} of the time: more --workers, or --cache for large \
                 pictures (`residua data bench` measures both)"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_that_keeps_up_is_not_mentioned() {
        assert_eq!(waiting_text(0.049), None);
        assert_eq!(waiting_text(0.31).as_deref(), Some("waiting 31 %"));
    }
}
