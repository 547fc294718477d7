//! Finding a network's state in a weight file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use residua_graph::{Graph, StateEntry, StateRole};

use crate::legacy_names::current_name;
use crate::report::{LoadReport, Missing, NotFinite, WrongShape};
use crate::tensor_file::{NamedTensor, TensorFile, Values};

/// A file seen as the state of one network.
#[derive(Debug, Clone)]
pub struct Fit<'a> {
    /// What fits and what does not.
    pub report: LoadReport,
    tensors: HashMap<String, Cow<'a, NamedTensor>>,
}

impl<'a> Fit<'a> {
    /// The tensor of that name in the network's state, if the file has it in the right shape.
    pub fn tensor(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.get(name).map(Cow::as_ref)
    }

    /// Makes the weights that read the image fit another number of image channels, if nothing else is
    /// wrong with them.
    pub fn adapt_input(&mut self, graph: &Graph, file: &'a TensorFile) {
        let readers = graph.consumers().swap_remove(0);
        let names = readers.iter().flat_map(|id| graph.state_of(*id));
        let names: HashSet<String> = names.map(|entry| entry.name).collect();
        let report = &mut self.report;
        let wrong: Vec<WrongShape> = { &mut report.wrong_shape }
            .extract_if(.., |tensor| names.contains(&tensor.name))
            .collect();
        for tensor in wrong {
            let full_name = format!("{}{}", report.prefix, tensor.name);
            let stored = file.tensors.iter().find(|other| other.name == full_name);
            let adapted = stored.and_then(|stored| with_channels(stored, &tensor.expected));
            let Some(mut adapted) = adapted else {
                report.wrong_shape.push(tensor);
                continue;
            };
            adapted.name.clone_from(&tensor.name);
            if let Some((position, value)) = adapted.first_non_finite() {
                report.not_finite.push(NotFinite {
                    name: tensor.name,
                    position,
                    value: value.to_string(),
                });
                continue;
            }
            report.adapted.push(tensor.clone());
            self.tensors.insert(tensor.name, Cow::Owned(adapted));
        }
    }

    /// Leaves out tensors of the network that are to start anew, whether the file has them or not.
    pub fn reset(&mut self, is_reset: impl Fn(&str) -> bool) {
        let report = &mut self.report;
        let applied = report.applied.extract_if(.., |name| is_reset(name));
        report.reset.extend(applied);
        let missing = report
            .missing
            .extract_if(.., |tensor| is_reset(&tensor.name));
        report.reset.extend(missing.map(|tensor| tensor.name));
        let wrong = report
            .wrong_shape
            .extract_if(.., |tensor| is_reset(&tensor.name));
        report.reset.extend(wrong.map(|tensor| tensor.name));
        let not_finite = report
            .not_finite
            .extract_if(.., |tensor| is_reset(&tensor.name));
        report.reset.extend(not_finite.map(|tensor| tensor.name));
        self.tensors.retain(|name, _| !is_reset(name));
    }
}

/// Matches a file with the state of a network.
///
/// Checkpoints nest the state (`state_dict`, `model`), and parallel training puts `module.` before
/// all names. Whatever it is: the prefix under which most of the network's names are found counts; of
/// several one that does not say that it is an average over time, then the shortest, and the report
/// names the others.
///
/// `num_batches_tracked` is optional: old checkpoints lack it, and nothing depends on it.
pub fn fit<'a>(graph: &Graph, file: &'a TensorFile) -> Fit<'a> {
    let state = graph.state();
    let mut prefixes = prefixes_of(&state, file).into_iter();
    let prefix = prefixes.next().unwrap_or_default();
    let (inside, outside): (Vec<_>, Vec<_>) = { file.tensors.iter() }
        .map(|tensor| (tensor.name.strip_prefix(&prefix), tensor))
        .partition(|(name, _)| name.is_some());
    let known: HashSet<&str> = state.iter().map(|entry| entry.name.as_str()).collect();
    let todays = |name: &str| match current_name(name) {
        Some(current) if known.contains(current.as_str()) => current,
        _ => name.to_owned(),
    };
    let inside: BTreeMap<String, &NamedTensor> = { inside.into_iter() }
        .filter_map(|(name, tensor)| Some((todays(name?), tensor)))
        .collect();
    let unused = inside.keys().filter(|name| !known.contains(name.as_str()));
    let mut report = LoadReport {
        unused: unused.cloned().collect(),
        outside: outside.into_iter().map(|(_, t)| t.name.clone()).collect(),
        prefix,
        other_prefixes: prefixes.collect(),
        ..LoadReport::default()
    };
    let mut tensors = HashMap::new();
    for entry in state {
        match inside.get(entry.name.as_str()).copied() {
            None if entry.role == StateRole::BatchCount => {}
            None => report.missing.push(Missing {
                name: entry.name,
                did_you_mean: None,
            }),
            Some(tensor) if entry.role == StateRole::BatchCount => {
                // Of another type in some files, which changes nothing.
                if matches!(tensor.values, Values::Integer(_)) && tensor.shape == entry.shape {
                    report.applied.push(entry.name.clone());
                    tensors.insert(entry.name, Cow::Borrowed(tensor));
                }
            }
            Some(tensor)
                if tensor.shape == entry.shape && matches!(tensor.values, Values::Float(_)) =>
            {
                if let Some((position, value)) = tensor.first_non_finite() {
                    report.not_finite.push(NotFinite {
                        name: entry.name,
                        position,
                        value: value.to_string(),
                    });
                } else {
                    report.applied.push(entry.name.clone());
                    tensors.insert(entry.name, Cow::Borrowed(tensor));
                }
            }
            Some(tensor) => report.wrong_shape.push(WrongShape {
                name: entry.name,
                expected: entry.shape,
                found: tensor.shape.clone(),
            }),
        }
    }
    Fit { report, tensors }
}

