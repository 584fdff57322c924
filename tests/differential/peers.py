"""The gateway under test, Traefik and nginx, with the same objects behind each."""

import json
import os
import subprocess
import urllib.request

import nginx_conf
import objects
from cluster import Process, free_port, listens

# Whose X-Forwarded-* fields are believed, by the gateway and by Traefik.
TRUSTED = "127.0.0.9"
# Whatever proxy the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Side:
    """A running proxy: where its doors are."""

    def address(self, version, tls):
        raise NotImplementedError

    def port(self, version, tls):
        return self.address(version, tls)[1]


class Gateway(Side):
    name = "blastdoor"

    def __init__(self, binary, folder, kubeconfig, callable_address):
        self.plain, self.tls, admin = free_port(), free_port(), free_port()
        config = folder / "listeners.toml"
        config.write_text(
            f"""
[source]
kind = "kubernetes"
[admin]
bind = "127.0.0.1:{admin}"
[listeners.plain]
bind = "127.0.0.1:{self.plain}"
selector = "expose=differential"
scheme = "http"
workers = 1
client_ip = "xff"
trusted_proxies = ["{TRUSTED}/32"]
[listeners.plain.filters]
call = ["{callable_address}"]
[listeners.tls]
bind = "127.0.0.1:{self.tls}"
selector = "expose=differential-tls"
scheme = "https"
workers = 1
client_ip = "xff"
trusted_proxies = ["{TRUSTED}/32"]
tls = {{ default_certificate = "self-signed" }}
[listeners.tls.filters]
call = ["{callable_address}"]
"""
        )
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BLASTDOOR_")}
        self.process = Process(
            folder, "blastdoor", [binary, "run", "--config", config, "--kubeconfig", kubeconfig], env=environment
        )
        self.process.until("the gateway is ready", lambda: _status(f"http://127.0.0.1:{admin}/readyz") == 200)

    def address(self, version, tls):
        return "127.0.0.1", self.tls if tls else self.plain


class Traefik(Side):
    name = "traefik"

    def __init__(self, program, folder, kubeconfig, names):
        self.plain, self.tls, api = free_port(), free_port(), free_port()
        command = [
            program,
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=INFO",
            "--api.insecure=true",
            "--providers.kubernetescrd=true",
            "--providers.kubernetesingress=true",
            f"--entrypoints.traefik.address=127.0.0.1:{api}",
            f"--entrypoints.web.address=127.0.0.1:{self.plain}",
            f"--entrypoints.web.forwardedheaders.trustedips={TRUSTED}/32",
            f"--entrypoints.websecure.address=127.0.0.1:{self.tls}",
            "--entrypoints.websecure.http.tls=true",
            f"--entrypoints.websecure.forwardedheaders.trustedips={TRUSTED}/32",
        ]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self.process = Process(folder, "traefik", command, env=environment)

        def knows_all():
            told = _json(f"http://127.0.0.1:{api}/api/rawdata") or {}
            rules = json.dumps([router.get("rule") for router in told.get("routers", {}).values()])
            known = set(told.get("middlewares", {}))
            return all(name in known if "@" in name else name in rules for name in names)

        # Ingresses and Middlewares come from two providers, one after the other.
        self.process.until("Traefik knows every host and Middleware", knows_all)
        self.version = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split()[1]

    def address(self, version, tls):
        return "127.0.0.1", self.tls if tls else self.plain


class Nginx(Side):
    name = "nginx"

    def __init__(self, program, folder, cases, upstreams, certificate):
        self.ports = {"h1": free_port(), "h2": free_port(), "tls": free_port()}
        # A map ignores case, so only what is used is in it.
        signs = [case for case in cases if "auth-signin" in str(case.ingresses)]
        targets = {request["target"] for case in signs for request in case.requests}
        configmaps = {name: data for case in cases for name, data in case.configmaps.items()}
        secrets = {name: data for case in cases for name, data in case.secrets.items()}
        configuration = nginx_conf.Configuration(folder, self.ports, upstreams, configmaps, secrets, targets)
        for case in cases:
            try:
                configuration.add(case.ingresses)
            except nginx_conf.Unexpressible as error:
                raise RuntimeError(f"{case.key}: plain nginx cannot express {error}") from None
        file = folder / "nginx.conf"
        file.write_text(configuration.text(certificate))
        self.process = Process(folder, "nginx", [program, "-p", folder, "-e", "stderr", "-c", file])
        self.process.until("nginx listens", lambda: all(listens(port) for port in self.ports.values()))
        told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
        self.version = told.strip().rsplit("/", 1)[-1]

    def address(self, version, tls):
        return "127.0.0.1", self.ports["tls" if tls else version]


def objects_of_all(cases, backends, own):
    """Every object, in an order in which each finds what it needs."""
    yield from objects.definitions()
    yield objects.namespace()
    for name, port in backends.items():
        yield from objects.service(name, [(own, port)])
    for case in cases:
        if case.own is not None:
            endpoints = [(own, backends[name]) for name in case.own["endpoints"]]
            yield from objects.service(f"{case.name}-own", endpoints, case.own["annotations"])
        yield from case.objects
        yield from case.ingresses


def _status(url):
    try:
        with DIRECT.open(url, timeout=5) as answer:
            return answer.status
    except OSError:
        return None


def _json(url):
    try:
        with DIRECT.open(url, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None
