#!/usr/bin/env python3
"""Checks the images of `cargo xtask image`: what is in them, and that they run as pods run them.

    tests/deploy/image.py FOLDER [--left-out FILE]

FOLDER has `blastdoor.tar` and `blastdoor-netbind.tar`. What cannot run here is written to FILE, a line each. Running them
takes root, because a pod's sandbox does: a network namespace, a read-only root, user 65532, no new privileges, and the
capabilities that a pod has.
"""

import argparse
import ctypes
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
FOLDERS = ["etc", "etc/ssl", "etc/ssl/certs"]
ATTRIBUTE = "SCHILY.xattr.security.capability"
LABELS = ["created", "description", "documentation", "licenses", "revision", "source", "title", "url", "version"]
# Of linux/capability.h and linux/prctl.h.
NET_BIND_SERVICE = 10
CAPABILITY_VERSION_3 = 0x20080522
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 24, 38
DOORS = """
[source]
kind = "files"
path = "/config/manifests"
[admin]
bind = "127.0.0.1:10254"
[listeners.internal-http]
bind = "127.0.0.1:PORT"
selector = "expose=internal-http"
scheme = "http"
drain = { wait = "0s", timeout = "1s" }
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--left-out", type=Path)
    parser.add_argument("--inside", type=int, nargs="*")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if options.inside is not None:
        print(inside(options.folder, options.port, options.inside))
        return
    left_out = []
    plain = read(options.folder / "blastdoor.tar")
    netbind = read(options.folder / "blastdoor-netbind.tar")
    expect(plain["attributes"] == {}, f"attributes of the image: {plain['attributes']}")
    expect(list(netbind["attributes"]) == ["blastdoor"], f"attributes of -netbind: {netbind['attributes']}")
    expect(plain["files"] == netbind["files"], "the images differ in more than one attribute")
    print("contents: the binary, the authorities, nothing else; one attribute differs")
    obstacle = why_not()
    if obstacle is None:
        run(options.folder)
    elif os.environ.get("CI"):
        sys.exit(f"the images cannot run here: {obstacle}")
    else:
        left_out.append(f"running the images: {obstacle}")
    if options.left_out:
        options.left_out.write_text("".join(f"{line}\n" for line in left_out))


def read(archive: Path) -> dict:
    """What an archive has, after the digests by which it names its parts have been verified."""
    with tarfile.open(archive) as outer:
        parts = {member.name: outer.extractfile(member).read() for member in outer.getmembers()}
    for name, content in parts.items():
        if name.startswith("blobs/sha256/"):
            expect(hashlib.sha256(content).hexdigest() == name.rsplit("/", 1)[1], f"{name} has other content")

    def blob(descriptor: dict) -> bytes:
        content = parts["blobs/" + descriptor["digest"].replace(":", "/")]
        expect(len(content) == descriptor["size"], f"the size of {descriptor}")
        return content

    described = json.loads(parts["index.json"])["manifests"][0]
    digest = archive.with_suffix(".digest").read_text().strip()
    expect(described["digest"] == digest, f"{archive} is {described['digest']}, not {digest}")
    manifest = json.loads(blob(described))
    config = json.loads(blob(manifest["config"]))
    layer = gzip.decompress(blob(manifest["layers"][0]))
    expect(config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()], "the layer's digest")
    expect(config["config"]["User"] == "65532:65532", f"runs as {config['config']['User']}")
    labels = sorted(key.removeprefix("org.opencontainers.image.") for key in config["config"]["Labels"])
    expect(labels == LABELS, f"labels: {labels}")
    expect(all(config["config"]["Labels"].values()), f"an empty label: {config['config']['Labels']}")
    files, attributes = {}, {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        for member in inner.getmembers():
            owner = (member.uid, member.gid, oct(member.mode))
            if member.isdir():
                expect(member.name in FOLDERS and owner == (0, 0, "0o755"), f"{member.name}: {owner}")
                continue
            expect(member.isfile(), f"{member.name} is neither a file nor a folder")
            mode = "0o755" if member.name == "blastdoor" else "0o644"
            expect(owner == (0, 0, mode), f"{member.name}: {owner}")
            files[member.name] = hashlib.sha256(inner.extractfile(member).read()).hexdigest()
            if ATTRIBUTE in member.pax_headers:
                attributes[member.name] = member.pax_headers[ATTRIBUTE]
    expect(sorted(files) == ["blastdoor", AUTHORITIES], f"files: {sorted(files)}")
    return {"files": files, "attributes": attributes, "layer": layer}


def why_not() -> str | None:
    if os.geteuid() != 0:
        return "it takes root"
    for program in ["unshare", "getcap", "tar", "mount", "umount", "ip"]:
        if shutil.which(program) is None:
            return f"no {program} here"
    if subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode != 0:
        return "no namespaces can be made here"
    return None


def run(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        roots = {}
        for variant in ["", "-netbind"]:
            root = roots[variant] = Path(place) / f"root{variant}"
            root.mkdir()
            layer = read(folder / f"blastdoor{variant}.tar")["layer"]
            # As containerd does, with extended attributes.
            unpack = ["tar", "--extract", "--xattrs", "--xattrs-include=*", "--same-permissions", "-C", root]
            subprocess.run(unpack, input=layer, check=True)
        told = subprocess.run(["getcap", "-r", place], check=True, capture_output=True, text=True).stdout
        expected = f"{roots['-netbind']}/blastdoor cap_net_bind_service=ep\n"
        expect(told == expected, f"getcap tells {told!r}, not {expected!r}")
        print("getcap: cap_net_bind_service=ep on -netbind alone")

        for variant, capabilities, port, expected in [
            ("", [], 10000, "serves"),
            ("", [], 80, "may not bind"),
            ("", [NET_BIND_SERVICE], 80, "may not bind"),
            ("-netbind", [NET_BIND_SERVICE], 80, "serves"),
            ("-netbind", [], 10000, "may not start"),
        ]:
            inside = [sys.executable, __file__, roots[variant], "--port", str(port), "--inside", *map(str, capabilities)]
            told = subprocess.run(["unshare", "--net", "--mount", *inside], capture_output=True, text=True, check=False)
            what = told.stdout.strip()
            case = f"blastdoor{variant} at port {port} with {'NET_BIND_SERVICE' if capabilities else 'no capability'}"
            expect(what == expected, f"{case}: {what!r}, not {expected!r}\n{told.stderr}")
            print(f"{case}, as 65532, on a read-only root: {what}")


def inside(root: Path, port: int, capabilities: list[int]) -> str:
    """What becomes of the program in a sandbox like a pod's. The namespaces are there already."""
    call("ip", "link", "set", "lo", "up")
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip()
    expect(first == "1024", f"a new network namespace lets everybody bind ports from {first}")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        config = Path(place)
        (config / "manifests").mkdir()
        (config / "listeners.toml").write_text(DOORS.replace("PORT", str(port)))
        # What runtimes add to an image.
        for folder in ["config", "proc", "dev"]:
            (root / folder).mkdir(exist_ok=True)
        call("mount", "--bind", root, root)
        call("mount", "--bind", config, root / "config")
        call("mount", "-o", "remount,bind,ro", root / "config")
        call("mount", "-t", "proc", "proc", root / "proc")
        call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
        for device in ["null", "zero", "random", "urandom"]:
            (root / "dev" / device).touch()
            call("mount", "--bind", f"/dev/{device}", root / "dev" / device)
        call("mount", "-o", "remount,ro", root / "dev")
        call("mount", "-o", "remount,bind,ro", root)
        try:
            return outcome(root, port, capabilities)
        finally:
            call("umount", "--recursive", root)


