#!/usr/bin/env python3
"""Writes tests/vectors: golden vectors of the sealed blob and its payload (DESIGN.md section 4).

Independent of the Rust: the format is written a second time in slotfs_format.py, and every refusal
stated here is checked against that file's own opening before it is written. Nothing is random: keys
and identities are SHA-256 of labels, so running it again gives the same files, byte for byte.

    python3 -m venv venv && venv/bin/pip install cryptography argon2-cffi
    venv/bin/python scripts/vectors.py            # writes tests/vectors
    venv/bin/python scripts/vectors.py --check    # only compares; exit 1 on a difference

The files are described in tests/vectors/README.md; src/blob/vectors.rs reads them.
"""

import copy
import json
import sys
from hashlib import sha256
from pathlib import Path

import slotfs_format as f
from slotfs_format import HEADER, OBJECT, OBJECT_UNDER_SMK, SMK, STANZA, Refused

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "vectors"
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


# --- Positive --------------------------------------------------------------------------------------


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
    three = "domain:D1 domain:D2 domain:D3"
    write("blob.json", "Every value of DESIGN.md section 4, for each kind and each number of stanzas.", [
        positive_blob("an object, 1 domain", OBJECT, "domain:D1", PX),
        positive_blob("an object, 2 domains", OBJECT, "domain:D1 domain:D2", PX),
        positive_blob("an object, 3 domains", OBJECT, three, PX),
        positive_blob("another object, 3 domains", OBJECT, three, f.encode(RICH)),
        positive_blob("an object under an SMK", OBJECT_UNDER_SMK, "smk:M1", PX),
        positive_blob("an SMK, 1 domain", SMK, "domain:D1", P_SMK),
        positive_blob("an SMK, 2 domains", SMK, "domain:D1 domain:D2", P_SMK),
        positive_blob("an SMK, 3 domains", SMK, three, P_SMK),
        positive_blob("the smallest payload", OBJECT, "domain:D1", b"\0"),
    ])

    largest = []
    for kind, held in [(OBJECT, "domain:D1"), (OBJECT, three), (OBJECT_UNDER_SMK, "smk:M1")]:
        held = held.split()
        sealed = f.seal(kind, [ROOT[h] for h in held], b"\x5a" * f.MAX_PAYLOAD)
        largest.append({
            "name": f"kind {kind}, {len(held)} stanzas",
            "kind": kind,
            "held": key_list(held),
            "payload_byte": 0x5A,
            "payload_bytes": f.MAX_PAYLOAD,
            "blob_bytes": len(sealed.blob),
            "blob_sha256": sha256(sealed.blob).hexdigest(),
        })
    write("largest.json", "Blobs of the largest payload, one byte repeated; only their SHA-256.", largest)


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


# --- Refused: the header ---------------------------------------------------------------------------


