//! The configuration file: its values, and where in its text each of them is written.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Num, Tag, Value};
use figment::{Metadata, Profile, Provider, Source};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{ConfigError, Place, Position};

/// The most syntax errors of one file that are reported: what is not TOML at all has one on each line.
const MOST: usize = 100;

/// A TOML file. As a provider it is the lowest layer of the configuration.
#[derive(Debug, Default)]
pub(super) struct Document {
    name: String,
    text: String,
    values: Dict,
    /// By dotted key, as in `listeners.a.hosts[0]`.
    spots: BTreeMap<String, Spot>,
}

/// Where a value begins, in bytes.
#[derive(Debug, Clone, Copy)]
struct Spot {
    key: usize,
    /// For a table, whose parts may lie apart, that of its key.
    value: usize,
}

impl Document {
    /// Reads what can be read, and also returns what is not TOML, up to a number.
    pub(super) fn parse(name: String, text: String) -> (Self, Vec<ConfigError>) {
        let mut document = Self {
            name,
            ..Self::default()
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut reading = Reading {
            spots: BTreeMap::new(),
            errors: errors
                .iter()
                .map(|error| (error.span().map(|span| span.start), error.message().to_owned()))
                .collect(),
        };
        document.values = reading.table("", table.get_ref());
        document.spots = reading.spots;
        let unlisted = reading.errors.len().saturating_sub(MOST);
        let errors = reading
            .errors
            .into_iter()
            .take(MOST)
            .map(|(offset, message)| ConfigError {
                place: Place::File(
                    document.name.clone(),
                    offset.map(|offset| Position::of(&text, offset)),
                ),
                key: String::new(),
                // The parser's words may be in several lines.
                message: format!(
                    "is not valid TOML: {}",
                    message.lines().collect::<Vec<_>>().join(", ")
                ),
            });
        let mut errors: Vec<_> = errors.collect();
        if unlisted > 0 {
            errors.push(ConfigError {
                place: Place::File(document.name.clone(), None),
                key: String::new(),
                message: format!("is not valid TOML in {unlisted} more places"),
            });
        }
        document.text = text;
        (document, errors)
    }

    /// The names of the tables and values in a table of the first level.
    pub(super) fn names_in(&self, table: &str) -> Vec<String> {
        let table = self.values.get(table).and_then(Value::as_dict);
        table.into_iter().flat_map(Dict::keys).cloned().collect()
    }

    /// All values.
    pub(super) fn values(&self) -> &Dict {
        &self.values
    }

    /// The text at a dotted key; `None` when there is none, or something else.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let (table, rest) = key.split_once('.')?;
        self.values.get(table)?.find_ref(rest)?.as_str()
    }

    /// Where the value at a dotted key is written, or else the nearest table around it.
    pub(super) fn place_of_value(&self, key: &str) -> Place {
        self.place(key, |spot| spot.value)
    }

    /// Where a dotted key itself is written, or else the nearest table around it.
    pub(super) fn place_of_key(&self, key: &str) -> Place {
        self.place(key, |spot| spot.key)
    }

    fn place(&self, key: &str, offset: impl Fn(&Spot) -> usize) -> Place {
        let mut keys = std::iter::successors(Some(key), |key| Some(key.rsplit_once(['.', '['])?.0));
        let spot = keys.find_map(|key| self.spots.get(key));
        let position = spot.map(|spot| Position::of(&self.text, offset(spot)));
        Place::File(self.name.clone(), position)
    }
}

impl Provider for &Document {
    /// The source distinguishes a file from a variable, which has none.
    fn metadata(&self) -> Metadata {
        Metadata::from("file", Source::Custom(self.name.clone()))
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// The table whose values are secrets: no message may repeat what stands in it.
const SECRETS: [&str; 2] = ["tracing", "headers"];

/// Whether what stands at a key, or at the key's own place in its table, may be a secret.
pub(super) fn may_be_secret<'k>(path: impl IntoIterator<Item = &'k str>) -> bool {
    path.into_iter().take(SECRETS.len()).eq(SECRETS)
}

/// Takes the value out of the text of a variable: TOML where it is some (a number, a boolean, an array, a table), else
/// the text itself.
pub(super) fn value_of(text: &str) -> Value {
    let typed = text.trim_start().starts_with(['[', '{', '"', '\''])
        || matches!(text, "true" | "false")
        || text.parse::<i64>().is_ok();
    let parsed = typed.then(|| DeValue::parse(text).ok()).flatten();
    let mut reading = Reading::default();
    match parsed.map(|parsed| reading.value("", &parsed)) {
        Some(value) if reading.errors.is_empty() => value,
        Some(_) | None => Value::from(text),
    }
}

/// The way from the parser's values to ours.
#[derive(Default)]
struct Reading {
    spots: BTreeMap<String, Spot>,
    errors: Vec<(Option<usize>, String)>,
}

impl Reading {
    fn table(&mut self, path: &str, table: &DeTable<'_>) -> Dict {
        let entries = table.iter().map(|(name, value)| {
            let path = match path {
                "" => name.get_ref().to_string(),
                path => format!("{path}.{}", name.get_ref()),
            };
            let key = name.span().start;
            let value_start = match value.get_ref() {
                DeValue::Table(_) => key,
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => value.span().start,
            };
            let spot = Spot {
                key,
                value: value_start,
            };
            self.spots.insert(path.clone(), spot);
            (name.get_ref().to_string(), self.value(&path, value))
        });
        entries.collect()
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.to_string()),
            DeValue::Boolean(boolean) => Value::from(*boolean),
            DeValue::Integer(integer) => match number(integer) {
                Some(number) => Value::Num(Tag::Default, number),
                None => {
                    let message = if may_be_secret(path.split('.')) {
                        "the number is too large".to_owned()
                    } else {
                        format!("the number `{integer}` is too large")
                    };
                    self.errors.push((Some(value.span().start), message));
                    Value::from(integer.to_string())
                }
            },
            // What is no number (`nan`, `inf`) must not turn into nothing on its way.
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::from(number),
                Ok(_) | Err(_) => Value::from(float.as_str()),
            },
            DeValue::Datetime(datetime) => Value::from(datetime.to_string()),
            DeValue::Array(array) => {
                let elements = array.iter().enumerate().map(|(index, element)| {
                    let path = format!("{path}[{index}]");
                    let start = element.span().start;
                    let spot = Spot {
                        key: start,
                        value: start,
                    };
                    self.spots.insert(path.clone(), spot);
                    self.value(&path, element)
                });
                Value::Array(Tag::Default, elements.collect())
            }
            DeValue::Table(table) => Value::Dict(Tag::Default, self.table(path, table)),
        }
    }
}

