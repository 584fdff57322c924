"""etcd and kube-apiserver, with their own ports, folder and certificates."""

import datetime
import http.client
import ipaddress
import json
import pathlib
import socket
import ssl
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PATIENCE = 60


def free_port(address="127.0.0.1"):
    with socket.socket() as listener:
        listener.bind((address, 0))
        return listener.getsockname()[1]


def own_address():
    """An address of this machine that is not loopback, which the API server refuses as an endpoint."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("198.51.100.1", 9))
        return sock.getsockname()[0]


def until(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {patience} s: {what}")
        time.sleep(0.1)


def listens(port, address="127.0.0.1"):
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    """A child whose output goes to a file; ended with the harness."""

    def __init__(self, folder, name, command, **more):
        self.log = folder / f"{name}.log"
        self.name = name
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more
            )

    def until(self, what, condition):
        def happened():
            if self.child.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.child.returncode}:\n{self.tail()}")
            return condition()

        try:
            until(what, happened)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def end(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Authority:
    """A certificate authority that lives as long as the run."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "differential")])
        certificate = (
            self._builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = folder / "ca.crt"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject, public_key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    def issue(self, name, organisation=None):
        """A certificate for 127.0.0.1 and its key, as two PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organisation:
            subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._builder(x509.Name(subject), key.public_key())
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(_private(key))
        return files


def _private(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Cluster:
    """An API server with nothing in it."""

    def __init__(self, assets: pathlib.Path, folder: pathlib.Path):
        self.folder = folder
        self.authority = Authority(folder)
        self.port = free_port()
        server = self.authority.issue("kube-apiserver")
        self.admin = self.authority.issue("admin", "system:masters")
        self.processes = []
        try:
            self._start(assets, server)
        except BaseException:
            self.end()
            raise

    def _start(self, assets, server):
        etcd_url, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        etcd = Process(
            self.folder, "etcd",
            [
                assets / "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
                "--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url, "--listen-peer-urls", peer,
            ],
        )  # fmt: skip
        self.processes.append(etcd)
        etcd.until("etcd listens", lambda: listens(int(etcd_url.rsplit(":", 1)[1])))
        accounts = ec.generate_private_key(ec.SECP256R1())
        public = accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "accounts.key").write_bytes(_private(accounts))
        (self.folder / "accounts.pub").write_bytes(public)
        api = Process(
            self.folder, "kube-apiserver",
            [
                assets / "kube-apiserver", "--etcd-servers", etcd_url, "--secure-port", self.port,
                "--bind-address", "127.0.0.1", "--endpoint-reconciler-type", "none",
                "--tls-cert-file", server[0], "--tls-private-key-file", server[1],
                "--client-ca-file", self.authority.file, "--authorization-mode", "RBAC",
                "--service-account-issuer", "https://kubernetes.default.svc",
                "--service-account-key-file", self.folder / "accounts.pub",
                "--service-account-signing-key-file", self.folder / "accounts.key",
                "--service-cluster-ip-range", "10.96.0.0/12",
            ],
        )  # fmt: skip
        self.processes.append(api)
        api.until("the API server is ready", lambda: self._is_ready())

    def _is_ready(self):
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def _connect(self):
        context = ssl.create_default_context(cafile=self.authority.file)
        context.load_cert_chain(*self.admin)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)

    def request(self, method, path, body=None):
        connection = self._connect()
        try:
            return self._send(connection, method, path, body)
        finally:
            connection.close()

    def _send(self, connection, method, path, body):
        content = json.dumps(body) if body is not None else None
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, text.decode(errors="replace")

    def create(self, objects):
        """Creates objects in their order, over one connection."""
        connection = self._connect()
        for thing in objects:
            path = _collection(thing)
            status, text = self._send(connection, "POST", path, thing)
            # The namespace of a new definition is served a moment later.
            end = time.monotonic() + PATIENCE
            while status == 404 and time.monotonic() < end:
                time.sleep(0.1)
                status, text = self._send(connection, "POST", path, thing)
            if status not in (200, 201):
                raise RuntimeError(f"POST {path}: {status} {text}\n{json.dumps(thing)}")
        connection.close()

    def kubeconfig(self):
        path = self.folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": f"https://127.0.0.1:{self.port}",
                        "certificate-authority": str(self.authority.file),
                    },
                }
            ],
            "users": [
                {
                    "name": "admin",
                    "user": {"client-certificate": str(self.admin[0]), "client-key": str(self.admin[1])},
                }
            ],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        return path

    def end(self):
        for process in reversed(self.processes):
            process.end()


PLURALS = {
    "Namespace": ("namespaces", False),
    "Service": ("services", True),
    "Secret": ("secrets", True),
    "ConfigMap": ("configmaps", True),
    "EndpointSlice": ("endpointslices", True),
    "Ingress": ("ingresses", True),
    "IngressClass": ("ingressclasses", False),
    "Middleware": ("middlewares", True),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
}


def _collection(thing):
    version = thing["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural, is_namespaced = PLURALS[thing["kind"]]
    place = f"/namespaces/{thing['metadata']['namespace']}" if is_namespaced else ""
    return f"{root}{place}/{plural}"
