#!/usr/bin/env python3
"""Makes other bytes of the object in a blob, as one can who holds the blob's domains (docs/format.md, 'To open a blob').

Independent of the Rust: it shares slotfs_vectors/format.py with the golden vectors. Every file that it writes holds the
same object as the blob. A slot that has all of the domains refuses each of them with EACCES; a slot that lacks
one can refuse only those that touch a stanza of its own.

    python3 -m venv venv && venv/bin/pip install 'cryptography>=48' argon2-cffi
    venv/bin/python scripts/attacks/spellings.py hsm/1/4 out --domainkey red.pem [--domainkey blue.pem]
    for it in out/*; do cp "$it" hsm/1/9 && echo "accepted: $it"; done
"""

import argparse
import base64
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from slotfs_vectors import format as f  # noqa: E402
from slotfs_vectors.spellings import all_of  # noqa: E402


def key_of(pem):
    lines = [line.strip() for line in pem.read_text(encoding="ascii").splitlines()]
    if lines[:1] != ["-----BEGIN SLOTFS DOMAIN KEY-----"]:
        sys.exit(f"{pem}: no domain key file")
    return base64.b64decode("".join(line for line in lines if not line.startswith("-----")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("blob", type=Path)
    parser.add_argument("out", type=Path, help="a folder; it is made if it is not there")
    parser.add_argument("--domainkey", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--domain", action="append", default=[], metavar="STRING")
    parser.add_argument("--smk", metavar="HEX", help="the storage master key of a blob under one")
    args = parser.parse_args()

    domains = [key_of(pem) for pem in args.domainkey] + [f.domain_from_string(text) for text in args.domain]
    roots = [f.domain_root(key) for key in domains]
    if args.smk:
        roots = [f.smk_root(bytes.fromhex(args.smk))]
    blob = args.blob.read_bytes()
    kind = blob[8]
    try:
        payload = f.open_blob(kind, roots, blob)
    except f.Refused as why:
        sys.exit(f"{args.blob}: {why}")
    # A set without one that the blob names has other bytes.
    if f.seal(kind, roots, payload).blob != blob:
        sys.exit(f"{args.blob}: these are not exactly its domains")
    args.out.mkdir(exist_ok=True)
    for number, (name, spelling, _) in enumerate(all_of(kind, roots, payload)):
        (args.out / f"{number:02} {name}").write_bytes(spelling)
        print(name)


if __name__ == "__main__":
    main()
