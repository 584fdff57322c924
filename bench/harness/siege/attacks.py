"""The attacks: what each is, and the program that carries it out."""

import dataclasses
import json
import os
import ssl
import subprocess

from .. import processes
from ..processes import OUT, Problem
from .gateway import ATTACKED, ATTACKED_TLS


@dataclasses.dataclass(frozen=True)
class Attack:
    """One kind of traffic that no honest client sends."""

    name: str
    about: str
    arguments: tuple  # of bench/programs/siege
    door: str = ATTACKED
    program: str = "siege"

    def command(self, ports):
        return [processes.program(self.program), *self.arguments, ports[self.door]]


def client_hello():
    """A file with the ClientHello of an ordinary client of TLS 1.3."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="app.example.com")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    file = OUT / "client-hello"
    file.write_bytes(outgoing.read())
    return file


class Running:
    """An attack under way. A context: leaving it ends the attack, after which `outcome` counts what happened."""

    def __init__(self, running, attack, ports, core=processes.LOAD_CORE, nice=5):
        self.running, self.attack, self.ports, self.core, self.nice = running, attack, ports, core, nice
        self.outcome = {}

    def __enter__(self):
        def settle():
            processes.settle(self.core)
            os.setpriority(os.PRIO_PROCESS, 0, self.nice)

        self.process = self.running.start(
            self.attack.command(self.ports), None, prepare=settle, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self

    def wait_until_ready(self):
        if self.attack.program == "siege" and self.process.stdout.readline().strip() != "ready":
            raise Problem(f"{self.attack.name}: {self.process.stderr.read().strip()[-300:]}")

    def __exit__(self, *_):
        self.process.terminate()
        out, _error = self.process.communicate(timeout=10)
        self.running.end(self.process)
        lines = out.strip().splitlines()
        if lines and lines[-1].startswith("{"):
            self.outcome = json.loads(lines[-1])


# Many clients: one limit per client address is not what these are about.
MANY = ("-a", 1000)

FLOODS = (
    Attack("connections", "4,000 connections opened at once, closed, and opened again", ("connect", "-n", 4000, "-g", *MANY)),
    Attack("handshakes", "full TLS handshakes by 64 clients that leave after the gateway's signature",
           ("hello", "-n", 64, "-f", OUT / "client-hello", *MANY), ATTACKED_TLS),
    Attack("resets", "HTTP/2 requests by 16 clients that reset each at once",
           ("h2-reset", "-n", 16, "-g", "-u", "/api/x", *MANY)),
    Attack("slow-readers", "500 clients that read answers of 1 MiB at 16 KiB a second",
           ("slow", "-n", 500, "-g", "-u", "/api/1m", "-r", 16384, *MANY)),
    Attack("requests", "requests from 64 kept connections, as fast as they are answered",
           ("-c", 64, "-w", 0, "-s", 3600), program="load"),
)

# What is left unread or unsent, for as long as it lasts. `willing` is the backend that helps.
GREED = (
    Attack("h2-open-window", "40 HTTP/2 connections with 100 requests each for 1 MiB, with open windows, and nothing read",
           ("h2-unread", "-n", 40, "-m", 100, "-w", 2**31 - 1, "-u", "/api/1m", "-g", *MANY)),
    Attack("h2-zero-window", "the same with windows of 0",
           ("h2-unread", "-n", 40, "-m", 100, "-w", 0, "-u", "/api/1m", "-g", *MANY)),
    Attack("h2-interim", "8 HTTP/2 connections with 100 requests each, whose backend sends interim heads without end",
           ("h2-unread", "-n", 8, "-m", 100, "-w", 2**31 - 1, "-u", "/willing/interim", "-g", *MANY)),
    Attack("h1-interim", "400 HTTP/1.1 requests, whose backend sends interim heads without end, and nothing read",
           ("stare", "-n", 400, "-u", "/willing/interim", "-g", *MANY)),
    Attack("h1-slow-readers", "2,000 HTTP/1.1 clients that read an endless answer at 1 KiB a second",
           ("slow", "-n", 2000, "-r", 1024, "-u", "/willing/endless", "-g", *MANY)),
    Attack("uploads", "400 bodies without end to a backend that does not read",
           ("upload", "-n", 400, "-u", "/willing/stall", "-g", *MANY)),
    Attack("idle-plain", "8,000 HTTP/1.1 connections with one request each, then silence",
           ("request", "-n", 8000, "-u", "/api/x", "-g", *MANY)),
    Attack("idle-h2", "4,000 HTTP/2 connections with one request each, then silence",
           ("h2-idle", "-n", 4000, "-u", "/api/x", "-g", *MANY)),
    Attack("idle-websocket", "4,000 WebSocket connections in silence",
           ("upgrade", "-n", 4000, "-u", "/willing/socket", "-g", *MANY)),
    Attack("idle-tls", "4,000 TLS handshakes that are not completed",
           ("greet", "-n", 4000, "-f", OUT / "client-hello", "-g", *MANY), ATTACKED_TLS),
)
