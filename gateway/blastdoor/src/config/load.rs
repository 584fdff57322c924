//! From file and environment to a checked [`Config`], collecting every error on the way.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde_json::Value;

use super::environment::Overlay;
use super::parse::Parser;
use super::raw::Raw;
use super::{AdminBind, Config, ConfigError, ConfigErrors, Place, STANDARD};

/// What sets `[admin] bind`.
const ADMIN_BIND: &str = "BLASTDOOR_ADMIN__BIND";

/// Errors of one kind that are collected before giving up: a file of garbage need not be told in full.
const MOST: usize = 100;

/// What the command line says, and the environment.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config`, or `BLASTDOOR_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--manifests`
    pub manifests: Option<PathBuf>,
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--doors`
    pub doors: Option<Vec<String>>,
    /// The environment.
    pub environment: Vec<(String, String)>,
}

/// A configuration that can be used, and what is doubtful about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Doubts.
    pub warnings: Vec<ConfigError>,
}

/// Reads, merges and checks the configuration.
///
/// # Errors
/// Everything that is wrong with it, in order of the keys.
pub fn load(options: &Options) -> Result<Loaded, ConfigErrors> {
    let (path, text) = read(options)?;
    let name = path.as_ref().map_or_else(
        || "(built-in configuration)".to_owned(),
        |path| path.display().to_string(),
    );
    let file = parse_toml(&name, &text)?;

    let doors: Vec<String> = file
        .get("listeners")
        .and_then(Value::as_object)
        .map(|doors| doors.keys().cloned().collect())
        .unwrap_or_default();
    let mut errors = Vec::new();
    let overlay = Overlay::read(options.environment.iter().cloned(), &doors, &mut errors);
    let merged: Value = Figment::from(Serialized::defaults(&file))
        .merge(Serialized::defaults(&overlay.values))
        .extract()
        .unwrap_or_else(|error| {
            // What the environment says must not be lost on the way.
            errors.push(ConfigError {
                place: Place::File(name.clone(), None),
                key: String::new(),
                message: format!("cannot be joined with the environment: {error}"),
            });
            file.clone()
        });
    let origin = Origin {
        name,
        text,
        file,
        overlay,
    };

    let raw = typed(merged, &origin, &mut errors);
    if raw.listeners.is_empty() && errors.is_empty() {
        errors.push(origin.error(
            "listeners",
            "no door is declared; write at least one [listeners.NAME]".to_owned(),
        ));
    }
    let mut parser = Parser::new(&origin, path.as_deref().and_then(Path::parent), errors);
    let config = parser.config(raw, path.clone(), options);
    let (mut errors, warnings) = parser.finish();
    if errors.is_empty() {
        return Ok(Loaded { config, warnings });
    }
    errors.sort();
    errors.dedup();
    Err(ConfigErrors(errors))
}

/// Where the admin port is, whatever else is wrong with the configuration: whoever asks a gateway how it is must not be
/// told of an error in a file, because the gateway goes on with what it has.
///
/// # Errors
/// When the file cannot be read, or the address is none.
pub fn admin(options: &Options) -> Result<AdminBind, ConfigErrors> {
    let (path, text) = read(options)?;
    let named = options.environment.iter().find(|(name, _)| name == ADMIN_BIND);
    let written = match named {
        Some((_, value)) => Some(value.clone()),
        // What is no TOML at all is no reason to take the gateway for dead either.
        None => Figment::from(Toml::string(&text))
            .extract_inner("admin.bind")
            .ok(),
    };
    let Some(written) = written else {
        return Ok(AdminBind::default());
    };
    written.parse().map_err(|message| {
        let place = match named {
            Some((name, _)) => Place::Variable(name.clone()),
            None => Place::File(
                path.unwrap_or_default().display().to_string(),
                line_of(&text, "admin.bind"),
            ),
        };
        ConfigErrors(vec![ConfigError {
            place,
            key: "admin.bind".to_owned(),
            message,
        }])
    })
}

fn read(options: &Options) -> Result<(Option<PathBuf>, String), ConfigErrors> {
    let (path, required) = match &options.config {
        Some(path) => (path.clone(), true),
        None => (PathBuf::from("listeners.toml"), false),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((Some(path), text)),
        Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((None, STANDARD.to_owned()))
        }
        Err(error) => Err(ConfigErrors(vec![ConfigError {
            place: Place::File(path.display().to_string(), None),
            key: String::new(),
            message: format!(
                "cannot be read: {error}; check the path given with --config or BLASTDOOR_CONFIG"
            ),
        }])),
    }
}

/// Where values come from, for messages.
pub(super) struct Origin {
    name: String,
    text: String,
    file: Value,
    overlay: Overlay,
}

impl Origin {
    /// An error at a dotted key.
    pub(super) fn error(&self, key: &str, message: String) -> ConfigError {
        ConfigError {
            place: self.place(key),
            key: key.to_owned(),
            message,
        }
    }

    /// An error that the values of several keys make together.
    pub(super) fn error_between(&self, key: &str, others: &[&str], message: String) -> ConfigError {
        let named = std::iter::once(&key)
            .chain(others)
            .find_map(|key| self.variable(key));
        ConfigError {
            place: named.map_or_else(|| self.place(key), |name| Place::Variable(name.to_owned())),
            key: key.to_owned(),
            message,
        }
    }

    /// The variable that gave the value of a key, the one around it, or what there is of one.
    pub(super) fn variable(&self, key: &str) -> Option<&str> {
        let is_within = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let find = |fits: &dyn Fn(&str) -> bool| {
            let mut variables = self.overlay.variables.iter();
            variables.find(|variable| fits(&variable.path.join(".")))
        };
        let named = find(&|path| is_within(key, path)).or_else(|| {
            let is_table = self.written(key).is_some_and(Value::is_object);
            find(&|path| !is_table && is_within(path, key))
        });
        named.map(|variable| variable.name.as_str())
    }

    /// What the file has at a key.
    fn written(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.file, |place, part| place.get(part))
    }

    fn place(&self, key: &str) -> Place {
        match self.variable(key) {
            Some(name) => Place::Variable(name.to_owned()),
            None => Place::File(self.name.clone(), line_of(&self.text, key)),
        }
    }
}

fn parse_toml(name: &str, text: &str) -> Result<Value, ConfigErrors> {
    Figment::from(Toml::string(text))
        .extract::<Value>()
        .map_err(|error| {
            let message = error.to_string();
            // The parser's own words carry the place: `TOML parse error at line 3, column 7`.
            let line = message
                .split_once("line ")
                .and_then(|(_, rest)| rest.split([',', ' ', '\n']).next()?.parse().ok());
            ConfigErrors(vec![ConfigError {
                place: Place::File(name.to_owned(), line),
                key: String::new(),
                message: format!("is not valid TOML: {}", message.trim()),
            }])
        })
}

/// Deserialises, and after each error takes the offending key out and tries again, so that all are found.
fn typed(mut value: Value, origin: &Origin, errors: &mut Vec<ConfigError>) -> Raw {
    for _ in 0..MOST {
        let error = match serde_path_to_error::deserialize::<_, Raw>(value.clone()) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let mut path: Vec<String> = error.path().iter().map(|segment| segment.to_string()).collect();
        let message = error.inner().to_string();
        // An unknown field is told at its parent; its name is in the message.
        if let Some(field) = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next())
            && path.last().is_none_or(|last| last != field)
        {
            path.push(field.to_owned());
        }
        let key = path.join(".").replace(".[", "[");
        errors.push(origin.error(&key, readable(&message)));
        if !remove(&mut value, &path) {
            return Raw::default();
        }
    }
    Raw::default()
}

/// serde's words, in ours.
fn readable(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((what, expected)) if message.starts_with("unknown field") => {
            let field = what.split('`').nth(1).unwrap_or_default();
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            let near = known.iter().find(|name| is_near(name, field));
            let hint = near
                .map(|name| format!("; did you mean `{name}`?"))
                .unwrap_or_default();
            format!("unknown key{hint}; allowed: {}", known.join(", "))
        }
        Some((what, expected)) => {
            let expected = match expected {
                "u16" => "a whole number from 0 to 65535",
                "u64" | "usize" => "a whole number",
                other => other,
            };
            format!("{what}; allowed: {expected}")
        }
        None => message.to_owned(),
    }
}

