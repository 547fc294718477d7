//! Pages: their form, what they say, and what they do with odd data.

mod support {
    mod data;
    pub(crate) mod page;
    pub(crate) use data::*;
}

use residua_core::run::{Event, RunMetrics};
use residua_report::comparison::{ComparedNetwork, ComparedRun};
use residua_report::study::Section;
use residua_report::{Comparison, NetworkFacts, RunReport};
use support::page::{check, select, text};
use support::{
    HOSTILE, class_names, compared_run, comparison, events, interrupted_report, metrics,
    multi_label_events, multi_label_metrics, run_report, single, start, study,
};

fn empty_report() -> RunReport {
    RunReport {
        name: String::new(),
        config_toml: String::new(),
        events: Vec::new(),
        metrics: None,
        network: NetworkFacts::default(),
        gallery: Vec::new(),
        notes: Vec::new(),
    }
}

fn with_metrics(metrics: RunMetrics) -> RunReport {
    RunReport {
        metrics: Some(metrics),
        gallery: Vec::new(),
        ..run_report()
    }
}

#[test]
fn the_page_of_a_run_tells_what_readers_come_for() {
    let report = run_report();
    let page = check(&report.html());
    assert_eq!(text(&page, "h1"), "resnet20 on CIFAR-10");
    let metrics = report.metrics.unwrap();
    let accuracy = format!("{:.2}\u{a0}%", metrics.score() * 100.0);
    let head = text(&page, "header");
    assert!(head.contains(&accuracy), "{head}");
    assert!(
        head.contains("2,000\u{a0}test images (95\u{a0}%\u{a0}interval: "),
        "{head}"
    );
    assert!(
        head.contains("with the weights of epoch 28, the best of 30"),
        "{head}"
    );
    assert!(
        head.contains("269.7\u{a0}k") && head.contains("40.55\u{a0}M MACs"),
        "{head}"
    );
    assert!(head.contains("1 unreadable image was left out."), "{head}");
    let headings = select(&page, "h2");
    let sections: Vec<String> = headings.iter().map(|h| h.text().collect()).collect();
    let expected = [
        "Training",
        "Classes",
        "Confusions",
        "Calibration",
        "Mistakes",
        "Network",
        "Time line",
        "Configuration",
        "Environment",
        "Images left out",
    ];
    assert_eq!(sections, expected);
    let time_line = text(&page, ".time-line");
    assert!(
        time_line.contains("Interrupted after step 4,692"),
        "{time_line}"
    );
    assert!(time_line.contains("Continued from step 4,692, after 12\u{a0}finished epochs"));
    assert!(
        time_line.contains("26 November 2026, 08:14 UTC"),
        "{time_line}"
    );
    assert_eq!(select(&page, ".gallery img.pixels").len(), 16);
    assert!(text(&page, ".toml").contains("[optimiser]"));
}

#[test]
fn the_hardest_class_is_first_and_a_class_without_images_last() {
    let classes = class_names(4);
    let mut metrics = metrics(&classes, 300, 5);
    let results = single(&mut metrics);
    let per_class = &mut results.evaluation.per_class;
    per_class[1].support = 0;
    per_class[1].predicted = 0;
    per_class[2].f1 = 0.01;
    results.judgement.as_mut().unwrap().ranking.per_class[1].roc_auc = None;
    let page = check(&with_metrics(metrics).html());
    let rows = select(&page, "#classes tbody tr");
    let cells = |row: usize| -> Vec<String> {
        let cells = rows[row].child_elements();
        cells.map(|cell| cell.text().collect()).collect()
    };
    assert_eq!(cells(0)[0], "bird");
    assert_eq!(cells(3)[..5], ["automobile", "–", "–", "–", "–"]);
}

#[test]
fn an_optimistic_choice_is_pointed_out() {
    let mut report = run_report();
    assert!(!text(&check(&report.html()), "header").contains("on the high side"));
    let metrics = report.metrics.as_mut().unwrap();
    single(metrics).evaluation.images = 10_000;
    let chosen = metrics.score();
    for event in &mut report.events {
        if let Event::Epoch {
            epoch: 28,
            validation_accuracy,
            ..
        } = event
        {
            *validation_accuracy = chosen;
        }
    }
    assert!(text(&check(&report.html()), "header").contains("on the high side"));
}

