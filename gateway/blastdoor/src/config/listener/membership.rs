//! Which Ingresses are meant for a door.

use door::{Selector, Selectors};

use crate::config::diagnostics::Section;
use crate::config::raw::{OneOrMore, RawListener};

/// Labels and classes. One of the two is said.
pub(super) struct Membership {
    pub(super) selectors: Selectors,
    pub(super) classes: Vec<Box<str>>,
}

/// `None` if it cannot be compared with that of other doors.
pub(super) fn membership(
    section: &mut Section<'_, '_>,
    raw: &RawListener,
    ingress_classes: &[Box<str>],
) -> Option<Membership> {
    if raw.selector.is_none() && raw.classes.is_none() {
        section.error(
            "selector",
            "missing; write the labels that select this door, such as `expose=internal-http`, or its `classes`",
        );
        return None;
    }
    let selectors = match &raw.selector {
        Some(written) => selectors(section, written),
        None => Some(Selectors::default()),
    };
    let classes = match &raw.classes {
        Some(written) => classes(section, written, ingress_classes),
        None => Some(Vec::new()),
    };
    Some(Membership {
        selectors: selectors?,
        classes: classes?,
    })
}

fn selectors(section: &mut Section<'_, '_>, written: &OneOrMore) -> Option<Selectors> {
    let written = match written {
        OneOrMore::One(written) => {
            let parsed = Selector::parse(written);
            let parsed = parsed.map_err(|error| section.error("selector", error.to_string()));
            return parsed.ok().map(Selectors::from);
        }
        OneOrMore::More(written) => written,
    };
    if written.is_empty() {
        section.error(
            "selector",
            "an empty list would admit nothing; write at least one selector",
        );
        return None;
    }
    let parsed = section.list("selector", Some(written), Selector::parse);
    is_whole(&parsed, written).then(|| parsed.into())
}

fn classes(
    section: &mut Section<'_, '_>,
    written: &[String],
    ingress_classes: &[Box<str>],
) -> Option<Vec<Box<str>>> {
    let parsed = section.list("classes", Some(written), |name| {
        if name.trim().is_empty() {
            return Err("is empty; write the name of an IngressClass".to_owned());
        }
        let name = Box::from(name);
        if !ingress_classes.is_empty() && !ingress_classes.contains(&name) {
            return Err(format!(
                "`{name}` is not in source.ingress_class, which limits all doors; add it there, or remove that key"
            ));
        }
        Ok(name)
    });
    is_whole(&parsed, written).then_some(parsed)
}

/// Whether every element could be read; what is left of a list would admit other Ingresses than the whole.
fn is_whole<T>(parsed: &[T], written: &[String]) -> bool {
    !written.is_empty() && parsed.len() == written.len()
}