def outcome(root: Path, port: int, capabilities: list[int]) -> str:
    command = ["/blastdoor", "run", "--config", "/config/listeners.toml"]
    try:
        program = subprocess.Popen(
            command,
            env={},
            preexec_fn=lambda: confine(root, capabilities),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except PermissionError:
        return "may not start"
    for _ in range(300):
        if program.poll() is not None:
            told = program.stderr.read()
            sys.stderr.write(told)
            is_port = program.returncode == 1 and "no permission to bind" in told
            return "may not bind" if is_port else f"ended with {program.returncode}"
        if answers("http://127.0.0.1:10254/readyz") == 200:
            break
        time.sleep(0.1)
    status = answers(f"http://127.0.0.1:{port}/")
    program.send_signal(signal.SIGTERM)
    _, told = program.communicate(timeout=60)
    sys.stderr.write(told)
    if (status, program.returncode) == (404, 0):
        return "serves"
    return f"answers {status} and ends with {program.returncode}"


def confine(root: Path, capabilities: list[int]) -> None:
    """What runc does for a pod: its root, user 65532, its capabilities in the bounding and the permitted set, and no new
    privileges. Kubernetes knows no ambient capabilities."""
    libc = ctypes.CDLL(None, use_errno=True)

    def must(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "confining")

    os.chroot(root)
    os.chdir("/")
    last = 40
    for capability in range(last + 1):
        if capability not in capabilities:
            must(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
    must(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(65532, 65532, 65532)
    os.setresuid(65532, 65532, 65532)
    permitted = sum(1 << capability for capability in capabilities)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable: the lower 32 of each, then the upper.
    must(libc.capset(header, (ctypes.c_uint32 * 6)(0, permitted, 0, 0, 0, 0)))
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def answers(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def call(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"!!! {otherwise}")


if __name__ == "__main__":
    main()
