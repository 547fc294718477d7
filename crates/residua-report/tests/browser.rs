//! Pages in a real browser: on no screen do they scroll sideways.
//!
//! The browser is `chromium`, `chromium-browser` or `google-chrome`, or what `RESIDUA_CHROMIUM` names.
//! Without one there is nothing to test, which is printed.

mod support {
    mod data;
    pub(crate) use data::*;
}

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use support::{class_names, comparison, interrupted_report, metrics, run_report, study};

const WIDTHS: [u32; 4] = [320, 360, 768, 1280];

fn browser() -> Option<PathBuf> {
    if let Some(named) = env::var_os("RESIDUA_CHROMIUM") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |f| f.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// A page that shows another one in frames of these widths, and writes down how wide its content is in
/// each. The page itself stays as it is. (A window of its own would not do: browsers have a least
/// width.)
fn measuring(page: &str) -> String {
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    let frames: String = { WIDTHS.iter() }
        .map(|width| {
            format!("<iframe width=\"{width}\" height=\"900\" srcdoc=\"{page}\"></iframe>")
        })
        .collect();
    format!(
        "<!DOCTYPE html><style>iframe{{border:0}}</style>{frames}<p id=\"widths\"></p><script>\
         addEventListener('load', () => {{ \
         const frames = [...document.querySelectorAll('iframe')]; \
         document.getElementById('widths').textContent = frames.map(frame => {{ \
         const root = frame.contentDocument.documentElement; \
         return root.scrollWidth + '/' + root.clientWidth; }}).join(' '); }});</script>"
    )
}

/// The part of the browser's page that the script wrote.
fn measured(browser: &Path, page: &Path, profile: &Path) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--virtual-time-budget=10000", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("a browser that starts");
    let dumped = String::from_utf8_lossy(&output.stdout);
    let start = dumped
        .rfind("<p id=\"widths\">")
        .expect("the measuring page");
    let rest = &dumped[start + "<p id=\"widths\">".len()..];
    rest.split("</p>").next().unwrap_or_default().to_owned()
}

#[test]
fn pages_do_not_scroll_sideways() {
    let Some(browser) = browser() else {
        eprintln!("not tested: no chromium, chromium-browser or google-chrome on PATH");
        return;
    };
    let mut wide = run_report();
    let classes: Vec<String> = { class_names(20).into_iter() }
        .map(|name| format!("{name} {}", "w".repeat(60)))
        .collect();
    wide.metrics = Some(metrics(&classes, 400, 1));
    wide.name = "n".repeat(200);
    wide.notes.push("/a/very/long/path".repeat(20));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let widths = |page: &str| {
        let path = folder.path().join("page.html");
        fs::write(&path, measuring(page)).expect("a file in a temporary folder");
        measured(&browser, &path, &folder.path().join("profile"))
    };
    let too_wide = "<!DOCTYPE html><body style=\"margin:0\"><p style=\"width:700px\">wide</p>";
    assert!(widths(too_wide).starts_with("700/320 700/360 768/768"));
    for (name, page) in [
        ("run", run_report().html()),
        ("wide", wide.html()),
        ("interrupted", interrupted_report().html()),
        ("comparison", comparison().html()),
        ("study", study().html()),
    ] {
        // What is hidden at first must fit too.
        let opened = page.replace("<details>", "<details open>");
        let expected = WIDTHS.map(|width| format!("{width}/{width}")).join(" ");
        assert_eq!(widths(&opened), expected, "{name}");
    }
}
