use std::collections::BTreeMap;
use std::path::PathBuf;

use residua_data::{ColourJitter, DataSpec, Erasing, ErasingFill, Mix, Policy};
use residua_graph::Activation;
use residua_graph::families::Norm;
use toml::{Table, Value};

use super::schema::{Schema, Shape};
use super::*;
use crate::config::DATA_FORMS;
use crate::error::TrainError;
use crate::recipe::Recipe;
use crate::{
    ClassWeights, Distillation, Freezing, HeadRule, MisfitRule, OptimiserConfig, ParameterGroup,
    Sampling, ScheduleConfig, StageRules, StartingWeights, StemRule, WeightAverage,
};

/// A configuration with all that there is.
fn everything() -> TrainConfig {
    let mut config = TrainConfig::for_data(DataSpec::Builtin);
    config.clip_norm = Some(1.0);
    config.patience = Some(3);
    config.checkpoint_every = Some(10);
    config.validation_fraction = Some(0.1);
    config.weights = Some(StartingWeights {
        file: PathBuf::from("start.safetensors"),
        head: HeadRule::Reset,
        misfits: MisfitRule::LeaveOut,
    });
    config.variations.norm = Some(Norm::Group { groups: 4 });
    config.variations.activation = Some(Activation::Silu);
    config.variations.stochastic_depth = Some(0.25);
    config.variations.zero_last_norm = Some(true);
    config.class_weights = ClassWeights::Given {
        weights: BTreeMap::from([("a.b c".to_owned(), 2.0), ("dog".to_owned(), 0.5)]),
    };
    config.weight_average = Some(WeightAverage { decay: 0.99 });
    config.stem = StemRule::Whitening;
    config.sampling = Sampling::Balanced;
    config.repeats = 2;
    config.stages = Some(StageRules {
        rate_decay: 0.5,
        frozen: 1,
        unfreeze_every: Some(2),
    });
    config.parameter_groups = vec![ParameterGroup {
        names: "*.bias".to_owned(),
        rate: 2.0,
        weight_decay: Some(0.0),
        frozen: Freezing::ForEpochs(1),
    }];
    config.distillation = Some(Distillation {
        model: Some("resnet56".to_owned()),
        ..Distillation::by(PathBuf::from("teacher.th"))
    });
    config.optimiser = OptimiserConfig::muon(0.02);
    config.schedule = ScheduleConfig::MultiStep {
        milestone_epochs: vec![3.0, 6.0],
        factor: 0.1,
        warmup_epochs: 1.0,
    };
    config.augmentation.policy = Policy::RandAugment {
        operations: 1,
        magnitude: 5,
        magnitude_deviation: 0.5,
    };
    config.augmentation.colour_jitter = Some(ColourJitter {
        hue: 0.1,
        ..ColourJitter::default()
    });
    config.augmentation.erasing = Erasing::Random {
        probability: 0.25,
        area: [0.02, 0.2],
        ratio: [0.5, 2.0],
        fill: ErasingFill::Noise,
    };
    config.augmentation.mix = Some(Mix {
        mixup_alpha: 0.2,
        ..Mix::default()
    });
    config.validate().unwrap();
    config
}

fn table(config: &TrainConfig) -> Table {
    config.to_toml().unwrap().parse().unwrap()
}

/// The keys of a table: with those of sections, or of values only.
fn keys(table: &Table, with_sections: bool) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (name, value) in table {
        if let Value::Table(inner) = value {
            found.extend(with_sections.then(|| vec![name.clone()]));
            for mut key in keys(inner, with_sections) {
                key.insert(0, name.clone());
                found.push(key);
            }
        } else {
            found.push(vec![name.clone()]);
        }
    }
    found
}

/// The table that a key is in.
fn section<'t>(table: &'t mut Table, key: &[String]) -> &'t mut Table {
    let (_, sections) = key.split_last().unwrap();
    sections.iter().fold(table, |table, part| {
        table.get_mut(part).unwrap().as_table_mut().unwrap()
    })
}

fn refused(table: &Table) -> (SettingError, String) {
    let text = toml::to_string(table).unwrap();
    match TrainConfig::from_text_of("a.toml", &text) {
        Err(TrainError::Setting(error)) => {
            let place = error.place().unwrap().strip_prefix("a.toml:").unwrap();
            let (line, _) = place.split_once(':').unwrap();
            let line: usize = line.parse().unwrap();
            (error, text.lines().nth(line - 1).unwrap().to_owned())
        }
        other => panic!("{other:?}: {text}"),
    }
}

fn set(config: &TrainConfig, changes: &[&str]) -> Result<TrainConfig, String> {
    let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
    { config.with_changes(&changes) }.map_err(|error| error.to_string())
}

fn builtin() -> TrainConfig {
    TrainConfig::for_data(DataSpec::Builtin)
}

