"""The proxies that are compared, each with one worker on one core: how it is configured, started and asked."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import time

from . import filters, processes
from .processes import BENCH, OUT, PROXY_CORE, ROOT, Problem

START_TIMEOUT = 30.0  # seconds


@dataclasses.dataclass(frozen=True)
class Setting:
    """In what way the proxies are set up for a test."""

    tls: bool = False  # Blastdoor's door ends TLS; the others have both listeners always
    access_log: bool = False  # on, into a pipe that is read
    ingresses: int = 0  # 0: one, for app.example.com; else one for each of app-00000.example.com …
    filter: filters.Filter = None  # on Blastdoor's Ingresses alone


@dataclasses.dataclass(frozen=True)
class Ground:
    """What every proxy stands on: the upstreams and a certificate."""

    upstreams: tuple  # their ports
    upstream_pid: int
    certificate: pathlib.Path
    key: pathlib.Path
    bundle: pathlib.Path  # certificate and key in one file


def prepare_ground(running):
    """Starts the upstream and makes a certificate; sweeps up after runs that were killed."""
    for folder in (OUT / "work").glob("*-*-*"):
        if not pathlib.Path("/proc", folder.name.split("-")[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)
    upstream = running.start([processes.program("upstream")], processes.LOAD_CORE, stdout=subprocess.PIPE, text=True)
    ports = tuple(int(port) for port in upstream.stdout.readline().split())
    folder = OUT / "certificate"
    folder.mkdir(parents=True, exist_ok=True)
    ground = Ground(ports, upstream.pid, folder / "cert.pem", folder / "key.pem", folder / "both.pem")
    if shutil.which("openssl"):
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30".split()
        command += ["-subj", "/CN=app.example.com", "-addext", "subjectAltName=DNS:app.example.com"]
        command += ["-keyout", ground.key, "-out", ground.certificate]
        subprocess.run(command, check=True, capture_output=True)
        ground.bundle.write_text(ground.certificate.read_text() + ground.key.read_text())
    elif not ground.bundle.exists():
        raise Problem("openssl is missing, which makes the certificate: `apt install openssl`")
    return ground


class Proxy:
    """One proxy, running or not. What differs between proxies is in the subclasses."""

    name = ""
    configurations = ()  # files of bench/conf
    optional = False
    speaks_tls = True
    speaks_http = True  # it parses what it forwards

    def __init__(self, setting):
        self.setting = setting
        self.label = self.name
        self.port = self.tls_port = 0
        self.process = self.log_reader = None
        self.ready_after = 0.0  # seconds from start to the first good answer

    # What a subclass tells.

    def binary(self):
        """The command that the program starts with, or None if it is not here."""
        return processes.peer_command(self.name)

    def arguments(self, work):
        raise NotImplementedError

    def access_log(self):
        """What stands for @ACCESS@ in the configuration."""
        return ""

    def values(self, work):
        """What else stands for @NAME@ in the configuration."""
        return {}

    def version(self):
        return ""

    # What all do.

    def start(self, running, ground):
        work = OUT / "work" / f"{self.name}-{os.getpid()}-{id(self)}"
        work.mkdir(parents=True, exist_ok=True)
        self.work = work
        self.port, self.tls_port, admin_port = processes.free_ports(3)
        values = {
            "WORK": work,
            "PORT": self.port,
            "TLS_PORT": self.tls_port,
            "ADMIN_PORT": admin_port,
            "UPSTREAM_A": ground.upstreams[0],
            "UPSTREAM_B": ground.upstreams[1],
            "CERTIFICATE": ground.certificate,
            "KEY": ground.key,
            "BUNDLE": ground.bundle,
            "ACCESS": self.access_log(),
        }
        self.ground = ground
        values.update(self.values(work))
        for file in self.configurations:
            text = (BENCH / "conf" / file).read_text()
            (work / file).write_text(re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text))
        stdout = subprocess.DEVNULL
        if self.setting.access_log:
            reading, stdout = os.pipe()
            self.log_reader = running.start(["cat"], processes.LOAD_CORE, stdin=reading)
            os.close(reading)
        begun = time.monotonic()
        with open(work / "errors", "wb") as errors:
            command = self.wrapper() + list(self.binary()) + list(self.arguments(work))
            self.process = running.start(command, PROXY_CORE, stdout=stdout, stderr=errors, cwd=work)
        if self.setting.access_log:
            os.close(stdout)
        self.wait_until_ready(begun)

    def wrapper(self):
        """A program to run it under; instructions puts valgrind here."""
        return []

    def wait_until_ready(self, begun):
        while time.monotonic() < begun + START_TIMEOUT and self.process.poll() is None:
            if self.answers():
                self.ready_after = time.monotonic() - begun
                return
            time.sleep(0.01)
        lines = (self.work / "errors").read_text(errors="replace").strip().splitlines()
        state = "does not answer" if self.process.poll() is None else f"ended with {self.process.returncode}"
        raise Problem(f"{self.name} {state}: " + " / ".join(lines[-6:]))

    def answers(self):
        try:
            with self.connect() as connection:
                connection.settimeout(2)
                connection.sendall(self.request("close"))
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def connect(self):
        """A connection as clients make it in this setting."""
        if not self.setting.tls:
            return socket.create_connection(("127.0.0.1", self.port), 2)
        plain = socket.create_connection(("127.0.0.1", self.tls_port), 2)
        return client_context().wrap_socket(plain, server_hostname="app.example.com")

    def request(self, connection="keep-alive"):
        host = f"app-{self.setting.ingresses - 1:05}" if self.setting.ingresses else "app"
        return f"GET /api/x HTTP/1.1\r\nHost: {host}.example.com\r\nConnection: {connection}\r\n\r\n".encode()

    def end(self, running):
        if self.process:
            running.end(self.process)
        if self.log_reader:
            running.end(self.log_reader)
        self.process = self.log_reader = None
        if getattr(self, "work", None):
            shutil.rmtree(self.work, ignore_errors=True)

    def pids(self):
        return processes.tree(self.process.pid)


def client_context():
    """TLS 1.3 without a look at the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def output(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return done.stdout + done.stderr


def first_version(text):
    found = re.search(r"\d+\.\d+[\w.+-]*", text)
    return found[0] if found else ""


class Blastdoor(Proxy):
    name = "blastdoor"
    configurations = ("blastdoor.toml",)
    path = ROOT / "target" / "dist" / "blastdoor"

    def binary(self):
        return [self.path] if self.path.exists() else None

    def arguments(self, work):
        return ["run", "--config", work / "blastdoor.toml"]

    def access_log(self):
        return "all" if self.setting.access_log else "off"

    def values(self, work):
        (work / "manifests").mkdir(exist_ok=True)
        (work / "manifests" / "app.yaml").write_text(self.manifests())
        values = {"SCHEME": "http", "TLS": ""}
        if self.setting.tls:
            cert, key = self.ground.certificate, self.ground.key
            values["SCHEME"] = "https"
            values["TLS"] = f'\n[listeners.bench.tls]\ndefault_certificate = {{ cert = "{cert}", key = "{key}" }}\n'
            # One door, and it is the TLS one.
            self.port = self.tls_port
            values["PORT"] = self.tls_port
        return values

    def manifests(self):
        parts = ["apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: bench}\nspec: {ports: [{port: 80}]}\n"]
        for port in self.ground.upstreams:
            parts.append(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                f"metadata: {{name: app-{port}, namespace: bench, labels: {{kubernetes.io/service-name: app}}}}\n"
                f'addressType: IPv4\nports: [{{port: {port}}}]\nendpoints: [{{addresses: ["127.0.0.1"]}}]\n'
            )
        annotations = "{}"
        if self.setting.filter:
            annotations = json.dumps(self.setting.filter.on_ingress())
            parts += self.setting.filter.objects()
        names = [f"app-{index:05}" for index in range(self.setting.ingresses)] or ["app"]
        for name in names:
            parts.append(
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
                f"metadata: {{name: {name}, namespace: bench, labels: {{expose: bench}}, "
                f"annotations: {annotations}}}\n"
                f"spec: {{rules: [{{host: {name}.example.com, http: {{paths: [{{path: /api, pathType: Prefix, "
                "backend: {service: {name: app, port: {number: 80}}}}]}}]}\n"
            )
        return "---\n".join(parts)

    def version(self):
        number = first_version(output([self.path, "--version"]))
        if self.path != ROOT / "target" / "dist" / "blastdoor":
            return number  # built from who knows what
        if not (ROOT / ".git").exists():
            return number
        commit = output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).strip()
        changed = output(["git", "-C", ROOT, "status", "--porcelain", "gateway", "Cargo.lock"]).strip()
        return f"{number} ({commit}{', with changes' if changed else ''})"