/// A convolution's weight for another number of input channels: for one, the sum over all, which gives
/// a grey image the response of the same image in colour; for more, the old ones again and again, scaled
/// down as many times as there are more. (timm adapts its weights like this, too.)
fn with_channels(stored: &NamedTensor, expected: &[usize]) -> Option<NamedTensor> {
    let (Values::Float(values), &[out, from, height, width], &[wanted_out, to, h, w]) =
        (&stored.values, stored.shape.as_slice(), expected)
    else {
        return None;
    };
    if [out, height, width] != [wanted_out, h, w] || from == 0 || to == 0 {
        return None;
    }
    let taps = height * width;
    let mut adapted = Vec::with_capacity(out * to * taps);
    for filter in values.chunks_exact(from * taps) {
        if to == 1 {
            adapted.extend(
                (0..taps).map(|tap| -> f32 { filter.iter().skip(tap).step_by(taps).sum() }),
            );
            continue;
        }
        let scale = from as f32 / to as f32;
        for channel in 0..to {
            let old = &filter[channel % from * taps..][..taps];
            adapted.extend(old.iter().map(|number| number * scale));
        }
    }
    Some(NamedTensor::float(&stored.name, expected, adapted))
}

/// The tensor of a file that has a name of the network's state.
pub(crate) fn named_in<'a>(
    graph: &Graph,
    file: &'a TensorFile,
    name: &str,
) -> Option<&'a NamedTensor> {
    let full_name = format!("{}{name}", prefix_of(&graph.state(), file));
    file.tensors.iter().find(|tensor| tensor.name == full_name)
}

/// For how many classes a file has the last layer of a network; where it has none, for as many as
/// the network.
pub fn class_count(graph: &Graph, file: &TensorFile) -> usize {
    let head = graph.head().map(|head| graph.state_of(head));
    let is_of_head = |name: &str| head.iter().flatten().any(|entry| entry.name == name);
    let report = fit(graph, file).report;
    let mut wrong = report.wrong_shape.iter();
    let classes = wrong.find_map(|tensor| {
        let (classes, of_each) = tensor.found.split_first()?;
        let (_, expected) = tensor.expected.split_first()?;
        // As many as there are values for.
        let is_head = is_of_head(&tensor.name) && of_each == expected && *classes > 0;
        is_head.then_some(*classes)
    });
    classes.unwrap_or_else(|| graph.output_shape().channels())
}

/// Under which prefix most of a network's names are found.
fn prefix_of(state: &[StateEntry], file: &TensorFile) -> String {
    let prefixes = prefixes_of(state, file).into_iter();
    { prefixes }.next().unwrap_or_default()
}

/// The prefixes under which most of a network's names are found: what counts first, then others with
/// as many.
fn prefixes_of(state: &[StateEntry], file: &TensorFile) -> Vec<String> {
    let known: HashSet<&str> = state.iter().map(|entry| entry.name.as_str()).collect();
    let longest = known.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for tensor in &file.tensors {
        let starts = { tensor.name.match_indices('.') }.map(|(dot, _)| dot + 1);
        for start in std::iter::once(0).chain(starts) {
            let (prefix, name) = tensor.name.split_at(start);
            if name.len() <= longest && known.contains(name) {
                *found.entry(prefix).or_default() += 1;
            }
        }
    }
    let most = found.values().copied().max().unwrap_or(0);
    let mut best: Vec<&str> = { found.into_iter() }
        .filter(|(_, count)| *count == most)
        .map(|(prefix, _)| prefix)
        .collect();
    // An average of the weights is named as one; what is trained is not.
    best.sort_by_key(|prefix| (is_average(prefix), prefix.len()));
    best.into_iter().map(str::to_owned).collect()
}

