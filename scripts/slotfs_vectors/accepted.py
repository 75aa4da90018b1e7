"""Vectors of what is accepted: blobs with every value inside, payloads, domain keys."""

import copy
from hashlib import sha256

from . import format as f
from .common import D1, D2, KEYS, P_SMK, PX, RICH, ROOT, X, key_list, secret, write
from .format import OBJECT, OBJECT_UNDER_SMK, SMK

THREE = "domain:D1 domain:D2 domain:D3"


def positive_blob(name, kind, held, payload):
    held = held.split()
    sealed = f.seal(kind, [ROOT[h] for h in held], payload)
    aes, nonce, commitment = f.payload_keys(sealed.key)
    keys = []
    for use_name, root, stanza in zip(held, sealed.roots, sealed.stanzas):
        use, key = use_name.split(":")
        salt = stanza[:32]
        keys.append({
            "use": use,
            "d": KEYS[key].hex(),
            "r": root.hex(),
            "fingerprint": f.fingerprint(root).hex(),
            "salt_key": f.salt_key(root).hex(),
            "salt": salt.hex(),
            "pad": f.pad(root, salt).hex(),
            "wrapped": stanza[32:].hex(),
        })
        assert f.open_blob(kind, [root], sealed.blob) == payload
    return {
        "name": name,
        "kind": kind,
        "payload": payload.hex(),
        "h": sealed.head.hex(),
        "hmac_key": f.set_key(sealed.roots).hex(),
        "k": sealed.key.hex(),
        "keys": keys,
        "key": aes.hex(),
        "nonce": nonce.hex(),
        "commitment": commitment.hex(),
        "blob": sealed.blob.hex(),
    }


def blobs():
    write("blob.json", "Every value of docs/format.md, for each kind and each number of stanzas.", [
        positive_blob("an object, 1 domain", OBJECT, "domain:D1", PX),
        positive_blob("an object, 2 domains", OBJECT, "domain:D1 domain:D2", PX),
        positive_blob("an object, 3 domains", OBJECT, THREE, PX),
        positive_blob("another object, 3 domains", OBJECT, THREE, f.encode(RICH)),
        positive_blob("an object under an SMK", OBJECT_UNDER_SMK, "smk:M1", PX),
        positive_blob("an SMK, 1 domain", SMK, "domain:D1", P_SMK),
        positive_blob("an SMK, 2 domains", SMK, "domain:D1 domain:D2", P_SMK),
        positive_blob("an SMK, 3 domains", SMK, THREE, P_SMK),
        positive_blob("the smallest payload", OBJECT, "domain:D1", b"\0"),
    ])


def largest():
    vectors = []
    for kind, held in [(OBJECT, "domain:D1"), (OBJECT, THREE), (OBJECT_UNDER_SMK, "smk:M1")]:
        held = held.split()
        sealed = f.seal(kind, [ROOT[h] for h in held], b"\x5a" * f.MAX_PAYLOAD)
        vectors.append({
            "name": f"kind {kind}, {len(held)} stanzas",
            "kind": kind,
            "held": key_list(held),
            "payload_byte": 0x5A,
            "payload_bytes": f.MAX_PAYLOAD,
            "blob_bytes": len(sealed.blob),
            "blob_sha256": sha256(sealed.blob).hexdigest(),
        })
    write("largest.json", "Blobs of the largest payload, one byte repeated; only their SHA-256.", vectors)


def same_object():
    """What a holder of D2 can do to a blob of D1 and D2 without changing the object in it."""
    sealed = f.seal(OBJECT, [D1, D2], PX)
    garbage = secret("garbage stanza", 64)
    other = f.stanza(D2, sealed.head, secret("another key"), PX)
    vectors = []
    for name, stanza in [("the other stanza is garbage", garbage), ("the other stanza wraps another key", other)]:
        blob = f.assemble(sealed.head, sorted([sealed.stanzas[0], stanza]), sealed.key, PX)
        assert f.open_blob(OBJECT, [D1], blob) == PX and blob != sealed.blob
        vectors.append({
            "name": name,
            "kind": OBJECT,
            "held": key_list(["domain:D1"]),
            "payload": PX.hex(),
            "blob": blob.hex(),
        })
    write("other-bytes-same-object.json",
          "Not promised: the salt of a stanza covers H, K and P but no other stanza. A holder of D2 can make "
          "a blob of other bytes that D1 accepts, of the same object and with a stanza for D2 that opens "
          "nothing. What is stored is the same P, and sealing it again gives the one true blob.", vectors)


