//! The environment as layers over the file, one for each variable.
//!
//! `BLASTDOOR_LISTENERS__EXTERNAL_HTTP__BIND` sets `listeners.external-http.bind`. Door names and keys both contain
//! the separator's character, so doors are found among those that are declared.

use figment::value::{Dict, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};

use super::document::{may_be_secret, value_of};
use super::error::{ConfigError, Place};

/// One variable that belongs to the configuration.
pub(super) struct Variable {
    name: String,
    /// The key that it sets.
    path: Vec<String>,
    value: Value,
}

const SECTIONS: [&str; 6] = ["SOURCE", "ADMIN", "LOG", "PROCESS", "TRACING", "LISTENERS"];

impl Variable {
    /// Reads the variables that belong to the configuration; all others are ignored, Kubernetes' service links
    /// (`BLASTDOOR_SERVICE_HOST`, `BLASTDOOR_PORT_…`) among them.
    pub(super) fn read(
        environment: &[(String, String)],
        doors: &[String],
        errors: &mut Vec<ConfigError>,
    ) -> Vec<Self> {
        let mut environment: Vec<_> = environment.iter().collect();
        environment.sort();
        let mut variables: Vec<Self> = Vec::new();
        for (name, text) in environment {
            let Some(target) = target(name, text, doors) else {
                continue;
            };
            let variable = target.and_then(|(path, value)| {
                let variable = Self {
                    name: name.clone(),
                    path,
                    value,
                };
                variable.must_not_lie_within(&variables)?;
                Ok(variable)
            });
            match variable {
                Ok(variable) => variables.push(variable),
                Err((key, message)) => errors.push(ConfigError {
                    place: Place::Variable(name.clone()),
                    key,
                    message,
                }),
            }
        }
        variables
    }

    /// # Errors
    /// Another variable gives something around the key a value that has no keys.
    fn must_not_lie_within(&self, others: &[Self]) -> Result<(), (String, String)> {
        for other in others {
            let Some((_, within)) = self
                .path
                .strip_prefix(other.path.as_slice())
                .and_then(<[String]>::split_last)
            else {
                continue;
            };
            let (mut value, mut parent) = (&other.value, other.path.last());
            for key in within.iter().map(Some).chain([None]) {
                let Some(table) = value.as_dict() else {
                    let parent = parent.map(String::as_str).unwrap_or_default();
                    let message = format!(
                        "another variable gives `{parent}` a value, which has no keys; set one of the two"
                    );
                    return Err((self.path.join("."), message));
                };
                let Some(found) = key.and_then(|key| table.get(key)) else {
                    break;
                };
                (value, parent) = (found, key);
            }
        }
        Ok(())
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut keys = self.path.iter().rev();
        let Some(last) = keys.next() else {
            return Ok(Map::new());
        };
        let innermost = Dict::from([(last.clone(), self.value.clone())]);
        let values = keys.fold(innermost, |inner, key| {
            Dict::from([(key.clone(), Value::Dict(Tag::Default, inner))])
        });
        Ok(Profile::Default.collect(values))
    }
}

/// Key and message of an error.
type Wrong = (String, String);

/// The key that a variable sets, and to what; `None` for one that does not belong to the configuration.
fn target(name: &str, text: &str, doors: &[String]) -> Option<Result<(Vec<String>, Value), Wrong>> {
    let rest = name.strip_prefix("BLASTDOOR_")?;
    if rest == "LOG" {
        let level = vec!["log".to_owned(), "level".to_owned()];
        return Some(Ok((level, Value::from(text))));
    }
    let (section, keys) = rest.split_once("__")?;
    if !SECTIONS.contains(&section) {
        return None;
    }
    let path = if section == "LISTENERS" {
        door_path(keys, doors).map_err(|message| ("listeners".to_owned(), message))
    } else {
        Ok(plain_path(section, keys))
    };
    Some(path.map(|path| {
        let value = value_of(text);
        // A token of digits is a text too.
        let is_token = may_be_secret(path.iter().map(String::as_str)) && path.len() > 2;
        let value = if is_token && value.as_str().is_none() {
            Value::from(text)
        } else {
            value
        };
        (path, value)
    }))
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
