"""The gateway under siege: three doors, what is behind them, and what can be asked of the process."""

import dataclasses
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import time

from .. import processes
from ..processes import OUT, Problem
from ..proxies import client_context

START_TIMEOUT = 30.0  # seconds

# The doors: one that is attacked, the same with TLS, and one that has nothing to do with the attack.
ATTACKED, ATTACKED_TLS, NEIGHBOUR = "attacked", "attacked-tls", "neighbour"
DOORS = (ATTACKED, ATTACKED_TLS, NEIGHBOUR)


@dataclasses.dataclass(frozen=True)
class Shape:
    """How the gateway is set up for a test."""

    workers: int = 1
    core: int | None = None  # the whole process is pinned to this core; None: all cores
    cpus: dict = dataclasses.field(default_factory=dict)  # the key `cpus` by door
    files: int | None = None  # RLIMIT_NOFILE, soft and hard
    cgroup: object = None  # a cgroup.Memory to run in
    preference: object = None  # a cgroup.Preference to run with
    namespaces: tuple = ()  # further lines for the manifests of tenants, by file name
    extra: str = ""  # further lines of listeners.toml
    log: bool = False  # the access log on, into a pipe that is read


class Ground:
    """What the doors stand on: an honest upstream, a backend that helps attackers, and a certificate."""

    def __init__(self, running):
        self.upstream, (self.honest, _) = self._start(running, "upstream")
        self.accomplice, (self.willing,) = self._start(running, "willing")
        folder = OUT / "certificate"
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        if not shutil.which("openssl"):
            raise Problem("openssl is missing, which makes the certificate: `apt install openssl`")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30".split()
        command += ["-subj", "/CN=app.example.com", "-addext", "subjectAltName=DNS:app.example.com"]
        command += ["-keyout", self.key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)

    @staticmethod
    def _start(running, name):
        process = running.start([processes.program(name)], processes.LOAD_CORE, stdout=subprocess.PIPE, text=True)
        return process, tuple(int(port) for port in process.stdout.readline().split())


def ingress(name, door, service, path, host="app.example.com", namespace="bench"):
    return (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
        f"metadata: {{name: {name}, namespace: {namespace}, labels: {{expose: {door}}}}}\n"
        f"spec: {{rules: [{{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, "
        f"backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]}}\n"
    )


def service(name, port, namespace="bench"):
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        "spec: {ports: [{port: 80}]}\n---\n"
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}-a, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}\n"
        f'addressType: IPv4\nports: [{{port: {port}}}]\nendpoints: [{{addresses: ["127.0.0.1"]}}]\n'
    )


