#!/usr/bin/env python3
"""Makes a schema of a CustomResourceDefinition: make.py DEFINITION SOURCE >KIND.json

Descriptions are left out, and fields that the definition does not name are refused, as `kubectl apply
--validate=strict` refuses them. SOURCE says where the definition comes from.
"""

import json
import pathlib
import re
import sys

import yaml


def strict(schema: dict) -> dict:
    kept = {key: value for key, value in schema.items() if key not in ("description", "default") and not key.startswith("x-")}
    if "properties" in kept:
        kept["properties"] = {name: strict(value) for name, value in kept["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in kept:
            kept["additionalProperties"] = False
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = strict(kept["additionalProperties"])
    if "items" in kept:
        kept["items"] = strict(kept["items"])
    if schema.get("x-kubernetes-int-or-string"):
        kept.pop("type", None)
    # Formats and patterns of Go, as far as Python does not know them.
    kept.pop("format", None)
    try:
        re.compile(kept.get("pattern", ""))
    except re.error:
        kept.pop("pattern")
    return kept


def main() -> None:
    definition = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text())
    version = next(version for version in definition["spec"]["versions"] if version["storage"])
    schema = strict(version["schema"]["openAPIV3Schema"])
    group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
    schema["properties"] |= {
        "apiVersion": {"const": f"{group}/{version['name']}"},
        "kind": {"const": kind},
        # Validated as that of every object.
        "metadata": {"type": "object"},
    }
    schema.pop("additionalProperties", None)
    schema = {"$comment": sys.argv[2], **schema, "additionalProperties": False}
    json.dump(schema, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
