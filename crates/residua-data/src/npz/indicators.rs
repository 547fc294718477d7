//! Rows of zeros and ones, which become sets of classes while they are read.

use super::problem::ArrayProblem;
use crate::label::ClassSet;
use crate::numbered::NumberedLabels;

/// Labels with a column for each class and a row for each image, read up to some value of some row.
pub(super) struct Indicators {
    columns: usize,
    /// The column of the next value.
    column: usize,
    /// The classes of its image so far.
    shown: Vec<u32>,
    /// Those of the images before.
    sets: Vec<ClassSet>,
    /// What is wrong with the first value that is neither 0 nor 1.
    problem: Option<ArrayProblem>,
}

impl Indicators {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            columns,
            column: 0,
            shown: Vec::new(),
            sets: Vec::new(),
            problem: None,
        }
    }

    /// Takes the next value of the row, or the first of the next.
    pub(super) fn push(&mut self, value: i128) {
        match value {
            0 => {}
            1 => self.shown.push(self.column as u32),
            _ if self.problem.is_some() => {}
            _ => {
                self.problem = Some(ArrayProblem::Indicator {
                    image: self.sets.len(),
                    column: self.column,
                    value,
                });
            }
        }
        self.column += 1;
        if self.column == self.columns {
            self.sets.push(self.shown.drain(..).collect());
            self.column = 0;
        }
    }

    /// The labels of all rows.
    pub(super) fn labels(self) -> Result<NumberedLabels, ArrayProblem> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(NumberedLabels::Several {
                classes: self.columns,
                sets: self.sets,
            }),
        }
    }
}