def refused_headers():
    one = f.seal(OBJECT, [D1], PX).blob
    two = f.seal(OBJECT, [D1, D2], PX).blob

    r = Refusals("header-magic", "A byte of the magic changed, or something else altogether.")
    for at in range(7):
        r.blob(f"bit 0 of byte {at}", "domain:D1", flip(one, at), "NotABlob")
    r.blob("lower case", "domain:D1", b"slotfsb" + one[7:], "NotABlob")
    r.blob("a PEM file", "domain:D1", f.pem(KEYS["D1"]).encode(), "NotABlob")
    r.blob("zeros, as long as a blob", "domain:D1", bytes(len(one)), "NotABlob")
    r.blob("one byte", "domain:D1", b"x", "NotABlob")
    r.done()

    r = Refusals("header-version-unknown", "Another header version, altered or sealed so.")
    for version in [0, 2, 3, 128, 255]:
        r.blob(f"version {version}", "domain:D1", put(one, 7, bytes([version])), "UnknownVersion")
    head = f.header(OBJECT, 1, len(PX), version=2)
    key = f.object_key([D1], head, PX)
    blob = f.assemble(head, [f.stanza(D1, head, key, PX)], key, PX)
    r.blob("version 2, sealed with the right key", "domain:D1", blob, "UnknownVersion")
    r.done()

    r = Refusals("header-kind-unknown", "A kind that is none, altered or sealed so.")
    for kind in [0, 4, 128, 255]:
        r.blob(f"kind {kind}", "domain:D1", put(one, 8, bytes([kind])), "UnknownKind")
    blob = f.seal(4, [D1], PX).blob
    r.blob("kind 4, sealed with the right key", "domain:D1", blob, "UnknownKind")
    r.done()

    r = Refusals("header-stanza-count", "n is not the number of stanzas there are, or not possible.")
    for n in [0, 4, 5, 128, 255]:
        r.blob(f"n {n}", "domain:D1", put(one, 9, bytes([n])), "Stanzas")
    r.blob("n 2 of 1 stanza", "domain:D1", put(one, 9, b"\2"), "CutShort")
    r.blob("n 3 of 1 stanza", "domain:D1", put(one, 9, b"\3"), "CutShort")
    r.blob("n 1 of 2 stanzas", "domain:D1", put(two, 9, b"\1"), "TooLong")
    r.blob("n 3 of 2 stanzas", "domain:D1", put(two, 9, b"\3"), "CutShort")
    r.blob("n 0, and no stanza", "domain:D1", put(one, 9, b"\0")[:HEADER] + one[HEADER + STANZA :], "Stanzas")
    four = f.seal(OBJECT, [D1, D2, D3, D9], PX).blob
    r.blob("n 4, and 4 stanzas sealed with the right keys", "domain:D1", four, "Stanzas")
    smk = f.seal(OBJECT_UNDER_SMK, [M1], PX).blob
    r.blob("kind 2, n 0", "smk:M1", put(smk, 9, b"\0"), "Stanzas", OBJECT_UNDER_SMK)
    r.blob("kind 2, n 2", "smk:M1", put(smk, 9, b"\2"), "Stanzas", OBJECT_UNDER_SMK)
    both = f.seal(OBJECT_UNDER_SMK, [M1, ROOT["smk:M9"]], PX).blob
    r.blob("kind 2, 2 stanzas sealed with the right keys", "smk:M1", both, "Stanzas", OBJECT_UNDER_SMK)
    r.done()

    r = Refusals("header-reserved-not-zero", "A reserved byte is not zero, altered or sealed so.")
    for at, mask in [(10, 1), (10, 128), (11, 1), (11, 128)]:
        r.blob(f"byte {at} is {mask}", "domain:D1", flip(one, at, mask), "Reserved")
    head = f.header(OBJECT, 1, len(PX), reserved=1)
    key = f.object_key([D1], head, PX)
    blob = f.assemble(head, [f.stanza(D1, head, key, PX)], key, PX)
    r.blob("byte 10 is 1, sealed with the right key", "domain:D1", blob, "Reserved")
    r.done()

    r = Refusals("header-payload-length", "len(P) is not that of the payload there is, or not possible.")
    for size in [0, 65537, 1 << 24, 2**31, 2**32 - 1]:
        r.blob(f"{size}", "domain:D1", put(one, 12, size.to_bytes(4, "little")), "PayloadLength")
    for size, why in [
        (1, "TooLong"), (len(PX) - 1, "TooLong"), (len(PX) + 1, "CutShort"),
        (len(PX) ^ 256, "CutShort"), (65535, "CutShort"), (65536, "CutShort"),
    ]:
        r.blob(f"{size} of {len(PX)}", "domain:D1", put(one, 12, size.to_bytes(4, "little")), why)
    big = len(PX).to_bytes(4, "big")
    r.blob("big-endian", "domain:D1", put(one, 12, big), "PayloadLength")
    shorter = put(one, 12, (len(PX) - 1).to_bytes(4, "little"))
    r.blob("one less, and a byte of ciphertext less", "domain:D1", shorter[:-17] + shorter[-16:], "Altered")
    longer = put(one, 12, (len(PX) + 1).to_bytes(4, "little"))
    r.blob("one more, and a byte of ciphertext more", "domain:D1", longer[:-16] + b"\0" + longer[-16:], "Altered")
    empty = f.header(OBJECT, 1, 0)
    key = f.object_key([D1], empty, b"")
    blob = f.assemble(empty, [f.stanza(D1, empty, key, b"")], key, b"")
    r.blob("0, an empty payload sealed with the right key", "domain:D1", blob, "PayloadLength")
    r.done()


# --- Refused: what follows the header --------------------------------------------------------------


