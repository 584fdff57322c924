//! Labels with text that is not the gateway's own.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// The value of a label, escaped as both formats of a scrape ask: names of objects are written by others, and the library
/// writes values as they are.
#[derive(Debug, Clone, Copy)]
pub struct LabelText<'a>(pub &'a str);

impl EncodeLabelValue for LabelText<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        write(self.0, encoder)
    }
}

/// Adds the value of a label to a text, escaped in the same way.
pub(super) fn escape(value: &str, text: &mut String) {
    // A String takes everything.
    let _written = write(value, text);
}

fn write(value: &str, out: &mut impl Write) -> fmt::Result {
    let mut rest = value;
    // Names of Kubernetes have none of them: one look finds that out.
    while let Some(place) = memchr::memchr3(b'\\', b'"', b'\n', rest.as_bytes()) {
        let (plain, special) = rest.split_at(place);
        out.write_str(plain)?;
        let mut characters = special.chars();
        match characters.next() {
            Some('\n') => out.write_str("\\n")?,
            Some(character) => {
                out.write_char('\\')?;
                out.write_char(character)?;
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.write_str(rest)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn hostile_text_does_not_leave_its_value() {
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        struct Owned(&'static str);
        impl EncodeLabelValue for Owned {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&LabelText(self.0), encoder)
            }
        }
        let table = [
            ("app", "app"),
            ("", ""),
            ("a\"} 7\nb{c=\"", "a\\\"} 7\\nb{c=\\\""),
            ("\\", "\\\\"),
            ("\\\"\n", "\\\\\\\"\\n"),
            ("ä\u{1f6aa}", "ä\u{1f6aa}"),
        ];
        for (text, expected) in table {
            let family = Family::<Vec<(&'static str, Owned)>, Counter>::default();
            family.get_or_create(&vec![("name", Owned(text))]).inc();
            let mut registry = Registry::default();
            registry.register("a", "A", family);
            let mut page = String::new();
            encode(&mut page, &registry).unwrap();
            assert!(
                page.contains(&format!("\na_total{{name=\"{expected}\"}} 1\n")),
                "{page}"
            );
        }
    }
}
