//! Charts as documents: their form, their size, and what they do with odd data.

use residua_core::metrics::calibration::ReliabilityBin;
use residua_report::chart::{
    Axis, Bar, BarChart, Chart, CloudChart, CloudGroup, ConfusionMatrix, LabelledPoint, LineChart,
    Moment, Palette, Point, ReliabilityDiagram, Scale, ScatterChart, Series, Size, Unit,
};

const PALETTES: [Palette; 3] = [Palette::Light, Palette::Dark, Palette::Page];
const HOSTILE: &str = "</text><script>alert('1')</script> & \"\u{0}\u{1b}";

fn lines(series: Vec<Series>) -> LineChart {
    LineChart::new(
        "Accuracy",
        Axis::new("epoch").written(Unit::Whole),
        Axis::new("accuracy").written(Unit::Percent),
    )
    .with_series(series)
}

fn points(values: &[f64]) -> Vec<Point> {
    let numbered = (1..).zip(values);
    numbered
        .map(|(x, &y)| Point::new(f64::from(x), y))
        .collect()
}

/// Draws in every palette; the texts of the last one.
fn texts(chart: &Chart) -> Vec<String> {
    let mut texts = Vec::new();
    for palette in PALETTES {
        let svg = chart.to_svg(palette);
        let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}\n{svg}"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let elements = || document.descendants().filter(roxmltree::Node::is_element);
        assert!(elements().all(|e| e.tag_name().name() != "script"));
        // Pages hold many charts, so charts have no names to collide.
        assert!(elements().all(|e| !e.has_attribute("id")));
        let direct = |name| {
            document
                .root_element()
                .children()
                .find(move |e| e.has_tag_name(name))
        };
        assert!(direct(("http://www.w3.org/2000/svg", "title")).is_some());
        assert!(direct(("http://www.w3.org/2000/svg", "desc")).is_some());
        let shown = elements().filter(|e| e.tag_name().name() == "text");
        texts = shown.filter_map(|e| e.text()).map(str::to_owned).collect();
    }
    texts
}

#[test]
fn a_small_chart() {
    let mut validation = points(&[0.52, 0.71, f64::NAN, 0.83]);
    validation[1].spread = Some(0.02);
    let mut chart = lines(vec![
        Series::new("training", points(&[0.48, 0.69, 0.8, 0.86])),
        Series::new("validation", validation),
    ]);
    chart.events.push(Moment {
        x: 4.0,
        name: "best".to_owned(),
    });
    insta::assert_snapshot!(Chart::from(chart).to_svg(Palette::Light));
}

#[test]
fn lines_of_any_data_are_defined() {
    let nan = f64::NAN;
    for values in [
        &[][..],
        &[0.5],
        &[nan],
        &[nan, 0.5, nan, 0.7, nan],
        &[f64::INFINITY, 0.1],
        &[f64::MAX, f64::MIN],
        &[0.0, 0.0],
        &[1e-300, 1e300],
    ] {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let mut series = points(values);
            series
                .iter_mut()
                .for_each(|point| point.spread = Some(point.y));
            let mut chart = lines(vec![Series::new("a", series), Series::new(HOSTILE, vec![])]);
            chart.vertical = Axis::new(HOSTILE).scaled(scale);
            texts(&chart.into());
        }
    }
}

#[test]
fn a_gap_breaks_a_line() {
    let chart = lines(vec![Series::new(
        "a",
        points(&[0.1, 0.2, f64::NAN, 0.4, 0.5]),
    )]);
    let svg = Chart::from(chart).to_svg(Palette::Light);
    let lines = svg.matches("stroke=\"#0072b2\"").count();
    assert_eq!(lines, 2, "{svg}");
}

#[test]
fn names_stand_at_the_ends_or_in_a_legend() {
    let names = ["resnet20", "resnet32", HOSTILE];
    let series = |ends: [usize; 3]| {
        let named = names.iter().zip(ends);
        named
            .map(|(name, end)| Series::new(*name, points(&vec![0.5; end])))
            .collect()
    };
    for ends in [[9, 9, 9], [3, 6, 9]] {
        let texts = texts(&lines(series(ends)).into());
        assert!(texts.iter().any(|text| text == "resnet20"), "{texts:?}");
        assert!(
            texts.iter().any(|text| text.starts_with("</text>")),
            "{texts:?}"
        );
    }
}

#[test]
fn many_points_make_a_bounded_picture() {
    let values: Vec<f64> = (0..100_000).map(|x| (f64::from(x) / 70.0).sin()).collect();
    let chart = Chart::from(lines(vec![Series::new("a", points(&values))]));
    let length = chart.to_svg(Palette::Page).len();
    assert!(length < 20_000, "{length}");
}

#[test]
fn scattered_points_of_any_data_are_defined() {
    let point = |x, y| LabelledPoint {
        label: HOSTILE.to_owned(),
        x,
        y,
        spread: Some(x),
    };
    for points in [
        vec![],
        vec![point(1e6, 0.05)],
        vec![point(0.0, 0.1), point(-1.0, f64::NAN), point(3e5, 0.2)],
        (0..40).map(|_| point(1e6, 0.05)).collect(),
    ] {
        let chart = ScatterChart {
            title: HOSTILE.to_owned(),
            horizontal: Axis::new("parameters").scaled(Scale::Logarithmic),
            vertical: Axis::new("error").written(Unit::Percent),
            points,
            size: Size::default(),
        };
        texts(&chart.into());
    }
}

