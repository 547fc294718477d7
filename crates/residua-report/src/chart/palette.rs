//! The colours of charts and pages.

use std::borrow::Cow;

/// For what a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Palette {
    /// On a white ground of its own: for papers.
    Light,
    /// On a dark ground of its own.
    Dark,
    /// Within a page of this crate, whose colours it takes; it changes from light to dark with the
    /// page.
    Page,
}

/// How many series have a colour of their own; then they begin again from the first.
pub(crate) const HUES: usize = 7;

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// What lies below everything.
    Ground,
    /// Text that matters most.
    Ink,
    /// Other text.
    SoftInk,
    /// Text on the axes.
    FaintInk,
    /// Lines that only guide the eye.
    Rule,
    /// A series, by its number.
    Series(usize),
    /// Text on a full colour of a series.
    OnSeries,
}

/// What was right, in heat maps and reliability diagrams.
pub(crate) const RIGHT: Colour = Colour::Series(0);
/// What was wrong.
pub(crate) const WRONG: Colour = Colour::Series(1);

struct Values {
    ground: &'static str,
    ink: &'static str,
    soft_ink: &'static str,
    faint_ink: &'static str,
    rule: &'static str,
    on_series: &'static str,
    series: [&'static str; HUES],
}

/// The series are the colours of Okabe and Ito 2008, "Color Universal Design", which people with any
/// common colour blindness can tell apart; orange, sky blue and purple are darker here, so that
/// thin lines stand out from white. Yellow is left out.
const LIGHT: Values = Values {
    ground: "#ffffff",
    ink: "#16202c",
    soft_ink: "#485566",
    faint_ink: "#647083",
    rule: "#e1e6ec",
    on_series: "#ffffff",
    series: [
        "#0072b2", "#d55e00", "#009e73", "#bb5f95", "#bf7f00", "#3a9bd2", "#5c6773",
    ],
};

/// The same hues, lighter.
const DARK: Values = Values {
    ground: "#11151a",
    ink: "#e9edf2",
    soft_ink: "#b6c0cc",
    faint_ink: "#8d98a7",
    rule: "#2a313a",
    on_series: "#0b0f14",
    series: [
        "#58aee6", "#ff8f4f", "#2ec4a0", "#e59cc8", "#f0b840", "#9ad4f7", "#b8c1cd",
    ],
};

impl Values {
    fn get(&self, colour: Colour) -> &'static str {
        match colour {
            Colour::Ground => self.ground,
            Colour::Ink => self.ink,
            Colour::SoftInk => self.soft_ink,
            Colour::FaintInk => self.faint_ink,
            Colour::Rule => self.rule,
            Colour::OnSeries => self.on_series,
            Colour::Series(number) => self.series[number % HUES],
        }
    }
}

impl Palette {
    /// A colour as SVG and CSS write it.
    pub(crate) fn paint(self, colour: Colour) -> Cow<'static, str> {
        match self {
            Self::Light => Cow::Borrowed(LIGHT.get(colour)),
            Self::Dark => Cow::Borrowed(DARK.get(colour)),
            Self::Page => Cow::Owned(format!("var({})", property(colour))),
        }
    }

    /// The declarations of a page's colours, which [`Palette::Page`] refers to.
    pub(crate) fn declarations(self) -> String {
        let named = [
            Colour::Ground,
            Colour::Ink,
            Colour::SoftInk,
            Colour::FaintInk,
            Colour::Rule,
            Colour::OnSeries,
        ];
        named
            .into_iter()
            .chain((0..HUES).map(Colour::Series))
            .map(|colour| format!("{}:{};", property(colour), self.paint(colour)))
            .collect()
    }
}

/// The name of a colour in a page's style sheet.
fn property(colour: Colour) -> Cow<'static, str> {
    Cow::Borrowed(match colour {
        Colour::Ground => "--ground",
        Colour::Ink => "--ink",
        Colour::SoftInk => "--soft-ink",
        Colour::FaintInk => "--faint-ink",
        Colour::Rule => "--rule",
        Colour::OnSeries => "--on-series",
        Colour::Series(number) => return Cow::Owned(format!("--series-{}", number % HUES)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2.2 defines it.
    fn luminance(colour: &str) -> f64 {
        let channel = |from: usize| {
            let value = u8::from_str_radix(&colour[from..from + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(palette: Palette, one: Colour, other: Colour) -> f64 {
        let one = luminance(&palette.paint(one)) + 0.05;
        let other = luminance(&palette.paint(other)) + 0.05;
        one.max(other) / one.min(other)
    }

    #[test]
    fn text_and_lines_stand_out() {
        for palette in [Palette::Light, Palette::Dark] {
            for text in [Colour::Ink, Colour::SoftInk, Colour::FaintInk] {
                assert!(contrast(palette, text, Colour::Ground) >= 4.5, "{text:?}");
            }
            for number in 0..HUES {
                let found = contrast(palette, Colour::Series(number), Colour::Ground);
                assert!(found >= 3.0, "{palette:?} {number}: {found}");
            }
            assert!(contrast(palette, RIGHT, Colour::OnSeries) >= 4.5);
        }
    }

    #[test]
    fn a_page_declares_what_charts_refer_to() {
        let declared = Palette::Dark.declarations();
        assert!(declared.contains("--series-0:#58aee6;"), "{declared}");
        assert_eq!(Palette::Page.paint(Colour::Series(7)), "var(--series-0)");
    }
}
