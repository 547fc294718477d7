//! The shell of pages: one file that needs no other, for screens of any width and for paper.
//!
//! A page has a head with its key figures, a list of its sections, and the sections. Everything that
//! is not markup of this crate is escaped, and the page forbids the browser to run scripts or to
//! fetch anything, so that names of classes and files can do no harm.

mod parts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::Palette;

pub(crate) use parts::{
    Fact, Tone, disclosure, drawing, facts, figure, figures, key_figures, note, paragraphs,
    picture, prose, table, toml, with_forms,
};

const STYLE: &str = include_str!("page/style.css");

/// Nothing is fetched and nothing runs; pictures are part of the page.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// What kind of page it is, above the heading.
    pub(crate) kind: String,
    /// The heading, and the name of the window.
    pub(crate) heading: String,
    /// What matters most, below the heading.
    pub(crate) head: Markup,
    pub(crate) sections: Vec<Section>,
}

/// A part of a page that the list of sections leads to.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) heading: String,
    pub(crate) content: Markup,
}

impl Section {
    pub(crate) fn new(heading: impl Into<String>, content: Markup) -> Self {
        Self {
            heading: heading.into(),
            content,
        }
    }
}

impl Page {
    /// The page as an HTML document.
    pub(crate) fn html(&self) -> String {
        let names = names(self.sections.iter().map(|section| section.heading.as_str()));
        let sections = || names.iter().zip(&self.sections);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content={ "Residua " (env!("CARGO_PKG_VERSION")) };
                    title { (self.heading) " · Residua" }
                    style { (PreEscaped(style())) }
                }
                body {
                    header {
                        p.kind { (self.kind) }
                        h1 { (self.heading) }
                        (self.head)
                    }
                    nav aria-label="Sections" {
                        ol {
                            @for (name, section) in sections() {
                                li { a href={ "#" (name) } { (section.heading) } }
                            }
                        }
                    }
                    main {
                        @for (name, section) in sections() {
                            section id=(name) aria-labelledby={ (name) "-heading" } {
                                h2 id={ (name) "-heading" } { (section.heading) }
                                (section.content)
                            }
                        }
                    }
                    footer {
                        p {
                            "Written by Residua " (env!("CARGO_PKG_VERSION"))
                            ". This file needs no other and no network."
                        }
                    }
                }
            }
        };
        page.into_string()
    }
}

/// The style sheet with the colours that charts refer to.
fn style() -> String {
    let (light, dark) = (Palette::Light.declarations(), Palette::Dark.declarations());
    // Dark pages are for screens: paper is white.
    format!(
        ":root{{{light}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{STYLE}"
    )
}

/// Names to link to: the words of each heading, with a number where that is taken.
fn names<'a>(headings: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for heading in headings {
        let words = heading.to_ascii_lowercase();
        let words = words.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let stem = if words.is_empty() {
            "section".to_owned()
        } else {
            words.join("-")
        };
        // The headings' own names end so.
        let stem = match stem.strip_suffix("-heading") {
            Some(rest) => format!("{rest}-headings"),
            None => stem,
        };
        let mut name = stem.clone();
        let mut number = 1;
        while names.contains(&name) {
            number += 1;
            name = format!("{stem}-{number}");
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_names_of_their_own() {
        let headings = [
            "Training curves",
            "Training <curves>!",
            "層",
            "層",
            "A heading",
        ];
        let expected = [
            "training-curves",
            "training-curves-2",
            "section",
            "section-2",
            "a-headings",
        ];
        assert_eq!(names(headings.into_iter()), expected);
    }

    #[test]
    fn the_style_sheet_cannot_end_its_element() {
        assert!(!style().contains("</"));
        assert!(!style().contains("url("));
    }
}