#[test]
fn a_run_without_an_end_says_so() {
    let page = check(&interrupted_report().html());
    let head = text(&page, "header");
    assert!(
        head.contains("This run was interrupted after step 2,500"),
        "{head}"
    );
    assert!(head.contains("6\u{a0}epochs of 30 are finished"), "{head}");
    let killed = RunReport {
        events: events(30, 6, &class_names(10)),
        ..interrupted_report()
    };
    let page = check(&killed.html());
    assert!(text(&page, "header").contains("This run has no end"));
    assert!(text(&page, ".time-line").contains("Nothing more is recorded"));
}

#[test]
fn what_was_done_again_counts_once() {
    let mut report = interrupted_report();
    let all = events(30, 6, &class_names(10));
    report.events = all.clone();
    report.events.push(Event::Resume {
        step: 4 * 391,
        finished_epochs: 4,
        time: String::new(),
    });
    let again = |event: &&Event| matches!(event, Event::Epoch { epoch: 5.., .. });
    report.events.extend(all.iter().filter(again).cloned());
    let page = check(&report.html());
    let marks = select(
        &page,
        "#training svg[aria-label='Accuracy of each epoch'] g",
    );
    // Six epochs, of training and of validation.
    assert_eq!(marks.len(), 12);
}

#[test]
fn hostile_names_are_text() {
    let classes: Vec<String> = (0..6).map(|class| format!("{HOSTILE}{class}")).collect();
    let mut report = run_report();
    let mut metrics = metrics(&classes, 300, 1);
    metrics.model = HOSTILE.to_owned();
    metrics.data = format!("folder:/data/{HOSTILE}");
    metrics.split = HOSTILE.to_owned();
    report.name = HOSTILE.to_owned();
    report.config_toml = format!("a = \"{HOSTILE}\"\n[{HOSTILE}]\n# {HOSTILE}\n{HOSTILE}\n");
    report.notes = vec![HOSTILE.to_owned(), HOSTILE.to_owned()];
    report.network.name = HOSTILE.to_owned();
    for item in &mut report.gallery {
        item.mistake.image = HOSTILE.to_owned();
        item.mistake.class = HOSTILE.to_owned();
        item.mistake.predicted = HOSTILE.to_owned();
    }
    report.events.push(Event::Quarantine {
        path: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
    });
    report.metrics = Some(metrics);
    let page = check(&report.html());
    for place in [
        "h1",
        "#classes",
        "#confusions",
        "#mistakes",
        "pre",
        "#images-left-out",
        ".note",
    ] {
        assert!(text(&page, place).contains("<script>alert('1')"), "{place}");
    }

    let mut compared = comparison();
    compared.title = HOSTILE.to_owned();
    compared.recipe = HOSTILE.to_owned();
    compared.networks[0].name = HOSTILE.to_owned();
    compared.networks[0].runs[0].folder = HOSTILE.to_owned();
    check(&compared.html());

    let mut hostile = study();
    hostile.question = HOSTILE.to_owned();
    hostile.answer = HOSTILE.to_owned();
    hostile.sections.push(Section::new(HOSTILE, HOSTILE));
    hostile.sections.push(Section::new(HOSTILE, HOSTILE));
    check(&hostile.html());
}

#[test]
fn odd_runs_have_pages() {
    let classes = class_names(10);
    check(&empty_report().html());
    check(&with_metrics(metrics(&class_names(1), 20, 1)).html());
    check(&with_metrics(metrics(&[], 0, 1)).html());
    check(&with_metrics(metrics(&classes, 0, 1)).html());
    let mut unjudged = metrics(&classes, 100, 1);
    single(&mut unjudged).judgement = None;
    unjudged.seconds = f64::NAN;
    check(&with_metrics(unjudged).html());
    let mut short = metrics(&classes, 100, 1);
    short.classes.truncate(2);
    single(&mut short).evaluation.confusion.truncate(3);
    check(&with_metrics(short).html());
    for finished in [0, 1] {
        let events = events(1, finished, &classes);
        check(
            &RunReport {
                events,
                ..interrupted_report()
            }
            .html(),
        );
    }
    let steps_only: Vec<Event> = { events(3, 1, &classes).into_iter() }
        .filter(|event| matches!(event, Event::Start { .. } | Event::Step { .. }))
        .collect();
    let page = check(
        &RunReport {
            events: steps_only,
            ..interrupted_report()
        }
        .html(),
    );
    assert_eq!(select(&page, "#training svg").len(), 4);
}