class Baseline(Blastdoor):
    """Another build of Blastdoor, to compare a change with what was before it."""

    name = "baseline"
    optional = True
    path = pathlib.Path("/nonexistent")

    def version(self):
        return first_version(output([self.path, "--version"]))


class Floor(Proxy):
    name = "floor"
    speaks_tls = False
    speaks_http = False

    def binary(self):
        return [processes.program("floor")]

    def arguments(self, work):
        return [self.port, *self.ground.upstreams]


class Nginx(Proxy):
    name = "nginx"
    configurations = ("nginx.conf",)

    def arguments(self, work):
        return ["-p", work, "-e", "stderr", "-c", work / "nginx.conf"]

    def access_log(self):
        return "/dev/stdout" if self.setting.access_log else "off"

    def values(self, work):
        return {"USER": "user root;" if os.geteuid() == 0 else ""}

    def version(self):
        return first_version(output([*self.binary(), "-v"]))


class Haproxy(Proxy):
    name = "haproxy"
    configurations = ("haproxy.cfg",)

    def arguments(self, work):
        return ["-db", "-q", "-f", work / "haproxy.cfg"]

    def access_log(self):
        return "log stdout len 4096 format raw local0\n  option httplog" if self.setting.access_log else ""

    def version(self):
        return first_version(output([*self.binary(), "-v"]))


