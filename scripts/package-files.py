#!/usr/bin/env python3
"""What packages need beside the program, from cargo's metadata. scripts/package calls it.

    scripts/package-files.py copyright PACKAGE            # debian/copyright (DEP-5) of all that is linked in
    scripts/package-files.py sbom PACKAGE                 # a bill of materials, CycloneDX 1.5 in JSON
    scripts/package-files.py changelog PACKAGE VERSION    # Debian's changelog, from CHANGELOG.md

$SOURCE_DATE_EPOCH is the time in each of them, $maintainer who made the packages.
"""

import datetime
import email.utils
import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
WHEN = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
# What packages are built with.
FEATURES = {"slotfs": ["--features", "etcd"]}
WHO = os.environ.get("maintainer", "slotfs authors <slotfs@localhost.localdomain>")
AUTHORS = "the slotfs authors"
YEAR = 2026
# Debian has the texts of these.
COMMON = {"Apache-2.0"}
# Those that are preferred where there is a choice.
PREFERRED = ["Apache-2.0", "MIT", "ISC", "BSD-3-Clause", "BSD-2-Clause", "Zlib", "Unlicense", "Unicode-3.0"]
# C code inside of crates: the crate, the file that has its version, what is linked.
EMBEDDED = {
    "libsqlite3-sys": {
        "name": "sqlite",
        "file": "sqlite3/sqlite3.h",
        "version": r'#define SQLITE_VERSION\s+"([0-9.]+)"',
        "licence": "blessing",
        "url": "https://www.sqlite.org",
    },
    "aws-lc-sys": {
        "name": "aws-lc",
        "file": "aws-lc/include/openssl/base.h",
        "version": r'#define AWSLC_VERSION_NUMBER_STRING\s+"([0-9.]+)"',
        "licence": "ISC AND Apache-2.0 AND MIT AND BSD-3-Clause",
        "url": "https://github.com/aws/aws-lc",
    },
}
BLESSING = """The author disclaims copyright to this source code. In place of a legal notice, here is a blessing:

May you do good and not evil.
May you find forgiveness for yourself and forgive others.
May you share freely, never taking more than you give."""


