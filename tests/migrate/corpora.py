#!/usr/bin/env python3
"""Tries `blastdoor migrate` on public charts and GitOps repositories, and writes what it found as facts.

    tests/migrate/corpora.py --mirror FOLDER --binary target/release/blastdoor [--helm helm] [--write docs/migrate-corpora.md]

FOLDER has the repositories of `corpora.toml` as OWNER+NAME/repo or OWNER/NAME, at the commits that are named there. Without
`--write`, the page is compared with what is found. Nothing of the manifests is kept. Exit status: 0 as recorded, 1 not.
"""

import argparse
import collections
import difflib
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "migrate-corpora.md"
PREFIXES = ("nginx.ingress.kubernetes.io/", "traefik.ingress.kubernetes.io/")
HEAD = """\
# What `migrate` was tried on

Public charts and GitOps repositories, at the commits below, and what [`blastdoor migrate`](migrate.md) says of them: facts, no content.
Written by `tests/migrate/corpora.py --mirror FOLDER --binary BLASTDOOR`, which repeats it from a folder with these repositories
(`tests/migrate/corpora.toml`). Charts are rendered with their Ingress switched on and without the charts that they depend on.

*Unreadable* are files that are no YAML, nearly all of them templates that are rendered by something else. *Objects* have no
counterpart here. An annotation is *unknown* if the gateway has no row for it.
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mirror", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--helm", default="helm")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--show", action="store_true", help="print each report")
    parser.add_argument("only", nargs="*")
    arguments = parser.parse_args()
    corpora = tomllib.loads((HERE / "corpora.toml").read_text())
    sections = []
    for kind, title in (("chart", "Charts"), ("manifests", "Repositories")):
        rows = []
        for entry in corpora[kind]:
            if arguments.only and not any(word in name_of(entry) for word in arguments.only):
                continue
            print(name_of(entry), flush=True)
            rows.append((entry, tried(entry, kind, corpora["door"], arguments)))
        sections.append((title, rows))
    page = HEAD + "".join(section(title, rows) for title, rows in sections)
    if arguments.only:
        print(page)
        return 0
    if arguments.write:
        PAGE.write_text(page)
        return 0
    recorded = PAGE.read_text()
    print("".join(difflib.unified_diff(recorded.splitlines(True), page.splitlines(True), "recorded", "found")))
    return int(page != recorded)


def name_of(entry):
    path = entry.get("path", ".")
    return entry["repository"] + ("" if path == "." else f" {path}")


def tried(entry, kind, doors, arguments):
    with tempfile.TemporaryDirectory(prefix="blastdoor-corpora-") as folder:
        folder = pathlib.Path(folder)
        tree = checked_out(entry, arguments.mirror, folder / "tree")
        if kind == "chart":
            tree = rendered(entry, tree, folder / "rendered", arguments.helm)
        wishes = [word for door in doors for word in ("--door", door)]
        command = [arguments.binary.resolve(), "migrate", "--manifests", tree, "-o", "json", *wishes]
        # An empty configuration would be an error: the standard four doors.
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if done.returncode not in (0, 1):
            sys.exit(f"{name_of(entry)}: {done.returncode}: {done.stderr}")
        if arguments.show:
            print(subprocess.run([*command[:3], tree, *wishes], capture_output=True, text=True, cwd=folder).stdout)
        return json.loads(done.stdout)


def checked_out(entry, mirror, target):
    owner_name = entry["repository"].replace("/", "+")
    candidates = [mirror / owner_name / "repo", mirror / owner_name, mirror / entry["repository"]]
    git = next((path for path in candidates if path.exists()), None)
    if git is None:
        sys.exit(f"{entry['repository']} is not in {mirror}")
    path = entry.get("path", ".")
    archive = target.with_suffix(".tar")
    listed = [line.split("\t", 1) for line in git_output(git, "ls-tree", "-r", entry["commit"], "--", path).splitlines()]
    files = {name: blob.split()[2] for blob, name in listed if blob.startswith("100") and is_wanted(entry, name)}
    # A mirror leaves large blobs out: these are no manifests.
    known = git_output(git, "cat-file", "--batch-check=%(objectname)", text="".join(f"{blob}\n" for blob in files.values()))
    known = {line for line in known.splitlines() if not line.endswith(" missing")}
    wanted = [name for name, blob in files.items() if blob in known]
    target.mkdir()
    for start in range(0, len(wanted), 500):
        with open(archive, "wb") as out:
            subprocess.run(["git", "-C", git, "archive", entry["commit"], "--", *wanted[start : start + 500]], stdout=out, check=True)
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    return target / path


def is_wanted(entry, name):
    return "set" in entry or name.endswith((".yaml", ".yml", ".json"))


def git_output(git, *arguments, text=None):
    command = ["git", "-c", "core.quotePath=false", "-C", git, *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def rendered(entry, chart, target, helm):
    """The objects of a chart alone, without those of the charts that it depends on."""
    target.mkdir()
    description = chart / "Chart.yaml"
    kept, skipping = [], False
    for line in description.read_text().splitlines():
        if not line.startswith((" ", "-", "#")):
            skipping = line.startswith("dependencies:")
        if not skipping:
            kept.append(line)
    description.write_text("\n".join(kept) + "\n")
    (chart / "Chart.lock").unlink(missing_ok=True)
    values = [word for value in entry["set"] for word in ("--set", value)]
    done = subprocess.run([helm, "template", "release", chart, "--namespace", "release", *values], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name_of(entry)}: {done.stderr}")
    (target / "chart.yaml").write_text(done.stdout)
    return target


def section(title, rows):
    text = f"\n## {title}\n\n| | commit | Ingresses | objects | unreadable | differences |\n|---|---|---|---|---|---|\n"
    keys, unknown = collections.Counter(), collections.Counter()
    for entry, report in rows:
        kinds = collections.Counter()
        for ingress in report["ingresses"]:
            for difference in ingress["differences"]:
                kinds[difference["kind"]] += 1
                if difference["kind"] in ("annotation-unknown", "annotation-of-another-controller"):
                    unknown[difference["field"][len("metadata.annotations[") : -1]] += 1
            for difference in ingress["differences"] + ingress["notes"]:
                key = difference["field"].removeprefix("metadata.annotations[").removesuffix("]")
                if key.startswith(PREFIXES):
                    keys[key] += 1
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "none"
        text += (
            f"| {name_of(entry)} | `{entry['commit'][:12]}` | {len(report['ingresses'])} | {len(report['objects'])} "
            f"| {len(report['unreadable'])} | {told} |\n"
        )
    told = ", ".join(f"`{key}` {count}" for key, count in sorted(keys.items())) or "none"
    missing = ", ".join(f"`{key}` {count}" for key, count in sorted(unknown.items())) or "none"
    return f"{text}\nAnnotations of which something is told: {told}.\n\nUnknown, or of other controllers: {missing}.\n"


if __name__ == "__main__":
    sys.exit(main())
