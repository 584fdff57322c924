//! The program under test, as a process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::DOORS;

/// How long a gateway may take to get ready, or to see a change.
const PATIENCE: Duration = Duration::from_secs(20);
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// A gateway to be.
pub struct Builder {
    program: PathBuf,
    directory: Arc<TempDir>,
    source: String,
    log: String,
    doors: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    wait_ready: bool,
    suffix: String,
    /// The credentials of an API server, which is the source instead of the manifests.
    kubeconfig: Option<PathBuf>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    directory: Arc<TempDir>,
    admin: PathBuf,
    suffix: String,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Gateway {
    /// The four standard doors on free ports.
    #[must_use]
    pub fn builder(program: &str) -> Builder {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        std::fs::create_dir(directory.path().join("manifests")).unwrap();
        let mut doors = BTreeMap::new();
        for door in DOORS {
            let selector = match door {
                "internal-https" => "expose in (internal-https, internal-httpsecure)".to_owned(),
                "external-https" => "expose in (external-https, external-httpsecure)".to_owned(),
                door => format!("expose={door}"),
            };
            let scheme = if door.ends_with("https") { "https" } else { "http" };
            doors.insert(
                door.to_owned(),
                format!("bind = \"127.0.0.1:0\"\nselector = \"{selector}\"\nscheme = \"{scheme}\"\nworkers = 1\ndrain = {{ wait = \"300ms\", timeout = \"5s\" }}\n"),
            );
        }
        Builder {
            program: program.into(),
            directory,
            source: "allow_loopback_backends = true\n".to_owned(),
            log: String::new(),
            doors,
            environment: Vec::new(),
            arguments: Vec::new(),
            wait_ready: true,
            suffix: "1".to_owned(),
            kubeconfig: None,
            stdout: None,
            stderr: None,
        }
    }

    /// The address of a door.
    #[must_use]
    pub fn door(&self, name: &str) -> SocketAddr {
        let doors: serde_json::Value = serde_json::from_str(&self.admin("/api/v1/doors").1).unwrap();
        let door = doors["doors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|door| door["listener"] == name);
        door.unwrap_or_else(|| panic!("no door {name}"))["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Asks the admin port: status and body.
    #[must_use]
    pub fn admin(&self, path: &str) -> (u16, String) {
        self.try_admin(path).expect("the admin port answers")
    }

    fn try_admin(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(&self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a metric: the sum over all series whose labels include these.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = self.admin("/metrics").1;
        let series = page.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels
                    .iter()
                    .all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
        });
        series
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Waits until a metric has this value: what a request leaves behind is counted once its answer has been sent.
    pub fn counts(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.until(&format!("{name}{labels:?} is {value}"), |gateway| {
            gateway.metric(name, labels) == value
        });
    }

    /// The folder of manifests.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.directory.path().join("manifests")
    }

    /// The socket of the admin port.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.admin.clone()
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory
            .path()
            .join(format!("listeners-{}.toml", self.suffix))
    }

    /// Replaces a manifest in one step, and does not wait.
    pub fn put(&self, name: &str, yaml: &str) {
        put(&self.manifests(), name, yaml);
    }

    /// Waits until a condition holds.
    pub fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.until_within(PATIENCE, what, condition);
    }

    /// The same for what the gateway itself puts off for up to half a minute.
    pub fn until_patiently(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.until_within(LONG_PATIENCE, what, condition);
    }

    fn until_within(&self, patience: Duration, what: &str, condition: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            assert!(
                started.elapsed() < patience,
                "not within {patience:?}: {what}\n{}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a GET is answered with this status.
    pub fn until_status(&self, door: &str, host: &str, path: &str, status: u16) {
        let address = self.door(door);
        self.until(&format!("{status} for {host}{path} at {door}"), |_| {
            crate::get(address, host, path).status == status
        });
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Resident memory in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// Resident memory in bytes without the pages of files: those of the program come and go by hundreds of KiB.
    #[must_use]
    pub fn resident_anonymous(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Open descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the gateway does not end\n{}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said on standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        let file = self.directory.path().join(format!("stderr-{}", self.suffix));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// Waits until it says this on standard error, and returns all that it has said. Its log is written beside its work, so
    /// that what it has done may be seen before it is told.
    pub fn says(&self, text: &str) -> String {
        self.until(text, |gateway| gateway.stderr().contains(text));
        self.stderr()
    }

    /// The lines of the access log so far. One that is being written counts once it is whole.
    #[must_use]
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let log =
            std::fs::read_to_string(self.directory.path().join(format!("stdout-{}", self.suffix))).unwrap();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway said:\n{}", self.stderr());
        }
    }
}

impl Builder {
    /// Writes a manifest.
    #[must_use]
    pub fn manifest(self, name: &str, yaml: &str) -> Self {
        put(&self.directory.path().join("manifests"), name, yaml);
        self
    }

    /// Adds lines to a door's table.
    #[must_use]
    pub fn door(mut self, name: &str, lines: &str) -> Self {
        let table = self.doors.entry(name.to_owned()).or_default();
        for line in lines.lines() {
            // A later key replaces the standard one.
            let key = line.split('=').next().unwrap().trim().to_owned();
            let kept: Vec<&str> = table
                .lines()
                .filter(|old| old.split('=').next().unwrap().trim() != key)
                .collect();
            *table = kept.join("\n") + "\n" + line + "\n";
        }
        self
    }

    /// Adds lines to every door's table.
    #[must_use]
    pub fn every_door(mut self, lines: &str) -> Self {
        for name in self.doors.keys().cloned().collect::<Vec<_>>() {
            self = self.door(&name, lines);
        }
        self
    }

    /// Leaves a door out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.doors.remove(name);
        self
    }

    /// Reads objects from an API server instead of manifests.
    #[must_use]
    pub fn cluster(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self.source = String::new();
        self
    }

    /// Replaces the lines of `[source]` beside kind and path.
    #[must_use]
    pub fn source(mut self, lines: &str) -> Self {
        self.source = format!("{lines}\n");
        self
    }

    /// Lines of `[log]`.
    #[must_use]
    pub fn log(mut self, lines: &str) -> Self {
        self.log = lines.to_owned();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an option of `run`.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Gives it another standard output than a file.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Gives it another standard error than a file. [`Gateway::stderr`] shows nothing then.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Does not wait until it is ready.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait_ready = false;
        self
    }

    /// Writes a file beside the configuration.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.directory.path().join(name), content).unwrap();
        self
    }

    /// The configuration as text.
    #[must_use]
    pub fn config(&self) -> String {
        let kind = match self.kubeconfig {
            Some(_) => "kind = \"kubernetes\"",
            None => "kind = \"files\"\npath = \"manifests\"",
        };
        let mut toml = format!(
            "[source]\n{kind}\n{}[admin]\nbind = \"unix:{}\"\n[log]\n{}\n",
            self.source,
            self.admin().display(),
            self.log
        );
        for (name, table) in &self.doors {
            write!(toml, "[listeners.{name}]\n{table}").unwrap();
        }
        toml
    }

    fn admin(&self) -> PathBuf {
        self.directory.path().join(format!("admin-{}", self.suffix))
    }

    /// Starts it.
    #[must_use]
    pub fn start(mut self) -> Gateway {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let config = self
            .directory
            .path()
            .join(format!("listeners-{}.toml", self.suffix));
        std::fs::write(&config, self.config()).unwrap();
        let file =
            |name: &str| File::create(self.directory.path().join(format!("{name}-{}", self.suffix))).unwrap();
        let child = Command::new(&self.program)
            .arg("run")
            .arg("--config")
            .arg(&config)
            .args(
                self.kubeconfig
                    .iter()
                    .flat_map(|path| [Path::new("--kubeconfig"), path]),
            )
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(|| file("stdout").into()))
            .stderr(stderr.unwrap_or_else(|| file("stderr").into()))
            .spawn()
            .unwrap();
        let gateway = Gateway {
            child,
            directory: Arc::clone(&self.directory),
            admin: self.admin(),
            suffix: self.suffix.clone(),
        };
        if self.wait_ready {
            gateway.until("ready", |gateway| {
                gateway
                    .try_admin("/readyz")
                    .is_some_and(|(status, _)| status == 200)
            });
        }
        gateway
    }

