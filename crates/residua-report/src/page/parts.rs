//! What sections are made of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};

use crate::chart::{Chart, Palette};
use crate::table::Table;

/// A figure with its name.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: String,
    /// What narrows it down, such as an interval.
    pub(crate) detail: Option<String>,
}

impl Fact {
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            detail: None,
        }
    }

    pub(crate) fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

/// The figures that readers come for. The first one is the most important.
pub(crate) fn key_figures(facts: &[Fact]) -> Markup {
    html! {
        dl.key-figures {
            @for fact in facts {
                div {
                    dt { (fact.name) }
                    dd {
                        span.value { (fact.value) }
                        @if let Some(detail) = &fact.detail {
                            span.detail { (detail) }
                        }
                    }
                }
            }
        }
    }
}

/// Figures of less weight, one below the other. Those without a value are left out.
pub(crate) fn facts(facts: &[Fact]) -> Markup {
    html! {
        dl.facts {
            @for fact in facts.iter().filter(|fact| !fact.value.is_empty()) {
                div {
                    dt { (fact.name) }
                    dd {
                        (fact.value)
                        @if let Some(detail) = &fact.detail {
                            span.detail { (detail) }
                        }
                    }
                }
            }
        }
    }
}

/// How urgent a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Good to know.
    Plain,
    /// The figures mean something else than one would think.
    Warning,
}

/// What the reader must know, one or several things; nothing without any.
pub(crate) fn note<S: AsRef<str>>(tone: Tone, texts: &[S]) -> Markup {
    let class = match tone {
        Tone::Plain => "note",
        Tone::Warning => "note warning",
    };
    html! {
        @match texts {
            [] => {}
            [text] => div class=(class) role="note" { p { (text.as_ref()) } }
            texts => div class=(class) role="note" {
                ul {
                    @for text in texts {
                        li { (text.as_ref()) }
                    }
                }
            }
        }
    }
}

/// A chart with a caption.
pub(crate) fn figure(chart: &Chart, caption: &str) -> Markup {
    let drawn = |chart: &Chart| {
        html! {
            div.scroll {
                div style={ "min-width:" (chart.least_width()) "px" } {
                    (PreEscaped(chart.to_svg(Palette::Page)))
                }
            }
        }
    };
    html! {
        figure {
            @if let Some(narrow) = chart.narrowed() {
                div.wide { (drawn(chart)) }
                div.narrow { (drawn(&narrow)) }
            } @else {
                (drawn(chart))
            }
            @if !caption.is_empty() {
                figcaption { (caption) }
            }
        }
    }
}

/// Figures side by side where there is room.
pub(crate) fn figures(figures: &[Markup]) -> Markup {
    html! {
        div.figures {
            @for figure in figures {
                (figure)
            }
        }
    }
}

/// A table that scrolls by itself where the screen is narrow.
pub(crate) fn table(table: &Table) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(table.caption) {
            (table.markup())
        }
    }
}

/// The same, with forms of the table to copy into other documents.
pub(crate) fn with_forms(shown: &Table) -> Markup {
    html! {
        (table(shown))
        (tables_to_copy(shown))
    }
}

fn tables_to_copy(table: &Table) -> Markup {
    let forms = [
        ("Markdown", table.markdown()),
        ("CSV", table.csv()),
        ("LaTeX", table.latex()),
    ];
    disclosure(
        "This table as Markdown, CSV, LaTeX",
        html! {
            @for (form, text) in forms {
                p.form { (form) }
                pre tabindex="0" { code { (text) } }
            }
        },
    )
}

/// What is shown when the reader asks for it.
pub(crate) fn disclosure(summary: &str, content: Markup) -> Markup {
    html! {
        details {
            summary { (summary) }
            div { (content) }
        }
    }
}

/// Text of a study; an empty line separates paragraphs.
pub(crate) fn paragraphs(text: &str) -> Markup {
    let text = text.replace("\r\n", "\n");
    let paragraphs = text.split("\n\n").map(str::trim);
    html! {
        @for paragraph in paragraphs.filter(|paragraph| !paragraph.is_empty()) {
            (prose(paragraph))
        }
    }
}

/// A paragraph.
pub(crate) fn prose(text: &str) -> Markup {
    html! { p { (text) } }
}

/// How a picture is enlarged.
fn rendering(png: &[u8]) -> Option<&'static str> {
    /// Pictures narrower than this show their pixels rather than a blur.
    const SMALL: u32 = 100;
    // The width stands in the first chunk of every PNG file.
    let width = png.get(16..20)?;
    let width = u32::from_be_bytes(width.try_into().ok()?);
    (width < SMALL).then_some("pixels")
}

/// A PNG file as part of a page.
pub(crate) fn picture(png: &[u8], alternative: &str) -> Markup {
    html! {
        img class=[rendering(png)] alt=(alternative) src=(data_address("image/png", png));
    }
}

/// An SVG document as a picture, whose style sheet stays apart from the page's.
pub(crate) fn drawing(svg: &str, alternative: &str) -> Markup {
    html! {
        img.drawing alt=(alternative) src=(data_address("image/svg+xml", svg.as_bytes()));
    }
}

fn data_address(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

/// A TOML file with its tables, keys and comments set apart.
pub(crate) fn toml(text: &str) -> Markup {
    html! {
        pre.toml tabindex="0" {
            code {
                @for line in text.lines() {
                    (toml_line(line)) "\n"
                }
            }
        }
    }
}

fn toml_line(line: &str) -> Markup {
    let start = line.trim_start();
    let key = line.split_once('=').filter(|(key, _)| is_key(key.trim()));
    html! {
        @if start.starts_with('#') {
            span.comment { (line) }
        } @else if start.starts_with('[') && start.trim_end().ends_with(']') {
            span.heading { (line) }
        } @else if let Some((key, value)) = key {
            span.key { (key) } "=" (value)
        } @else {
            (line)
        }
    }
}

fn is_key(text: &str) -> bool {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(is_bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_escaped_and_complete() {
        let text = "model = \"<b>\" # net\n[loss]\n# why\n  kind = 'x'\n]\n";
        let shown = toml(text).into_string();
        assert!(shown.contains("<span class=\"key\">model </span>= &quot;&lt;b&gt;&quot; # net"));
        assert!(shown.contains("<span class=\"heading\">[loss]</span>"));
        assert!(shown.contains("<span class=\"comment\"># why</span>"));
        let mut plain = shown;
        while let (Some(start), Some(end)) = (plain.find('<'), plain.find('>')) {
            plain.replace_range(start..=end, "");
        }
        let plain = plain
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">");
        assert_eq!(plain, text);
    }

    #[test]
    fn small_pictures_show_their_pixels() {
        let mut png = vec![0; 24];
        png[16..20].copy_from_slice(&32_u32.to_be_bytes());
        assert_eq!(rendering(&png), Some("pixels"));
        png[16..20].copy_from_slice(&224_u32.to_be_bytes());
        assert_eq!(rendering(&png), None);
        assert_eq!(rendering(&[]), None);
    }
}