#[test]
fn labels_of_points_stand_apart() {
    let point = |label: &str, x, y| LabelledPoint {
        label: label.to_owned(),
        x,
        y,
        spread: None,
    };
    let chart = ScatterChart {
        title: "Error".to_owned(),
        horizontal: Axis::new("parameters"),
        vertical: Axis::new("error"),
        points: vec![
            point("first", 1.0, 1.0),
            point("second", 1.02, 1.0),
            point("far", 2.0, 2.0),
        ],
        size: Size::PAGE,
    };
    let svg = Chart::from(chart).to_svg(Palette::Light);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let place = |label: &str| {
        let mut texts = document
            .descendants()
            .filter(|e| e.has_tag_name((SVG, "text")));
        let text = texts.rfind(|e| e.text() == Some(label)).unwrap();
        let number = |name| text.attribute(name).unwrap().parse::<f64>().unwrap();
        let width = 7.0 * label.len() as f64;
        let left = match text.attribute("text-anchor") {
            None => number("x"),
            Some("middle") => number("x") - width / 2.0,
            _ => number("x") - width,
        };
        (left, left + width, number("y"))
    };
    let (first, second) = (place("first"), place("second"));
    let is_beside = first.1 <= second.0 || second.1 <= first.0;
    assert!(
        is_beside || (first.2 - second.2).abs() >= 10.0,
        "{first:?} {second:?}"
    );
}

const SVG: &str = "http://www.w3.org/2000/svg";

#[test]
fn matrices_of_any_size_are_defined_and_bounded() {
    for classes in [0, 1, 2, 20, 21, 100, 500] {
        let counts = (0..classes)
            .map(|row| {
                (0..classes)
                    .map(|column| (row * 7 + column * 3) % 50)
                    .collect()
            })
            .collect();
        let chart = ConfusionMatrix {
            title: "Confusion matrix".to_owned(),
            classes: (0..classes)
                .map(|class| format!("{HOSTILE}{class}"))
                .collect(),
            counts,
        };
        let chart = Chart::from(chart);
        let numbers = texts(&chart)
            .iter()
            .filter(|text| text.parse::<u64>().is_ok())
            .count();
        assert_eq!(
            numbers > 0,
            (1..=20).contains(&classes) && classes > 1,
            "{classes}"
        );
        assert!(chart.to_svg(Palette::Page).len() < 400_000);
    }
    let ragged = ConfusionMatrix {
        title: String::new(),
        classes: vec!["a".to_owned(), "b".to_owned()],
        counts: vec![vec![u64::MAX, u64::MAX, 3]],
    };
    texts(&ragged.into());
}

#[test]
fn reliability_of_any_bins_is_defined() {
    let bin = |count, figures: Option<(f64, f64)>| ReliabilityBin {
        lower: 0.5,
        upper: 1.0,
        count,
        mean_confidence: figures.map(|figures| figures.0),
        accuracy: figures.map(|figures| figures.1),
    };
    for bins in [
        vec![],
        vec![bin(0, None)],
        vec![bin(3, Some((0.9, 0.4))), bin(5, Some((0.6, 1.0)))],
        vec![bin(u64::MAX, Some((f64::NAN, 2.0)))],
    ] {
        let title = HOSTILE.to_owned();
        texts(&ReliabilityDiagram { title, bins }.into());
    }
}

#[test]
fn bars_and_clouds_of_any_data_are_defined() {
    for values in [
        vec![],
        vec![None],
        vec![Some(0.4), None, Some(f64::NAN), Some(7.0)],
    ] {
        let chart = BarChart {
            title: HOSTILE.to_owned(),
            label: "recall".to_owned(),
            unit: Unit::Percent,
            bars: { values.iter() }
                .map(|&value| Bar {
                    name: HOSTILE.to_owned(),
                    value,
                })
                .collect(),
            reference: values.first().copied().flatten(),
        };
        texts(&chart.into());
    }
    let chart = CloudChart {
        title: HOSTILE.to_owned(),
        horizontal: Axis::new("first"),
        vertical: Axis::new("second"),
        groups: vec![CloudGroup {
            name: HOSTILE.to_owned(),
            points: points(&[f64::NAN, 1.0]),
        }],
        size: Size::default(),
    };
    texts(&chart.into());
}

#[test]
fn pictures_are_png_files_with_text_and_the_same_each_time() {
    let chart = Chart::from(lines(vec![Series::new("a", points(&[0.1, 0.4]))]));
    let png = chart.to_png(880).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(png[16..20], 880_u32.to_be_bytes());
    assert_eq!(png, chart.to_png(880).unwrap());
    let mut nameless = lines(vec![Series::new("a", points(&[0.1, 0.4]))]);
    nameless.horizontal.label.clear();
    nameless.vertical.label.clear();
    let nameless = Chart::from(nameless).to_png(880).unwrap();
    // Without a font both would be the same picture.
    assert_ne!(png, nameless);
}

#[test]
fn sizes_of_no_use_are_refused() {
    let chart = Chart::from(lines(Vec::new()));
    for width in [0, 20_001, u32::MAX] {
        let message = chart.to_png(width).unwrap_err().to_string();
        assert!(message.contains("each side has at least 1"), "{message}");
    }
}