def refused_bits():
    blob = f.seal(OBJECT, [D1, D2], PX)
    first, second = (("domain:D1", "domain:D2") if blob.ordered()[0] == blob.stanzas[0]
                     else ("domain:D2", "domain:D1"))
    at = HEADER + 2 * STANZA
    end = len(blob.blob)

    def bits(name, about, regions):
        r = Refusals(name, about + " 2 domains; byte offsets are the blob's.")
        for held, why, low, high in regions:
            for byte, mask in [(low, 1), (low, 128), ((low + high) // 2, 4), (high - 1, 1), (high - 1, 128)]:
                altered = flip(blob.blob, byte, mask)
                name = f"byte {byte} xor {mask}, held {held.replace('domain:', '')}"
                r.blob(name, held, altered, why)
        r.done()

    both = f"{first} {second}"

    # A stanza's own domain no longer unwraps K; the other's still does, and the tag covers both.
    def stanza_regions(offset):
        out = []
        for number, (own, other) in enumerate([(first, second), (second, first)]):
            low = HEADER + STANZA * number + offset
            out += [(own, "NoDomain", low, low + 32), (other, "Altered", low, low + 32)]
            out += [(both, "Altered", low, low + 32)]
        return out

    bits("bit-in-salt", "A bit of a stanza's salt.", stanza_regions(0))
    bits("bit-in-wrapped-key", "A bit of a stanza's wrapped key.", stanza_regions(32))
    bits("bit-in-commitment", "A bit of the commitment.",
         [(h, "NoDomain", at, at + 32) for h in ["domain:D1", both]])
    bits("bit-in-ciphertext", "A bit of the ciphertext.",
         [(h, "Altered", at + 32, end - 16) for h in ["domain:D1", both]])
    bits("bit-in-tag", "A bit of the tag.", [(h, "Altered", end - 16, end) for h in ["domain:D1", both]])

    def single(kind, held, payload):
        sealed = f.seal(kind, [ROOT[held]], payload).blob
        r = Refusals(f"bit-in-kind-{kind}", f"A bit of each part of a blob of kind {kind}, 1 stanza.")
        for part, byte, why in [
            ("salt", 16, "NoDomain"), ("wrapped key", 48, "NoDomain"), ("commitment", 80, "NoDomain"),
            ("ciphertext", 112, "Altered"), ("tag", len(sealed) - 1, "Altered"),
        ]:
            r.blob(part, held, flip(sealed, byte), why, kind)
        r.done()

    single(OBJECT_UNDER_SMK, "smk:M1", PX)
    single(SMK, "domain:D1", P_SMK)


def refused_lengths():
    blob = f.seal(OBJECT, [D1, D2], PX).blob
    end = len(blob)
    borders = {
        0: "everything", 7: "the magic", 8: "the version", 9: "the kind", 10: "n", 12: "the reserved bytes",
        16: "the header", 48: "salt 1", 80: "stanza 1", 112: "salt 2", 144: "stanza 2",
        176: "the commitment", end - 16: "the ciphertext", end: "the tag",
    }
    r = Refusals("cut-short", f"A blob of {end} bytes cut at every boundary, and a byte before and after each.")
    for at, what in borders.items():
        for keep, where in [(at - 1, "a byte before the end of"), (at, "after"), (at + 1, "a byte after")]:
            name = f"{where} {what}" if at else f"{keep} bytes left"
            if 0 <= keep < end:
                r.blob(name, "domain:D1 domain:D2", blob[:keep], "CutShort")
    r.done()

    r = Refusals("bytes-after-end", "Bytes after the end that the header states.")
    for name, more in [
        ("a zero", b"\0"), ("a newline", b"\n"), ("16 bytes, as one more tag", secret("tag", 16)),
        ("a stanza's worth", secret("stanza", 64)), ("the same blob again", blob),
    ]:
        r.blob(name, "domain:D1 domain:D2", blob + more, "TooLong")
    r.done()

    r = Refusals("bytes-lost-or-shifted", "As long as stated, but a byte is missing, inserted or moved inside.")
    one = f.seal(OBJECT, [D1], PX).blob
    for at, what in [(16, "the salt"), (48, "the wrapped key"), (80, "the commitment"), (112, "the ciphertext"),
                     (len(one) - 16, "the tag")]:
        # Up to the commitment, everything after the byte moves, so no commitment fits.
        why = "NoDomain" if at <= 80 else "Altered"
        r.blob(f"first byte of {what} gone, a zero at the end", "domain:D1", one[:at] + one[at + 1 :] + b"\0", why)
        r.blob(f"a zero before {what}, the last byte gone", "domain:D1", one[:at] + b"\0" + one[at:-1], why)
    r.done()


def refused_stanzas():
    one, two, three = (f.seal(OBJECT, [D1, D2, D3][:n], PX) for n in (1, 2, 3))
    stanza_of = dict(zip(["domain:D1", "domain:D2", "domain:D3"], three.stanzas))
    garbage = secret("garbage stanza", 64)

    def rebuilt(sealed, stanzas):
        return f.header(OBJECT, len(stanzas), len(PX)) + b"".join(stanzas) + sealed.tail()

    r = Refusals("stanza-dropped", "A stanza removed and n made to fit; by one who holds no domain.")
    for lost in stanza_of:
        kept = sorted(s for name, s in stanza_of.items() if name != lost)
        held = [name for name in stanza_of if name != lost]
        what = lost.replace("domain:", "")
        r.blob(f"{what} of 3, held by the others", " ".join(held), rebuilt(three, kept), "Altered")
        r.blob(f"{what} of 3, held by it", lost, rebuilt(three, kept), "NoDomain")
        r.blob(f"all but {what} of 3", lost, rebuilt(three, [stanza_of[lost]]), "Altered")
    r.blob("D2 of 2", "domain:D1", rebuilt(two, [two.stanzas[0]]), "Altered")
    r.blob("D1 of 2, n left as it was", "domain:D2", two.head + two.stanzas[1] + two.tail(), "CutShort")
    r.done()

    r = Refusals("stanza-doubled", "A stanza twice.")
    r.blob("1 made 2", "domain:D1", rebuilt(one, one.stanzas * 2), "StanzaOrder")
    r.blob("1 made 3", "domain:D1", rebuilt(one, one.stanzas * 3), "StanzaOrder")
    a, b = two.ordered()
    r.blob("the first in place of the second", "domain:D1 domain:D2", rebuilt(two, [a, a]), "StanzaOrder")
    r.blob("the second in place of the first", "domain:D1 domain:D2", rebuilt(two, [b, b]), "StanzaOrder")
    r.blob("the first of 2 as a third", "domain:D1 domain:D2", rebuilt(two, [a, a, b]), "StanzaOrder")
    r.blob("the second of 2 as a third", "domain:D1 domain:D2", rebuilt(two, [a, b, b]), "StanzaOrder")
    head = f.header(OBJECT, 2, len(PX))
    key = f.object_key([D1, D1], head, PX)
    same = f.stanza(D1, head, key, PX)
    r.blob("sealed with the right key", "domain:D1", f.assemble(head, [same, same], key, PX), "StanzaOrder")
    r.blob("1 of 1 again, n left as it was", "domain:D1", one.head + one.stanzas[0] * 2 + one.tail(), "TooLong")
    r.done()

    r = Refusals("stanza-out-of-order", "Stanzas not strictly ascending, altered or sealed so.")
    orders = [(two, (1, 0))] + [(three, p) for p in [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]]
    for sealed, order in orders:
        stanzas = [sealed.ordered()[i] for i in order]
        name = " ".join(str(i + 1) for i in order) + f" of {sealed.n}"
        held = "domain:D1 domain:D2 domain:D3"
        r.blob(f"{name}, moved", held, rebuilt(sealed, stanzas), "StanzaOrder")
        blob = f.assemble(sealed.head, stanzas, sealed.key, PX)
        r.blob(f"{name}, sealed with the right key", held, blob, "StanzaOrder")
    halves = [s[32:] + s[:32] for s in two.ordered()]
    r.blob("salt and wrapped key exchanged in each", "domain:D1 domain:D2", rebuilt(two, sorted(halves)), "NoDomain")
    r.done()

    r = Refusals("stanza-garbage", "A stanza that nobody's domain made, added or in place of one.")
    for label, extra in [("garbage", garbage), ("zeros", bytes(64)), ("ones", b"\xff" * 64)]:
        r.blob(f"{label} added to 1", "domain:D1", rebuilt(one, sorted([*one.stanzas, extra])), "Altered")
        r.blob(f"{label} added to 2", "domain:D1 domain:D2", rebuilt(two, sorted([*two.stanzas, extra])), "Altered")
        for held, why in [("domain:D1", "Altered"), ("domain:D2", "NoDomain"), ("domain:D1 domain:D2", "Altered")]:
            blob = rebuilt(two, sorted([two.stanzas[0], extra]))
            r.blob(f"{label} for D2, held {held.replace('domain:', '')}", held, blob, why)
    r.blob("garbage for the only one", "domain:D1", rebuilt(one, [garbage]), "NoDomain")
    r.blob("one more after a stanza of D9's own making", "domain:D9",
           rebuilt(one, sorted([*one.stanzas, f.stanza(D9, one.head, secret("guess"), PX)])), "NoDomain")
    r.done()

    # The same object under other domains, and another object under the same: headers are equal.
    sibling = f.seal(OBJECT, [D1, D3], PX)
    stranger = f.seal(OBJECT, [D1, D2], PY)
    smk = f.seal(SMK, [D1, D2], PX)
    r = Refusals("stanza-spliced", "A stanza of another valid blob, added or in place of one.")
    s1, s2 = two.stanzas
    for label, other in [("the same object", sibling), ("another object", stranger), ("an SMK", smk)]:
        o1, o2 = other.stanzas
        used = "domain:D3" if other is sibling else "domain:D2"
        name = used.replace("domain:", "")
        r.blob(f"{name}'s of {label} for D2's, held D1", "domain:D1", rebuilt(two, sorted([s1, o2])), "Altered")
        r.blob(f"{name}'s of {label} for D2's, held {name}", used, rebuilt(two, sorted([s1, o2])), "NoDomain")
        r.blob(f"D1's of {label} for D1's, held D1", "domain:D1", rebuilt(two, sorted([o1, s2])), "NoDomain")
        r.blob(f"D1's of {label} for D1's, held both", "domain:D1 domain:D2", rebuilt(two, sorted([o1, s2])), "Altered")
        r.blob(f"D1's of {label} added, held D1", "domain:D1", rebuilt(two, sorted([s1, s2, o1])), "Altered")
        r.blob(f"{name}'s of {label} added, held {name}", used, rebuilt(two, sorted([s1, s2, o2])),
               "Altered" if used == "domain:D2" else "NoDomain")
        r.blob(f"all of {label}", "domain:D1 domain:D2", rebuilt(two, other.ordered()), "NoDomain")
    r.done()

    r = Refusals("parts-spliced", "Header, commitment, ciphertext or tag of another valid blob of the same size.")
    at = HEADER + 2 * STANZA
    for label, other, commit in [("the same object", sibling, "NoDomain"), ("another object", stranger, "NoDomain")]:
        own, theirs = two.blob, other.blob
        for part, low, high, why in [
            ("commitment", at, at + 32, commit), ("ciphertext", at + 32, len(own) - 16, "Altered"),
            ("tag", len(own) - 16, len(own), "Altered"), ("ciphertext and tag", at + 32, len(own), "Altered"),
            ("commitment, ciphertext and tag", at, len(own), commit),
        ]:
            r.blob(f"{part} of {label}", "domain:D1 domain:D2", put(own, low, theirs[low:high]), why)
    r.done()


# --- Refused: what a holder of another domain can try ----------------------------------------------


def refused_insider():
    """The attacker holds D2 of a blob of D1 and D2, so knows K, P and both wraps' pads, but not D1."""
    two = f.seal(OBJECT, [D1, D2], PX)
    h, k = two.head, two.key
    s1, s2 = two.stanzas
    assert len(PX) == len(PY)
    r = Refusals("payload-changed-by-other-domain",
                 "Of a blob of D1 and D2, made by one who holds D2 but not D1; D1's slot refuses. The tag and the "
                 "commitment are right in all of them.")
    own2 = f.stanza(D2, h, k, PY)
    r.blob("same K, both stanzas as they were", "domain:D1", f.assemble(h, two.ordered(), k, PY), "Altered")
    blob = f.assemble(h, sorted([s1, own2]), k, PY)
    r.blob("same K, D2's stanza made anew", "domain:D1", blob, "Altered")
    r.blob("same K, D2's stanza made anew, held both", "domain:D1 domain:D2", blob, "Altered")

    other = f.object_key([D2], h, PY)
    other2 = f.stanza(D2, h, other, PY)
    r.blob("another K, D1's stanza as it was", "domain:D1", f.assemble(h, sorted([s1, other2]), other, PY), "NoDomain")
    # K xor wrapped is D1's pad for that salt, so any key can be wrapped there: only the salt is not theirs.
    pad1 = f.xor(k, s1[32:])
    rewrapped = s1[:32] + f.xor(other, pad1)
    blob = f.assemble(h, sorted([rewrapped, other2]), other, PY)
    r.blob("another K, wrapped with D1's known pad", "domain:D1", blob, "Altered")
    r.blob("another K, wrapped with D1's known pad, held both", "domain:D1 domain:D2", blob, "Altered")
    blob = f.assemble(h, sorted([s1[:32] + f.xor(secret("another K"), pad1), s2]), secret("another K"), PX)
    r.blob("another K for the same payload, wrapped with D1's known pad", "domain:D1", blob, "Altered")
    guess = f.stanza(D2, h, k, PY)[:32]
    r.blob("same K, D1's stanza with D2's salt", "domain:D1",
           f.assemble(h, sorted([guess + f.xor(k, pad1), own2]), k, PY), "NoDomain")

    hz = f.header(OBJECT, 2, len(PZ))
    blob = f.assemble(hz, sorted([s1, f.stanza(D2, hz, k, PZ)]), k, PZ)
    r.blob("same K, a longer payload", "domain:D1", blob, "Altered")
    r.blob("same K, one byte of payload", "domain:D1",
           f.assemble(f.header(OBJECT, 2, 1), two.ordered(), k, b"\1"), "Altered")

    third = f.seal(OBJECT, [D1, D2], PY)
    r.blob("D1's stanza and K of another blob of the same domains", "domain:D1",
           f.assemble(h, sorted([third.stanzas[0], s2]), third.key, PX), "Altered")
    r.done()

    r = Refusals("header-changed-by-other-domain",
                 "As payload-changed-by-other-domain, the payload as it was: kind or number of stanzas changed.")
    hk = f.header(SMK, 2, len(PX))
    blob = f.assemble(hk, sorted([s1, f.stanza(D2, hk, k, PX)]), k, PX)
    r.blob("an object made an SMK", "domain:D1", blob, "Altered", SMK)
    h1 = f.header(OBJECT, 1, len(PX))
    r.blob("D2's stanza dropped", "domain:D1", f.assemble(h1, [s1], k, PX), "Altered")
    h3 = f.header(OBJECT, 3, len(PX))
    s9 = f.stanza(D9, h3, k, PX)
    blob = f.assemble(h3, sorted([s1, f.stanza(D2, h3, k, PX), s9]), k, PX)
    r.blob("a stanza of D9 added", "domain:D1", blob, "Altered")
    r.done()


# --- Refused: kinds and domains --------------------------------------------------------------------


def refused_kinds():
    obj = f.seal(OBJECT, [D1], PX).blob
    under = f.seal(OBJECT_UNDER_SMK, [M1], PX).blob
    smk = f.seal(SMK, [D1], P_SMK).blob
    r = Refusals("wrong-kind", "A blob of one kind where another is taken, as it is or with its kind byte changed.")
    for label, blob, held in [("an object", obj, "domain:D1"), ("an SMK", smk, "domain:D1"),
                              ("an object under an SMK", under, "smk:M1")]:
        for kind in [OBJECT, OBJECT_UNDER_SMK, SMK]:
            if blob[8] == kind:
                continue
            r.blob(f"{label} as kind {kind}", held, blob, "WrongKind", kind)
            r.blob(f"{label} made kind {kind}", held, put(blob, 8, bytes([kind])), "Altered", kind)
            r.blob(f"{label} made kind {kind}, not taken here", held, put(blob, 8, bytes([kind])),
                   "WrongKind", blob[8])
    r.done()

    r = Refusals("domain-does-not-match", "A valid blob, and none of its domains in the slot.")
    three = f.seal(OBJECT, [D1, D2, D3], PX).blob
    r.blob("1 of the blob, 1 of the slot", "domain:D9", obj, "NoDomain")
    r.blob("3 of the blob, 1 of the slot", "domain:D9", three, "NoDomain")
    r.blob("1 of the blob, 3 of the slot", "domain:D2 domain:D3 domain:D9", obj, "NoDomain")
    r.blob("no domain in the slot", "", obj, "NoDomain")
    r.blob("another SMK", "smk:M9", under, "NoDomain", OBJECT_UNDER_SMK)
    r.blob("an SMK under another domain", "domain:D9", smk, "NoDomain", SMK)
    r.blob("the SMK's bytes as a domain", "domain:M1", under, "NoDomain", OBJECT_UNDER_SMK)
    r.blob("the domain's bytes as an SMK", "smk:D1", obj, "NoDomain")
    r.done()


# --- Refused: payloads, all sealed with the right key ----------------------------------------------

PARTS = f.fields(RICH)


def replaced(**changes):
    """RICH with fields replaced by name; a name is written with _ for space."""
    changes = {name.replace("_", " "): raw for name, raw in changes.items()}
    assert set(changes) <= {name for name, _ in PARTS}, changes
    return f.join([(name, changes.get(name, raw)) for name, raw in PARTS])


INTEGERS = {  # name: widest marker that its type has
    "created": 253, "class": 252, "key type": 252, "attribute count": 253,
    "0x3 number": 252, "0x103 number": 252, "0x3 length": 253, "0x11 length": 253, "0x102 length": 253,
    "0x161 value": 253, "0x110 year": 251,
}


def value_of(raw):
    return raw[0] if len(raw) == 1 else int.from_bytes(raw[1:], "little")


def refused_encodings():
    parts = dict(PARTS)
    r = Refusals("payload-integer-not-minimal", "An integer in a longer form than it needs.")
    for name, widest in INTEGERS.items():
        for marker in [251, 252, 253, 254]:
            if len(parts[name]) > 1 and marker == parts[name][0]:
                continue
            why = "NotCanonical" if marker <= widest else "Malformed"
            longer = f.varint(value_of(parts[name]), marker)
            r.payload(f"{name} in the form of {marker}", replaced(**{name: longer}), why)
    big = copy.deepcopy(X)
    for value, marker in [(250, 251), (251, 252), (65535, 252), (65536, 253), (2**32 - 1, 253)]:
        big["created_secs"] = value
        wrong = [(n, f.varint(value, marker) if n == "created" else raw) for n, raw in f.fields(big)]
        r.payload(f"created {value} in the form of {marker}", f.join(wrong), "NotCanonical")
    r.payload("created in the unused form 255", replaced(created=b"\xff" + bytes(16)), "Malformed")
    r.done()

    r = Refusals("payload-not-canonical", "Attributes unsorted or twice, bytes left over.")
    whole = f.encode(RICH)

    def with_attributes(attributes):
        return f.encode({**RICH, "attributes": attributes})

    a = RICH["attributes"]
    for i in range(len(a) - 1):
        swapped = a[:i] + [a[i + 1], a[i]] + a[i + 2 :]
        r.payload(f"attributes {i + 1} and {i + 2} exchanged", with_attributes(swapped), "Malformed")
    r.payload("attributes descending", with_attributes(a[::-1]), "Malformed")
    for i in range(len(a)):
        r.payload(f"attribute {i + 1} twice", with_attributes(a[: i + 1] + a[i:]), "Malformed")
    r.payload("the label twice, with another value", with_attributes(
        [a[0], {"cka": 0x3, "text": "poor"}] + a[1:]), "Malformed")
    for label, more in [("a zero", b"\0"), ("a one", b"\1"), ("itself", whole), ("the version", whole[:1])]:
        r.payload(f"{label} after the end", whole + more, "Malformed")
    r.done()

    r = Refusals("payload-value-not-possible", "A byte that no value of its type has.")
    for byte in [2, 128, 255]:
        r.payload(f"boolean {byte}", replaced(**{"0x103 bool": bytes([byte])}), "Malformed")
        r.payload(f"option {byte}", replaced(key_type_option=bytes([byte])), "Malformed")
    r.payload("option 0 before a key type", replaced(key_type_option=b"\0"), "Malformed")
    for tag in [6, 7, 128, 250, 251, 255]:
        r.payload(f"attribute tag {tag}", replaced(**{"0x161 tag": bytes([tag])}), "Malformed")
    for label, raw in [
        ("a lone continuation byte", b"ri\x80h"), ("ff", b"ric\xff"), ("cut", b"ric\xc3"),
        ("an overlong NUL", b"ri\xc0\x80"), ("a surrogate", b"r\xed\xa0\x80"),
        ("past U+10FFFF", b"\xf4\x90\x80\x80"),
    ]:
        r.payload(f"string not UTF-8: {label}", replaced(**{"0x3 text": raw}), "Malformed")
    for y, m, d in [(10000, 1, 1), (65535, 1, 1), (200, 0, 1), (200, 13, 1), (200, 255, 1),
                    (200, 1, 0), (200, 1, 32), (200, 1, 255), (0, 0, 0)]:
        date = {"0x110 year": f.varint(y), "0x110 month": bytes([m]), "0x110 day": bytes([d])}
        r.payload(f"date {y}-{m}-{d}", replaced(**date), "Malformed")
    r.done()

    r = Refusals("payload-object-not-possible", "A secret in the clear, a value hidden that is none, class as attribute.")
    value = "00112233445566778899aabbccddeeff"

    def holding(cls, cka, attribute):
        return f.encode({**RICH, "class": cls, "attributes": [{"cka": cka, **attribute}]})

    forms = {"bytes": value, "text": "secret", "number": 1, "bool": True, "date": [2026, 1, 1]}
    for form, plain in forms.items():
        r.payload(f"a secret key's value as {form}", holding(4, 0x11, {form: plain}), "Malformed")
    r.payload("a data object's value as bytes", holding(0, 0x11, {"bytes": value}), "Malformed")
    for cka in [0x11, *range(0x123, 0x129)]:
        r.payload(f"a private key's 0x{cka:x} as bytes", holding(3, cka, {"bytes": value}), "Malformed")
    for cls, cka, what in [
        (4, 0x3, "label"), (4, 0x102, "id"), (4, 0x123, "private exponent of a secret key"),
        (3, 0x120, "modulus"), (3, 0x122, "public exponent"), (2, 0x11, "value of a public key"),
        (1, 0x11, "value of a certificate"), (0, 0x10, "application"), (2**31, 0x11, "value of a vendor class"),
    ]:
        r.payload(f"{what} as a secret", holding(cls, cka, {"secret": value}), "Malformed")
    for form, plain in [("number", 4), ("bytes", "04")]:
        r.payload(f"CKA_CLASS as {form}", holding(4, 0x0, {form: plain}), "Malformed")
        r.payload(f"CKA_KEY_TYPE as {form}", holding(4, 0x100, {form: plain}), "Malformed")
    r.done()

    r = Refusals("payload-length-lies", "A length that is not that of what follows.")
    lies = [0, 65536, 65537, 2**31, 2**32, 2**33, 2**63, 2**64 - 1]
    for name in ["0x3 length", "0x11 length", "0x102 length", "attribute count"]:
        true = value_of(parts[name])
        for lie in [true - 1, true + 1, *lies]:
            r.payload(f"{name} {lie} of {true}", replaced(**{name: f.varint(lie)}), "Malformed")
    r.payload("2^64-1 attributes and none there", f.join(PARTS[:5] + [("n", f.varint(2**64 - 1))]), "Malformed")
    only = f.fields({**RICH, "attributes": [{"cka": 0x102, "bytes": ""}]})
    r.payload("2^33 bytes and none there", f.join(only)[:-1] + f.varint(2**33), "Malformed")
    r.done()

    r = Refusals("payload-cut-short", "A payload cut at every boundary, and in the middle of each longer part.")
    at = 0
    for name, raw in PARTS:
        for keep, where in [(at, "before"), (at + len(raw) // 2, "inside")]:
            if keep and (where == "before" or keep > at):
                r.payload(f"{where} {name}", whole[:keep], "Malformed")
        at += len(raw)
    r.done()

    r = Refusals("payload-version-unknown", "A payload version that this build does not know: authentic, so not EACCES.")
    for version in [0, 2, 3, 250, 251, 255]:
        r.payload(f"version {version}", bytes([version]) + whole[1:], "Version")
    r.payload("version 2 and nothing else", b"\2", "Version")
    r.payload("version 2 and another body", b"\2" + secret("another body", 40), "Version")
    r.done()

    r = Refusals("payload-not-an-object", "Authentic bytes that are none.")
    r.payload("a version alone", b"\1", "Malformed")
    r.payload("zeros after the version, too many", b"\1" + bytes(60), "Malformed")
    r.payload("ones after the version", b"\1" + b"\xff" * 60, "Malformed")
    r.payload("a blob", b"\1" + f.seal(OBJECT, [D1], PX).blob, "Malformed")
    r.done()


def main():
    for make in [blobs, same_object, payloads, domains, refused_headers, refused_bits, refused_lengths,
                 refused_stanzas, refused_insider, refused_kinds, refused_encodings]:
        make()
    if "--check" in sys.argv[1:]:
        there = {p.relative_to(VECTORS).as_posix(): p for p in VECTORS.rglob("*.json")}
        differ = [n for n in files.keys() | there.keys()
                  if n not in there or files.get(n) != there[n].read_text(encoding="utf-8")]
        sys.exit("differ: " + ", ".join(sorted(differ)) if differ else 0)
    for old in VECTORS.rglob("*.json"):
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
