#!/usr/bin/env python3
"""Runs clients, servers and scanners that nobody here wrote against a gateway, and says of each what it found.

`cargo xtask ci interop` makes the virtual environment and builds what is needed; docs/interoperability.md has the
table. Exit status: 0 all passed, 1 something failed; with CI=true a tool that is missing is a failure as well.
"""

import argparse
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings

import backends
import browser
import clients
import dashboard
import grpc_go
import rig
import scanners
import scrapers
import tools


class Missing(Exception):
    """A tool that is not installed."""


class Context:
    """What the checks are given."""

    def __init__(self, binary, gateway, folder, built, grpc_go_port):
        self.binary = binary
        self.gateway = gateway
        self.folder = folder
        self.built = built
        self.grpc_go_port = grpc_go_port
        self.ports = gateway.ports
        self.ca = gateway.authority.file
        self.web = backends.Web

    def tool(self, name):
        """The path of a program."""
        path = self.built[name] if name in self.built else shutil.which(name)
        if not path or not os.access(path, os.X_OK):
            raise Missing(name)
        return str(path)

    def package(self, name):
        """The folder of a package of npm."""
        folder = self.built["packages"]
        if not folder or not (folder / name).is_dir():
            raise Missing(f"{name} of npm")
        return folder / name

    def run(self, name, *arguments, timeout=60, check=True, **more):
        """Runs a program and returns what it said on both outputs."""
        command = [self.tool(name), *map(str, arguments)]
        more.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            env=rig.environment(),
            **more,
        )
        text = done.stdout.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{text}")
        return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the gateway")
    parser.add_argument("--h2spec", type=pathlib.Path, help="where h2spec was built")
    parser.add_argument("--grpc-go", type=pathlib.Path, help="the folder where client and server of grpc-go were built")
    parser.add_argument("--packages", type=pathlib.Path, help="the folder where packages of npm were installed")
    parser.add_argument("--left-out", type=pathlib.Path, help="a file for the names of missing tools")
    parser.add_argument("only", nargs="*", help="run the checks whose names contain one of these")
    arguments = parser.parse_args()
    checks = [
        (name, check)
        for module in (tools, clients, grpc_go, browser, dashboard, scanners, scrapers)
        for name, check in module.CHECKS
        if not arguments.only or any(word in name for word in arguments.only)
    ]
    grpc_port, _server = backends.start_grpc()
    grpc_go_port = rig.free_port()
    ports = {
        "web": backends.start_web(),
        "ws": backends.start_websocket(),
        "grpc": grpc_port,
        "grpc-go": grpc_go_port,
    }
    built = {"h2spec": arguments.h2spec, "packages": arguments.packages}
    for program in ("client", "server"):
        built[f"grpc-go {program}"] = arguments.grpc_go and arguments.grpc_go / program
    with tempfile.TemporaryDirectory(prefix="blastdoor-interop-") as folder:
        folder = pathlib.Path(folder)
        binary = arguments.binary.resolve()
        gateway = rig.Gateway(binary, folder, ports, {"grpc": "grpc", "grpc-go": "grpc"})
        try:
            failed, missing = run(checks, Context(binary, gateway, folder, built, grpc_go_port))
            if gateway.metric("blastdoor_panics_total") > 0:
                failed.append("the gateway: something panicked")
        finally:
            status = gateway.stop()
        if status != 0:
            failed.append(f"the gateway: it ended with {status}")
    if arguments.left_out:
        arguments.left_out.write_text("".join(f"{name}\n" for name in missing))
    for name in failed:
        print(f"FAILED  {name}")
    for name in missing:
        print(f"!!! LEFT OUT  {name}")
    passed = len(checks) - len(failed) - len(missing)
    print(f"{passed} passed, {len(failed)} failed, {len(missing)} skipped")
    return 1 if failed or (missing and os.environ.get("CI") == "true") else 0


def run(checks, context):
    failed, missing = [], []
    for name, check in checks:
        started = time.monotonic()
        try:
            notes = check(context) or ""
            outcome = "pass"
        except Missing as tool:
            outcome, notes = "LEFT OUT", f"{tool} is not installed"
            missing.append(f"{name}: {notes}")
        except Exception:  # Whatever it is, it is this check's failure.
            outcome, notes = "FAIL", traceback.format_exc()
            failed.append(name)
        print(f"{outcome:<8} {name} ({time.monotonic() - started:.1f} s) {notes}", flush=True)
    return failed, missing


def versions():
    """The versions of the Python packages."""
    names = ("h2", "httpx", "websockets", "grpcio", "sslyze", "prometheus-client")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


if __name__ == "__main__":
    # sslyze brings old authorities along that are odd in ways that do not matter here.
    warnings.filterwarnings("ignore", module="sslyze")
    print(f"Python {sys.version.split()[0]}, {versions()}")
    sys.exit(main())