#[test]
fn recipes_and_saved_configurations_are_as_the_schema_says() {
    for recipe in Recipe::all().unwrap() {
        let recipe: Table = recipe.text.parse().unwrap();
        assert_eq!(problems(recipe_schema(), &recipe), []);
    }
    for data in DATA_FORMS {
        let config = TrainConfig::for_data(data.parse().unwrap());
        assert_eq!(problems(configuration_schema(), &table(&config)), []);
        assert_eq!(problems(recipe_schema(), &table(&config)), []);
    }
    assert_eq!(problems(configuration_schema(), &table(&everything())), []);
}

#[test]
fn every_misspelt_key_is_found_at_its_place() {
    let whole = table(&everything());
    let misspelt = |key: &[String]| !key.starts_with(&["class_weights".into(), "weights".into()]);
    for key in keys(&whole, true).into_iter().filter(|key| misspelt(key)) {
        let mut table = whole.clone();
        let section = section(&mut table, &key);
        let name = key.last().unwrap();
        let value = section.remove(name).unwrap();
        let wrong = format!("{name}x");
        section.insert(wrong.clone(), value);
        let (error, line) = refused(&table);
        assert_eq!(error.key().last(), Some(&wrong), "{error}");
        assert_eq!(error.key().len(), key.len(), "{error}");
        assert!(line.contains(&wrong), "{line}: {error}");
        assert!(error.to_string().contains("did you mean '"), "{error}");
    }
}

#[test]
fn every_value_of_another_type_is_found_at_its_place() {
    let whole = table(&everything());
    for key in keys(&whole, true) {
        let mut table = whole.clone();
        let date = Value::Datetime("2026-01-01".parse().unwrap());
        section(&mut table, &key).insert(key.last().unwrap().clone(), date);
        let (error, line) = refused(&table);
        assert_eq!(error.key(), key, "{error}");
        assert!(line.contains(key.last().unwrap()), "{line}: {error}");
        assert!(
            error.to_string().contains("is 2026-01-01; expected "),
            "{error}"
        );
    }
}

#[test]
fn everything_can_be_set_key_by_key() {
    let whole = table(&everything());
    let text = |key: &Vec<String>| {
        let value = { key.iter() }
            .fold(&Value::Table(whole.clone()), |value, part| &value[part])
            .to_string();
        format!("{}={value}", residua_core::setting::dotted(key))
    };
    let mut changes: Vec<String> = keys(&whole, false).iter().map(text).collect();
    assert_eq!(builtin().with_changes(&changes).unwrap(), everything());
    // In whichever order.
    changes.reverse();
    assert_eq!(builtin().with_changes(&changes).unwrap(), everything());
}

#[test]
fn missing_sections_begin_with_their_defaults() {
    let config = set(
        &builtin(),
        &[
            "augmentation.mix.mixup_alpha=0.2",
            "weight_average.decay=0.999",
            "class_weights.rule=balanced",
            "variations.norm.group.groups=8",
        ],
    )
    .unwrap();
    let mix = Mix {
        mixup_alpha: 0.2,
        ..Mix::default()
    };
    assert_eq!(config.augmentation.mix, Some(mix));
    assert_eq!(config.weight_average, Some(WeightAverage { decay: 0.999 }));
    assert_eq!(config.class_weights, ClassWeights::Balanced);
    assert_eq!(config.variations.norm, Some(Norm::Group { groups: 8 }));
    for (change, expected) in [
        ("weights.head=reset", "weights needs file (text)"),
        (
            "augmentation.erasing.rule=random",
            "augmentation.erasing needs probability (a number)",
        ),
        (
            "augmentation.erasing.size=8",
            "augmentation.erasing needs rule (none, random or cutout)",
        ),
    ] {
        let expected = format!("--set {change}: {expected}");
        assert_eq!(set(&builtin(), &[change]).unwrap_err(), expected);
    }
}

#[test]
fn a_list_grows_by_the_item_after_its_last() {
    let changes = [
        "parameter_groups.0.names=*.bias",
        "parameter_groups.0.rate=2.0",
        "parameter_groups.1.names=layer1.*",
    ];
    let config = set(&builtin(), &changes).unwrap();
    let names: Vec<&str> = { config.parameter_groups.iter() }
        .map(|group| group.names.as_str())
        .collect();
    assert_eq!(names, ["*.bias", "layer1.*"]);
    assert_eq!(config.parameter_groups[0].rate, 2.0);
}

#[test]
fn another_kind_begins_with_its_usual_settings() {
    let config = set(&builtin(), &["optimiser.beta1=0.8", "optimiser.kind=adamw"]).unwrap();
    let mut expected = OptimiserConfig::adam_w(1e-3);
    if let OptimiserConfig::AdamW { beta1, .. } = &mut expected {
        *beta1 = 0.8;
    }
    assert_eq!(config.optimiser, expected);
    // The same kind again changes nothing.
    let again = set(&config, &["optimiser.kind=adamw"]).unwrap();
    assert_eq!(again, config);
    assert_eq!(
        set(&builtin(), &["schedule.kind=cosine"]).unwrap_err(),
        "--set schedule.kind=cosine: schedule needs warmup_epochs (a number)"
    );
    let cosine = ["schedule.kind=cosine", "schedule.warmup_epochs=2"];
    let config = set(&builtin(), &cosine).unwrap();
    let expected = ScheduleConfig::Cosine { warmup_epochs: 2.0 };
    assert_eq!(config.schedule, expected);
    assert_eq!(
        set(&builtin(), &["optimiser.kind=adam"]).unwrap_err(),
        "--set optimiser.kind=adam: optimiser.kind is 'adam'; expected sgd, adamw, lamb, rms-prop or muon; did you mean \
         'adamw'?"
    );
}

