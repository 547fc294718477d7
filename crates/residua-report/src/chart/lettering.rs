//! How wide texts are, and how they are shortened.
//!
//! Nothing here knows which font a viewer has. The widths are those of DejaVu Sans, the widest of the
//! fonts that systems commonly use, so that texts that are to stand apart do with any of them.

/// The width of a text in the units of its size.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// The width of a character as a share of the font's size.
fn advance(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '\'' => 0.28,
        'I' | ' ' | '\u{a0}' | ',' | '.' | ':' | ';' | '/' | '|' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '!' => 0.41,
        'c' | 's' | 'z' | 'J' | '_' => 0.55,
        '0'..='9' | 'a'..='l' | 'n'..='v' | 'x' | 'y' => 0.635,
        'w' | '±' | '×' | '−' | '+' | '=' | '<' | '>' | '→' | '←' | '↓' | '…' => 0.84,
        'm' | 'M' | 'W' | '%' | '@' | '—' => 1.0,
        'A'..='Z' => 0.75,
        // Han, kana, hangul and emoji fill a square.
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'.. => 1.02,
        _ => 0.66,
    }
}

/// The text, or as much of its beginning and end as fits into a width.
pub(super) fn fit(text: &str, size: f64, width: f64) -> String {
    /// No chart shows more of a name, and names may be of any length.
    const LONGEST: usize = 120;
    /// A width that was taken from the text itself, and added to something and taken from it again.
    const ROUNDING: f64 = 1e-6;
    let start: Vec<char> = text.chars().take(LONGEST + 1).collect();
    if start.len() <= LONGEST && text_width(text, size) <= width + ROUNDING {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let mut kept = characters.len().saturating_sub(1).min(LONGEST);
    loop {
        let head = characters[..kept.div_ceil(2)].iter();
        let tail = characters[characters.len() - kept / 2..].iter();
        let shortened: String = head.chain(&['…']).chain(tail).collect();
        if kept == 0 || text_width(&shortened, size) <= width {
            return shortened;
        }
        kept -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(fit("truck", 12.0, 100.0), "truck");
        let fitted = fit(&format!("abc{}xyz", "m".repeat(100_000)), 12.0, 80.0);
        assert!(text_width(&fitted, 12.0) <= 80.0, "{fitted}");
        assert!(fitted.starts_with("abc") && fitted.ends_with("xyz"));
        assert_eq!(fit("", 12.0, 0.0), "");
        assert_eq!(fit("abc", 12.0, 0.0), "…");
    }
}
