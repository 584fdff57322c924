//! The pages of the admin port: what each is made from, and the table of all of them.
//!
//! A new page is one line of [`PAGES`] and a function.

use std::fmt;

use hyper::StatusCode;

use super::answer::Answer;
use super::context::{Context, Inquiry};
use super::dashboard;
use super::exposition::{Format, accepts_gzip, gzip};
use super::query::{Query, QueryError};
use super::reachability;
use super::report::{certificates, endpoints, failures, problems, traffic};
use crate::journal::{self, Journal};
use crate::shown::ShownWorld;

/// A page that takes a while to make.
pub(super) struct Page {
    /// Its path.
    pub(super) path: &'static str,
    /// Who may see it.
    pub(super) audience: Audience,
    /// Makes it.
    make: fn(&Context, &Inquiry) -> Answer,
}

/// Whom a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Programs: it is answered under every `Host`, except to [browsers](super::guard). Errors are text.
    Programs,
    /// People and their browsers: only under [a `Host` that no stranger can have](super::guard). Errors are JSON.
    People,
}

/// Every page.
pub(super) static PAGES: [Page; 20] = [
    Page::for_programs("/metrics", metrics),
    Page::for_people("/api/v1/doors", |context, _| Answer::json(&context.board.doors())),
    Page::for_people("/api/v1/audit", reachability::audit),
    Page::for_people("/api/v1/explain", reachability::explain),
    Page::for_people("/api/v1/changes", |context, inquiry| {
        changes(&context.journal, &inquiry.query)
    }),
    Page::for_people("/api/v1/traffic", |context, inquiry| {
        let (board, gauges) = (&context.board, &context.gauges);
        settled(traffic::page(board, gauges, context.started, &inquiry.query))
    }),
    Page::for_people("/api/v1/problems", |context, inquiry| {
        settled(problems::page(&context.board, &inquiry.query))
    }),
    Page::for_people("/api/v1/failures", |context, inquiry| {
        settled(failures::page(&context.board, &inquiry.query))
    }),
    Page::for_people("/api/v1/endpoints", |context, inquiry| {
        of_world(context, inquiry, endpoints::page)
    }),
    Page::for_people("/api/v1/certificates", |context, inquiry| {
        of_world(context, inquiry, certificates::page)
    }),
    Page::for_people("/", |_, _| dashboard::page()),
    Page::for_people("/dashboard/style.css", |_, _| dashboard::style()),
    Page::for_people("/dashboard/icon.svg", |_, _| dashboard::icon()),
    Page::for_people("/dashboard/main.js", |_, _| dashboard::script(dashboard::MAIN)),
    Page::for_people("/dashboard/dom.js", |_, _| dashboard::script(dashboard::DOM)),
    Page::for_people("/dashboard/list.js", |_, _| dashboard::script(dashboard::LIST)),
    Page::for_people("/dashboard/state.js", |_, _| dashboard::script(dashboard::STATE)),
    Page::for_people("/dashboard/views.js", |_, _| dashboard::script(dashboard::VIEWS)),
    Page::for_people("/dashboard/changes.js", |_, _| {
        dashboard::script(dashboard::CHANGES)
    }),
    Page::for_people("/dashboard/explain.js", |_, _| {
        dashboard::script(dashboard::EXPLAIN)
    }),
];

impl Page {
    const fn for_programs(path: &'static str, make: fn(&Context, &Inquiry) -> Answer) -> Self {
        Self {
            path,
            audience: Audience::Programs,
            make,
        }
    }

    const fn for_people(path: &'static str, make: fn(&Context, &Inquiry) -> Answer) -> Self {
        Self {
            path,
            audience: Audience::People,
            make,
        }
    }

    /// The page at a path.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        PAGES.iter().find(|page| page.path == path)
    }

    pub(super) fn make(&self, context: &Context, inquiry: &Inquiry) -> Answer {
        (self.make)(context, inquiry)
    }
}

/// A page that is made from the world that is live.
fn of_world(
    context: &Context,
    inquiry: &Inquiry,
    make: fn(&ShownWorld, &Query) -> Result<Answer, Answer>,
) -> Answer {
    settled(context.world().and_then(|world| make(&world, &inquiry.query)))
}

/// The page, or the answer in its place.
fn settled(made: Result<Answer, Answer>) -> Answer {
    made.unwrap_or_else(|refused| refused)
}

fn metrics(context: &Context, inquiry: &Inquiry) -> Answer {
    let format = Format::accepted(&inquiry.accept);
    match format.page(&context.registry) {
        Ok(page) => {
            // The text format has no exemplars.
            let page = match format {
                Format::OpenMetrics => context.metrics.with_exemplars(page),
                Format::Text => page,
            };
            let compressed = accepts_gzip(&inquiry.encodings).then(|| gzip(page.as_bytes()));
            match compressed {
                Some(Ok(page)) => Answer::page(format.media_type(), page)
                    .with("Vary: Accept, Accept-Encoding\r\nContent-Encoding: gzip\r\n"),
                Some(Err(_)) | None => Answer::page(format.media_type(), page.into_bytes())
                    .with("Vary: Accept, Accept-Encoding\r\n"),
            }
        }
        Err(_) => Answer::failed(),
    }
}

fn changes(journal: &Journal, query: &Query) -> Answer {
    const KNOWN: &[&str] = &["since", "after", "door", "namespace", "limit"];
    let read = || -> Result<journal::Query, String> {
        let words = |error: QueryError| error.to_string();
        query.only(KNOWN).map_err(words)?;
        let [since, after, limit] =
            ["since", "after", "limit"].map(|name| query.optional(name).map_err(words));
        // As at the other pages, an empty one leaves nothing out.
        let [door, namespace] = ["door", "namespace"].map(|name| {
            let given = query.optional(name).map_err(words)?;
            Ok::<_, String>(given.filter(|given| !given.is_empty()))
        });
        Ok(journal::Query::read(since?, after?, door?, limit?)?.about(namespace?))
    };
    match read().and_then(|asked| journal.page(&asked)) {
        Ok(page) => Answer::json(&page),
        Err(error) => Answer::error(StatusCode::BAD_REQUEST, error),
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Page").field(&self.path).finish()
    }
}

/// There is one page at each path.
impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Page {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_path_has_one_page_and_all_but_metrics_are_guarded() {
        let paths: HashSet<&str> = PAGES.iter().map(|page| page.path).collect();
        assert_eq!(paths.len(), PAGES.len());
        for page in &PAGES {
            let is_program = page.path == "/metrics";
            assert_eq!(page.audience == Audience::Programs, is_program, "{page:?}");
        }
    }
}
