"""Vectors of role key pairs (docs/format.md, 'Role key pairs'), and X-Wing as draft-connolly-cfrg-xwing-kem has it."""

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import format as f
from .common import flip, secret, write

PUBLISHED = Path(__file__).resolve().parents[2] / "tests" / "vectors" / "published" / "x_wing.json"
MLKEM_CT = 1088
LABEL = rb"\.//^" + b"\\"


def private_keys(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


def public_key(seed):
    mlkem, x25519 = private_keys(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def decapsulate(seed, encapsulation):
    mlkem, x25519 = private_keys(seed)
    point = encapsulation[MLKEM_CT:]
    parts = [mlkem.decapsulate(encapsulation[:MLKEM_CT]), x25519.exchange(X25519PublicKey.from_public_bytes(point)),
             point, x25519.public_key().public_bytes_raw(), LABEL]
    return hashlib.sha3_256(b"".join(parts)).digest()


def wrapped(slot_key, authentication, shared, info):
    okm = f.hkdf_expand(f.hkdf_extract(authentication, shared), info, 44)
    return AESGCM(okm[:32]).encrypt(okm[32:], slot_key, b"")


def make():
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))["tests"]
    vectors = []
    for number, known in enumerate(published):
        seed, encapsulation = bytes.fromhex(known["seed"]), bytes.fromhex(known["ct"])
        assert public_key(seed).hex() == known["pk"]
        shared = decapsulate(seed, encapsulation)
        assert shared.hex() == known["ss"]

        place = {"slot": 10 + number, "serial": 2**63 + number, "role": number + 1, "credential": 100 + number,
                 "generation": 2**40 + number}
        info = b"slotfs 2 slot key" + place["serial"].to_bytes(8, "little") + place["slot"].to_bytes(4, "little")
        info += bytes([place["role"]]) + place["credential"].to_bytes(8, "little")
        info += place["generation"].to_bytes(8, "little")
        info += hashlib.sha256(public_key(seed)).digest() + hashlib.sha256(encapsulation).digest()
        slot_key, renewed, before = secret(f"slot key {number}"), secret(f"A {number}"), secret(f"A before {number}")
        once = wrapped(slot_key, renewed, shared, info)
        twice = once + wrapped(slot_key, before, shared, info)

        def add(name, authentication, text, refused=False):
            vectors.append({
                "name": f"{name}, role {place['role']}", **place, "seed": seed.hex(), "authentication": authentication.hex(),
                "public_key": known["pk"], "encapsulation": known["ct"], "wrapped": text.hex(),
                "slot_key": slot_key.hex(), **({"refused": True} if refused else {}),
            })

        if number == 0:
            add("wrapped once", renewed, once)
            add("wrapped for another A", before, once, refused=True)
            add("a bit of the tag", renewed, flip(once, 47), refused=True)
            add("bytes after the end", renewed, once + b"\0", refused=True)
        elif number == 1:
            add("after a renewal, by the new A", renewed, twice)
        else:
            add("after a renewal, by the A before", before, twice)
            add("after a renewal, by another A", secret("another A"), twice, refused=True)
    write("pair.json", "Slot keys encapsulated to roles, with the pairs and encapsulations of published/x_wing.json.", vectors)
