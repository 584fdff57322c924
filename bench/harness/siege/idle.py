"""What a connection costs that has served one request and keeps silent."""

import time

from ..processes import Problem
from ..rounds import note
from . import attacks
from .attacks import MANY, Attack
from .gateway import ATTACKED_TLS, Gateway, Shape
from .table import Table

ABOUT = "resident memory per idle connection, by kind"
# KiB.
BOUNDS = {"plain": 1, "tls": 9, "http/2": 6, "websocket": 4}
KINDS = (
    Attack("plain", "", ("request", "-n", 3000, "-o", 4, *MANY)),
    Attack("tls", "", (), ATTACKED_TLS),
    Attack("http/2", "", ("h2-idle", "-n", 2000, "-o", 4, *MANY)),
    Attack("websocket", "", ("upgrade", "-n", 2000, "-o", 4, "-u", "/willing/socket", *MANY)),
)


def run(siege):
    table = Table("idle", ABOUT, ("connection", "KiB each", "goal", "connections"))
    for kind in siege.chosen(KINDS):
        with Gateway(siege.running, siege.ground, siege.options.blastdoor, Shape()) as gateway:
            count, growth = tls(gateway) if kind.name == "tls" else others(siege, gateway, kind)
        each, goal = growth / count, BOUNDS[kind.name]
        note(f"idle {kind.name}: {each:.2f} KiB")
        missed = table.must(each <= goal, f"{kind.name}: {each:.2f} KiB, the goal is {goal}")
        table.add(kind.name, f"{each:.2f}", f"≤ {goal}{missed}", f"{count:,}")
    table.notes.append("Growth of resident memory of the whole process; HTTP/2 in clear text, the backend's side of a WebSocket included.")
    return table


def others(siege, gateway, kind):
    before = gateway.rss_kib()
    with attacks.Running(siege.running, kind, gateway.ports) as connections:
        connections.wait_until_ready()
        time.sleep(2)
        growth = gateway.rss_kib() - before
    if connections.outcome["open"] < kind.arguments[2]:
        raise Problem(f"{kind.name}: only {connections.outcome['open']} connections stayed open")
    return connections.outcome["open"], growth


def tls(gateway, count=1000):
    before, held = gateway.rss_kib(), []
    try:
        for _ in range(count):
            connection = gateway.connect(ATTACKED_TLS)
            held.append(connection)
            connection.sendall(b"GET /api/x HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
            if not connection.recv(1024).startswith(b"HTTP/1.1 200"):
                raise Problem("a connection was refused")
        time.sleep(2)
        return count, gateway.rss_kib() - before
    finally:
        for connection in held:
            connection.close()
