//! etcd and kube-apiserver with their own ports, folder and certificates; stopped when dropped.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gateway_tests::free_port;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two cores cannot run several API servers at once: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// An API server with nothing in it.
pub struct ApiServer {
    assets: PathBuf,
    folder: TempDir,
    etcd: Option<Child>,
    server: Option<Child>,
    /// Plain HTTP for the test itself, with all rights.
    proxy: Option<Child>,
    etcd_port: u16,
    pub port: u16,
    proxy_port: u16,
    authority: Issuer<'static, KeyPair>,
    _turn: MutexGuard<'static, ()>,
}

impl ApiServer {
    /// Starts it; `None`, with a visible message, if its programs are neither found nor built.
    pub fn start() -> Option<Self> {
        let mut server = Self::prepare()?;
        server.start_etcd();
        server.start_server();
        server.start_proxy();
        Some(server)
    }

    /// Everything but the processes.
    pub fn prepare() -> Option<Self> {
        let assets = assets()?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.crt"), certificate.pem()).unwrap();
        let accounts = KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("accounts.key"), accounts.serialize_pem()).unwrap();
        std::fs::write(folder.path().join("accounts.pub"), accounts.public_key_pem()).unwrap();
        std::fs::write(
            folder.path().join("audit.yaml"),
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted]\nrules: [{level: Metadata}]\n",
        )
        .unwrap();
        let server = Self {
            assets,
            etcd: None,
            server: None,
            proxy: None,
            etcd_port: free_port(),
            port: free_port(),
            proxy_port: free_port(),
            authority: Issuer::new(params, key),
            folder,
            _turn: turn,
        };
        server.sign("server", "kube-apiserver", None, &["127.0.0.1"]);
        server.sign("admin", "admin", Some("system:masters"), &[]);
        server.kubeconfig("admin");
        Some(server)
    }

    /// Credentials of a user without any rights; the test grants them.
    pub fn user(&self, name: &str) -> PathBuf {
        self.sign(name, name, None, &[]);
        self.kubeconfig(name)
    }

    /// Credentials of a user who may do everything.
    pub fn user_with_all_rights(&self, name: &str) -> PathBuf {
        self.sign(name, name, Some("system:masters"), &[]);
        self.kubeconfig(name)
    }

    /// The next start is at another port, which only the administrator knows.
    pub fn move_to(&mut self, port: u16) {
        self.port = port;
        self.kubeconfig("admin");
    }

    pub fn restart_proxy(&mut self) {
        end(&mut self.proxy);
        self.start_proxy();
    }

    /// Compacts etcd, so that watches cannot resume where they stopped.
    pub fn forget_history(&self) {
        let (_, answer) = self.request("GET", "/api/v1/namespaces", None);
        let revision = answer["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let body = format!("{{\"revision\": \"{revision}\", \"physical\": true}}");
        // etcd's own JSON gateway.
        let mut stream = TcpStream::connect(("127.0.0.1", self.etcd_port)).unwrap();
        let request = format!(
            "POST /v3/kv/compaction HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub fn admin(&self) -> PathBuf {
        self.path("admin.kubeconfig")
    }

    /// Credentials with a token in a file.
    pub fn token(&self, name: &str, token: &str) -> PathBuf {
        std::fs::write(self.path(&format!("{name}.token")), token).unwrap();
        let user = format!("tokenFile: {}", self.path(&format!("{name}.token")).display());
        self.write_kubeconfig(name, &user)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, file: &str, name: &str, group: Option<&str>, addresses: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.subject_alt_names = addresses
            .iter()
            .map(|address| SanType::IpAddress(address.parse().unwrap()))
            .collect();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{file}.crt")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn kubeconfig(&self, name: &str) -> PathBuf {
        let file = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
        let user = format!("client-certificate: {}, client-key: {}", file("crt"), file("key"));
        self.write_kubeconfig(name, &user)
    }

    fn write_kubeconfig(&self, name: &str, user: &str) -> PathBuf {
        let path = self.path(&format!("{name}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: test, cluster: {{server: \"https://127.0.0.1:{}\", certificate-authority: {}}}}}]\nusers: [{{name: user, user: {{{user}}}}}]\ncontexts: [{{name: test, context: {{cluster: test, user: user}}}}]\ncurrent-context: test\n",
            self.port,
            self.path("ca.crt").display()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn start_etcd(&mut self) {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", free_port());
        let data = self.path("etcd").display().to_string();
        let arguments = [
            "--data-dir",
            &data,
            "--unsafe-no-fsync",
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--log-level",
            "warn",
        ];
        self.etcd = Some(self.spawn("etcd", &arguments));
        until("etcd listens", || {
            TcpStream::connect(("127.0.0.1", self.etcd_port)).is_ok()
        });
    }

    /// Starts kube-apiserver and waits until it is ready.
    pub fn start_server(&mut self) {
        let (etcd, port) = (
            format!("http://127.0.0.1:{}", self.etcd_port),
            self.port.to_string(),
        );
        let file = |name: &str| self.path(name).display().to_string();
        let (certificate, key, authority) = (file("server.crt"), file("server.key"), file("ca.crt"));
        let (accounts, public) = (file("accounts.key"), file("accounts.pub"));
        let (policy, log) = (file("audit.yaml"), file("audit.log"));
        let arguments = [
            "--etcd-servers",
            &etcd,
            "--secure-port",
            &port,
            "--bind-address",
            "127.0.0.1",
            "--endpoint-reconciler-type",
            "none",
            "--tls-cert-file",
            &certificate,
            "--tls-private-key-file",
            &key,
            "--client-ca-file",
            &authority,
            "--service-account-issuer",
            "https://kubernetes.default.svc",
            "--service-account-key-file",
            &public,
            "--service-account-signing-key-file",
            &accounts,
            "--authorization-mode",
            "RBAC",
            "--service-cluster-ip-range",
            "10.96.0.0/12",
            "--audit-policy-file",
            &policy,
            "--audit-log-path",
            &log,
        ];
        self.server = Some(self.spawn("kube-apiserver", &arguments));
        until("the API server is ready", || self.is_ready());
    }

    fn is_ready(&self) -> bool {
        let output = self
            .kubectl_command(&["get", "--raw", "/readyz"])
            .output()
            .unwrap();
        output.status.success()
    }

    pub fn start_proxy(&mut self) {
        let port = format!("--port={}", self.proxy_port);
        let admin = format!("--kubeconfig={}", self.admin().display());
        self.proxy = Some(self.spawn("kubectl", &["proxy", &port, &admin]));
        until("kubectl proxy listens", || {
            TcpStream::connect(("127.0.0.1", self.proxy_port)).is_ok()
        });
    }

    /// Kills kube-apiserver.
    pub fn kill_server(&mut self) {
        end(&mut self.server);
    }

    /// Freezes kube-apiserver (SIGSTOP): its connections stay open and silent.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it continue.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.server.as_ref().unwrap()), signal).unwrap();
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{program}.log")))
            .unwrap();
        Command::new(self.assets.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// The program that users have.
    pub fn kubectl_program(&self) -> PathBuf {
        self.assets.join("kubectl")
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.kubectl_program());
        command.arg("--kubeconfig").arg(self.admin()).args(arguments);
        command
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies manifests.
    pub fn apply(&self, yaml: &str) {
        let (applied, said) = self.kubectl_with(&["apply", "--validate=false", "-f", "-"], yaml);
        assert!(applied, "{said}");
    }

    /// Runs kubectl as the administrator with this input: whether it succeeded, and what it said beside its output.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = self
            .kubectl_command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }

    /// One request as the administrator; status and body.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        Connection::open(self.proxy_port).request(method, path, body)
    }

    /// A connection for many requests.
    pub fn connection(&self) -> Connection {
        Connection::open(self.proxy_port)
    }

    /// Creates an object.
    pub fn create(&self, object: &Value) {
        self.connection().create(object);
    }

    /// What the status of an Ingress in namespace `default` publishes.
    pub fn published(&self, name: &str) -> Value {
        let path = format!("/apis/networking.k8s.io/v1/namespaces/default/ingresses/{name}");
        self.request("GET", &path, None).1["status"]["loadBalancer"]["ingress"].take()
    }

    /// How often a user has asked for this. A watch is counted when it ends.
    pub fn count(&self, user: &str, verb: &str, resource: &str) -> usize {
        let asked = self.asked_by(user);
        let is_counted = |asked: &&Asked| asked.verb == verb && asked.resource == resource;
        asked.iter().filter(is_counted).count()
    }

    /// What has been asked of the API server by a user: verb, group, resource with subresource, namespace, name.
    pub fn asked_by(&self, user: &str) -> Vec<Asked> {
        let log = std::fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["user"]["username"] == user)
            .filter(|event| event["objectRef"].is_object())
            .map(|event| {
                let object = &event["objectRef"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let mut resource = text(&object["resource"]);
                if let Some(sub) = object["subresource"].as_str() {
                    resource = format!("{resource}/{sub}");
                }
                Asked {
                    verb: text(&event["verb"]),
                    group: text(&object["apiGroup"]),
                    resource,
                    namespace: text(&object["namespace"]),
                    name: text(&object["name"]),
                    status: event["responseStatus"]["code"].as_u64().unwrap_or(0),
                }
            })
            .collect()
    }
}

/// One request in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub status: u64,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("--- the API server said last:\n{}", lines.join("\n"));
        }
        end(&mut self.proxy);
        end(&mut self.server);
        end(&mut self.etcd);
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ended = child.kill();
        let _reaped = child.wait();
    }
}

/// Plain HTTP to `kubectl proxy`.
pub struct Connection {
    port: u16,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            port,
            reader: BufReader::new(stream),
        }
    }

    pub fn create(&mut self, object: &Value) {
        let (status, answer) = self.request("POST", &collection(object), Some(object));
        assert!(status == 201, "{status} {answer}");
    }

    pub fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
        let (status, length) = self.head();
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.reader.read_exact(&mut body).unwrap();
            }
            None => loop {
                let size = usize::from_str_radix(self.line().trim(), 16).unwrap();
                let start = body.len();
                body.resize(start + size, 0);
                self.reader.read_exact(&mut body[start..]).unwrap();
                self.line();
                if size == 0 {
                    break;
                }
            },
        }
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn head(&mut self) -> (u16, Option<usize>) {
        let status = self.line()[9..12].parse().unwrap();
        let mut length = None;
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.trim().is_empty() {
                return (status, length);
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse().unwrap());
            }
        }
    }

    fn line(&mut self) -> String {
        use std::io::BufRead as _;
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }
}

