//! What is wrong with a setting: which one, where it stands, what was expected.

use std::fmt;

use crate::suggest;

/// A setting that cannot be used.
///
/// Whoever checks a value knows the last part of its key; the sections around it are added on the way up
/// ([`SettingError::within`]), and the place by whoever read it ([`SettingError::at`]).
///
/// ```
/// use residua_core::setting::SettingError;
///
/// let error = SettingError::value("momentum", 5, "0 or more and less than 1");
/// assert_eq!(
///     error.within("optimiser").at("mine.toml:14:1").to_string(),
///     "mine.toml:14:1: optimiser.momentum is 5; expected 0 or more and less than 1"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    place: Option<String>,
    key: Vec<String>,
    problem: String,
}

impl SettingError {
    /// A setting, by the last part of its key, and what is to be said of it: a sentence without its
    /// subject.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::of_key(vec![key.into()], problem)
    }

    /// The same, by all parts of its key; without any, all settings together.
    pub fn of_key(key: Vec<String>, problem: impl Into<String>) -> Self {
        Self {
            place: None,
            key,
            problem: problem.into(),
        }
    }

    /// A value that will not do.
    pub fn value(
        key: impl Into<String>,
        value: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::new(key, format!("is {value}; expected {expected}"))
    }

    /// A key that does not exist.
    pub fn unknown(key: Vec<String>, known: &[&str]) -> Self {
        let wanted = key.last().map_or("", String::as_str);
        let near = suggest::closest(wanted, known.iter().copied());
        // A question mark ends the sentence already.
        let (hint, stop) = match suggest::did_you_mean(&near) {
            hint if hint.is_empty() => (hint, "."),
            hint => (hint, ""),
        };
        let known = known.join(", ");
        Self::of_key(
            key,
            format!("is not a setting{hint}{stop} There are: {known}"),
        )
    }

    /// The same setting, as one of a section.
    #[must_use]
    pub fn within(mut self, section: &str) -> Self {
        self.key.insert(0, section.to_owned());
        self
    }

    /// The same, with the place where it stands: `mine.toml:14:1` for instance.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Where it stands, if that is known.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The parts of its key, the outermost section first.
    pub fn key(&self) -> &[String] {
        &self.key
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{} ", dotted(&self.key))?;
        }
        formatter.write_str(&self.problem)
    }
}

impl std::error::Error for SettingError {}

/// A key as TOML has it: `optimiser.momentum`, with quotes about parts that need them.
pub fn dotted(key: &[String]) -> String {
    let is_bare = |part: &str| {
        let mut letters = part.chars();
        !part.is_empty()
            && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
    };
    let parts = key.iter().map(|part| match is_bare(part) {
        true => part.clone(),
        false => format!("{part:?}"),
    });
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn sections_and_places_are_added_in_front() {
        let error = SettingError::value("mixup_alpha", -1, "0 or more").within("mix");
        assert_eq!(
            error.to_string(),
            "mix.mixup_alpha is -1; expected 0 or more"
        );
        assert_eq!(error.place(), None);
        let error = error.within("augmentation").at("line 3, column 1");
        assert_eq!(error.key(), key(&["augmentation", "mix", "mixup_alpha"]));
        assert_eq!(error.place(), Some("line 3, column 1"));
        assert_eq!(
            error.to_string(),
            "line 3, column 1: augmentation.mix.mixup_alpha is -1; expected 0 or more"
        );
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_and_with_all() {
        let error = SettingError::unknown(key(&["mix", "mixup_alfa"]), &["mixup_alpha", "beta"]);
        assert_eq!(
            error.to_string(),
            "mix.mixup_alfa is not a setting; did you mean 'mixup_alpha'? There are: mixup_alpha, beta"
        );
        let error = SettingError::unknown(key(&["xyz"]), &["epochs"]);
        assert_eq!(error.to_string(), "xyz is not a setting. There are: epochs");
    }

    #[test]
    fn parts_that_are_no_bare_keys_are_quoted() {
        assert_eq!(
            dotted(&key(&["weights", "a b", "c.d", ""])),
            r#"weights."a b"."c.d"."""#
        );
        let whole = SettingError::of_key(Vec::new(), "lack a model");
        assert_eq!(whole.to_string(), "lack a model");
    }
}