def payloads():
    def varied(name, **changes):
        obj = copy.deepcopy(X)
        obj.update(changes)
        return name, obj

    def numbers(values):
        return [{"cka": 0x80000000 + i, "number": v} for i, v in enumerate(values)]

    edges = [0, 250, 251, 252, 253, 254, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1]
    private = [0x11, *range(0x123, 0x129)]
    cases = [("an AES key", X), ("every form of value", RICH)]
    cases += [varied(f"created {e}", created_secs=e) for e in edges]
    cases += [varied(f"key type {e}", key_type=e) for e in edges if e < 2**32]
    cases += [varied(f"class {e}", **{"class": e, "attributes": []}) for e in edges if e < 2**32]
    cases += [
        varied("no attribute", attributes=[]),
        varied("no key type", key_type=None),
        varied("attribute numbers", **{"class": 2, "attributes": [
            {"cka": e, "bool": False} for e in [1, 250, 251, 252, 255, 257, 65535, 65536, 2**32 - 1]]}),
        varied("number values", attributes=numbers(edges)),
        varied("251 attributes", attributes=numbers(range(251))),
        varied("empty string, bytes and secret", attributes=[
            {"cka": 0x3, "text": ""}, {"cka": 0x11, "secret": ""}, {"cka": 0x102, "bytes": ""}]),
        varied("250 bytes", attributes=[{"cka": 0x102, "bytes": secret("250", 250).hex()}]),
        varied("251 bytes", attributes=[{"cka": 0x102, "bytes": secret("251", 251).hex()}]),
        varied("a string of 1 to 4 byte characters and NUL",
               attributes=[{"cka": 0x3, "text": "a\u0000\u00e9\u20ac\U0001f511"}]),
        varied("dates at both ends", attributes=[
            {"cka": 0x110, "date": [0, 1, 1]}, {"cka": 0x111, "date": [9999, 12, 31]}]),
        varied("dates around 251", attributes=[
            {"cka": 0x110, "date": [250, 1, 1]}, {"cka": 0x111, "date": [251, 1, 1]}]),
        varied("a data object", **{"class": 0, "key_type": None, "attributes": [
            {"cka": 0x10, "text": "app"}, {"cka": 0x11, "secret": "00ff"}]}),
        varied("a certificate: its value is no secret", **{"class": 1, "key_type": None, "attributes": [
            {"cka": 0x11, "bytes": "3000"}, {"cka": 0x80, "number": 0}]}),
        varied("a private key with every secret", **{"class": 3, "key_type": 0, "attributes": [
            {"cka": n, "secret": secret(f"private {n}", 8).hex()} for n in private]}),
        varied("a public key of the same attributes", **{"class": 2, "key_type": 0, "attributes": [
            {"cka": n, "bytes": secret(f"private {n}", 8).hex()} for n in private]}),
    ]
    modifiable = X["attributes"] + [{"cka": 0x170, "bool": True}]
    cases += [
        varied("modifiable, which version 1 stores as false", attributes=modifiable),
        varied("unmodifiable on purpose", attributes=X["attributes"] + [{"cka": 0x170, "bool": False}]),
        varied("CKA_MODIFIABLE that is no boolean", attributes=[{"cka": 0x170, "number": 0}]),
        varied("revision 1", revision=1, changed_secs=1795392001),
        varied("revision 1, changed in 1970", revision=1, changed_secs=1),
        varied("revision 3, modifiable", revision=3, changed_secs=1795392001, attributes=modifiable),
        varied("revision 4, unmodifiable", revision=4, changed_secs=1795392002,
               attributes=X["attributes"] + [{"cka": 0x170, "bool": False}]),
        varied("the last revision", revision=2**31, changed_secs=2**64 - 1),
    ]
    vectors = []
    for name, obj in cases:
        assert f.decode(f.encode(obj)) == obj, name
        vectors.append({"name": name, "object": obj, "payload": f.encode(obj).hex()})
    write("payload.json", "Objects and their one encoding, P.", vectors)


def domains():
    strings = [
        ("one character", "a"),
        ("a phrase", "correct horse battery staple"),
        ("exactly its bytes: e with a combining accent, spaces kept", " cafe\u0301 "),
        ("128 characters of 4 bytes", "\U0001f511" * 128),
    ]
    vectors = []

    def add(name, form, value, d):
        root = f.domain_root(d)
        vectors.append({"name": name, form: value, "d": d.hex(), "r": root.hex(),
                        "fingerprint": f.fingerprint(root).hex()})

    def refuse(name, form, value):
        vectors.append({"name": name, form: value, "refused": True})

    for name, text in strings:
        add("string: " + name, "string", text, f.domain_from_string(text))
    key = KEYS["D1"]
    add("PEM", "pem", f.pem(key), key)
    add("PEM with CRLF", "pem", f.pem(key, newline="\r\n"), key)
    add("PEM of zeros", "pem", f.pem(bytes(32)), bytes(32))
    refuse("string: empty", "string", "")
    refuse("string: 129 characters", "string", "a" * 129)
    refuse("string: 129 characters of 2 bytes", "string", "\u00e9" * 129)
    refuse("PEM: another label", "pem", f.pem(key, label="PRIVATE KEY"))
    refuse("PEM: label in lower case", "pem", f.pem(key, label="slotfs domain key"))
    refuse("PEM: no key", "pem", f.pem(b""))
    refuse("PEM: 31 bytes", "pem", f.pem(key[:31]))
    refuse("PEM: 33 bytes", "pem", f.pem(key + b"\0"))
    refuse("PEM: 64 bytes", "pem", f.pem(key + key))
    refuse("PEM: cut in its base64", "pem", f.pem(key)[:50])
    refuse("PEM: without its end", "pem", f.pem(key).split("-----END")[0])
    refuse("PEM: not base64", "pem", f.pem(key).replace("\n", "\n*", 1))
    refuse("PEM: empty file", "pem", "")
    refuse("PEM: base64 alone", "pem", f.pem(key).split("\n")[1] + "\n")
    write("domain.json", "Domain strings and domain key files, and the domain key D of each.", vectors)


def make():
    blobs()
    largest()
    same_object()
    payloads()
    domains()