/// TOML promises 64 bits with a sign.
fn number(integer: &DeInteger<'_>) -> Option<Num> {
    i64::from_str_radix(integer.as_str(), integer.radix())
        .map(Num::I64)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line and column, of the value and of the key.
    #[test]
    fn every_value_has_its_place() {
        let text = "\
# scheme = \"comment\"
[source]
kind = \"files\"
resolvers = [
    \"192.0.2.1\", # the first
    \"x\",
]
[ listeners . \"external-http\" ]
selector = '''
bind = \"not a key\"
'''
  bind   =   \"ä\"   # indented
limits = { headers = 0, \"body\" = 1 }
timeouts.head = \"1s\"
[listeners.\"external-http\".tls.client_auth]
mode = \"off\"
";
        let (document, errors) = Document::parse("a.toml".to_owned(), text.to_owned());
        assert_eq!(errors, []);
        let table = [
            ("source", "2:2", "2:2"),
            ("source.kind", "3:8", "3:1"),
            ("source.resolvers", "4:13", "4:1"),
            ("source.resolvers[0]", "5:5", "5:5"),
            ("source.resolvers[1]", "6:5", "6:5"),
            // What is not written is at the table around it.
            ("source.path", "2:2", "2:2"),
            ("listeners.external-http", "8:15", "8:15"),
            ("listeners.external-http.scheme", "8:15", "8:15"),
            ("listeners.external-http.selector", "9:12", "9:1"),
            ("listeners.external-http.bind", "12:14", "12:3"),
            ("listeners.external-http.limits", "13:1", "13:1"),
            ("listeners.external-http.limits.headers", "13:22", "13:12"),
            ("listeners.external-http.limits.body", "13:34", "13:25"),
            ("listeners.external-http.limits.uri_bytes", "13:1", "13:1"),
            ("listeners.external-http.timeouts.head", "14:17", "14:10"),
            ("listeners.external-http.tls.client_auth.mode", "16:8", "16:1"),
        ];
        let place = |place: Place| place.to_string();
        for (key, value, name) in table {
            assert_eq!(
                place(document.place_of_value(key)),
                format!("a.toml:{value}"),
                "{key}"
            );
            assert_eq!(
                place(document.place_of_key(key)),
                format!("a.toml:{name}"),
                "{key}"
            );
        }
        assert_eq!(place(document.place_of_value("nothing.at.all")), "a.toml");
    }

    #[test]
    fn what_is_no_toml_has_its_place() {
        let table = [
            ("[source]\nkind = \n", "a.toml:2:8: is not valid TOML: "),
            ("[source\n", "a.toml:1:8: is not valid TOML: "),
            ("a = 1\na = 2\n", "a.toml:2:1: is not valid TOML: duplicate key"),
            (
                "a = [\n  9223372036854775808]\n",
                "a.toml:2:3: is not valid TOML: the number `9223372036854775808` is too large",
            ),
        ];
        for (text, expected) in table {
            let (_, errors) = Document::parse("a.toml".to_owned(), text.to_owned());
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            assert!(first.starts_with(expected), "{text}: {errors:?}");
            assert!(
                errors.iter().all(|error| !error.message.contains('\n')),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_toml_at_all_has_a_limited_number_of_errors() {
        let (_, errors) = Document::parse("a.toml".to_owned(), "]\n".repeat(1000));
        assert_eq!(errors.len(), MOST + 1);
        let last = errors.last().map(ToString::to_string).unwrap_or_default();
        assert!(
            last.starts_with("a.toml: is not valid TOML in ") && last.ends_with(" more places"),
            "{last}"
        );
    }

    #[test]
    fn a_variable_holds_a_number_a_truth_value_a_list_or_text() {
        let array =
            |values: &[&str]| Value::from(values.iter().map(|value| Value::from(*value)).collect::<Vec<_>>());
        let table = [
            ("5", Value::from(5)),
            ("true", Value::from(true)),
            ("1.3", Value::from("1.3")),
            ("\"5\"", Value::from("5")),
            ("[\"a\", 'b']", array(&["a", "b"])),
            ("[::]:80", Value::from("[::]:80")),
            ("99999999999999999999", Value::from("99999999999999999999")),
            ("", Value::from("")),
        ];
        for (text, value) in table {
            assert_eq!(value_of(text), value, "{text}");
        }
    }
}