    /// Another process over the same manifests, with the same doors.
    #[must_use]
    pub fn twin(&self, number: usize) -> Self {
        Self {
            program: self.program.clone(),
            directory: Arc::clone(&self.directory),
            source: self.source.clone(),
            log: self.log.clone(),
            doors: self.doors.clone(),
            environment: self.environment.clone(),
            arguments: self.arguments.clone(),
            wait_ready: true,
            suffix: number.to_string(),
            kubeconfig: self.kubeconfig.clone(),
            stdout: None,
            stderr: None,
        }
    }

    /// Runs a command with this configuration to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let config = self.directory.path().join("listeners.toml");
        std::fs::write(&config, self.config()).unwrap();
        let mut all = vec!["--config", config.to_str().unwrap()];
        all.extend(arguments);
        if let Some(path) = &self.kubeconfig {
            all.extend(["--kubeconfig", path.to_str().unwrap()]);
        }
        command(&self.program, &all, &self.environment, self.directory.path())
    }

    /// The folder of this gateway's files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }
}

/// Runs the program to its end.
#[must_use]
pub fn command(
    program: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    folder: &Path,
) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > LONG_PATIENCE {
            let _ended = child.kill();
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn put(folder: &Path, name: &str, content: &str) {
    let hidden = folder.join(format!(".{name}.new"));
    std::fs::write(&hidden, content).unwrap();
    std::fs::rename(hidden, folder.join(name)).unwrap();
}
