//! The dashboard: a page without a build chain, whose files are part of the program
//! ([ADR 59](../../../../docs/adr/0059-a-dashboard-without-a-build-chain.md)).
//!
//! It is read-only: all that it shows comes from the JSON pages. Nothing is loaded from anywhere else, and the policy that is
//! sent along has the browser see to that.

use super::answer::Answer;

pub(super) const INDEX: &str = include_str!("../../dashboard/index.html");
pub(super) const STYLE: &str = include_str!("../../dashboard/style.css");
pub(super) const ICON: &str = include_str!("../../dashboard/icon.svg");
pub(super) const MAIN: &str = include_str!("../../dashboard/main.js");
pub(super) const DOM: &str = include_str!("../../dashboard/dom.js");
pub(super) const LIST: &str = include_str!("../../dashboard/list.js");
pub(super) const STATE: &str = include_str!("../../dashboard/state.js");
pub(super) const VIEWS: &str = include_str!("../../dashboard/views.js");
pub(super) const CHANGES: &str = include_str!("../../dashboard/changes.js");
pub(super) const EXPLAIN: &str = include_str!("../../dashboard/explain.js");

/// What a browser may do with the page, and with each of its files if somebody opens it by itself. Files are asked for again
/// every time: those of another version would not fit.
const FIELDS: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
     X-Content-Type-Options: nosniff\r\n\
     Referrer-Policy: same-origin\r\n\
     Cross-Origin-Opener-Policy: same-origin\r\n\
     Cross-Origin-Resource-Policy: same-origin\r\n\
     Cache-Control: no-store\r\n";

/// `/`
pub(super) fn page() -> Answer {
    file("text/html; charset=utf-8", INDEX)
}

pub(super) fn script(body: &'static str) -> Answer {
    file("text/javascript; charset=utf-8", body)
}

pub(super) fn style() -> Answer {
    file("text/css; charset=utf-8", STYLE)
}

pub(super) fn icon() -> Answer {
    file("image/svg+xml", ICON)
}

fn file(content_type: &'static str, body: &'static str) -> Answer {
    Answer::page(content_type, body.as_bytes()).with(FIELDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPTS: [(&str, &str); 7] = [
        ("main.js", MAIN),
        ("dom.js", DOM),
        ("list.js", LIST),
        ("state.js", STATE),
        ("views.js", VIEWS),
        ("changes.js", CHANGES),
        ("explain.js", EXPLAIN),
    ];

    #[test]
    fn it_is_small() {
        let scripts: usize = SCRIPTS.iter().map(|(_, script)| script.len()).sum();
        let all = INDEX.len() + STYLE.len() + ICON.len() + scripts;
        assert!(all < 100 * 1024, "{all} bytes");
    }

    /// What tenants write must become text. These turn text into markup or code.
    #[test]
    fn nothing_turns_text_into_markup() {
        const SINKS: [&str; 10] = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "setHTML",
            "eval(",
            "Function(",
            "srcdoc",
        ];
        for (name, script) in SCRIPTS {
            for sink in SINKS {
                assert!(!script.contains(sink), "{name} has {sink}");
            }
        }
    }

    /// No address of another host, and nothing inline, which the policy would refuse.
    #[test]
    fn nothing_comes_from_elsewhere() {
        let namespace = "http://www.w3.org/2000/svg";
        let files =
            SCRIPTS
                .iter()
                .copied()
                .chain([("index.html", INDEX), ("style.css", STYLE), ("icon.svg", ICON)]);
        for (name, file) in files {
            let placeholder = "https://shop.example.com/cart";
            let rest = file.replace(namespace, "").replace(placeholder, "");
            for elsewhere in ["http://", "https://", "\"//", "url("] {
                assert!(!rest.contains(elsewhere), "{name} has {elsewhere}");
            }
        }
        for inline in ["<script>", "<style", " style=", " onclick=", " onload="] {
            assert!(!INDEX.contains(inline), "{inline}");
        }
        for (name, _) in SCRIPTS {
            assert!(
                INDEX.contains(&format!("\"/dashboard/{name}\"")),
                "{name} is loaded late"
            );
        }
    }
}
