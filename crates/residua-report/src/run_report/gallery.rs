//! The mistakes of a run, with pictures where there are any.

use maud::{Markup, html};
use residua_core::metrics::judgement::{Judgement, Mistake};

use super::{GalleryItem, RunReport};
use crate::number;
use crate::page::{picture, prose, table};
use crate::table::{Column, Table};

/// As many mistakes are listed where there are no pictures.
const MOST_LISTED: usize = 25;

/// `None` when nothing is known of mistakes.
pub(super) fn section(report: &RunReport, judgement: Option<&Judgement>) -> Option<Markup> {
    if !report.gallery.is_empty() {
        return Some(pictures(&report.gallery));
    }
    let mistakes = &judgement?.mistakes;
    Some(if mistakes.is_empty() {
        prose("None: every image was recognised.")
    } else {
        html! { (table(&list(mistakes))) }
    })
}

fn pictures(items: &[GalleryItem]) -> Markup {
    let introduction = match items.iter().any(|item| item.overlay.is_some()) {
        true => {
            "Images that were taken for something else. Beside each, Grad-CAM shows which parts spoke \
             for the class that was predicted."
        }
        false => "Images that were taken for something else.",
    };
    html! {
        (prose(introduction))
        ul.gallery {
            @for item in items {
                li { (card(item)) }
            }
        }
    }
}

fn card(item: &GalleryItem) -> Markup {
    let mistake = &item.mistake;
    let class = match item.overlay {
        Some(_) => "pair",
        None => "pair single",
    };
    html! {
        figure {
            div class=(class) {
                (picture(&item.picture, &format!("The image, of class {}", mistake.class)))
                @if let Some(overlay) = &item.overlay {
                    (picture(overlay, &format!("What spoke for {}", mistake.predicted)))
                }
            }
            figcaption {
                "is " strong { (mistake.class) } ", taken for "
                strong { (mistake.predicted) } ", "
                (number::percent(mistake.probability, 1))
                span.file { (mistake.image) }
            }
        }
    }
}

fn list(mistakes: &[Mistake]) -> Table {
    let rows = mistakes.iter().take(MOST_LISTED).map(|mistake| {
        vec![
            mistake.image.clone(),
            mistake.class.clone(),
            mistake.predicted.clone(),
            number::points(mistake.probability, 1),
        ]
    });
    Table {
        caption: "Mistakes, the most confident first".to_owned(),
        columns: vec![
            Column::words("image"),
            Column::words("is"),
            Column::words("taken for"),
            Column::figures("probability %"),
        ],
        rows: rows.collect(),
        note: None,
    }
}
