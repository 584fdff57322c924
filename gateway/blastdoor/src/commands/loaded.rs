//! A world that a command reads once.

use std::process::ExitCode;

use super::progress::Progress;
use super::run::runtime;
use super::{USAGE, fail, print_error};
use crate::config::{self, Config, ConfigErrors, Options};
use crate::world::{OpenDoor, World};

/// Reads the configuration and prints its warnings.
///
/// # Errors
/// What is wrong with it.
pub(super) fn config(options: &Options) -> Result<Config, ConfigErrors> {
    let loaded = config::load(options)?;
    for warning in &loaded.warnings {
        print_error(format!("warning: {warning}"));
    }
    Ok(loaded.config)
}

/// Reads the configuration and all objects, and compiles them.
///
/// # Errors
/// The exit status, after what is wrong has been printed.
pub(super) fn world(options: &Options) -> Result<World<OpenDoor>, ExitCode> {
    let config = config(options).map_err(|errors| fail(USAGE, errors))?;
    let runtime = runtime().map_err(|message| fail(USAGE, message))?;
    let tasks = tokio::task::LocalSet::new();
    let progress = Progress::new(options);
    progress.say("reading and compiling all objects");
    let world = tasks.block_on(&runtime, World::load(config, options));
    drop(progress);
    world.map_err(|error| fail(USAGE, error))
}
