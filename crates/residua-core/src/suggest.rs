//! "Did you mean …?" for names of models, keys and classes.

/// The names closest to `wanted`, best first, at most three.
///
/// A name qualifies when it is similar as a whole (Jaro–Winkler at least 0.8, ignoring
/// case) or when it contains what was typed. Nothing is suggested rather than something
/// misleading.
///
/// ```
/// use residua_core::suggest::closest;
/// assert_eq!(closest("resnet02", ["resnet20", "plain20", "vgg16"]), ["resnet20"]);
/// assert!(closest("banana", ["resnet20", "plain20"]).is_empty());
/// ```
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const ENOUGH: f64 = 0.8;
    const MOST: usize = 3;
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let mut score = strsim::jaro_winkler(&wanted, &lower);
            if wanted.len() >= 3 && lower.contains(&wanted) {
                score = score.max(ENOUGH);
            }
            // Transposed or missing characters matter more than a common beginning.
            let edits = strsim::osa_distance(&wanted, &lower) as f64;
            (score >= ENOUGH).then_some((score - edits * 0.1, name))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    scored
        .into_iter()
        .take_while(|(score, _)| best - score < 0.15)
        .take(MOST)
        .map(|(_, name)| name)
        .collect()
}

/// The name of which `wanted` is a misspelling: one letter in three, and at most two, are wrong, missing,
/// too many or transposed. Case counts.
///
/// ```
/// use residua_core::suggest::misspelt;
/// assert_eq!(misspelt("EPOCH", ["EPOCHS", "SEED"]), Some("EPOCHS"));
/// assert_eq!(misspelt("OUR", ["UI"]), None);
/// ```
pub fn misspelt<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MOST: usize = 2;
    let allowed = MOST.min(wanted.chars().count() / 3);
    let distances = names
        .into_iter()
        .map(|name| (strsim::osa_distance(wanted, name), name));
    let near = distances.filter(|(distance, _)| *distance <= allowed);
    near.min().map(|(_, name)| name)
}

/// The words to append to an error message, `"; did you mean 'a', 'b' or 'c'?"`, or nothing.
pub fn did_you_mean(suggestions: &[impl AsRef<str>]) -> String {
    let quoted = suggestions
        .iter()
        .map(|name| format!("'{}'", name.as_ref()));
    let mut quoted: Vec<String> = quoted.collect();
    match quoted.pop() {
        None => String::new(),
        Some(last) if quoted.is_empty() => format!("; did you mean {last}?"),
        Some(last) => format!("; did you mean {} or {last}?", quoted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposition_is_recognised() {
        assert_eq!(closest("resent50", ["resnet50", "plain50"]), ["resnet50"]);
    }

    #[test]
    fn a_part_of_the_name_is_enough() {
        assert_eq!(
            closest("cifar", ["cifar_resnet18", "resnet18"]),
            ["cifar_resnet18"]
        );
    }

    #[test]
    fn the_sentence_lists_all_suggestions() {
        assert_eq!(
            did_you_mean(&["a", "b", "c"]),
            "; did you mean 'a', 'b' or 'c'?"
        );
        assert_eq!(did_you_mean(&[] as &[&str]), "");
    }
}
