"""Chromium, headless: a page that fetches, uploads, listens to events and opens a WebSocket."""

import shutil
import subprocess
import time

import rig
from rig import HOST

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-proxy-server",
    "--ignore-certificate-errors",
    "--remote-debugging-port=0",
]


def visit(context, door):
    program = context.tool("chromium" if shutil.which("chromium") else "chromium-browser")
    profile = context.folder / f"chromium-{door}"
    context.web.reports.clear()
    scheme = "http" if door == "plain" else "https"
    environment = rig.environment() | {"HOME": str(context.folder)}
    browser = subprocess.Popen(
        [
            program,
            *FLAGS,
            f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP * 127.0.0.1",
            f"{scheme}://{HOST}:{context.ports[door]}/page",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 90
        while not context.web.reports:
            assert time.monotonic() < until, "the page did not report"
            assert browser.poll() is None, f"it ended with {browser.returncode}"
            time.sleep(0.1)
        return context.web.reports[0]
    finally:
        browser.terminate()
        try:
            browser.wait(timeout=10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()


def over_tls(context):
    check(visit(context, "tls"), "h2")
    # What HTTP/1.1 answers with 101, a stream of HTTP/2 answers with 200 (RFC 8441 5).
    context.gateway.until_logged(listener="tls", path="/ws", status=200, method="GET")


def in_clear_text(context):
    check(visit(context, "plain"), "http/1.1")
    context.gateway.until_logged(listener="plain", path="/ws", status=101, method="GET")


def check(found, protocol):
    expected = {
        "fetches": True,
        "upload": True,
        "events": True,
        "websocket": True,
        "closed": 1005,
        "protocol": protocol,
    }
    assert found == expected, found


CHECKS = [
    ("Chromium: HTTP/2 under TLS", over_tls),
    ("Chromium: HTTP/1.1 in clear text", in_clear_text),
]
