//! Text that several crates write alike.

use std::borrow::Cow;

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1` as `1 step`, `1234` as `1,234 steps`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{} {word}", grouped(number))
}

/// Text as the content or an attribute of XML 1.0 can hold it. Characters that it cannot hold become
/// U+FFFD.
pub fn escape_xml(text: &str) -> Cow<'_, str> {
    if !text.contains(|character| replacement(character).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match replacement(character) {
            Some(replacement) => escaped += replacement,
            None => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

fn replacement(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\n' => None,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => Some("\u{fffd}"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        let texts = [0, 12, 999, 1000, 123_456, 1_234_567].map(grouped);
        let expected = ["0", "12", "999", "1,000", "123,456", "1,234,567"];
        assert_eq!(texts, expected);
        assert_eq!(counted(1, "step", "steps"), "1 step");
        assert_eq!(counted(1234, "step", "steps"), "1,234 steps");
    }

    #[test]
    fn xml_is_escaped() {
        assert_eq!(escape_xml("layer1.0"), "layer1.0");
        let expected = "&lt;&amp;&gt;&quot;\u{fffd}\u{fffd}";
        assert_eq!(escape_xml("<&>\"\u{0}\u{1b}"), expected);
    }
}
