#!/usr/bin/env python3
"""Every dependency's licence against the list in deny.toml, without the network."""

import json
import re
import subprocess
import sys
import tomllib

with open("deny.toml", "rb") as file:
    licences = tomllib.load(file)["licenses"]
allowed = set(licences["allow"])
exceptions = {row["crate"]: set(row["allow"]) for row in licences.get("exceptions", [])}


def holds(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with the licences that are allowed."""
    words = re.findall(r"[()]|[^\s()/]+|/", expression)
    terms = []
    skip = False
    for word in words:
        if skip:  # the exception of a WITH
            skip = False
        elif word in ("(", ")"):
            terms.append(word)
        elif word in ("OR", "/"):
            terms.append("or")
        elif word == "AND":
            terms.append("and")
        elif word == "WITH":
            skip = True
        else:
            terms.append(str(word in allowed))
    # Only the words above are left.
    return bool(eval(" ".join(terms)))


metadata = json.loads(
    subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version=1", "--all-features", "--filter-platform=x86_64-unknown-linux-gnu"],
        check=True,
        capture_output=True,
    ).stdout
)
bad = 0
for package in metadata["packages"]:
    expression = package["license"] or "none"
    if not holds(expression, allowed | exceptions.get(package["name"], set())):
        print(f"{package['name']} {package['version']}: {expression} is not allowed by deny.toml")
        bad += 1
print(f"{len(metadata['packages'])} packages, {bad} with a licence that is not allowed")
sys.exit(bad > 0)
