"""docs/differential.md, from the cases and the list of differences."""

import os

HEAD = """# Compared with Traefik and nginx

`cargo xtask differential` gives the same objects to this gateway and to the one that they were written for, sends both the
same requests over HTTP/1.1 and HTTP/2, and compares what comes back and what the backends saw. Traefik reads the objects from
the same API server. For annotations of ingress-nginx the peer is plain nginx with the configuration that the controller's
template would write; what the controller does in Lua is compared as far as plain nginx can express it.

What differs is listed in `tests/differential/differences.toml`, each with its reason. A difference that is not listed fails the
command, and so does one that is listed and no longer occurs. This page is generated from that list and from the cases in
`tests/differential/cases`: `UPDATE_DOCS=1 cargo xtask differential`.

To compare a few cases: `cargo xtask differential NAME…`, with `--show` to see all that is found.
"""

NAMES = {"traefik": "Traefik", "nginx": "ingress-nginx"}


def check(path, cases, differences):
    """Whether the page is what it should be; with UPDATE_DOCS=1 it is written."""
    text = write(cases, differences)
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(text)
    if not path.exists() or path.read_text() != text:
        print(f"{path} is not what the cases and the list say: UPDATE_DOCS=1 cargo xtask differential")
        return False
    return True


def write(cases, differences):
    parts = [HEAD]
    for peer, name in NAMES.items():
        parts.append(f"\n## What differs from {name}\n")
        parts.append("| case | what | here | there | why |\n|---|---|---|---|---|")
        for entry in differences:
            if not entry["cases"][0].startswith(f"{peer}/"):
                continue
            keys = ", ".join(f"`{case.split('/', 1)[1]}`" for case in entry["cases"])
            cells = [
                keys,
                ", ".join(entry["aspects"]),
                _value(entry.get("here")),
                _value(entry.get("there")),
                entry["reason"],
            ]
            parts.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    for peer, name in NAMES.items():
        parts.append(f"\n## Cases of {name}\n")
        parts.append("| case | what it shows |\n|---|---|")
        parts += [f"| `{case.name}` | {_cell(case.about)} |" for case in cases if case.peer == peer]
    return "\n".join(parts) + "\n"


def _value(text):
    return "various" if text is None else f"`{text}`" if text != "-" else "nothing"


def _cell(text):
    return " ".join(text.split()).replace("|", "\\|")
