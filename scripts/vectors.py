#!/usr/bin/env python3
"""Writes tests/vectors: golden vectors of the sealed blob and its payload (docs/format.md, 'The sealed blob').

Independent of the Rust: slotfs_vectors/format.py is the format a second time, and every refusal stated
here is checked against that file's own opening before it is written. Nothing is random: keys and
identities are SHA-256 of labels, so running it again gives the same files, byte for byte.

    python3 -m venv venv && venv/bin/pip install 'cryptography>=48' argon2-cffi
    venv/bin/python scripts/vectors.py            # writes tests/vectors
    venv/bin/python scripts/vectors.py --check    # only compares; exit 1 on a difference

The files are described in tests/vectors/README.md; crates/seal/src/blob/vectors.rs reads them.
"""

import json
import sys
from pathlib import Path

from slotfs_vectors import (
    accepted,
    pairs,
    refused_blobs,
    refused_insider,
    refused_payloads,
    refused_spellings,
    rows,
)
from slotfs_vectors.common import files

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"


def written():
    """The files that are there, without those that others wrote."""
    return {name: path for path in VECTORS.rglob("*.json")
            if not (name := path.relative_to(VECTORS).as_posix()).startswith(("wycheproof/", "published/"))}


def main():
    for part in [accepted, pairs, refused_blobs, refused_insider, refused_payloads, refused_spellings, rows]:
        part.make()
    if "--check" in sys.argv[1:]:
        there = written()
        differ = [n for n in files.keys() | there.keys()
                  if n not in there or files.get(n) != there[n].read_text(encoding="utf-8")]
        sys.exit("differ: " + ", ".join(sorted(differ)) if differ else 0)
    for old in written().values():
        old.unlink()
    for name, text in files.items():
        path = VECTORS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    refused = {n: len(json.loads(t)["vectors"]) for n, t in files.items() if n.startswith("refused/")}
    print(f"{len(files)} files, {sum(map(len, files.values()))} characters; "
          f"{len(refused)} files of {sum(refused.values())} refusals")


if __name__ == "__main__":
    main()
