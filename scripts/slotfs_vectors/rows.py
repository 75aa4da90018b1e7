"""Vectors of sealed rows: the nonce of a row from its keys, its random bytes and all that it seals."""

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import format as f
from .common import secret, write


def row(slot_key, label, aad, plain, random):
    nonce_key = f.hkdf_expand(slot_key, b"slotfs 2 nonce " + label, 32)
    mac = f.hmac(nonce_key, random + len(aad).to_bytes(8, "little") + aad + plain)
    key = f.hkdf_expand(slot_key, label, 32)
    return key, nonce_key, mac[:12] + AESGCM(key).encrypt(mac[:12], plain, aad)


def make():
    slot_key = secret("slot key")
    same = secret("random bytes")
    cases = [
        ("an object", "slotfs 1 row", b"slotfs 1 object\0" + secret("place", 60), secret("payload", 200), same),
        ("a header", "slotfs 1 header", b"slotfs 1 header\0" + secret("clear", 90), secret("lists", 40), same),
        ("a domain", "slotfs 1 domain row", b"slotfs 1 domain\0" + secret("label", 30), secret("domain"), same),
        ("a storage master key", "slotfs 1 smk row", b"slotfs 1 smk\0" + secret("id", 16), secret("smk"), same),
        ("an authentication key", "slotfs 2 authentication row", b"slotfs 2 authentication\0" + secret("id", 16),
         secret("authentication"), same),
        ("the object, other random bytes", "slotfs 1 row", b"slotfs 1 object\0" + secret("place", 60),
         secret("payload", 200), secret("other random bytes")),
        ("associated data end before", "slotfs 1 row", b"her", b"epayload", same),
        ("associated data end behind", "slotfs 1 row", b"here", b"payload", same),
        ("nothing is sealed", "slotfs 1 row", b"", b"", bytes(32)),
    ]
    vectors = []
    for name, label, aad, plain, random in cases:
        key, nonce_key, sealed = row(slot_key, label.encode(), aad, plain, random)
        nonce = secret(f"nonce {name}", 12)
        earlier = nonce + AESGCM(key).encrypt(nonce, plain, aad)
        vectors.append({
            "name": name, "label": label, "slot_key": slot_key.hex(), "key": key.hex(), "nonce_key": nonce_key.hex(),
            "random": random.hex(), "aad": aad.hex(), "plaintext": plain.hex(), "row": sealed.hex(),
            "row_of_a_random_nonce": earlier.hex(),
        })
    assert len({v["row"][:24] for v in vectors}) == len(vectors)
    write("row.json", "Sealed rows of docs/format.md, and the same with a random nonce, as earlier versions "
          "wrote them.", vectors)
