//! The figure by which runs are compared, in tables and charts.

use residua_core::task::Measure;

use crate::chart::Unit;
use crate::number;

/// At the beginning of a title.
pub(crate) fn title(measure: Measure) -> &'static str {
    match measure {
        Measure::Accuracy => "Accuracy",
        Measure::RocAuc => "ROC-AUC",
    }
}

/// Above a column of [`cell`]s.
pub(crate) fn column(measure: Measure) -> &'static str {
    match measure {
        Measure::Accuracy => "accuracy %",
        Measure::RocAuc => "ROC-AUC",
    }
}

/// A value under [`column`].
pub(crate) fn cell(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Accuracy => number::points(value, 2),
        Measure::RocAuc => number::decimal(value, 4),
    }
}

/// How an axis writes it.
pub(crate) fn unit(measure: Measure) -> Unit {
    match measure {
        Measure::Accuracy => Unit::Percent,
        Measure::RocAuc => Unit::Number,
    }
}