#[test]
fn images_of_any_number_of_classes_have_areas_and_no_confusions() {
    let classes = class_names(5);
    let metrics = multi_label_metrics(&classes, 300, 4);
    let area = format!("{:.4}", metrics.score());
    let report = RunReport {
        events: multi_label_events(30, &classes),
        gallery: Vec::new(),
        ..with_metrics(metrics.clone())
    };
    let page = check(&report.html());
    let head = text(&page, "header");
    assert!(
        head.contains(&format!("Its mean ROC-AUC over classes is {area}")),
        "{head}"
    );
    assert!(!head.contains("ccuracy"), "{head}");
    let rows = select(&page, "#classes tbody tr");
    let cells = |row: usize| -> Vec<String> {
        let cells = rows[row].child_elements();
        cells.map(|cell| cell.text().collect()).collect()
    };
    // The hardest first, and what nobody shows last.
    assert_eq!(cells(0)[0], "cat");
    assert_eq!(cells(4)[..6], ["deer", "–", "–", "–", "–", "–"]);
    assert_eq!(select(&page, "#curves svg").len(), 2);
    assert!(select(&page, "#confusions").is_empty() && select(&page, "#calibration").is_empty());
    assert!(text(&page, "#training").contains("Area under the ROC curve"));
    assert!(!text(&page, "#training").contains("ccuracy"));

    // Many classes, none, and no images.
    let many = multi_label_metrics(&class_names(60), 200, 1);
    let page = check(&with_metrics(many).html());
    assert!(text(&page, "#classes").contains("The 20 hardest of 60 classes"));
    check(&with_metrics(multi_label_metrics(&[], 0, 1)).html());
    check(&with_metrics(multi_label_metrics(&classes, 0, 1)).html());
    check(
        &RunReport {
            events: multi_label_events(3, &classes),
            ..interrupted_report()
        }
        .html(),
    );
}

#[test]
fn networks_for_any_number_of_classes_are_compared_by_their_areas() {
    let classes = class_names(5);
    let run = |seed: u64| ComparedRun {
        metrics: multi_label_metrics(&classes, 300, seed),
        ..compared_run("resnet20", 0.9, 60.0, seed)
    };
    let compared = Comparison {
        title: "Networks".to_owned(),
        recipe: String::new(),
        networks: vec![ComparedNetwork {
            name: "resnet20".to_owned(),
            parameters: 269_722,
            multiply_accumulates: 40_551_040,
            runs: vec![run(1)],
        }],
    };
    let score = run(1).metrics.score();
    assert_eq!(compared.quality().rows[0][2], format!("{score:.4}"));
    assert_eq!(compared.size().rows[0][3], format!("{:.4}", 1.0 - score));
    let page = check(&compared.html());
    assert!(!text(&page, "main").contains("ccuracy"));
}

#[test]
fn values_that_are_no_numbers_break_lines() {
    let mut report = interrupted_report();
    for event in &mut report.events {
        if let Event::Epoch {
            epoch: 3,
            train_loss,
            validation_loss,
            validation_accuracy,
            images_per_second,
            ..
        } = event
        {
            *train_loss = f64::NAN;
            *validation_loss = f64::INFINITY;
            *validation_accuracy = f64::NAN;
            *images_per_second = f64::NEG_INFINITY;
        }
    }
    check(&report.html());
}

#[test]
fn long_runs_and_many_classes_make_bounded_pages() {
    let long = RunReport {
        events: events(1000, 1000, &class_names(10)),
        network: NetworkFacts::default(),
        ..interrupted_report()
    };
    let html = long.html();
    check(&html);
    assert!(html.len() < 150_000, "{}", html.len());
    let page = check(&with_metrics(metrics(&class_names(100), 3000, 2)).html());
    assert!(text(&page, "#classes").contains("The 20 hardest of 100 classes"));
    assert_eq!(select(&page, "#classes details tbody tr").len(), 100);
}

