//! Successive halving: a little of everything first, then more of what is best.

use residua_core::setting::SettingError;
use residua_core::text::counted;
use serde::Serialize;

/// The settings of successive halving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Halving {
    /// Epochs that all trials have before the first choice.
    pub first_epochs: u64,
    /// One of so many trials goes on, to so many times the epochs (η of Li et al. 2018, who take 3 or 4).
    pub reduction: u64,
    /// How often there is a choice; as often as trials and epochs allow unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rungs: Option<u64>,
}

/// What is trained between two choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// How many trials take part.
    pub trials: u64,
    /// How many epochs they have in the end.
    pub epochs: u64,
}

impl Halving {
    /// The rungs of so many trials of so many epochs. The last has all epochs.
    ///
    /// Rung *i* has ⌊n·η⁻ⁱ⌋ trials, at least one, and r·ηⁱ epochs (Li et al. 2018, section 2 and
    /// algorithm 1, where n is the number of trials and r that of the first epochs).
    ///
    /// # Errors
    /// When nothing is left after the first rung, or fewer rungs are possible than are asked for.
    pub fn rungs(&self, trials: u64, epochs: u64) -> Result<Vec<Rung>, SettingError> {
        if self.first_epochs >= epochs {
            let problem = format!(
                "is {}, and trials have {}; expected less, so that there is something to go on to",
                self.first_epochs,
                counted(epochs, "epoch", "epochs")
            );
            return Err(SettingError::new("first_epochs", problem));
        }
        let mut rung = Rung {
            trials,
            epochs: self.first_epochs,
        };
        let mut rungs = Vec::new();
        let wanted = self.rungs.unwrap_or(u64::MAX);
        while rung.trials > 1 && rung.epochs < epochs && (rungs.len() as u64) < wanted {
            rungs.push(rung);
            rung = Rung {
                trials: (rung.trials / self.reduction).max(1),
                epochs: rung.epochs.saturating_mul(self.reduction),
            };
        }
        match self.rungs {
            Some(wanted) if wanted > rungs.len() as u64 => {
                let problem = format!(
                    "is {wanted}; expected at most {}, since {} of {} do not suffice for more",
                    rungs.len(),
                    counted(trials, "trial", "trials"),
                    counted(epochs, "epoch", "epochs")
                );
                Err(SettingError::new("rungs", problem))
            }
            _ => {
                rungs.push(Rung { epochs, ..rung });
                Ok(rungs)
            }
        }
    }
}

/// Which trials go on: the `count` of highest score, of equals those with the lowest number, in the order
/// of their numbers. What has no score, because it diverged, does not go on.
pub fn best_trials(results: &[(u64, Option<f64>)], count: u64) -> Vec<u64> {
    let known = results.iter().copied();
    let mut known: Vec<(u64, f64)> = known
        .filter_map(|(number, score)| Some((number, score?)))
        .collect();
    known.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    known.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    let mut numbers: Vec<u64> = known.into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rungs(halving: Halving, trials: u64, epochs: u64) -> Vec<[u64; 2]> {
        let rungs = halving.rungs(trials, epochs).unwrap();
        let rungs = rungs.iter();
        rungs.map(|rung| [rung.trials, rung.epochs]).collect()
    }

    const THIRDS: Halving = Halving {
        first_epochs: 1,
        reduction: 3,
        rungs: None,
    };

    /// The brackets of Li et al. 2018, table 1: R = 81 and η = 3.
    #[test]
    fn rungs_are_those_of_hyperband() {
        assert_eq!(
            rungs(THIRDS, 81, 81),
            [[81, 1], [27, 3], [9, 9], [3, 27], [1, 81]]
        );
        let second = Halving {
            first_epochs: 3,
            ..THIRDS
        };
        assert_eq!(rungs(second, 27, 81), [[27, 3], [9, 9], [3, 27], [1, 81]]);
        let third = Halving {
            first_epochs: 9,
            ..THIRDS
        };
        assert_eq!(rungs(third, 9, 81), [[9, 9], [3, 27], [1, 81]]);
    }

    #[test]
    fn the_last_rung_has_all_epochs() {
        assert_eq!(rungs(THIRDS, 10, 8), [[10, 1], [3, 3], [1, 8]]);
        assert_eq!(rungs(THIRDS, 100, 5), [[100, 1], [33, 3], [11, 5]]);
        assert_eq!(rungs(THIRDS, 2, 5), [[2, 1], [1, 5]]);
        assert_eq!(rungs(THIRDS, 1, 5), [[1, 5]]);
        let once = Halving {
            rungs: Some(1),
            ..THIRDS
        };
        assert_eq!(rungs(once, 81, 81), [[81, 1], [27, 81]]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let message = THIRDS.rungs(9, 1).unwrap_err().to_string();
        assert_eq!(
            message,
            "first_epochs is 1, and trials have 1 epoch; expected less, so that there is something to go \
             on to"
        );
        let thrice = Halving {
            rungs: Some(3),
            ..THIRDS
        };
        let message = thrice.rungs(9, 81).unwrap_err().to_string();
        assert_eq!(
            message,
            "rungs is 3; expected at most 2, since 9 trials of 81 epochs do not suffice for more"
        );
    }

    #[test]
    fn the_best_go_on_and_ties_go_by_number() {
        let results = [
            (4, Some(0.5)),
            (0, Some(0.25)),
            (3, None),
            (1, Some(0.5)),
            (2, Some(0.75)),
            (5, Some(0.5)),
        ];
        assert_eq!(best_trials(&results, 1), [2]);
        assert_eq!(best_trials(&results, 3), [1, 2, 4]);
        assert_eq!(best_trials(&results, 99), [0, 1, 2, 4, 5]);
        assert_eq!(best_trials(&[], 1), [0; 0]);
    }
}