/// The path of an object's collection.
pub fn collection(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = match object["kind"].as_str().unwrap() {
        "Ingress" => "ingresses",
        "IngressClass" => "ingressclasses",
        "Service" => "services",
        "EndpointSlice" => "endpointslices",
        "Secret" => "secrets",
        "ConfigMap" => "configmaps",
        "Namespace" => "namespaces",
        "Middleware" => "middlewares",
        "Node" => "nodes",
        "Pod" => "pods",
        "ServiceAccount" => "serviceaccounts",
        "DaemonSet" => "daemonsets",
        other => panic!("which plural has {other}?"),
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
        None => format!("/{root}/{version}/{plural}"),
    }
}

/// Waits until a condition holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folder with etcd, kube-apiserver and kubectl.
fn assets() -> Option<PathBuf> {
    let (named, is_ci) = (
        std::env::var_os("KUBEBUILDER_ASSETS"),
        std::env::var_os("CI").is_some(),
    );
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/apiserver");
    let folders = named.map(PathBuf::from).into_iter().chain([built]);
    let complete = |folder: &PathBuf| {
        ["etcd", "kube-apiserver", "kubectl"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    let found = folders.into_iter().find(complete);
    if found.is_none() {
        assert!(
            !is_ci,
            "no etcd, kube-apiserver and kubectl: run `cargo xtask apiserver` first"
        );
        // Not `eprintln!`: its output is not shown if the test passes.
        let _shown = writeln!(
            std::io::stderr(),
            "LEFT OUT: no etcd, kube-apiserver and kubectl; `cargo xtask apiserver` builds them, or set KUBEBUILDER_ASSETS"
        );
    }
    found
}
