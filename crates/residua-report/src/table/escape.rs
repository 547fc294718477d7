//! What keeps the content of a cell from being read as part of the form.

use std::borrow::Cow;

/// Text in a cell, a caption or a note of GitHub-flavoured Markdown.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // A line break would end the row, and other control characters mean nothing.
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A field of a CSV file. A number is one for spreadsheets too: without commas between thousands.
pub(super) fn csv_field(text: &str) -> Cow<'_, str> {
    if is_grouped_number(text) {
        return Cow::Owned(text.replace(',', ""));
    }
    let is_plain = !text.contains([',', '"', '\n', '\r']) && text.trim() == text;
    if is_plain {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    }
}

/// Whether a text is a whole number whose digits are in groups of three.
fn is_grouped_number(text: &str) -> bool {
    let mut groups = text.split(',');
    let is_number = |group: &str| group.bytes().all(|letter| letter.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let mut others = groups.peekable();
    let has_others = others.peek().is_some();
    has_others
        && (1..=3).contains(&first.len())
        && is_number(first)
        && others.all(|group| group.len() == 3 && is_number(group))
}

/// Text in LaTeX. Characters outside of ASCII that our tables use become commands; others are left to
/// the engine.
pub(super) fn latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '|' => escaped += "\\textbar{}",
            // After the end of a row they would be its options.
            '[' => escaped += "{[}",
            '*' => escaped += "{*}",
            '\u{a0}' => escaped.push('~'),
            '–' => escaped += "--",
            '±' => escaped += "$\\pm$",
            '×' => escaped += "$\\times$",
            '−' => escaped += "$-$",
            '→' => escaped += "$\\rightarrow$",
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_signs_are_text() {
        assert_eq!(markdown("a|b\\_c\nd"), "a\\|b\\\\\\_c d");
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(csv_field("94.5"), "94.5");
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_field(" x"), "\" x\"");
        assert_eq!(csv_field("75,290"), "75290");
        assert_eq!(csv_field("1,234,567"), "1234567");
        assert_eq!(csv_field("1,23"), "\"1,23\"");
        assert_eq!(csv_field("a,123"), "\"a,123\"");
        assert_eq!(csv_field(",123"), "\",123\"");
    }

    #[test]
    fn latex_signs_are_text() {
        assert_eq!(
            latex("50 % & $x_1 {a} ~^ \\end #2 [b]"),
            "50 \\% \\& \\$x\\_1 \\{a\\} \\textasciitilde{}\\textasciicircum{} \
             \\textbackslash{}end \\#2 {[}b]"
        );
        assert_eq!(latex("94.5 ± 0.1"), "94.5 $\\pm$ 0.1");
    }
}