/// Whether a part of a file is called an average of weights over time.
fn is_average(prefix: &str) -> bool {
    let prefix = prefix.to_lowercase();
    ["ema", "average", "swa", "shadow"]
        .iter()
        .any(|word| prefix.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use residua_graph::catalog::{self, BuildOptions};

    fn complete(graph: &Graph, prefix: &str) -> TensorFile {
        let tensors = graph.state().into_iter().map(|entry| {
            let name = format!("{prefix}{}", entry.name);
            match entry.role {
                StateRole::BatchCount => NamedTensor::integer(name, 0),
                _ => NamedTensor::float(name, &entry.shape, vec![0.5; entry.elements()]),
            }
        });
        TensorFile {
            tensors: tensors.collect(),
            ..TensorFile::default()
        }
    }

    fn resnet20() -> Graph {
        catalog::build("resnet20", &BuildOptions::default()).unwrap()
    }

    #[test]
    fn a_complete_file_fits() {
        let graph = resnet20();
        let file = complete(&graph, "");
        let fit = fit(&graph, &file);
        assert!(fit.report.is_complete());
        assert_eq!(fit.report.applied.len(), graph.state().len());
        assert_eq!(fit.tensor("conv1.weight"), Some(&file.tensors[0]));
        assert_eq!(fit.tensor("conv2.weight"), None);
    }

    #[test]
    fn the_batch_count_may_be_absent() {
        let graph = resnet20();
        let mut file = complete(&graph, "");
        file.tensors
            .retain(|tensor| !tensor.name.ends_with("num_batches_tracked"));
        assert!(fit(&graph, &file).report.is_complete());
    }

    #[test]
    fn a_nested_state_is_found_and_what_lies_beside_it_is_no_misfit() {
        let graph = resnet20();
        let mut file = complete(&graph, "state_dict.module.");
        let average = complete(&graph, "state_dict_ema.module.");
        file.tensors.extend(average.tensors);
        let momentum = "optimizer.state.0.momentum_buffer";
        file.tensors
            .push(NamedTensor::float(momentum, &[1], vec![0.0]));
        let fit = fit(&graph, &file);
        assert!(fit.report.is_complete());
        assert_eq!(fit.report.prefix, "state_dict.module.");
        assert_eq!(fit.report.outside.len(), graph.state().len() + 1);
        assert_eq!(fit.tensor("conv1.weight"), Some(&file.tensors[0]));
        let text = fit.report.to_string();
        assert!(
            text.contains("tensors fit, under 'state_dict.module'"),
            "{text}"
        );
    }

    #[test]
    fn of_several_states_the_trained_one_counts_and_the_others_are_named() {
        let graph = resnet20();
        let mut file = complete(&graph, "ema.");
        file.tensors.extend(complete(&graph, "network.").tensors);
        let report = fit(&graph, &file).report;
        assert_eq!(report.prefix, "network.");
        assert_eq!(report.other_prefixes, ["ema."]);
        assert!(
            report.to_string().contains("as many under 'ema'"),
            "{report}"
        );
    }

    #[test]
    fn the_published_names_of_densenets_fit() {
        let graph = catalog::build("densenet121", &BuildOptions::default()).unwrap();
        let mut file = complete(&graph, "");
        for tensor in &mut file.tensors {
            for part in ["norm1", "norm2", "conv1", "conv2"] {
                let (kind, number) = part.split_at(4);
                let (new, old) = (format!(".{part}."), format!(".{kind}.{number}."));
                tensor.name = tensor.name.replace(&new, &old);
            }
        }
        assert!(
            file.tensors
                .iter()
                .any(|tensor| tensor.name.contains(".norm.1."))
        );
        let fit = fit(&graph, &file);
        assert!(fit.report.is_complete(), "{}", fit.report);
    }

    #[test]
    fn every_kind_of_misfit_is_reported() {
        let graph = resnet20();
        let mut file = complete(&graph, "");
        for tensor in &mut file.tensors {
            match tensor.name.as_str() {
                "linear.weight" => tensor.shape = vec![64, 10],
                "conv1.weight" => tensor.name = "conv_1.weight".into(),
                _ => {}
            }
        }
        let report = fit(&graph, &file).report.with_suggestions();
        assert_eq!(report.missing[0].name, "conv1.weight");
        assert_eq!(
            report.missing[0].did_you_mean.as_deref(),
            Some("conv_1.weight")
        );
        assert_eq!(report.unused, ["conv_1.weight"]);
        assert_eq!(report.wrong_shape[0].name, "linear.weight");
        let text = report.to_string();
        assert!(
            text.contains("conv1.weight (the file has 'conv_1.weight')"),
            "{text}"
        );
        assert!(
            text.contains("linear.weight: expected [10, 64], found [64, 10]"),
            "{text}"
        );
    }

    #[test]
    fn what_is_reset_is_no_misfit() {
        let graph = resnet20();
        let mut file = complete(&graph, "");
        for tensor in &mut file.tensors {
            if tensor.name == "linear.weight" {
                tensor.shape = vec![3, 64];
            }
        }
        file.tensors.retain(|tensor| tensor.name != "linear.bias");
        let mut fit = fit(&graph, &file);
        assert!(!fit.report.is_complete());
        fit.reset(|name| name.starts_with("linear.") || name == "conv1.weight");
        assert!(fit.report.is_complete(), "{}", fit.report);
        let reset = ["conv1.weight", "linear.bias", "linear.weight"];
        assert_eq!(fit.report.reset, reset);
        assert_eq!(fit.tensor("conv1.weight"), None);
    }

    #[test]
    fn not_a_number_is_a_misfit_where_the_network_would_use_it() {
        let graph = resnet20();
        let mut file = complete(&graph, "");
        let moment = NamedTensor::float("momentum", &[1], vec![f32::INFINITY]);
        file.tensors.push(moment);
        assert!(fit(&graph, &file).report.not_finite.is_empty());
        let Values::Float(values) = &mut file.tensors[0].values else {
            panic!("a weight is no integer")
        };
        values[3] = f32::NAN;
        let fit = fit(&graph, &file);
        assert_eq!(fit.tensor("conv1.weight"), None);
        let text = fit.report.to_string();
        assert!(
            text.contains("\n  conv1.weight: NaN at position 3"),
            "{text}"
        );
    }

    #[test]
    fn the_stem_adapts_to_other_image_channels() {
        let with_input = |channels: usize| {
            let options = BuildOptions {
                input: Some(residua_graph::Shape::map(32, 32, channels)),
                ..BuildOptions::default()
            };
            catalog::build("resnet20", &options).unwrap()
        };
        let mut file = complete(&resnet20(), "");
        let stem = (0..16 * 3 * 9).map(|index| index as f32).collect();
        file.tensors[0] = NamedTensor::float("conv1.weight", &[16, 3, 3, 3], stem);
        let adapted = |channels: usize| {
            let graph = with_input(channels);
            let mut fit = fit(&graph, &file);
            assert!(!fit.report.is_complete());
            fit.adapt_input(&graph, &file);
            assert!(fit.report.is_complete(), "{}", fit.report);
            assert_eq!(fit.report.adapted[0].found, [16, 3, 3, 3]);
            match &fit.tensor("conv1.weight").unwrap().values {
                Values::Float(values) => values.clone(),
                Values::Integer(_) => panic!("a weight is no integer"),
            }
        };
        // 0 + 9 + 18, 1 + 10 + 19, …
        assert_eq!(adapted(1)[..3], [27.0, 30.0, 33.0]);
        let four = adapted(4);
        assert_eq!(four.len(), 16 * 4 * 9);
        // The fourth channel is the first again; the sum over all stays near that of three.
        assert_eq!(four[27..30], four[..3]);
        assert_eq!(four[9], 9.0 * 0.75);
        let mut damaged = file.clone();
        let Values::Float(values) = &mut damaged.tensors[0].values else {
            panic!("a weight is no integer")
        };
        values[5] = f32::NAN;
        let graph = with_input(1);
        let mut broken = super::fit(&graph, &damaged);
        broken.adapt_input(&graph, &damaged);
        assert_eq!(broken.report.not_finite[0].name, "conv1.weight");
        assert!(!broken.report.is_complete());
        assert!(broken.report.is_damaged_only());
        let mut fit = fit(&resnet20(), &file);
        fit.adapt_input(&resnet20(), &file);
        assert!(fit.report.adapted.is_empty());
    }

    #[test]
    fn a_file_of_something_else_fits_nowhere() {
        let file = TensorFile {
            tensors: vec![NamedTensor::float("encoder.weight", &[1], vec![0.0])],
            ..TensorFile::default()
        };
        let report = fit(&resnet20(), &file).report;
        assert!(report.applied.is_empty() && report.outside.is_empty());
        assert_eq!(report.unused, ["encoder.weight"]);
    }
}