#[test]
fn kinds_can_be_chosen_before_the_rest_is_changed() {
    let changes = [
        "epochs=3",
        "optimiser.kind=adamw",
        "optimiser.beta1=0.8",
        "schedule.anneal=linear",
    ]
    .map(str::to_owned);
    let config = builtin().with_chosen_kinds(&changes).unwrap();
    assert_eq!((config.epochs, &config.schedule), (15, &builtin().schedule));
    let config = TrainConfig {
        optimiser: config.optimiser.with_learning_rate(0.02),
        ..config
    };
    let config = config.with_changes(&changes).unwrap();
    assert_eq!((config.epochs, config.optimiser.learning_rate()), (3, 0.02));
    assert!(matches!(
        config.optimiser,
        OptimiserConfig::AdamW { beta1: 0.8, .. }
    ));
}

/// The kinds of all sections, wherever they are in the schema.
fn kinds(schema: Schema<'_>, visit: &mut impl FnMut(&str, &super::schema::Fields<'_>)) -> usize {
    match schema.shape() {
        Shape::Table(fields) => { fields.all.iter() }
            .map(|(_, inner)| kinds(*inner, visit))
            .sum(),
        Shape::Tagged { kinds: all, .. } => {
            let mut count = all.len();
            for (word, fields) in &all {
                visit(word, fields);
                count += { fields.all.iter() }
                    .map(|(_, inner)| kinds(*inner, visit))
                    .sum::<usize>();
            }
            count
        }
        _ => 0,
    }
}

#[test]
fn what_a_kind_begins_with_is_a_whole_of_that_kind() {
    let mut with_default = 0;
    let count = kinds(configuration_schema(), &mut |word, fields| {
        let Some(default) = fields.default.and_then(serde_json::Value::as_object) else {
            return;
        };
        with_default += 1;
        assert!(
            default.values().any(|value| value == word),
            "{word}: {default:?}"
        );
        let names = fields.names();
        let mut given = default.keys().map(String::as_str);
        assert!(given.all(|key| names.contains(&key)), "{word}: {default:?}");
        let mut required = fields.required.iter();
        assert!(
            required.all(|key| default.contains_key(*key)),
            "{word}: {default:?}"
        );
    });
    assert!(count > 20 && with_default > 8, "{with_default} of {count}");
}

#[test]
fn messages_name_place_key_and_what_there_is() {
    let text = builtin().to_toml().unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        let text = text.replace(from, to);
        TrainConfig::from_text_of("mine.toml", &text)
            .unwrap_err()
            .to_string()
    };
    let message = refused("momentum = 0.9", "momentm = 0.9");
    let (place, rest) = message.split_once(": ").unwrap();
    assert!(
        place.starts_with("mine.toml:") && place.ends_with(":1"),
        "{message}"
    );
    assert_eq!(
        rest,
        "optimiser.momentm is not a setting; did you mean 'momentum'? There are: \
         decay_norms_and_biases, kind, learning_rate, momentum, nesterov, weight_decay"
    );
    let after_place = |message: String| message.split_once(": ").unwrap().1.to_owned();
    for (from, to, expected) in [
        (
            "momentum = 0.9",
            "momentum = 0.9\nbeta1 = 0.9",
            "optimiser.beta1 belongs to the kind 'adamw' or 'lamb'; here the kind is 'sgd'",
        ),
        (
            "momentum = 0.9\n",
            "",
            "optimiser needs momentum (a number)",
        ),
        (
            "momentum = 0.9",
            "momentum = 2",
            "optimiser.momentum is 2; expected at least 0 and less than 1",
        ),
        (
            "batch_size = 32",
            "batch_size = -1",
            "batch_size is -1; expected a whole number, 0 or more",
        ),
        (
            "accumulate = 1",
            "accumulate = 64",
            "accumulate is 64, more than the batch_size of 32; a batch cannot be computed in more \
             pieces than it has images",
        ),
        (
            "data = \"builtin\"",
            "data = \"nowhere\"",
            "data cannot be used: \"nowhere\" names no data; expected builtin, cifar10:DIR, \
             folder:DIR, csv:FILE, npz:FILE or idx:DIR (for a folder of images: folder:nowhere)",
        ),
        (
            "[variations]",
            "[variations]\nnorm = \"layer\"",
            "variations.norm is 'layer'; expected batch or a table with group",
        ),
        (
            "[variations]",
            "[variations]\ndropout = 1.5",
            "variations.dropout cannot be used: resnet20 takes no dropout of 1.5; it must be at least 0",
        ),
    ] {
        let message = after_place(refused(from, to));
        assert!(message.starts_with(expected), "{message}");
    }
}
