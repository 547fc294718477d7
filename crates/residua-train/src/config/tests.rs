use super::*;

fn builtin() -> String {
    TrainConfig::for_data(DataSpec::Builtin).to_toml().unwrap()
}

fn with(overrides: &[&str]) -> Result<TrainConfig, String> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    TrainConfig::from_toml(&builtin(), &overrides).map_err(|error| error.to_string())
}

#[test]
fn a_saved_configuration_reads_back() {
    for data in DATA_FORMS {
        let config = TrainConfig::for_data(data.parse().unwrap());
        let text = config.to_toml().unwrap();
        assert_eq!(TrainConfig::from_toml(&text, &[]).unwrap(), config);
    }
}

#[test]
fn overrides_reach_every_level() {
    let config = with(&[
        "epochs=3",
        "optimiser.learning_rate = 0.25",
        "optimiser.weight_decay=0",
        "model=plain20",
        "clip_norm=1.0",
        "augmentation.crop={rule=\"none\"}",
    ])
    .unwrap();
    assert_eq!((config.epochs, config.clip_norm), (3, Some(1.0)));
    assert_eq!(config.optimiser.learning_rate(), 0.25);
    assert_eq!(config.model, "plain20");
    assert_eq!(config.augmentation.crop, RandomCrop::None);
}

#[test]
fn a_precision_is_written_and_a_configuration_without_one_means_f32() {
    let text = builtin();
    assert!(text.contains("precision = \"f32\"\n"), "{text}");
    let older = text.replace("precision = \"f32\"\n", "");
    let read = TrainConfig::from_toml(&older, &[]).unwrap();
    assert_eq!(read.precision, Precision::F32);
    assert_eq!(
        with(&["precision=bf16"]).unwrap().precision,
        Precision::Bf16
    );
}

#[test]
fn images_are_held_out_in_one_way() {
    let held_out = |overrides: &[&str]| with(overrides).unwrap().hold_out().unwrap();
    let tenth = Fraction::new(0.1).unwrap();
    assert_eq!(held_out(&[]), None);
    assert_eq!(
        held_out(&["validation_fraction=0.1"]),
        Some(HoldOut::Fraction(tenth))
    );
    let second = Fold::new(2, 5).unwrap();
    assert_eq!(held_out(&["fold=2/5"]), Some(HoldOut::Fold(second)));
    let config = with(&["fold=2/5"]).unwrap();
    let text = config.to_toml().unwrap();
    assert!(text.contains("fold = \"2/5\"\n"), "{text}");
    assert_eq!(TrainConfig::from_toml(&text, &[]).unwrap(), config);
    let message = with(&["fold=2/5", "validation_fraction=0.1"]).unwrap_err();
    assert_eq!(
        message,
        "--set validation_fraction=0.1: validation_fraction is 0.1 and fold is 2/5; expected one of them, since both say which \
         images are held out"
    );
}

#[test]
fn wrong_keys_are_answered_with_the_nearest() {
    for (text, expected) in [
        (
            "optimizer.learning_rate=1",
            "optimizer is not a setting; did you mean 'optimiser'? There are: accumulate,",
        ),
        ("epoch=1", "epoch is not a setting; did you mean 'epochs'?"),
        (
            "optimiser.momentum=abc",
            "optimiser.momentum is 'abc'; expected a number",
        ),
        ("nonsense", "expected key=value, for instance"),
    ] {
        let message = with(&[text]).unwrap_err();
        let expected = format!("--set {text}: {expected}");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[test]
fn wrong_values_are_named() {
    let cases = [
        ("epochs=0", "epochs is 0; expected at least 1"),
        (
            "accumulate=100",
            "accumulate is 100, more than the batch_size of 32",
        ),
        (
            "optimiser.learning_rate=-1",
            "optimiser.learning_rate is -1; expected",
        ),
        (
            "loss.label_smoothing=1",
            "loss.label_smoothing is 1; expected 0 or more",
        ),
        (
            "model=resnet21",
            "there is no model named 'resnet21'; did you mean",
        ),
        ("schema=\"x\"", "schema is 'x'; expected residua.config/1"),
        (
            "clip_norm=-2.0",
            "clip_norm is -2; expected a number above 0",
        ),
        (
            "schedule.warmup_fraction=2.0",
            "schedule.warmup_fraction is 2; expected",
        ),
        ("data=nowhere", "\"nowhere\" names no data"),
        (
            "validation_fraction=1",
            "validation_fraction is 1; expected a fraction between 0 and 1",
        ),
        (
            "fold=6/5",
            "expected a fold such as 2/5, the second of five, found 6/5",
        ),
        ("precision=f16", "precision is 'f16'; expected f32 or bf16"),
        (
            "optimiser.momentum=5",
            "optimiser.momentum is 5; expected at least 0 and less than 1",
        ),
        (
            "optimiser.weight_decay=-5",
            "optimiser.weight_decay is -5; expected at least 0",
        ),
        (
            "optimiser.weight_decay=nan",
            "optimiser.weight_decay is NaN; expected",
        ),
        ("batch_size=1000000000", "does not fit into memory"),
        ("repeats=0", "repeats is 0; expected at least 1"),
        (
            "augmentation.erasing={rule='cutout',size=32}",
            "augmentation.erasing.size is 32; expected less than the 32 pixels of the images",
        ),
        (
            "schedule={kind='multi-step',milestone_epochs=[5.0,3.0],factor=0.1}",
            "schedule.milestone_epochs has 3 after 5; expected rising numbers",
        ),
        ("sampling=fair", "expected shuffled or balanced"),
        (
            "preprocessing.shorter_side=31",
            "preprocessing.shorter_side is 31; expected at least 32, to which",
        ),
        (
            "preprocessing.shorter_side=0",
            "preprocessing.shorter_side is 0; expected 1 to 65535 pixels",
        ),
        (
            "epochs=2000000",
            "epochs is 2000000; expected at most 1000000",
        ),
        (
            "preprocessing.resize.crop_fraction=1e-300",
            "expected 0.1 to 1",
        ),
    ];
    for (text, expected) in cases {
        let message = with(&[text]).unwrap_err();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn smaller_images_must_suit_network_and_run() {
    let stage = ["progressive_resizing=[{scale=0.5,epochs=3}]", "epochs=9"];
    let config = with(&stage).unwrap();
    let sides: Vec<usize> = (0..5)
        .map(|epoch| config.preprocessing_in(epoch).height)
        .collect();
    assert_eq!(sides, [16, 16, 16, 32, 32]);
    let cases = [
        (
            "progressive_resizing.0.scale=1",
            "progressive_resizing.0.scale is 1; expected more than 0 and less than 1",
        ),
        (
            "progressive_resizing.0.scale=0.99",
            "progressive_resizing.0.scale is 0.99; expected less: it leaves images of 32×32 pixels as they are",
        ),
        (
            "progressive_resizing.0.epochs=0",
            "progressive_resizing.0.epochs is 0; expected at least 1",
        ),
        (
            "epochs=3",
            "progressive_resizing.0.epochs is 3, which makes 3 of the run's 3 in all; expected fewer",
        ),
        (
            "model=cifar_alexnet",
            "progressive_resizing.0.scale is 0.5: cifar_alexnet",
        ),
        (
            "distillation.teacher=runs/teacher",
            "progressive_resizing is set, and so is distillation",
        ),
    ];
    for (text, expected) in cases {
        let message = with(&[&stage[..], &[text]].concat()).unwrap_err();
        assert!(message.contains(expected), "{text}: {message}");
    }
}
