//! From file and environment to a checked [`Config`], collecting every error on the way.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::check;
use super::diagnostics::Diagnostics;
use super::document::Document;
use super::environment::Variable;
use super::error::{ConfigError, ConfigErrors, Place};
use super::layers::Layers;
use super::model::{AdminBind, Config};
use super::options::Options;
use super::typed::typed;

/// The standard four doors, used when there is no configuration file.
pub const STANDARD: &str = include_str!("../../../../listeners.toml");

/// What sets `[admin] bind`.
const ADMIN_BIND: &str = "BLASTDOOR_ADMIN__BIND";

/// A usable configuration, and its warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed and probably not meant.
    pub warnings: Vec<ConfigError>,
}

/// Reads, merges and checks the configuration.
///
/// # Errors
/// Everything that is wrong with it, in order of the keys.
pub fn load(options: &Options) -> Result<Loaded, ConfigErrors> {
    let (path, document, errors) = read(options)?;
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    let mut errors = Vec::new();
    let doors = document.names_in("listeners");
    let variables = Variable::read(&options.environment, &doors, &mut errors);
    let layers = match Layers::merge(document, variables) {
        Ok(layers) => layers,
        Err(error) => {
            errors.push(error);
            return Err(ConfigErrors(errors));
        }
    };

    let raw = typed(&layers, &mut errors);
    // Doors that are written and could not be read have errors of their own.
    let written = layers.values().get("listeners");
    let is_none_written = written.is_none_or(|it| it.as_dict().is_some_and(BTreeMap::is_empty));
    if raw.listeners.is_empty() && (errors.is_empty() || is_none_written) {
        let message = "no door is declared; write at least one [listeners.NAME]";
        errors.push(layers.error("listeners", message.to_owned()));
    }
    let folder = path.as_deref().and_then(Path::parent);
    let mut diagnostics = Diagnostics::new(&layers, folder, options.files.clone(), errors);
    let config = check::config(&mut diagnostics, raw, path.clone(), options);
    let (mut errors, warnings) = diagnostics.finish();
    if errors.is_empty() {
        return Ok(Loaded { config, warnings });
    }
    errors.sort();
    errors.dedup();
    Err(ConfigErrors(errors))
}

/// The address of the admin port, whatever else is wrong with the configuration. A health check must not fail because of
/// an error in a file: the gateway continues with the configuration that it has.
///
/// # Errors
/// When the file cannot be read, or the address is none.
pub fn admin(options: &Options) -> Result<AdminBind, ConfigErrors> {
    const KEY: &str = "admin.bind";
    // A syntax error elsewhere in the file does not matter either.
    let (_, document, _) = read(options)?;
    let (written, place) = match options.variable(ADMIN_BIND) {
        Some(value) => (Some(value), Place::Variable(ADMIN_BIND.to_owned())),
        None => (document.text(KEY), document.place_of_value(KEY)),
    };
    let Some(written) = written else {
        return Ok(AdminBind::default());
    };
    written.parse().map_err(|message| {
        ConfigErrors(vec![ConfigError {
            place,
            key: KEY.to_owned(),
            message,
        }])
    })
}

/// The file, or what stands for it, and where it is not TOML.
fn read(options: &Options) -> Result<(Option<PathBuf>, Document, Vec<ConfigError>), ConfigErrors> {
    let (path, required) = match &options.config {
        Some(path) => (path.clone(), true),
        None => (PathBuf::from("listeners.toml"), false),
    };
    let name = path.display().to_string();
    match options.files.read_text(&path) {
        Ok(Some(text)) => {
            let (document, errors) = Document::parse(name, text);
            Ok((Some(path), document, errors))
        }
        Ok(None) if !required => Ok(built_in()),
        Err(error) if !required && error.kind() == io::ErrorKind::NotFound => Ok(built_in()),
        Ok(None) => Err(ConfigErrors(vec![ConfigError {
            place: Place::File(name, None),
            key: String::new(),
            message: "is in no ConfigMap of the pod; give the file with --config".to_owned(),
        }])),
        Err(error) => Err(ConfigErrors(vec![ConfigError {
            place: Place::File(name, None),
            key: String::new(),
            message: format!(
                "cannot be read: {error}; check the path given with --config or BLASTDOOR_CONFIG"
            ),
        }])),
    }
}

/// The standard four doors.
fn built_in() -> (Option<PathBuf>, Document, Vec<ConfigError>) {
    let name = "(built-in configuration)".to_owned();
    let (document, errors) = Document::parse(name, STANDARD.to_owned());
    (None, document, errors)
}
