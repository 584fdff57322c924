//! From what is written to what is meant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use door::Policy;
use proxy::AccessPolicy;
use route::ListenerName;

use super::addresses::addresses;
use super::diagnostics::{Diagnostics, Section};
use super::error::{ConfigError, Place};
use super::model::{AdminBind, Config, DoorConfig, Log, LogFormat};
use super::options::Options;
use super::raw::{Raw, RawLog};
use super::size::bounded;
use super::{between, listener, process, source, tracing};
use crate::open_files::most_workers;

pub(super) fn config(
    diagnostics: &mut Diagnostics<'_>,
    raw: Raw,
    path: Option<PathBuf>,
    options: &Options,
) -> Config {
    let source = source::source(&mut diagnostics.section("source"), &raw.source, options);
    let bind = raw.admin.bind.as_deref();
    let admin = bind.map_or_else(AdminBind::default, |bind| {
        admin(&mut diagnostics.section("admin"), bind)
    });
    let log = log(&mut diagnostics.section("log"), raw.log);
    let tracing = tracing::collector(&mut diagnostics.section("tracing"), &raw.tracing);
    let has_collector = raw.tracing.endpoint.is_some();
    let process = process::process(&mut diagnostics.section("process"), &raw.process);
    if raw.source.ingress_class.as_ref().is_some_and(Vec::is_empty) {
        let message = "an empty list would admit nothing; remove the key to admit all";
        diagnostics.error("source.ingress_class", message);
    }
    let classes: Vec<Box<str>> = raw
        .source
        .ingress_class
        .unwrap_or_default()
        .into_iter()
        .map(Into::into)
        .collect();
    let descriptors = options.process.as_ref().unwrap_or(&process).descriptors;
    let most_workers = most_workers(descriptors);
    let mut doors = Vec::new();
    let mut overlaps = BTreeMap::new();
    for (name, listener) in &raw.listeners {
        match name.parse::<ListenerName>() {
            Ok(parsed) => {
                overlaps.insert(parsed.clone(), listener.overlap.unwrap_or(false));
                let mut section = diagnostics.section(format!("listeners.{name}"));
                let door = listener::door(
                    &mut section,
                    parsed,
                    listener,
                    &classes,
                    most_workers,
                    has_collector,
                );
                doors.extend(door.map(Arc::new));
            }
            Err(error) => diagnostics.error(&format!("listeners.{name}"), error.to_string()),
        }
    }
    between::doors(diagnostics, &doors, &overlaps);
    addresses(diagnostics, &doors, &admin);
    between::doors_and_source(diagnostics, &doors, &source, &raw.listeners);
    let declared = doors.iter().map(|door| door.binding.address).collect();
    let others = match &options.doors {
        Some(wanted) => only(diagnostics, wanted, &mut doors),
        None => Vec::new(),
    };
    for door in &mut doors {
        Arc::make_mut(door).settings.has_doors_elsewhere = !others.is_empty();
    }
    Config {
        path,
        source,
        admin,
        log,
        process,
        tracing,
        doors,
        declared,
        others,
    }
}

fn admin(section: &mut Section<'_, '_>, bind: &str) -> AdminBind {
    bind.parse().unwrap_or_else(|message| {
        section.error("bind", message);
        AdminBind::default()
    })
}

fn log(section: &mut Section<'_, '_>, raw: RawLog) -> Log {
    let formats = [
        ("auto", LogFormat::Auto),
        ("json", LogFormat::Json),
        ("text", LogFormat::Text),
    ];
    let access = [
        ("all", AccessPolicy::All),
        ("errors", AccessPolicy::Errors),
        ("off", AccessPolicy::Off),
    ];
    let level = raw.level.unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&level) {
        section.error(
            "level",
            format!("`{level}` is not a level: {error}; allowed: error, warn, info, debug, trace, and directives such as `info,proxy=debug`"),
        );
    }
    Log {
        level,
        format: section.word("format", raw.format.as_deref(), LogFormat::Auto, &formats),
        access: section.word("access", raw.access.as_deref(), AccessPolicy::All, &access),
        buffer: bounded(
            section,
            "buffer",
            raw.buffer.as_ref(),
            4 << 20,
            ["64KiB", "256MiB"],
        ),
    }
}

/// Keeps the doors that are wanted, and returns the others.
fn only(
    diagnostics: &mut Diagnostics<'_>,
    wanted: &[String],
    doors: &mut Vec<Arc<DoorConfig>>,
) -> Vec<(ListenerName, Policy)> {
    for name in wanted {
        if !doors.iter().any(|door| door.name.as_str() == name) {
            let names = doors
                .iter()
                .map(|door| door.name.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            diagnostics.push(ConfigError {
                place: Place::Option("--doors"),
                key: String::new(),
                message: format!("no door `{name}` is declared; allowed: {names}"),
            });
        }
    }
    let others = doors.extract_if(.., |door| !wanted.iter().any(|name| name == door.name.as_str()));
    others
        .map(|door| (door.name.clone(), door.policy.clone()))
        .collect()
}
