//! What holds for every page.

use std::collections::BTreeSet;

use scraper::{ElementRef, Html, Selector};

/// The elements that a selector finds.
pub(crate) fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector).collect()
}

/// All text of the elements that a selector finds.
pub(crate) fn text(page: &Html, selector: &str) -> String {
    let elements = select(page, selector);
    elements.iter().flat_map(|element| element.text()).collect()
}

/// Parses a page and checks its form.
pub(crate) fn check(html: &str) -> Html {
    let page = Html::parse_document(html);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    needs_nothing_else(&page);
    is_one_outline(&page);
    for picture in select(&page, "img") {
        assert!(picture.attr("alt").is_some_and(|alt| !alt.is_empty()));
    }
    let shown = text(&page, "body");
    assert!(!shown.contains("NaN") && !shown.contains("inf%"), "{shown}");
    page
}

/// Nothing is fetched, and nothing runs.
fn needs_nothing_else(page: &Html) {
    for element in select(page, "*") {
        let name = element.value().name();
        let is_foreign = [
            "script", "iframe", "object", "embed", "link", "base", "form",
        ];
        assert!(!is_foreign.contains(&name), "{}", element.html());
        for (attribute, value) in element.value().attrs() {
            assert!(!attribute.starts_with("on"), "{}", element.html());
            match attribute {
                "src" => assert!(value.starts_with("data:image/"), "{value}"),
                "href" => assert!(value.starts_with('#'), "{value}"),
                "style" => assert!(!value.contains("url("), "{value}"),
                "srcset" | "action" | "xlink:href" => panic!("{}", element.html()),
                _ => {}
            }
        }
    }
    let style = text(page, "style");
    assert!(!style.contains("url(") && !style.contains("@import"));
}

/// Headings rise by one level at most, and what is linked to exists once.
fn is_one_outline(page: &Html) {
    let mut level = 0;
    for heading in select(page, "h1, h2, h3, h4, h5, h6") {
        let name = heading.value().name();
        let own: u32 = name[1..].parse().expect("the level of a heading");
        assert!(
            own <= level + 1 && (own > 1 || level == 0),
            "{}",
            heading.html()
        );
        level = own;
    }
    assert_eq!(select(page, "h1").len(), 1);
    let mut names = BTreeSet::new();
    for element in select(page, "[id]") {
        let name = element.attr("id").unwrap_or_default();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
    }
    for link in select(page, "a") {
        let target = link
            .attr("href")
            .unwrap_or_default()
            .trim_start_matches('#');
        assert!(names.contains(target), "{target}");
    }
    for element in select(page, "[aria-labelledby]") {
        let label = element.attr("aria-labelledby").unwrap_or_default();
        assert!(names.contains(label), "{label}");
    }
}
