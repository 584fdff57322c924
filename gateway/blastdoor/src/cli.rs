//! The command line: every command and every option, and nothing of what they do.

mod examples;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use route::ListenerName;

use crate::commands::scope::Scope;
use crate::commands::{audit, check, doctor, explain, migrate, prove, shell, version};
use crate::config::AdminBind;

/// A split-horizon HTTP gateway for Kubernetes: isolated listeners ("doors") in one process
#[derive(Debug, Parser)]
#[command(name = "blastdoor", version, about)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The configuration file [default: listeners.toml, or the standard four doors]
    #[arg(long, global = true, value_name = "FILE", env = "BLASTDOOR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Read Kubernetes objects from this directory instead of the configured source
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) manifests: Option<PathBuf>,
    /// Credentials for the API server [default: KUBECONFIG, the pod's service account, ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig file that names the cluster [default: its current context]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Run or check only these doors, separated by commas
    #[arg(long, global = true, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) doors: Option<Vec<String>>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the doors; this is the default command
    Run,
    /// Run the four standard doors with sample manifests and echo backends, without a cluster
    Demo,
    /// Parse and compile the configuration and all objects without serving, and print every problem (at most a hundred per
    /// Ingress and door)
    Check {
        /// Output format
        #[arg(short, long, value_enum, default_value_t = check::Output::Text)]
        output: check::Output,
        #[command(flatten)]
        scope: Scope,
    },
    /// Print what is reachable where: every host and path of every door, by which Ingress, to which Service
    Audit(audit::AuditOptions),
    /// Say which rule answers a URL at each door, what filters do, where the request goes, and why the other rules lose
    Explain(explain::ExplainOptions),
    /// Read the cluster and diagnose how load balancers reach the doors; exits with 0 if nothing is wrong, 1 if something is, 2
    /// if it could not look
    Doctor(doctor::DoctorOptions),
    /// Attack a running gateway: send the hosts of every door to every other door by many tricks; exits with 0 if all were
    /// refused, 1 if one was answered or something could not be tried, 2 for wrong usage or configuration
    Prove(prove::ProveOptions),
    /// Read Ingresses of ingress-nginx and Traefik, and report the door each lands on and everything that would behave
    /// differently; or replay an access log against both gateways. Changes nothing. Exits with 0 if nothing differs, 1 if
    /// something does, 2 if it could not look
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(Box<migrate::MigrateOptions>),
    /// Ask the admin port of a running gateway for its health; exits with 0 if it is healthy, 1 if not, 2 for an unknown door
    Health {
        /// The address of the admin port, `IP:PORT` or `unix:PATH` [default: the configured one]
        #[arg(long, value_name = "ADDRESS")]
        admin: Option<AdminBind>,
        /// Ask whether it is ready, instead of whether it is alive
        #[arg(long, conflicts_with = "lb")]
        ready: bool,
        /// Ask whether this door takes traffic, as load balancers do
        #[arg(long, value_name = "DOOR")]
        lb: Option<ListenerName>,
    },
    /// Print the script that completes this command line in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: shell::Shell,
    },
    /// Print the manual page, or write it and those of all commands into a directory
    Man {
        /// The directory; it is made if it does not exist
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Print which build this is
    Version {
        /// Output format
        #[arg(short, long, value_enum, default_value_t = version::Output::Text)]
        output: version::Output,
    },
}

/// What kubectl calls for `kubectl blastdoor`.
const PLUGIN: &str = "kubectl-blastdoor";

/// The whole command line, for a program that was called by this name.
pub(crate) fn command(program: Option<&OsStr>) -> clap::Command {
    let command = examples::add(Cli::command());
    let name = program.and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| name.to_string_lossy().starts_with(PLUGIN)) {
        // What a person types; without a command it would run the doors, which is not what plugins are for.
        let command = command.name(PLUGIN).bin_name("kubectl blastdoor");
        return command.arg_required_else_help(true);
    }
    command
}

impl Cli {
    /// Reads a command line, the name of the program included.
    ///
    /// # Errors
    /// When it is wrong, or asks for help or the version.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let command = command(arguments.first().map(OsString::as_os_str));
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }
}
