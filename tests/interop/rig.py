"""A gateway with four doors, certificates for it, and the objects that it serves."""

import base64
import datetime
import ipaddress
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "a.test"
DOORS = ("plain", "tls", "mutual", "proxied")
# Doors that answer every host: a tool that cannot say one asks for the address.
OPEN_DOORS = ("open", "open-tls")
# The services that the client of grpc-go calls; it names a host under TLS alone.
GRPC_GO_PATHS = (
    "/grpc.testing.TestService",
    "/grpc.testing.UnimplementedService",
    "/xds.service.orca.v3.OpenRcaService",
)


class Authority:
    """A certificate authority that lives as long as the run."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "interoperation")])
        self.certificate = (
            self._builder(self.name, self.key.public_key(), 30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.file = self._write("ca.pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, public_key, days):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def _write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def issue(self, name, hosts, usage):
        """A certificate and its key, as two PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(host) for host in hosts] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            self._builder(subject, key.public_key(), 20)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.crt", chain), self._write(f"{name}.key", private)

    def server(self, name, hosts):
        return self.issue(name, hosts, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, name):
        return self.issue(name, [], ExtendedKeyUsageOID.CLIENT_AUTH)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def labelled(kind, api, name, spec, labels=None, **rest):
    """An object of the namespace `test`."""
    metadata = {"name": name, "namespace": "test", "labels": labels or {}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **({"spec": spec} if spec else {}), **rest}


class Gateway:
    """The program under test."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, backends: dict, app_protocols: dict):
        self.folder = folder
        self.authority = Authority(folder)
        self.server = self.authority.server("server", [HOST, "ws.test", "grpc.test"])
        self.client = self.authority.client("client")
        self.ports = {door: free_port() for door in DOORS + OPEN_DOORS}
        self.admin = free_port()
        manifests = folder / "manifests"
        manifests.mkdir()
        items = self._services(backends, app_protocols) + self._ingresses()
        (manifests / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        (folder / "listeners.toml").write_text(self._configuration())
        self.log = open(folder / "gateway.log", "wb")
        self.process = subprocess.Popen(
            [binary, "run", "--config", folder / "listeners.toml"], stdout=self.log, stderr=self.log
        )
        self._wait()

    def _configuration(self):
        text = f"""
[source]
kind = "files"
path = "manifests"
allow_loopback_backends = true
[admin]
bind = "127.0.0.1:{self.admin}"
"""
        tables = {
            "plain": 'scheme = "http"',
            "tls": 'scheme = "https"\ntls = { default_certificate = "self-signed" }',
            "mutual": 'scheme = "https"\ntls = { client_auth = { mode = "require", ca = { file = "ca.pem" } } }',
            "proxied": 'scheme = "http"\nproxy_protocol = "required"\nclient_ip = "proxy-protocol"\n'
            'trusted_proxies = ["127.0.0.0/8"]',
            "open": 'scheme = "http"',
            "open-tls": 'scheme = "https"\ntls = { default_certificate = "self-signed" }',
        }
        for door, lines in tables.items():
            text += f"""
[listeners.{door}]
bind = "127.0.0.1:{self.ports[door]}"
selector = "expose={door}"
workers = 1
drain = {{ wait = "100ms", timeout = "5s" }}
{lines}
"""
        return text

    def _services(self, backends, app_protocols):
        items = []
        for name, port in backends.items():
            service_port = {"port": 80}
            if name in app_protocols:
                service_port["appProtocol"] = app_protocols[name]
            items.append(labelled("Service", "v1", name, {"ports": [service_port]}))
            endpoints = [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
            labels = {"kubernetes.io/service-name": name}
            items.append(
                labelled(
                    "EndpointSlice",
                    "discovery.k8s.io/v1",
                    name,
                    None,
                    labels,
                    addressType="IPv4",
                    ports=[{"port": port}],
                    endpoints=endpoints,
                )
            )
        chain, key = self.server
        texts = {"tls.crt": chain.read_text(), "tls.key": key.read_text()}
        secret = labelled("Secret", "v1", "server", None, type="kubernetes.io/tls")
        secret["data"] = {name: _base64(text) for name, text in texts.items()}
        return items + [secret]

    def _ingresses(self):
        def path(prefix, service):
            backend = {"service": {"name": service, "port": {"number": 80}}}
            return {"path": prefix, "pathType": "Prefix", "backend": backend}

        items = []
        grpc_go = [path(prefix, "grpc-go") for prefix in GRPC_GO_PATHS]
        for door in DOORS:
            rules = [
                {"host": HOST, "http": {"paths": [path("/", "web"), path("/ws", "ws")]}},
                {"host": "grpc.test", "http": {"paths": [path("/", "grpc"), *grpc_go]}},
            ]
            spec = {"rules": rules, "tls": [{"hosts": [HOST, "grpc.test"], "secretName": "server"}]}
            items.append(labelled("Ingress", "networking.k8s.io/v1", door, spec, {"expose": door}))
        for door in OPEN_DOORS:
            spec = {"rules": [{"http": {"paths": [path("/", "web"), *grpc_go]}}]}
            items.append(labelled("Ingress", "networking.k8s.io/v1", door, spec, {"expose": door}))
        return items

    def _wait(self):
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError((self.folder / "gateway.log").read_text())

    def metric(self, name):
        """The sum over all series of a metric."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))

    def until_logged(self, **fields):
        """Waits for an access-log line with these fields."""
        for _ in range(100):
            for line in (self.folder / "gateway.log").read_text().splitlines():
                told = json.loads(line)
                if all(told.get(name) == value for name, value in fields.items()):
                    return
            time.sleep(0.05)
        raise AssertionError(f"no line of the access log has {fields}")

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=20)
        self.log.close()
        return status


def _base64(text):
    return base64.b64encode(text.encode()).decode()


def environment():
    """For the tools: no proxy and no configuration of the user's."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
