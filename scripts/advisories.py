#!/usr/bin/env python3
"""Every dependency against the advisories of RustSec, without the network.

    scripts/advisories.py                    # checks Cargo.lock and fuzz/Cargo.lock; exit 1 if an advisory applies
    scripts/advisories.py --lock FILE        # checks that file instead
    scripts/advisories.py --update CLONE     # writes scripts/advisories.json from a clone of the database

scripts/advisories.json has of each advisory of https://github.com/rustsec/advisory-db the number, the crate, the kind
and the versions; the text is at https://rustsec.org/advisories/NUMBER. The file names the day of the database, and
is as good as that day: one that is old is told, and an advisory that came later is not found. `cargo deny check
advisories` asks the database of today, where it can be reached; scripts/check runs it as well if it is installed.

deny.toml has the advisories that were decided about. One that no dependency has any more is an error too.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATABASE = ROOT / "scripts" / "advisories.json"
LOCKS = [ROOT / "Cargo.lock", ROOT / "fuzz" / "Cargo.lock"]
OLD_DAYS = 90
# The database has more; a file with fewer was not made from all of it.
LEAST = 1000


# --- Versions (semver.org, and the requirements of Cargo) ------------------------------------------


def numbers(text):
    """(major, minor, patch), as many as are given."""
    return [int(part) for part in text.split(".")]


def order(version):
    """A key that sorts versions: a pre-release comes before its release."""
    release, _, pre = version.split("+")[0].partition("-")
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
    return (*numbers(release), not pre, parts)


def bound(parts, lowest=False):
    """The release of these numbers; `lowest`: before all of its pre-releases."""
    parts = (parts + [0, 0])[:3]
    return (*parts, not lowest, [])


def next_after(parts, at):
    """The lowest version in which number `at` is one higher."""
    return bound([*parts[:at], parts[at] + 1], lowest=True)


def meets(version, requirement):
    """Whether a version meets all of a requirement such as ">= 1.2.3, < 2" or "^0.4.1"."""
    return all(meets_one(order(version), part.strip()) for part in requirement.split(","))


def meets_one(version, comparator):
    match = re.fullmatch(r"(>=|<=|>|<|=|\^|~)?\s*(\d+(?:\.\d+){0,2})(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?", comparator)
    if not match:
        raise ValueError(f"not a requirement of a version: {comparator}")
    operator, given, pre = match[1] or "^", numbers(match[2]), match[3]
    low = order(match[2] + pre) if pre else bound(given)
    # With numbers missing, "= 1.2" and "<= 1.2" stand for all of 1.2.
    partial = len(given) < 3
    after = next_after(given, len(given) - 1) if partial else None
    if operator == ">=":
        return version >= low
    if operator == ">":
        return version >= after if partial else version > low
    if operator == "<":
        return version < low
    if operator == "<=":
        return version < after if partial else version <= low
    if operator == "=":
        return low <= version < after if partial else version == low
    if operator == "~":
        high = next_after(given, min(1, len(given) - 1))
    else:
        # The first number that is not zero may not change.
        first = next((at for at, number in enumerate(given) if number), len(given) - 1)
        high = next_after(given, first)
    return low <= version < high


# --- The database ----------------------------------------------------------------------------------


def git(clone, *words):
    return subprocess.run(["git", "-C", clone, *words], check=True, capture_output=True, text=True).stdout


def update(clone):
    """Writes the file from a clone of the database; a bare one is enough."""
    commit, day = git(clone, "log", "-1", "--format=%H %cs").split()
    found = []
    for path in git(clone, "ls-tree", "-r", "--name-only", "HEAD", "crates").splitlines():
        text = git(clone, "show", f"HEAD:{path}")
        head = tomllib.loads(re.match(r"\s*```toml\n(.*?)\n```", text, re.S)[1])
        advisory, versions = head["advisory"], head["versions"]
        if "withdrawn" in advisory:
            continue
        row = {"id": advisory["id"], "package": advisory["package"], "kind": advisory.get("informational", "vulnerable"),
               "patched": versions.get("patched", []), "unaffected": versions.get("unaffected", [])}
        for requirement in row["patched"] + row["unaffected"]:
            meets("1.0.0", requirement)
        found.append(row)
    found.sort(key=lambda row: row["id"])
    head = {"source": "https://github.com/rustsec/advisory-db", "licence": "CC0-1.0, in part CC-BY-4.0",
            "commit": commit, "date": day}
    rows = ",\n  ".join(map(json.dumps, found))
    DATABASE.write_text(json.dumps(head, indent=1)[:-2] + ',\n "advisories": [\n  ' + rows + "\n ]\n}\n", encoding="utf-8")
    print(f"{len(found)} advisories of {day}")


def load(path):
    """(day, advisories by crate)"""
    there = json.loads(path.read_text(encoding="utf-8"))
    if len(there["advisories"]) < LEAST:
        sys.exit(f"{path}: only {len(there['advisories'])} advisories: it was not made from the whole database")
    by_crate = {}
    for row in there["advisories"]:
        by_crate.setdefault(row["package"], []).append(row)
    return datetime.date.fromisoformat(there["date"]), by_crate


# --- The check -------------------------------------------------------------------------------------


def applying(packages, by_crate):
    """(package, version, advisory) of each that applies."""
    for package in packages:
        if "registry+" not in package.get("source", ""):
            continue
        name, version = package["name"], package["version"]
        for row in by_crate.get(name, []):
            if not any(meets(version, requirement) for requirement in row["patched"] + row["unaffected"]):
                yield name, version, row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", metavar="CLONE")
    parser.add_argument("--lock", type=Path, metavar="FILE", action="append")
    parser.add_argument("--database", type=Path, metavar="FILE", default=DATABASE)
    parser.add_argument("--decided", type=Path, metavar="FILE", default=ROOT / "deny.toml")
    args = parser.parse_args()
    if args.update:
        return update(args.update)

    day, by_crate = load(args.database)
    ignored = tomllib.loads(args.decided.read_text(encoding="utf-8")).get("advisories", {}).get("ignore", [])
    decided = {row["id"] for row in ignored if row["reason"]}
    bad, met, count = [], set(), 0
    for lock in args.lock or LOCKS:
        packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", [])
        count += sum("registry+" in package.get("source", "") for package in packages)
        for name, version, row in applying(packages, by_crate):
            met.add(row["id"])
            if row["id"] not in decided:
                fixed = ", ".join(row["patched"]) or "in no version"
                bad.append(f"{lock}: {name} {version} is {row['kind']}: https://rustsec.org/advisories/{row['id']} "
                           f"(corrected: {fixed})")
    if not count:
        bad.append("no dependency was looked at")
    bad += [f"{args.decided}: {number} applies to no dependency any more: take it out" for number in sorted(decided - met)]
    age = (datetime.date.today() - day).days
    if age > OLD_DAYS:
        print(f"warning: the advisories are those of {day}, {age} days ago: update them (see the head of scripts/advisories.py)")
    print(f"{count} dependencies, advisories of {day}: {len(bad)} to be decided about")
    sys.exit("\n".join(bad) if bad else 0)


if __name__ == "__main__":
    main()
