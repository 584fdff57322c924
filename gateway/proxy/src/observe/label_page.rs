//! The labels of what a door shows, written once for all the series that have them.
//!
//! An Ingress has ten series of times and bytes whose labels are the same. Written by the library from their parts, labels are most
//! of the work of a scrape.

use std::fmt;
use std::ops::Range;

use prometheus_client::encoding::{EncodeLabel, LabelEncoder};
use route::ObjectKey;

use crate::observe::label_text::escape;
use crate::observe::route_book::OTHER;

/// Labels, one after the other, as they stand between the braces of a sample.
pub(super) struct LabelPage {
    /// `listener="…",namespace="`
    beginning: String,
    text: String,
}

/// Where labels are in their page: up to the name of the last one, and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelPlace {
    start: usize,
    name_end: usize,
    end: usize,
}

/// What a sample has for labels, all but those of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels<'p> {
    /// Labels, and the name of the last one.
    before: &'p str,
    /// The value of the last one, escaped.
    value: &'p str,
}

impl LabelPage {
    pub(super) fn of_door(listener: &str) -> Self {
        let mut beginning = "listener=\"".to_owned();
        escape(listener, &mut beginning);
        beginning.push_str("\",namespace=\"");
        Self {
            beginning,
            text: String::new(),
        }
    }

    /// Labels with the namespace of an object, its name as `kind`, and perhaps the Service that answered: `None` is the gateway
    /// itself. `None` for the object: all that have no series of their own, which have no namespace.
    pub(super) fn add(
        &mut self,
        object: Option<&ObjectKey>,
        kind: &'static str,
        service: Option<Option<&ObjectKey>>,
    ) -> LabelPlace {
        let (namespace, name) = object.map_or(("", OTHER), |object| (object.namespace(), object.name()));
        let text = &mut self.text;
        let start = text.len();
        text.push_str(&self.beginning);
        escape(namespace, text);
        text.push_str("\",");
        text.push_str(kind);
        let mut name_end = text.len();
        text.push_str(VALUE);
        escape(name, text);
        if let Some(service) = service {
            text.push_str("\",service");
            name_end = text.len();
            text.push_str(VALUE);
            if let Some(service) = service {
                // That of another namespace has its namespace with it.
                if object.is_none_or(|object| object.namespace() != service.namespace()) {
                    escape(service.namespace(), text);
                    text.push('/');
                }
                escape(service.name(), text);
            }
        }
        LabelPlace {
            start,
            name_end,
            end: text.len(),
        }
    }

    pub(super) fn at(&self, place: LabelPlace) -> Labels<'_> {
        let part = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        Labels {
            before: part(place.start..place.name_end),
            value: part(place.name_end + VALUE.len()..place.end),
        }
    }
}

/// Between the name of a label and its value.
const VALUE: &str = "=\"";

/// In the text formats, all labels but the last one may pass for a part of its name.
impl EncodeLabel for Labels<'_> {
    fn encode(&self, mut encoder: LabelEncoder<'_>) -> Result<(), fmt::Error> {
        let mut name = encoder.encode_label_key()?;
        fmt::Write::write_str(&mut name, self.before)?;
        let mut value = name.encode_label_value()?;
        fmt::Write::write_str(&mut value, self.value)?;
        value.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_they_are_shown() {
        let mut page = LabelPage::of_door("out");
        let app = ObjectKey::new("shop", "app");
        let hostile = ObjectKey::new("a\"} 1\n", "b\\");
        let table = [
            (
                page.add(Some(&app), "ingress", None),
                r#"listener="out",namespace="shop",ingress="#,
                "app",
            ),
            (
                page.add(Some(&app), "ingress", Some(Some(&app))),
                r#"listener="out",namespace="shop",ingress="app",service="#,
                "app",
            ),
            (
                page.add(Some(&app), "ingress", Some(None)),
                r#"listener="out",namespace="shop",ingress="app",service="#,
                "",
            ),
            (
                page.add(Some(&app), "ingress", Some(Some(&hostile))),
                r#"listener="out",namespace="shop",ingress="app",service="#,
                r#"a\"} 1\n/b\\"#,
            ),
            (
                page.add(Some(&hostile), "service", None),
                r#"listener="out",namespace="a\"} 1\n",service="#,
                r"b\\",
            ),
            (
                page.add(None, "service", None),
                r#"listener="out",namespace="",service="#,
                "other",
            ),
            (
                page.add(None, "ingress", Some(None)),
                r#"listener="out",namespace="",ingress="other",service="#,
                "",
            ),
        ];
        for (place, before, value) in table {
            let labels = page.at(place);
            assert_eq!(
                (format!("{}=", labels.before), labels.value),
                (before.to_owned(), value)
            );
        }
    }
}
