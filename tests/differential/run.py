#!/usr/bin/env python3
"""The same objects and the same requests at this gateway, at Traefik and at nginx: what differs is listed, or it fails.

`cargo xtask differential` builds and installs what is needed. Exit status: 0 nothing differs but what
`differences.toml` lists, and all that it lists does; 1 otherwise.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

import yaml

import backend
import cluster
import compare
import document
import objects
import peers

HERE = pathlib.Path(__file__).parent
# Those that cases send requests to, and what they do.
BACKENDS = {"web": {}, "web2": {}, "canary": {}, "pages": {"obeys": False}, "auth": {"is_auth": True}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=pathlib.Path, help="the gateway; without it, what the others do is printed")
    parser.add_argument("--assets", type=pathlib.Path, required=True, help="the folder with etcd and kube-apiserver")
    parser.add_argument("--traefik", default="traefik", help="its program")
    parser.add_argument("--nginx", default="nginx", help="its program")
    parser.add_argument("--left-out", type=pathlib.Path, help="a file for the names of missing programs")
    parser.add_argument("--document", type=pathlib.Path, help="the page that the list is written to")
    parser.add_argument("--logs", type=pathlib.Path, help="a folder that what each program said is copied to")
    parser.add_argument("--show", action="store_true", help="print what is found at each side")
    parser.add_argument("only", nargs="*", help="only cases whose names contain one of these")
    arguments = parser.parse_args()
    own = cluster.own_address()
    ports = {name: backend.start(name, own, **options) for name, options in BACKENDS.items()}
    cases = load({"$AUTH": f"http://{own}:{ports['auth']}", "$OWN": own})
    differences = compare.Differences(HERE / "differences.toml")
    if arguments.document:
        fresh = document.check(arguments.document, cases, differences.entries)
        if not fresh:
            return 1
    chosen = [case for case in cases if not arguments.only or any(word in case.key for word in arguments.only)]
    if not chosen:
        print(f"no case has a name with {arguments.only}")
        return 1
    programs = {name: shutil.which(program) for name, program in vars(arguments).items() if name in ("traefik", "nginx")}
    missing = [name for name in ("traefik", "nginx") if not programs[name]]
    if arguments.left_out:
        arguments.left_out.write_text("".join(f"{name} is not installed\n" for name in missing))
    if missing and os.environ.get("CI") == "true":
        print(f"missing: {', '.join(missing)}")
        return 1
    chosen = [case for case in chosen if case.peer not in missing]
    with tempfile.TemporaryDirectory(prefix="blastdoor-differential-") as folder:
        # The workers of nginx may be another user.
        os.chmod(folder, 0o755)
        run = Run(arguments, pathlib.Path(folder), programs, chosen, ports, own)
        try:
            run.start()
            return run.compare(differences)
        finally:
            run.end()
            if arguments.logs:
                arguments.logs.mkdir(parents=True, exist_ok=True)
                for log in pathlib.Path(folder).glob("*.log"):
                    shutil.copy(log, arguments.logs)


def load(replace):
    cases = []
    for file in sorted((HERE / "cases").glob("*.yaml")):
        text = yaml.safe_load(file.read_text())
        cases += [objects.Case(text["peer"], written, replace) for written in text["cases"]]
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"cases of the same name: {twice}")
    return cases


class Run:
    def __init__(self, arguments, folder, programs, cases, ports, own):
        self.arguments, self.folder, self.programs = arguments, folder, programs
        self.cases, self.ports, self.own = cases, ports, own
        self.cluster, self.gateway, self.sides = None, None, {}

    def start(self):
        began = time.monotonic()
        self.cluster = cluster.Cluster(self.arguments.assets, self.folder)
        kubeconfig = self.cluster.kubeconfig()
        self.cluster.create(peers.objects_of_all(self.cases, self.ports, self.own))
        if any(case.peer == "traefik" for case in self.cases):
            names = {name for case in self.cases if case.peer == "traefik" for name in case.known}
            self.sides["traefik"] = peers.Traefik(self.programs["traefik"], self.folder, kubeconfig, names)
        of_nginx = [case for case in self.cases if case.peer == "nginx"]
        if of_nginx:
            upstreams = {name: f"{self.own}:{port}" for name, port in self.ports.items()}
            certificate = self.cluster.authority.issue("nginx")
            self.sides["nginx"] = peers.Nginx(
                self.programs["nginx"], self.folder, of_nginx, upstreams, certificate
            )
        if self.arguments.binary:
            self.gateway = peers.Gateway(self.arguments.binary.resolve(), self.folder, kubeconfig, self.own)
        versions = ", ".join(f"{side.name} {side.version}" for side in self.sides.values())
        print(f"{versions}: started in {time.monotonic() - began:.1f} s", flush=True)

    def compare(self, differences):
        began = time.monotonic()
        unlisted, listed, requests = [], 0, 0
        for case in self.cases:
            sides = [side for side in (self.gateway, self.sides[case.peer]) if side]
            jars = {(side.name, version): {} for side in sides for version in ("h1", "h2")}
            for request in case.requests:
                label = f"{request['method']} {request['target']}"
                for version in request["versions"]:
                    found = {}
                    for side in sides:
                        found[side.name] = compare.observe(case, request, version, side, jars[side.name, version])
                    requests += request["repeat"]
                    if self.arguments.show or not self.gateway:
                        print(json.dumps({"case": case.key, "request": label, "version": version, **found}, ensure_ascii=False))
                    if not self.gateway:
                        continue
                    here, there = found[self.gateway.name], found[case.peer]
                    for aspect in sorted(set(here) | set(there)):
                        one, other = here.get(aspect, "-"), there.get(aspect, "-")
                        if one == other:
                            continue
                        if differences.explain(case.key, label, version, aspect, one, other):
                            listed += 1
                        else:
                            unlisted.append((case.key, label, version, aspect, one, other))
        unused = differences.unused([case.key for case in self.cases]) if self.gateway and not self.arguments.only else []
        for case, label, version, aspect, one, other in unlisted:
            peer = case.split("/")[0]
            print(f"DIFFERS  {case}: {label} over {version}: {aspect}: here `{one}`, {peer} `{other}`")
        for what in unused:
            print(f"GONE  {what}: nothing differs there any more; remove it from differences.toml")
        print(
            f"{len(self.cases)} cases, {requests} requests at each side in {time.monotonic() - began:.1f} s: "
            f"{listed} listed differences, {len(unlisted)} that are not listed, {len(unused)} that are gone"
        )
        return 1 if unlisted or unused else 0

    def end(self):
        for side in [self.gateway, *self.sides.values()]:
            if side:
                side.process.end()
        if self.cluster:
            self.cluster.end()


if __name__ == "__main__":
    sys.exit(main())