#[test]
fn tables_of_a_comparison_follow_their_rules() {
    let mut run = compared_run("resnet20", 0.9, 60.0, 0);
    // The best is 0.90; 0.896 is the first within half a point.
    let accuracies = [0.5, 0.8, 0.896, 0.894, 0.9];
    run.epochs.truncate(accuracies.len());
    for (epoch, accuracy) in run.epochs.iter_mut().zip(accuracies) {
        epoch.validation_accuracy = accuracy;
    }
    run.metrics.epochs = 5;
    run.metrics.seconds = 360.0;
    single(&mut run.metrics).evaluation.accuracy = 0.9;
    let network = |runs| ComparedNetwork {
        name: "resnet20".to_owned(),
        parameters: 269_722,
        multiply_accumulates: 40_551_040,
        runs,
    };
    let mut other = run.clone();
    other.seed = 1;
    single(&mut other.metrics).evaluation.accuracy = 0.92;
    let compared = |runs| Comparison {
        title: "Networks".to_owned(),
        recipe: String::new(),
        networks: vec![network(runs)],
    };
    let one = compared(vec![run.clone()]);
    assert_eq!(one.quality().rows[0][..3], ["resnet20", "1", "90.00"]);
    let row = ["resnet20", "3", "60.0", "55.8", "0.050", "0.100"];
    assert_eq!(one.convergence().rows[0], row);
    assert_eq!(one.size().rows[0], ["resnet20", "0.27", "40.6", "10.00"]);
    let two = compared(vec![run, other]);
    assert_eq!(two.quality().rows[0][2], "91.00\u{a0}±\u{a0}1.41");
    assert_eq!(two.convergence().rows[0][1], "3.0\u{a0}±\u{a0}0.0");
    assert!(
        two.quality()
            .note
            .unwrap()
            .contains("standard deviation over seeds")
    );
    assert!(!one.quality().note.unwrap().contains("standard deviation"));
}

#[test]
fn a_fair_comparison_has_no_warnings() {
    let fair = comparison();
    assert_eq!(fair.warnings(), Vec::<String>::new());
    let page = check(&fair.html());
    assert!(select(&page, ".note").is_empty());
    assert_eq!(select(&page, "table").len(), 4);
    // Each table in three more forms.
    assert_eq!(select(&page, "pre").len(), 9);
    for figure in fair.figures() {
        assert!(figure.to_png(600).unwrap().len() > 1000);
    }
}

#[test]
fn what_makes_a_comparison_unfair_is_said() {
    type Change = fn(&mut Comparison);
    let changes: [(Change, &str); 9] = [
        (
            |c| c.networks[1].runs[0].metrics.data = "builtin".into(),
            "different data: ",
        ),
        (
            |c| c.networks[1].runs[0].metrics.split = "validation".into(),
            "different splits",
        ),
        (
            |c| single(&mut c.networks[1].runs[0].metrics).evaluation.images = 7,
            "different numbers of images",
        ),
        (
            |c| c.networks[1].runs[0].metrics.epochs = 10,
            "different numbers of epochs",
        ),
        (
            |c| c.networks[1].runs[0].recipe = "other".into(),
            "different recipes",
        ),
        (|c| c.networks[1].runs[0].seed = 1, "share a seed"),
        (
            |c| c.networks[1].runs.truncate(1),
            "different numbers of runs",
        ),
        (|c| c.networks[1].runs.clear(), "resnet32 has no run"),
        (
            |c| c.networks[1].runs[0].epochs.truncate(9),
            "recorded 9 of its 40",
        ),
    ];
    for (change, expected) in changes {
        let mut unfair = comparison();
        change(&mut unfair);
        let warnings = unfair.warnings();
        assert!(
            warnings.iter().any(|w| w.contains(expected)),
            "{warnings:?}"
        );
        let page = check(&unfair.html());
        assert!(
            text(&page, ".note.warning").contains(expected),
            "{expected}"
        );
    }
}

#[test]
fn odd_comparisons_have_pages() {
    let mut odd = comparison();
    odd.networks.truncate(2);
    odd.networks[0].runs.truncate(1);
    odd.networks[0].runs[0].epochs[3].validation_accuracy = f64::NAN;
    odd.networks[0].parameters = 0;
    odd.networks[1].runs.clear();
    let page = check(&odd.html());
    assert!(text(&page, "#convergence table").contains('–'));
    odd.networks.clear();
    check(&odd.html());
}

#[test]
fn a_study_shows_question_answer_and_evidence() {
    let page = check(&study().html());
    assert!(text(&page, "header").contains("Do deeper networks without shortcuts train worse?"));
    // The second figure is drawn once more for narrow screens.
    assert_eq!(select(&page, "figure svg").len(), 3);
    assert_eq!(select(&page, "table").len(), 1);
}

#[test]
fn a_run_that_only_began_has_a_page() {
    let report = RunReport {
        events: vec![start(30, &class_names(10))],
        ..interrupted_report()
    };
    let page = check(&report.html());
    assert!(text(&page, "#training").contains("No step of this run was recorded."));
}