def cargo(*words: str) -> str:
    return subprocess.run(["cargo", *words], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def metadata_of(package: str) -> dict:
    features = FEATURES.get(package, [])
    return json.loads(cargo("metadata", "--locked", "--format-version=1", *features, f"--filter-platform={TARGET}"))


def linked(package: str) -> list[dict]:
    """The packages that are linked into one of ours, without macros and build scripts, by name and version."""
    tree = cargo("tree", "--locked", "-p", package, *FEATURES.get(package, []), "-e", "normal", "--prefix", "none", "--target", TARGET,
                 "--format", "{p}|")
    wanted = set()
    for line in tree.splitlines():
        crate = line.split("|")[0]
        if "(proc-macro)" not in crate:
            name, version = crate.split()[:2]
            wanted.add((name, version.removeprefix("v")))
    metadata = metadata_of(package)
    found = [it for it in metadata["packages"] if (it["name"], it["version"]) in wanted]
    missing = wanted - {(it["name"], it["version"]) for it in found}
    if missing:
        sys.exit(f"cargo metadata does not know {missing}")
    return sorted(found, key=lambda it: (it["name"], it["version"]))


def is_ours(crate: dict) -> bool:
    return crate["source"] is None


def embedded(crate: dict) -> dict | None:
    """What of C is in a crate, with its version."""
    what = EMBEDDED.get(crate["name"])
    if what is None:
        return None
    text = (Path(crate["manifest_path"]).parent / what["file"]).read_text(encoding="utf-8")
    version = re.search(what["version"], text)
    if not version:
        sys.exit(f"{crate['name']}: {what['file']} does not say its version")
    return {**what, "version": version[1]}


# The copyright file.


def licence_files(crate: dict) -> list[Path]:
    folder = Path(crate["manifest_path"]).parent
    names = re.compile(r"(licen[cs]e|copying|unlicense|notice)", re.I)
    files = [it for it in folder.iterdir() if it.is_file() and names.match(it.name)]
    return sorted(files, key=lambda it: it.name)


def expression(crate: dict) -> str:
    """The licence in the words of DEP-5."""
    text = crate["license"] or sys.exit(f"{crate['name']} names no licence")
    text = re.sub(r"\s*/\s*", " OR ", text)
    text = text.replace(" WITH LLVM-exception", "+LLVM")
    # In DEP-5 a comma is what brackets are in SPDX.
    text = re.sub(r"\(([^()]*)\) AND ", r"\1, AND ", text)
    text = re.sub(r" AND \(([^()]*)\)", r", AND \1", text)
    return text.replace(" OR ", " or ").replace(" AND ", " and ").replace("+LLVM", " with LLVM-exception")


def chosen(crate: dict) -> list[str]:
    """The licences that a crate is used under: all of an AND, of an OR the one that is preferred."""
    text = re.sub(r"\s*/\s*", " OR ", crate["license"])
    text = re.sub(r" WITH \S+", "", text)
    parts = re.split(r" AND (?![^(]*\))", text)
    result = []
    for part in parts:
        choices = re.findall(r"[A-Za-z0-9.+-]+", part.replace(" OR ", " "))
        best = [it for it in PREFERRED if it in choices]
        if not best:
            sys.exit(f"{crate['name']}: none of {choices} is known")
        result.append(best[0])
    return sorted(set(result))


def holders(crate: dict) -> list[str]:
    """Lines of copyright in the crate's licence files, else its authors."""
    lines = []
    for file in licence_files(crate):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            line = line.strip(" \t*#/")
            # Of the text of a licence itself, such as 'copyright owner or entity'.
            if re.match(r"(copyright|©)\s*(\(c\)|©)?\s*:?\s*(\d{4}|the |[A-Z])", line, re.I) and not re.search(
                r"copyright (owner|notice|holder|license|statement|and|law|interest|disclaimer|in )|\[yyyy\]|\{yyyy\}",
                line, re.I
            ):
                lines.append(re.sub(r"^(copyright|©)\s*(\(c\)|©)?\s*:?\s*", "", line, flags=re.I))
    if not lines:
        lines = crate["authors"] or [f"the authors of {crate['name']}"]
    seen = dict.fromkeys(re.sub(r"\s+", " ", it).strip() for it in lines)
    return [it for it in seen if it]


def without_holders(text: str, licence: str) -> str:
    """The words of a licence, from where they begin, without the lines of copyright, which stand elsewhere."""
    if licence in ("MIT", "ISC"):
        text = text[MARKS[licence].search(text).start():]
    lines = text.splitlines()
    return "\n".join(it for it in lines if not re.match(r"\W*copyright \(?(c|©|\d)", it, re.I)).strip("\n")


def without_apache(text: str) -> str:
    """A text of several licences, in which the one that Debian has is named instead."""
    return re.sub(
        r"^ *Apache License\n *Version 2\.0.*?END OF TERMS AND CONDITIONS$",
        "The Apache License, version 2.0, as in /usr/share/common-licenses/Apache-2.0",
        text, flags=re.S | re.M,
    )


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def licence_text(crate: dict, licence: str) -> str:
    """The text of a licence in one of the files of a crate."""
    for file in licence_files(crate):
        text = file.read_text(encoding="utf-8", errors="replace")
        if MARKS[licence].search(text):
            return without_holders(text, licence)
    if licence == "MIT":
        return without_holders((ROOT / "LICENSE-MIT").read_text(encoding="utf-8"), "MIT")
    sys.exit(f"{crate['name']} has no text of {licence}")


def field(text: str) -> str:
    """A text as the lines of a field of Debian's control files."""
    lines = []
    for line in text.strip("\n").splitlines():
        line = line.expandtabs().rstrip()
        lines.append(f" {line}" if line else " .")
    return "\n".join(lines)


def copyright_of(package: str) -> str:
    crates = linked(package)
    out = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Upstream-Name: slotfs",
        "Source: scripts/package of slotfs",
        "Comment:\n" + field(
            "The crates below are linked into the program, each as crates.io has it. Of a choice of licences that\n"
            "a crate offers, its paragraph names the one that it is used under."
        ),
        "",
        "Files: *",
        f"Copyright: {YEAR} {AUTHORS}",
        "License: MIT or Apache-2.0",
        "",
    ]
    texts: dict[str, str] = {}
    quote = texts.setdefault

    def name_of(crate: dict, licence: str) -> str:
        """The name of the licence's text in this file. One that differs from that of other crates has a name of its own."""
        if licence in COMMON:
            return licence
        text = licence_text(crate, licence)
        for name in (licence, f"{licence}-{crate['name']}"):
            if words(quote(name, text)) == words(text):
                return name
        sys.exit(f"two texts of {licence} in {crate['name']}")

    # The words of MIT are the same everywhere, and these are ours.
    quote("MIT", without_holders((ROOT / "LICENSE-MIT").read_text(encoding="utf-8"), "MIT"))
    for crate in crates:
        if is_ours(crate):
            continue
        inside = embedded(crate)
        if inside and inside["licence"] != "blessing":
            # Several licences in one text, with the parts that each is for.
            name = f"{inside['name']}-licences"
            out += [
                f"Files: vendor/{crate['name']}-{crate['version']}/*",
                "Copyright: Amazon.com Inc., the OpenSSL project, Google Inc., and others named in the licence",
                f"License: {name}",
                f"Comment: offered as {expression(crate)}",
                "",
            ]
            inner = Path(crate["manifest_path"]).parent / inside["name"] / "LICENSE"
            quote(name, without_apache(inner.read_text(encoding="utf-8", errors="replace")))
            continue
        holding = "\n".join(f" {it}" for it in holders(crate)).strip()
        used = " and ".join(name_of(crate, licence) for licence in chosen(crate))
        out += [
            f"Files: vendor/{crate['name']}-{crate['version']}/*",
            f"Copyright: {holding}",
            f"License: {used}",
            f"Comment: offered as {expression(crate)}" if expression(crate) != used else "",
            "",
        ]
        if not out[-2]:
            del out[-2]
        if inside:
            out += [
                f"Files: vendor/{crate['name']}-{crate['version']}/sqlite3/*",
                "Copyright: none; the authors of SQLite have given it to the public domain",
                "License: public-domain",
                "",
            ]
            quote("public-domain", BLESSING)
    for name in sorted(COMMON):
        quote(name, f"On Debian systems, the text of {name} is in\n/usr/share/common-licenses/{name}.")
    for name, text in sorted(texts.items()):
        # The holders of copyright are named above.
        out += [f"License: {name}", field(text), ""]
    return "\n".join(out)


