use residua_data::DataSpec;

use super::*;

const RANDOM: &str = "\
[search]
method = \"random\"
trials = 8

[space]
optimiser.learning_rate = { log_uniform = [0.01, 1] }
\"optimiser.momentum\" = { uniform = [0.8, 0.99] }
accumulate = { integer = [1, 4] }
model = { choice = [\"resnet8\", \"plain8\"] }
";

const HALVING: &str = "\
[search]
method = \"halving\"
trials = 9
seed = 7
first_epochs = 1
reduction = 3

[space]
optimiser.learning_rate = { log_uniform = [0.01, 1.0] }
";

fn base() -> TrainConfig {
    TrainConfig::for_data(DataSpec::Builtin)
}

fn parse(text: &str) -> Result<SearchSpace, SpaceError> {
    SearchSpace::parse(Path::new("space.toml"), text)
}

/// The message for the text with something else in place of a part of it.
#[track_caller]
fn refusal(text: &str, part: &str, other: &str) -> String {
    assert!(text.contains(part), "{part}");
    let space = match parse(&text.replace(part, other)) {
        Ok(space) => space,
        Err(error) => return error.to_string(),
    };
    space.configurations(&base()).unwrap_err().to_string()
}

#[test]
fn a_space_is_read() {
    let space = parse(RANDOM).unwrap();
    assert_eq!((space.trials, space.seed), (8, 0));
    assert_eq!(space.method, SearchMethod::Random);
    let keys: Vec<&str> = { space.settings.iter() }
        .map(|setting| setting.key.as_str())
        .collect();
    let expected = [
        "accumulate",
        "model",
        "optimiser.learning_rate",
        "optimiser.momentum",
    ];
    assert_eq!(keys, expected);
    assert_eq!(space.settings[2].range, Range::LogUniform([0.01, 1.0]));
    let halving = Halving {
        first_epochs: 1,
        reduction: 3,
        rungs: None,
    };
    let space = parse(HALVING).unwrap();
    assert_eq!(space.method, SearchMethod::Halving(halving));
    let without = HALVING.replace("reduction = 3\n", "");
    assert_eq!(parse(&without).unwrap().method, space.method);
}

#[test]
fn trials_are_configurations_of_their_own() {
    let space = parse(RANDOM).unwrap();
    let configs = space.configurations(&base()).unwrap();
    assert_eq!(configs.len(), 8);
    for (number, config) in (0..).zip(&configs) {
        let chosen = space.trial(number);
        assert_eq!(chosen, space.trial(number));
        assert_eq!(chosen[0].value.as_integer(), Some(config.accumulate as i64));
        assert_eq!(chosen[1].value.as_str(), Some(config.model.as_str()));
        assert_eq!(
            chosen[2].value.as_float(),
            Some(config.optimiser.learning_rate())
        );
        // Nothing else differs from the base.
        let mut same = config.clone();
        let base = base();
        same.accumulate = base.accumulate;
        same.model.clone_from(&base.model);
        same.optimiser = base.optimiser;
        assert_eq!(same, base);
    }
    assert_ne!(space.trial(0), space.trial(1));
}

/// Neither the number of trials nor what else is searched nor the order of the keys decides what a
/// setting of a trial is.
#[test]
fn a_setting_depends_on_seed_trial_and_key_alone() {
    let space = parse(RANDOM).unwrap();
    let alone = "[space]\noptimiser.learning_rate = { log_uniform = [0.01, 1.0] }\n\
                 [search]\nmethod = \"random\"\ntrials = 100";
    let alone = parse(alone).unwrap();
    for number in 0..8 {
        assert_eq!(alone.trial(number)[0], space.trial(number)[2]);
    }
    let other = parse(&RANDOM.replace("trials = 8", "trials = 8\nseed = 1")).unwrap();
    assert_ne!(other.trial(0), space.trial(0));
}

/// If this fails, sweeps of earlier versions cannot be continued.
#[test]
fn known_answers() {
    let space = parse(RANDOM).unwrap();
    let texts: Vec<String> = (0..3)
        .map(|number| settings_text(&space.trial(number)))
        .collect();
    insta::assert_debug_snapshot!(texts);
}

#[test]
fn files_that_are_no_spaces_are_refused_with_the_line() {
    let cases = [
        ("method = \"random\"", "method = random"),
        ("method = \"random\"", "method = \"grid\""),
        ("method = \"random\"\n", ""),
        ("trials = 8", "trails = 8"),
        ("trials = 8", "trials = 0"),
        ("trials = 8", "trials = 2.5"),
        ("trials = 8\n", ""),
        ("trials = 8", "trials = 8\nseed = -1"),
        ("trials = 8", "trials = 8\nreduction = 3"),
        ("[search]", "[serach]"),
        ("[search]", "[others]"),
        ("{ log_uniform = [0.01, 1] }", "{ loguniform = [0.01, 1] }"),
        ("{ log_uniform = [0.01, 1] }", "{ log_uniform = [0, 1] }"),
        ("{ log_uniform = [0.01, 1] }", "{ log_uniform = 0.1 }"),
        ("{ log_uniform = [0.01, 1] }", "0.1"),
        ("{ log_uniform = [0.01, 1] }", "{}"),
        (
            "{ log_uniform = [0.01, 1] }",
            "{ log_uniform = [0.01, 1], uniform = [0, 1] }",
        ),
        (
            "{ uniform = [0.8, 0.99] }",
            "{ uniform = [0.8, 0.99], step = 0.1 }",
        ),
        ("{ uniform = [0.8, 0.99] }", "{ uniform = [0.99, 0.8] }"),
        ("{ uniform = [0.8, 0.99] }", "{ uniform = [0.8, inf] }"),
        ("{ integer = [1, 4] }", "{ integer = [1.5, 4] }"),
        ("{ choice = [\"resnet8\", \"plain8\"] }", "{ choice = [] }"),
        ("\"optimiser.momentum\"", "\"optimiser.learning_rate\""),
        ("accumulate =", "data ="),
        ("accumulate =", "fold ="),
        ("accumulate =", "seed ="),
    ];
    let messages: Vec<String> = { cases.iter() }
        .map(|(part, other)| format!("{other}\n{}", refusal(RANDOM, part, other)))
        .collect();
    insta::assert_snapshot!(messages.join("\n\n"));
    let message = refusal(HALVING, "first_epochs = 1\n", "");
    assert_eq!(
        message,
        "space.toml:1:2: search needs first_epochs (a whole number, 1 or more)"
    );
    let message = refusal(
        HALVING,
        "optimiser.learning_rate = { log_uniform = [0.01, 1.0] }",
        "",
    );
    assert!(
        message.starts_with("space.toml:8:2: space has no setting; expected one at least"),
        "{message}"
    );
    let message = refusal(HALVING, "optimiser.learning_rate", "epochs");
    assert!(
        message.contains("set them for all trials with --epochs"),
        "{message}"
    );
    let message = SearchSpace::read(Path::new("absent.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("absent.toml: cannot be read: "),
        "{message}"
    );
}

#[test]
fn values_that_make_no_configuration_are_refused_before_anything_starts() {
    let message = refusal(RANDOM, "optimiser.learning_rate", "optimizer.learning_rate");
    assert!(
        message.starts_with("space.toml:6:11: with optimizer.learning_rate = "),
        "{message}"
    );
    assert!(message.contains("did you mean 'optimiser"), "{message}");
    // The upper end, which no trial may ever draw.
    let message = refusal(RANDOM, "[0.8, 0.99]", "[0.8, 1.5]");
    assert!(
        message.starts_with(
            "space.toml:7:1: with optimiser.momentum = 1.5 there is no configuration: "
        ),
        "{message}"
    );
    let message = refusal(RANDOM, "\"plain8\"", "\"plane8\"");
    assert!(
        message.starts_with("space.toml:9:1: with model = \"plane8\" "),
        "{message}"
    );
    assert!(message.contains("did you mean"), "{message}");
    let message = refusal(RANDOM, "[1, 4]", "[1, 64]");
    assert!(
        message.starts_with("space.toml:8:1: with accumulate = 64 "),
        "{message}"
    );
    let message = refusal(HALVING, "first_epochs = 1", "first_epochs = 15");
    assert!(
        message.starts_with("space.toml:5:1: search.first_epochs is 15, and trials have 15"),
        "{message}"
    );
    // Each of them can be used; together they sometimes cannot.
    let text = RANDOM.replace("model = {", "batch_size = { choice = [2, 64] }\nmodel = {");
    let message = parse(&text)
        .unwrap()
        .configurations(&base())
        .unwrap_err()
        .to_string();
    assert!(message.contains("with the settings of trial "), "{message}");
    assert!(message.contains("batch_size = 2"), "{message}");
}

/// A section as a whole, and a key that only some of its forms have.
#[test]
fn parts_are_tried_on_all_forms_of_their_section() {
    let sgd = "{ kind = \"sgd\", learning_rate = 0.1, momentum = 0.9, nesterov = true, \
               weight_decay = 0.0, decay_norms_and_biases = true }";
    let adam_w = "{ kind = \"adamw\", learning_rate = 0.001, beta1 = 0.9, beta2 = 0.999, \
                  epsilon = 1e-8, weight_decay = 0.05, decay_norms_and_biases = false }";
    let space = |forms: &str, key: &str| {
        format!(
            "[search]\nmethod = \"random\"\ntrials = 6\n[space]\noptimiser.{key} = \
             {{ uniform = [0.5, 0.6] }}\noptimiser = {{ choice = [{forms}] }}\n"
        )
    };
    // The same key twice is no TOML, so it is quoted here.
    let quoted = |forms: &str, key: &str| {
        space(forms, key).replace(&format!("optimiser.{key}"), &format!("\"optimiser.{key}\""))
    };
    let both = quoted(&format!("{sgd}, {adam_w}"), "weight_decay");
    let space = parse(&both).unwrap();
    let configs = space.configurations(&base()).unwrap();
    let kinds: Vec<usize> = { configs.iter() }
        .map(|config| {
            config
                .optimiser
                .memory_names(crate::ParameterRole::OtherWeight)
                .len()
        })
        .collect();
    assert!(kinds.contains(&1) && kinds.contains(&2), "{kinds:?}");
    // The base has SGD, which has no beta1.
    let space = parse(&quoted(adam_w, "beta1")).unwrap();
    space.configurations(&base()).unwrap();
    let space = parse(&quoted(&format!("{sgd}, {adam_w}"), "beta1")).unwrap();
    let message = space.configurations(&base()).unwrap_err().to_string();
    assert!(
        message.starts_with("space.toml:5:1: with optimiser = {")
            && message.contains("optimiser.beta1 = 0.5"),
        "{message}"
    );
}

/// A kind, and keys that it has and others do not.
#[test]
fn kinds_are_searched_with_their_keys() {
    let space = |kinds: &str| {
        format!(
            "[search]\nmethod = \"random\"\ntrials = 8\n[space]\noptimiser.beta2 = \
             {{ uniform = [0.9, 0.99] }}\noptimiser.kind = {{ choice = [{kinds}] }}\n"
        )
    };
    let both = parse(&space("\"adamw\", \"lamb\"")).unwrap();
    let configs = both.configurations(&base()).unwrap();
    let mut kinds = Vec::new();
    for (number, config) in (0..).zip(&configs) {
        let chosen = both.trial(number);
        let wanted = chosen[0].value.as_float().unwrap();
        let (kind, beta2) = match config.optimiser {
            crate::OptimiserConfig::AdamW { beta2, .. } => ("adamw", beta2),
            crate::OptimiserConfig::Lamb { beta2, .. } => ("lamb", beta2),
            _ => panic!("{config:?}"),
        };
        assert_eq!((Some(kind), beta2), (chosen[1].value.as_str(), wanted));
        kinds.push(kind);
    }
    assert!(kinds.contains(&"adamw") && kinds.contains(&"lamb"));
    let message = refusal(&space("\"adamw\", \"sgd\""), "trials = 8", "trials = 8");
    assert!(
        message
            .starts_with("space.toml:5:11: with optimiser.kind = \"sgd\", optimiser.beta2 = 0.9 "),
        "{message}"
    );
}

#[test]
fn changes_are_told() {
    let space = parse(HALVING).unwrap();
    let record = space.record(&base()).unwrap();
    let same = HALVING.replace("[space]", "# the same\n[space]");
    let none: [String; 0] = [];
    assert_eq!(
        parse(&same)
            .unwrap()
            .changes_since(&record, &base())
            .unwrap(),
        none
    );
    let other = HALVING
        .replace("trials = 9", "trials = 12\nrungs = 1")
        .replace("[0.01, 1.0]", "[0.01, 0.5]");
    let mut base = base();
    base.epochs = 9;
    base.clip_norm = Some(1.0);
    base.optimiser = base.optimiser.with_weight_decay(0.0);
    let changes = parse(&other)
        .unwrap()
        .changes_since(&record, &base)
        .unwrap();
    insta::assert_debug_snapshot!(changes);
    assert!(space.changes_since("no record", &base).is_err());
    let message = space
        .changes_since("[search]\n", &base)
        .unwrap_err()
        .to_string();
    assert_eq!(message, "the table [space] is missing");
}