class FromPyPi(Proxy):
    """A proxy that PyPI carries as a binary; see README.md for how to get it."""

    optional = True

    def binary(self):
        unpacked = OUT / "venv" / "bin" / self.name
        found = unpacked if unpacked.exists() else shutil.which(self.name)
        return [found] if found else None


class Envoy(FromPyPi):
    name = "envoy"
    configurations = ("envoy.yaml",)

    def arguments(self, work):
        return ["-c", work / "envoy.yaml", "--concurrency", "1", "-l", "error", "--disable-hot-restart"]

    def access_log(self):
        if not self.setting.access_log:
            return ""
        kind = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
        return f'access_log: [{{ name: stdout, typed_config: {{ "@type": {kind} }} }}]'

    def version(self):
        return first_version(output([*self.binary(), "--version"]).split("version:")[-1].split("/", 1)[-1])


class Traefik(FromPyPi):
    name = "traefik"
    configurations = ("traefik.yml", "traefik-routes.yml")

    def wrapper(self):
        return ["env", "GOMAXPROCS=1"]

    def arguments(self, work):
        return [f"--configFile={work}/traefik.yml"]

    def access_log(self):
        return "accessLog: {}" if self.setting.access_log else ""

    def version(self):
        return first_version(output([*self.binary(), "version"]))


class Caddy(FromPyPi):
    name = "caddy"
    configurations = ("Caddyfile",)

    def wrapper(self):
        return ["env", "GOMAXPROCS=1"]

    def arguments(self, work):
        return ["run", "--adapter", "caddyfile", "--config", work / "Caddyfile"]

    def access_log(self):
        return "log access {\n    output stdout\n  }" if self.setting.access_log else ""

    def version(self):
        return first_version(output([*self.binary(), "version"]))


ALL = (Floor, Nginx, Haproxy, Envoy, Traefik, Caddy, Baseline, Blastdoor)
