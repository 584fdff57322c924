//! The environment as an overlay of the file.
//!
//! `BLASTDOOR_LISTENERS__EXTERNAL_HTTP__BIND` sets `listeners.external-http.bind`. Door names and keys both contain
//! the separator's character, so doors are found among those that are declared.

use serde_json::{Map, Value};

use super::{ConfigError, Place};

/// One variable that belongs to the configuration.
pub(super) struct Variable {
    /// Its name.
    pub(super) name: String,
    /// The key it sets.
    pub(super) path: Vec<String>,
}

/// The values that the environment sets, and which variable set what.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) values: Map<String, Value>,
    pub(super) variables: Vec<Variable>,
}

const SECTIONS: [&str; 4] = ["SOURCE", "ADMIN", "LOG", "LISTENERS"];

impl Overlay {
    /// Reads the variables that belong to the configuration; all others are ignored, Kubernetes' service links
    /// (`BLASTDOOR_SERVICE_HOST`, `BLASTDOOR_PORT_…`) among them.
    pub(super) fn read(
        variables: impl IntoIterator<Item = (String, String)>,
        doors: &[String],
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut overlay = Self::default();
        let mut variables: Vec<(String, String)> = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with("BLASTDOOR_"))
            .collect();
        variables.sort();
        for (name, value) in variables {
            if name == "BLASTDOOR_LOG" {
                let level = vec!["log".to_owned(), "level".to_owned()];
                errors.extend(overlay.set(name, level, Value::String(value)).err());
                continue;
            }
            let Some(rest) = name.strip_prefix("BLASTDOOR_") else {
                continue;
            };
            let Some((section, keys)) = rest.split_once("__") else {
                continue;
            };
            if !SECTIONS.contains(&section) {
                continue;
            }
            let path = if section == "LISTENERS" {
                door_path(keys, doors)
            } else {
                Ok(plain_path(section, keys))
            };
            match path {
                Ok(path) => errors.extend(overlay.set(name, path, value_of(&value)).err()),
                Err(message) => {
                    errors.push(ConfigError {
                        place: Place::Variable(name),
                        key: "listeners".to_owned(),
                        message,
                    });
                }
            }
        }
        overlay
    }

    /// # Errors
    /// When another variable gives a value to something around the key.
    fn set(&mut self, name: String, path: Vec<String>, value: Value) -> Result<(), ConfigError> {
        let mut place = &mut self.values;
        let Some((last, parents)) = path.split_last() else {
            return Ok(());
        };
        for parent in parents {
            let entry = place
                .entry(parent.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = entry else {
                return Err(ConfigError {
                    place: Place::Variable(name),
                    key: path.join("."),
                    message: format!(
                        "another variable gives `{parent}` a value, which has no keys; set one of the two"
                    ),
                });
            };
            place = inner;
        }
        place.insert(last.clone(), value);
        self.variables.push(Variable { name, path });
        Ok(())
    }
}

fn plain_path(section: &str, keys: &str) -> Vec<String> {
    std::iter::once(section)
        .chain(keys.split("__"))
        .map(str::to_ascii_lowercase)
        .collect()
}

fn door_path(keys: &str, doors: &[String]) -> Result<Vec<String>, String> {
    let Some((door, keys)) = keys.split_once("__") else {
        return Err("names no key; write BLASTDOOR_LISTENERS__DOOR__KEY".to_owned());
    };
    let Some(name) = doors
        .iter()
        .find(|name| name.replace('-', "_").eq_ignore_ascii_case(door))
    else {
        return Err(format!(
            "no such door is declared; declared: {}",
            doors.join(", ")
        ));
    };
    let mut path = vec!["listeners".to_owned(), name.clone()];
    path.extend(keys.split("__").map(str::to_ascii_lowercase));
    Ok(path)
}

/// A TOML value where the text is one (numbers, booleans, arrays, tables), else the text itself.
fn value_of(text: &str) -> Value {
    #[derive(serde::Deserialize)]
    struct One {
        value: Value,
    }
    use figment::providers::Format;
    let typed = text.trim_start().starts_with(['[', '{', '"', '\''])
        || matches!(text, "true" | "false")
        || text.parse::<i64>().is_ok();
    if typed {
        let parsed = figment::Figment::from(figment::providers::Toml::string(&format!("value = {text}")))
            .extract::<One>();
        if let Ok(one) = parsed {
            return one.value;
        }
    }
    Value::String(text.to_owned())
}
