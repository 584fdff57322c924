//! `blastdoor demo`: the standard four doors with something behind them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::run::serve;
use super::{Printer, USAGE, fail};
use crate::config::{self, Config, Options, SourceKind};
use crate::echo;
use crate::signals::SignalAction;
use crate::telemetry;

/// A bundled application: the door it chooses, its host and its manifest.
struct Sample {
    door: &'static str,
    host: &'static str,
    manifest: &'static str,
}

const SAMPLES: [Sample; 4] = [
    Sample {
        door: "internal-http",
        host: "wiki.corp.example.com",
        manifest: include_str!("../../../../deploy/demo/internal-http.yaml"),
    },
    Sample {
        door: "internal-https",
        host: "payroll.corp.example.com",
        manifest: include_str!("../../../../deploy/demo/internal-https.yaml"),
    },
    Sample {
        door: "external-http",
        host: "blog.example.com",
        manifest: include_str!("../../../../deploy/demo/external-http.yaml"),
    },
    Sample {
        door: "external-https",
        host: "shop.example.com",
        manifest: include_str!("../../../../deploy/demo/external-https.yaml"),
    },
];

/// The port that the bundled manifests write for their backends; each gets a free one instead.
const WRITTEN_PORT: &str = "port: 9000";

/// The manifests' folder, removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: it lies in the system's temporary folder.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the demo until it is interrupted.
pub(crate) fn run(options: &Options) -> ExitCode {
    let folder = match prepare() {
        Ok(folder) => folder,
        Err(error) => return fail(1, format!("cannot prepare the demo: {error}")),
    };
    let options = Options {
        manifests: options.manifests.clone().or_else(|| Some(folder.0.clone())),
        environment: options
            .environment
            .iter()
            .cloned()
            .chain([(
                "BLASTDOOR_SOURCE__ALLOW_LOOPBACK_BACKENDS".to_owned(),
                "true".to_owned(),
            )])
            .collect(),
        ..options.clone()
    };
    let config = match config::load(&options) {
        Ok(loaded) => loaded.config,
        Err(errors) => return fail(USAGE, errors),
    };
    explain(&config);
    let logs = match telemetry::start(&config.log, options.may_style()) {
        Ok(logs) => logs,
        Err(error) => return fail(1, format!("cannot start the logs: {error}")),
    };
    // It belongs to the terminal that it runs in.
    serve(&options, config, &logs, SignalAction::End)
}

/// Starts the echo backends and writes manifests that point to them.
fn prepare() -> io::Result<Folder> {
    let folder = Folder(std::env::temp_dir().join(format!("blastdoor-demo-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    for sample in &SAMPLES {
        let address = echo::start(sample.door, sample.host)?;
        write_manifest(&folder.0, sample, address)?;
    }
    Ok(folder)
}

fn write_manifest(folder: &Path, sample: &Sample, address: SocketAddr) -> io::Result<()> {
    let manifest = sample
        .manifest
        .replace(WRITTEN_PORT, &format!("port: {}", address.port()));
    std::fs::write(folder.join(format!("{}.yaml", sample.door)), manifest)
}

fn explain(config: &Config) {
    let mut printer = Printer::default();
    let port = |name: &str| {
        config
            .doors
            .iter()
            .find(|door| door.name.as_str() == name)
            .map(|door| door.binding.address.port())
    };
    printer.print("Blastdoor demo: four doors, one application behind each.\n");
    printer.print("Each door answers its own host:");
    for sample in &SAMPLES {
        if let Some(port) = port(sample.door) {
            printer.print(format!(
                "  curl -H 'Host: {}' http://localhost:{port}/hello      # {}",
                sample.host, sample.door
            ));
        }
    }
    printer
        .print("\nand refuses the other doors' hosts, with the same 404 as for a host that exists nowhere:");
    for sample in &SAMPLES {
        let other = SAMPLES.iter().find(|other| {
            other.door != sample.door && config.doors.iter().any(|door| door.name.as_str() == other.door)
        });
        if let (Some(port), Some(other)) = (port(sample.door), other) {
            printer.print(format!(
                "  curl -i -H 'Host: {}' http://localhost:{port}/      # {} at {}",
                other.host, other.door, sample.door
            ));
        }
    }
    if let SourceKind::Files(folder) = &config.source.kind {
        printer.print(format!(
            "\nThe manifests are in {}; change one and watch what happens.",
            folder.display()
        ));
        printer.print(format!(
            "To attack every door with the hosts of the others: blastdoor prove --manifests {}",
            folder.display()
        ));
    }
    printer.print("Metrics: curl http://127.0.0.1:10254/metrics   End with Ctrl-C.\n");
}