MARKS = {
    "MIT": re.compile(r"Permission is hereby granted, free of charge"),
    "ISC": re.compile(r"Permission to use, copy, modify, and(/or)? distribute"),
    "BSD-3-Clause": re.compile(r"Neither the name"),
    "BSD-2-Clause": re.compile(r"Redistributions in binary form"),
    "Zlib": re.compile(r"provided 'as-is'"),
    "Unlicense": re.compile(r"released into the public domain"),
    "Unicode-3.0": re.compile(r"UNICODE LICENSE V3", re.I),
}


# The bill of materials.


def sbom(package: str) -> str:
    with open(ROOT / "Cargo.lock", "rb") as file:
        lock = {(it["name"], it["version"]): it.get("checksum") for it in tomllib.load(file)["package"]}
    crates = linked(package)
    components = []

    def reference(crate: dict) -> str:
        return f"pkg:cargo/{crate['name']}@{crate['version']}"

    for crate in crates:
        component = {
            "type": "application" if crate["name"] == package else "library",
            "bom-ref": reference(crate),
            "name": crate["name"],
            "version": crate["version"],
            "purl": reference(crate),
            "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", crate["license"])}],
        }
        if checksum := lock[(crate["name"], crate["version"])]:
            component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if crate["repository"]:
            component["externalReferences"] = [{"type": "vcs", "url": crate["repository"]}]
        if inside := embedded(crate):
            component["components"] = [{
                "type": "library",
                "bom-ref": f"pkg:generic/{inside['name']}@{inside['version']}",
                "name": inside["name"],
                "version": inside["version"],
                "purl": f"pkg:generic/{inside['name']}@{inside['version']}",
                "licenses": [{"expression": inside["licence"]}],
                "externalReferences": [{"type": "website", "url": inside["url"]}],
            }]
        components.append(component)
    metadata = metadata_of(package)
    by_id = {it["id"]: it for it in metadata["packages"]}
    known = {reference(it) for it in crates}
    dependencies = []
    for node in sorted(metadata["resolve"]["nodes"], key=lambda it: it["id"]):
        own = reference(by_id[node["id"]])
        if own not in known:
            continue
        normal = (
            reference(by_id[it["pkg"]]) for it in node["deps"]
            if any(kind["kind"] is None for kind in it["dep_kinds"])
        )
        dependencies.append({"ref": own, "dependsOn": sorted({it for it in normal if it in known and it != own})})
    subject = next(it for it in components if it["name"] == package)
    components.remove(subject)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(WHEN, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": subject,
            "properties": [
                {"name": "slotfs:commit", "value": commit or os.environ.get("SLOTFS_COMMIT", "unknown")},
                {"name": "slotfs:target", "value": TARGET},
            ],
        },
        "components": components,
        "dependencies": sorted(dependencies, key=lambda it: it["ref"]),
    }
    # The same content has the same number.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    document["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    return json.dumps(document, indent=2, sort_keys=True)


# Debian's changelog.


def changelog(package: str, version: str) -> str:
    """The section of this version in CHANGELOG.md: its subsections as titles, its items as items."""
    upstream = re.split(r"[~-]", version)[0]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(upstream)}\b[^\n]*\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    if not section:
        sys.exit(f"CHANGELOG.md has no heading '## {upstream}'")
    out = [f"{package} ({version}) unstable; urgency=medium", ""]
    items: list[str] = []
    for line in section[1].splitlines():
        if line.startswith("### "):
            items.append(f"[ {line[4:].strip()} ]")
        elif line.startswith("- "):
            items.append(f"* {line[2:].strip()}")
        elif line.strip() and items:
            items[-1] += f" {line.strip()}"
    for item in items:
        if item.startswith("["):
            out += ["", f"  {item}"]
        else:
            out += textwrap.wrap(item, 78, initial_indent="  ", subsequent_indent="    ")
    when = email.utils.formatdate(WHEN, localtime=False).replace("-0000", "+0000")
    out += ["", f" -- {WHO}  {when}"]
    # One blank line between parts.
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["copyright", package]:
            print(copyright_of(package))
        case ["sbom", package]:
            print(sbom(package))
        case ["changelog", package, version]:
            print(changelog(package, version))
        case _:
            sys.exit(__doc__)
