//! What makes a comparison unfair.

use std::collections::BTreeSet;

use super::{ComparedNetwork, ComparedRun, Comparison};
use crate::number;

/// As many different values, and as many runs of each, are named.
const MOST_NAMED: usize = 4;

impl Comparison {
    /// What differs between the runs besides network and seed, and what else makes figures mean less
    /// than they seem to, in sentences. A fair comparison has none.
    pub fn warnings(&self) -> Vec<String> {
        let differences = [
            self.difference("trained on different data", |run| run.metrics.data.clone()),
            self.difference("evaluated on different splits", |run| {
                run.metrics.split.clone()
            }),
            self.difference("evaluated on different numbers of images", |run| {
                number::grouped(run.metrics.images())
            }),
            self.difference(
                "trained to tell different numbers of classes apart",
                |run| run.metrics.classes.len().to_string(),
            ),
            self.difference("trained for different numbers of epochs", |run| {
                number::grouped(run.metrics.epochs)
            }),
            self.difference("trained in different precisions", |run| {
                run.metrics.precision.to_string()
            }),
            self.different_recipes(),
            self.different_numbers_of_runs(),
        ];
        let of_networks = self.networks.iter().flat_map(ComparedNetwork::warnings);
        differences
            .into_iter()
            .flatten()
            .chain(of_networks)
            .collect()
    }

    /// Tells which runs have which value, if it is not the same for all.
    fn difference(&self, what: &str, value: impl Fn(&ComparedRun) -> String) -> Option<String> {
        let mut values: Vec<(String, BTreeSet<&str>)> = Vec::new();
        for (network, run) in self.runs() {
            let own = value(run);
            match values.iter_mut().find(|(other, _)| *other == own) {
                Some((_, networks)) => {
                    networks.insert(&network.name);
                }
                None => values.push((own, BTreeSet::from([network.name.as_str()]))),
            }
        }
        if values.len() < 2 {
            return None;
        }
        let named = values.iter().take(MOST_NAMED).map(|(value, networks)| {
            let networks: Vec<&str> = networks.iter().take(MOST_NAMED).copied().collect();
            format!("{value} ({})", networks.join(", "))
        });
        let mut named: Vec<String> = named.collect();
        if values.len() > MOST_NAMED {
            named.push("…".to_owned());
        }
        Some(format!("The runs were {what}: {}.", named.join("; ")))
    }

    /// Recipes are long texts, so only the runs are named.
    fn different_recipes(&self) -> Option<String> {
        let mut runs = self.runs();
        let (_, first) = runs.next()?;
        let others = runs.filter(|(_, run)| run.recipe != first.recipe);
        let others: Vec<&str> = others.map(|(_, run)| run.folder.as_str()).collect();
        let more = if others.len() > MOST_NAMED {
            ", …"
        } else {
            ""
        };
        let named: Vec<&str> = others.iter().take(MOST_NAMED).copied().collect();
        (!others.is_empty()).then(|| {
            format!(
                "The runs were trained by different recipes: {}{more} had other settings than {}.",
                named.join(", "),
                first.folder
            )
        })
    }

    fn different_numbers_of_runs(&self) -> Option<String> {
        let counts: BTreeSet<usize> = { self.networks.iter() }
            .map(|network| network.runs.len())
            .filter(|&count| count > 0)
            .collect();
        (counts.len() > 1).then(|| {
            "The networks have different numbers of runs, so their deviations are not equally \
             reliable."
                .to_owned()
        })
    }
}

impl ComparedRun {
    fn classes_without_images(&self) -> Option<String> {
        let scores = self.metrics.classes.iter().zip(self.metrics.class_scores());
        let missing: Vec<&str> = scores
            .filter(|(_, score)| score.support == 0)
            .map(|(class, _)| class.as_str())
            .collect();
        let named = missing.get(..MOST_NAMED).unwrap_or(&missing).join(", ");
        let more = if missing.len() > MOST_NAMED {
            ", …"
        } else {
            ""
        };
        (!missing.is_empty() && self.metrics.images() > 0).then(|| {
            format!(
                "{} was evaluated without images of {named}{more}; its macro averages suffer where \
                 others were taken for them.",
                self.folder
            )
        })
    }

    /// An epoch that took far longer than the others: the machine had other work, so times say little.
    fn unsteady(&self) -> Option<String> {
        /// Times the median.
        const MUCH: f64 = 2.0;
        let usual = self.seconds_per_epoch()?;
        let slow = self
            .epochs
            .iter()
            .filter(|epoch| epoch.train_seconds > MUCH * usual);
        let slowest = slow.max_by(|a, b| a.train_seconds.total_cmp(&b.train_seconds))?;
        Some(format!(
            "Epoch {} of {} took {}, and half of its epochs no more than {}: the machine had other \
             work, so that its hours say little.",
            number::grouped(slowest.epoch),
            self.folder,
            number::duration(slowest.train_seconds),
            number::duration(usual)
        ))
    }
}

impl ComparedNetwork {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.runs.is_empty() {
            warnings.push(format!("{} has no run.", self.name));
        }
        let seeds: BTreeSet<u64> = self.runs.iter().map(|run| run.seed).collect();
        if seeds.len() < self.runs.len() {
            warnings.push(format!(
                "Runs of {} share a seed, so their deviation is not one over seeds.",
                self.name
            ));
        }
        for run in &self.runs {
            let recorded = run.epochs.len() as u64;
            if recorded < run.metrics.epochs {
                warnings.push(format!(
                    "{} recorded {} of its {}, so it may have converged before the first of them.",
                    run.folder,
                    number::grouped(recorded),
                    number::counted(run.metrics.epochs, "epoch", "epochs")
                ));
            }
            if run.metrics.images() == 0 {
                warnings.push(format!("{} was evaluated on no images.", run.folder));
            }
            warnings.extend(run.classes_without_images());
            warnings.extend(run.unsteady());
        }
        warnings
    }
}