/// One letter more, less, or other, or two swapped.
fn is_near(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let start = left
        .iter()
        .zip(right)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = left.len().min(right.len()) - start;
    let end = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take(rest)
        .take_while(|(one, other)| one == other)
        .count();
    left.len().abs_diff(right.len()) <= 1 && left.len().max(right.len()) - start - end <= 2 && start + end > 0
}

/// Takes out what `path` names, or the nearest thing around it.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    let mut place = &mut *value;
    for (depth, parent) in parents.iter().enumerate() {
        let next = match place {
            Value::Object(map) => map.get_mut(parent),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        };
        match next {
            Some(next) => place = next,
            None => {
                return remove(
                    value,
                    parents
                        .get(..=depth)
                        .filter(|shorter| shorter.len() < path.len())
                        .unwrap_or_default(),
                );
            }
        }
    }
    match place {
        Value::Object(map) => map.remove(last).is_some() || (!parents.is_empty() && remove(value, parents)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            !parents.is_empty() && remove(value, parents)
        }
    }
}

/// The line on which a dotted key is written, or the one of the nearest table around it. A reading of the text for
/// messages alone: TOML's own parser has accepted it already.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let key = key.split('[').next().unwrap_or(key);
    let mut best: Option<(usize, usize)> = None;
    let mut table = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let path = if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = name.trim().replace('"', "");
            table.clone()
        } else if let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let name = name.trim().replace('"', "");
            if table.is_empty() {
                name
            } else {
                format!("{table}.{name}")
            }
        } else {
            continue;
        };
        let fits = key == path || key.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.'));
        if fits && best.is_none_or(|(length, _)| path.len() > length) {
            best = Some((path.len(), index + 1));
        }
    }
    best.map(|(_, line)| line)
}