class Gateway:
    """A running gateway. A context: leaving it ends the process."""

    def __init__(self, running, ground, binary, shape):
        self.running, self.ground, self.binary, self.shape = running, ground, pathlib.Path(binary), shape
        self.process = self.reader = None

    def __enter__(self):
        ports = processes.free_ports(len(DOORS) + 1)
        self.ports, self.admin_port = dict(zip(DOORS, ports)), ports[-1]
        self.work = OUT / "work" / f"siege-{os.getpid()}-{id(self)}"
        self.manifests = self.work / "manifests"
        self.manifests.mkdir(parents=True, exist_ok=True)
        (self.work / "listeners.toml").write_text(self._configuration())
        (self.manifests / "app.yaml").write_text(self._app())
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.running.end(self.process)
        if self.reader:
            self.running.end(self.reader)
        shutil.rmtree(self.work, ignore_errors=True)

    def _configuration(self):
        log = "all" if self.shape.log else "off"
        parts = [
            f'[source]\nkind = "files"\npath = "{self.manifests}"\nallow_loopback_backends = true\n',
            f'[admin]\nbind = "127.0.0.1:{self.admin_port}"\n[log]\naccess = "{log}"\n{self.shape.extra}\n',
        ]
        for door in DOORS:
            tls = door == ATTACKED_TLS
            parts.append(
                f'[listeners.{door}]\nbind = "127.0.0.1:{self.ports[door]}"\nworkers = {self.shape.workers}\n'
                f'selector = "expose={door}"\nscheme = "{"https" if tls else "http"}"\n'
                + (f'cpus = "{self.shape.cpus[door]}"\n' if door in self.shape.cpus else "")
                + 'drain = { wait = "0s", timeout = "1s" }\n'
            )
            if tls:
                cert, key = self.ground.certificate, self.ground.key
                parts.append(f'tls.default_certificate = {{ cert = "{cert}", key = "{key}" }}\n')
        return "".join(parts)

    def _app(self):
        parts = [service("app", self.ground.honest), service("willing", self.ground.willing)]
        for door in DOORS:
            parts += [
                ingress(f"app-{door}", door, "app", "/api"),
                ingress(f"willing-{door}", door, "willing", "/willing"),
            ]
        return "---\n".join(parts)

    def _start(self):
        def settle():
            processes.settle(processes.LOAD_CORE)
            os.sched_setaffinity(0, range(os.cpu_count()) if self.shape.core is None else {self.shape.core})
            if self.shape.files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.shape.files, self.shape.files))
            else:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            for group in (self.shape.cgroup, self.shape.preference):
                if group:
                    group.enter()

        output = subprocess.DEVNULL
        if self.shape.log:
            reading, output = os.pipe()
            self.reader = self.running.start(["cat"], processes.LOAD_CORE, stdin=reading)
            os.close(reading)
        with open(self.work / "errors", "wb") as errors:
            command = [self.binary, "run", "--config", self.work / "listeners.toml"]
            self.process = self.running.start(command, None, prepare=settle, stdout=output, stderr=errors, cwd=self.work)
        if self.shape.log:
            os.close(output)
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end and self.process.poll() is None:
            status, _ = self.ask("/readyz", 1)
            if status == 200:
                return
            time.sleep(0.02)
        state = "is not ready" if self.process.poll() is None else f"ended with {self.process.returncode}"
        raise Problem(f"the gateway {state}: " + " / ".join(self.errors()[-6:]))

    def errors(self):
        return (self.work / "errors").read_text(errors="replace").strip().splitlines()

    def is_alive(self):
        return self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def ask(self, path, timeout=5):
        """Status (0: no answer) and seconds of a request to the admin port."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            self.answer = answer.read()
            return answer.status, time.monotonic() - begun
        except (OSError, http.client.HTTPException):
            return 0, time.monotonic() - begun
        finally:
            connection.close()

    def metrics(self):
        """The samples of the metrics whose names are asked for most: text by series."""
        status, _ = self.ask("/metrics")
        if status != 200:
            return {}
        lines = (line.rsplit(" ", 1) for line in self.answer.decode().splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in lines}

    def doors(self):
        return json.loads(self.answer) if self.ask("/api/v1/doors")[0] == 200 else None

    def rss_kib(self):
        try:
            return processes.rss_kib([self.pid])
        except (OSError, TypeError):
            return 0

    def peak_rss_kib(self):
        try:
            return int(re.search(r"^VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.M)[1])
        except (OSError, TypeError):
            return 0

    def descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except OSError:
            return 0

    def get(self, door, path="/api/x", timeout=5, host="app.example.com"):
        """Status (0: no answer) and seconds of one request on a connection of its own."""
        begun = time.monotonic()
        try:
            with self.connect(door, timeout) as connection:
                head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode())
                line = connection.recv(64)
            return (int(line[9:12]) if line.startswith(b"HTTP/1.1 ") else 0), time.monotonic() - begun
        except (OSError, ValueError):
            return 0, time.monotonic() - begun

    def connect(self, door, timeout=5):
        plain = socket.create_connection(("127.0.0.1", self.ports[door]), timeout)
        if door != ATTACKED_TLS:
            return plain
        return client_context().wrap_socket(plain, server_hostname="app.example.com")
