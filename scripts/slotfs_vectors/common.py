"""Keys and objects that vectors are made of, and the files they go to."""

import json
from hashlib import sha256

from . import format as f
from .format import OBJECT, Refused

ERRNO = {"payload Version": "EPROTONOSUPPORT"}


def secret(label, size=32):
    raw, counter = b"", 0
    while len(raw) < size:
        raw += sha256(f"slotfs vectors: {label} {counter}".encode()).digest()
        counter += 1
    return raw[:size]


KEYS = {name: secret(f"key {name}") for name in ["D1", "D2", "D3", "D9", "M1", "M9"]}
ROOT = {f"domain:{name}": f.domain_root(key) for name, key in KEYS.items()}
ROOT |= {f"smk:{name}": f.smk_root(key) for name, key in KEYS.items()}
D1, D2, D3, D9, M1 = (ROOT[r] for r in ["domain:D1", "domain:D2", "domain:D3", "domain:D9", "smk:M1"])


# --- The objects that vectors are made of ----------------------------------------------------------


def aes_key(label, text):
    return {
        "ouid": secret(f"ouid {label}", 16).hex(),
        "created_secs": 1795392000,
        "class": 4,
        "key_type": 0x1F,
        "attributes": [
            {"cka": 0x1, "bool": True},
            {"cka": 0x3, "text": text},
            {"cka": 0x11, "secret": secret(f"value {label}", 16).hex()},
            {"cka": 0x103, "bool": True},
        ],
    }


X = aes_key("x", "backup")
Y = aes_key("y", "signer")  # encodes to as many bytes as X
PX, PY = f.encode(X), f.encode(Y)
assert len(PX) == len(PY) and PX != PY
PZ = f.encode(aes_key("z", "a longer label"))
P_SMK = secret("smk payload", 33)

# Every form of value and every integer of the encoding, each in the shortest form so that all the
# longer ones are wrong.
RICH = {
    "ouid": secret("ouid rich", 16).hex(),
    "created_secs": 9,
    "class": 4,
    "key_type": 0x10,
    "attributes": [
        {"cka": 0x3, "text": "rich"},
        {"cka": 0x11, "secret": secret("value rich", 16).hex()},
        {"cka": 0x102, "bytes": "0a0b0c"},
        {"cka": 0x103, "bool": True},
        {"cka": 0x110, "date": [200, 12, 31]},
        {"cka": 0x161, "number": 16},
    ],
}


# --- Files -----------------------------------------------------------------------------------------

files = {}


def write(path, about, vectors):
    names = [v["name"] for v in vectors]
    assert len(set(names)) == len(names), f"{path}: {sorted(names)}"
    files[path] = json.dumps({"about": about, "vectors": vectors}, indent=1, ensure_ascii=False) + "\n"


def key_list(held):
    """[["domain", hex of D], ...]"""
    return [[use, KEYS[name].hex()] for use, name in (h.split(":") for h in held)]


class Refusals:
    """One file of refused blobs: what is wrong is its name."""

    def __init__(self, name, about):
        self.name, self.about, self.vectors = name, about, []

    def blob(self, name, held, blob, why, kind=OBJECT):
        held = held.split()
        try:
            f.open_blob(kind, [ROOT[h] for h in held], blob)
            raise AssertionError(f"{self.name}: {name}: opens")
        except Refused as refused:
            assert str(refused) == f"blob {why}", f"{self.name}: {name}: {refused}, not {why}"
        self.add(name, held, blob, f"blob {why}", kind)

    def payload(self, name, payload, why):
        """A payload that is wrong, sealed as it should be: the blob opens, decoding refuses."""
        blob = f.seal(OBJECT, [D1], payload).blob
        assert f.open_blob(OBJECT, [D1], blob) == payload
        try:
            f.decode(payload)
            raise AssertionError(f"{self.name}: {name}: decodes")
        except Refused as refused:
            assert str(refused) == f"payload {why}", f"{self.name}: {name}: {refused}, not {why}"
        self.add(name, ["domain:D1"], blob, f"payload {why}", OBJECT, {"payload": payload.hex()})

    def add(self, name, held, blob, why, kind, more=None):
        vector = {"name": name, "kind": kind, "held": key_list(held), **(more or {})}
        vector |= {"blob": blob.hex(), "refused": why, "errno": ERRNO.get(why, "EACCES")}
        self.vectors.append(vector)

    def done(self):
        write(f"refused/{self.name}.json", self.about, self.vectors)


def flip(blob, at, mask=1):
    return blob[:at] + bytes([blob[at] ^ mask]) + blob[at + 1 :]


def put(blob, at, raw):
    return blob[:at] + raw + blob[at + len(raw) :]
