//! The file and the environment above it as one set of values, each of which knows where it came from.

use figment::value::{Dict, Value};
use figment::{Figment, Profile, Provider as _};

use super::document::Document;
use super::environment::Variable;
use super::error::{ConfigError, Place};

/// The file, with the variables of the environment merged over it.
pub(super) struct Layers {
    document: Document,
    figment: Figment,
    merged: Dict,
}

impl Layers {
    /// # Errors
    /// When the layers cannot be merged: what the environment says must not be lost on the way.
    pub(super) fn merge(document: Document, variables: Vec<Variable>) -> Result<Self, ConfigError> {
        let base = Figment::from(&document);
        let figment = variables.into_iter().fold(base, Figment::merge);
        match figment.data() {
            Ok(mut profiles) => Ok(Self {
                merged: profiles.remove(&Profile::Default).unwrap_or_default(),
                document,
                figment,
            }),
            Err(error) => Err(ConfigError {
                place: document.place_of_key(""),
                key: String::new(),
                message: format!("cannot be joined with the environment: {error}"),
            }),
        }
    }

    /// All values.
    pub(super) fn values(&self) -> &Dict {
        &self.merged
    }

    /// An error in the value at a dotted key.
    pub(super) fn error(&self, key: &str, message: String) -> ConfigError {
        let place = match self.variable(key) {
            Some(name) => Place::Variable(name.to_owned()),
            None => self.document.place_of_value(key),
        };
        error(place, key, message)
    }

    /// An error in a dotted key itself.
    pub(super) fn error_in_key(&self, key: &str, message: String) -> ConfigError {
        let place = match self.variable(key) {
            Some(name) => Place::Variable(name.to_owned()),
            None => self.document.place_of_key(key),
        };
        error(place, key, message)
    }

    /// An error that the values of several keys make together. If a variable gave one of them, it is named.
    pub(super) fn error_between(&self, key: &str, others: &[&str], message: String) -> ConfigError {
        let named = std::iter::once(&key)
            .chain(others)
            .find_map(|key| self.variable(key));
        match named {
            Some(name) => error(Place::Variable(name.to_owned()), key, message),
            None => self.error(key, message),
        }
    }

    /// The variable that gave the value at a dotted key, or the table that should have it.
    pub(super) fn variable(&self, key: &str) -> Option<&str> {
        let mut parts = key.split(['.', '[']).map(|part| part.trim_end_matches(']'));
        let first = parts.next()?;
        let mut value = self.merged.get(first)?;
        let mut written = self.document.values().get(first);
        for part in parts {
            let Some(found) = part_of(value, part) else { break };
            value = found;
            written = written.and_then(|written| part_of(written, part));
        }
        // A table that the file has too is the file's, whatever else is set in it.
        let is_table = |value: &Value| value.as_dict().is_some();
        if is_table(value) && written.is_some_and(is_table) {
            return None;
        }
        let metadata = self.figment.get_metadata(value.tag())?;
        metadata.source.is_none().then_some(&*metadata.name)
    }
}

fn error(place: Place, key: &str, message: String) -> ConfigError {
    ConfigError {
        place,
        key: key.to_owned(),
        message,
    }
}

/// What a table has at a key, or an array at an index.
fn part_of<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    match value {
        Value::Dict(_, table) => table.get(part),
        Value::Array(_, elements) => elements.get(part.parse::<usize>().ok()?),
        Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => None,
    }
}
