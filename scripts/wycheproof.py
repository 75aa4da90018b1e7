#!/usr/bin/env python3
"""Writes tests/vectors/wycheproof from a clone of https://github.com/C2SP/wycheproof: only what slotfs uses.

    scripts/wycheproof.py CLONE        # git must be able to read it; a bare clone is enough

The vectors are those of the project, under the Apache License 2.0; what is left out is named in each file.
"""

import json
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "wycheproof"
FIELDS = {
    "aes_gcm": ["key", "iv", "aad", "msg", "ct", "tag"],
    "hkdf_sha256": ["ikm", "salt", "info", "size", "okm"],
    "hmac_sha256": ["key", "msg", "tag"],
}
# The sizes that slotfs uses, and for HKDF every size of input.
KEPT = {
    "aes_gcm": ("keys of 256 bits, nonces of 96 bits",
                lambda group, test: group["keySize"] == 256 and group["ivSize"] == 96),
    "hkdf_sha256": ("outputs of at most 128 bytes, and those that are too long",
                    lambda group, test: test["size"] <= 128 or test["result"] == "invalid"),
    "hmac_sha256": ("keys of 256 bits, tags of 256 bits",
                    lambda group, test: group["keySize"] == 256 and group["tagSize"] == 256),
}


def git(clone, *words):
    return subprocess.run(["git", "-C", clone, *words], check=True, capture_output=True, text=True).stdout


def main():
    (clone,) = sys.argv[1:] or sys.exit(__doc__)
    commit = git(clone, "log", "-1", "--format=%H %cs").strip()
    OUT.mkdir(parents=True, exist_ok=True)
    for name, fields in FIELDS.items():
        there = json.loads(git(clone, "show", f"HEAD:testvectors_v1/{name}_test.json"))
        what, kept = KEPT[name]
        tests = [test for group in there["testGroups"] for test in group["tests"] if kept(group, test)]
        head = {
            "source": f"C2SP/wycheproof, testvectors_v1/{name}_test.json, {commit}",
            "licence": "Apache-2.0",
            "algorithm": there["algorithm"],
            "kept": what,
        }
        lines = [json.dumps({key: test[key] for key in ["tcId", "comment", *fields, "result"]}) for test in tests]
        text = json.dumps(head, indent=1)[:-2] + ',\n "tests": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
        assert json.loads(text)["tests"]
        (OUT / f"{name}.json").write_text(text, encoding="utf-8")
        print(f"{name}: {len(tests)} of {there['numberOfTests']}")


if __name__ == "__main__":
    main()
