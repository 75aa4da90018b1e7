"""The sealed blob of docs/format.md and its payload, a second time.

Written from docs/format.md and from the table at the top of src/codec.rs, not from the Rust, so that the
two can disagree. Clear before fast, not constant-time, for test vectors only. See ../vectors.py.
"""

import base64
import hashlib
import hmac as hmac_module
from dataclasses import dataclass
from itertools import combinations, pairwise

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_PAYLOAD = 65536
HEADER, STANZA, COMMITMENT, TAG = 16, 64, 32, 16
OBJECT, OBJECT_UNDER_SMK, SMK = 1, 2, 3


class Refused(Exception):
    """Why a blob or payload is refused: "blob X" for a blob::Fault X, "payload X" for a PayloadFault X."""


# --- HMAC and HKDF (RFC 5869) over SHA-256 ---------------------------------------------------------


def hmac(key, message):
    return hmac_module.new(key, message, hashlib.sha256).digest()


def hkdf_extract(salt, ikm):
    return hmac(salt, ikm)


def hkdf_expand(prk, info, size):
    okm, block, counter = b"", b"", 1
    while len(okm) < size:
        block = hmac(prk, block + info + bytes([counter]))
        okm += block
        counter += 1
    return okm[:size]


def xor(a, b):
    assert len(a) == len(b)
    return bytes(x ^ y for x, y in zip(a, b))


# --- Domain keys -----------------------------------------------------------------------------------


def domain_from_string(text):
    return hash_secret_raw(
        secret=text.encode("utf-8"),
        salt=b"slotfs domain string 1",
        time_cost=3,
        memory_cost=256 * 1024,
        parallelism=4,
        hash_len=32,
        type=Type.ID,
        version=0x13,
    )


def pem(key, label="SLOTFS DOMAIN KEY", newline="\n"):
    body = base64.b64encode(key).decode()
    lines = [f"-----BEGIN {label}-----"]
    lines += [body[at : at + 64] for at in range(0, len(body), 64)]
    lines += [f"-----END {label}-----", ""]
    return newline.join(lines)


def domain_root(domain):
    return hkdf_extract(b"slotfs 1 domain", domain)


def smk_root(smk):
    return hkdf_extract(b"slotfs 1 smk", smk)


def fingerprint(root):
    return hkdf_expand(root, b"slotfs 1 fingerprint", 8)


# --- Sealing, step by step, so that an attacker's half-right blobs can be made from the same parts --


def header(kind, n, size, version=1, reserved=0):
    return (
        b"SLOTFSB"
        + bytes([version, kind, n])
        + reserved.to_bytes(2, "little")
        + size.to_bytes(4, "little")
    )


def set_key(roots):
    """The HMAC key of a set of domains, from which K is made."""
    prk = hkdf_extract(b"slotfs 1 domains", b"".join(sorted(roots)))
    return hkdf_expand(prk, b"slotfs 1 object key", 32)


def object_key(roots, head, payload):
    return hmac(set_key(roots), head + payload)


def salt_key(root):
    return hkdf_expand(root, b"slotfs 1 salt", 32)


def stanza_salt(root, head, key, payload):
    return hmac(salt_key(root), head + key + payload)


def pad(root, salt):
    return hkdf_expand(root, b"slotfs 1 wrap" + salt, 32)


def stanza(root, head, key, payload):
    salt = stanza_salt(root, head, key, payload)
    return salt + xor(key, pad(root, salt))


def payload_keys(key):
    okm = hkdf_expand(key, b"slotfs 1 payload", 76)
    return okm[:32], okm[32:44], okm[44:]


def assemble(head, stanzas, key, payload):
    """A blob of exactly these parts, sealed under K = `key`, whether or not they belong together."""
    aes, nonce, commitment = payload_keys(key)
    before = head + b"".join(stanzas) + commitment
    return before + AESGCM(aes).encrypt(nonce, payload, before)


@dataclass
class Sealed:
    kind: int
    roots: list
    payload: bytes
    head: bytes
    key: bytes
    stanzas: list  # in the order of `roots`
    blob: bytes

    @property
    def n(self):
        return len(self.roots)

    def ordered(self):
        return sorted(self.stanzas)

    def tail(self):
        """Commitment, ciphertext, tag."""
        return self.blob[HEADER + STANZA * self.n :]


def seal(kind, roots, payload):
    head = header(kind, len(roots), len(payload))
    key = object_key(roots, head, payload)
    stanzas = [stanza(root, head, key, payload) for root in roots]
    blob = assemble(head, sorted(stanzas), key, payload)
    assert len(blob) == HEADER + STANZA * len(roots) + COMMITMENT + len(payload) + TAG
    return Sealed(kind, roots, payload, head, key, stanzas, blob)


# --- Opening: in the order of docs/format.md, so that the reason is the first that shows --------


def open_blob(kind, roots, blob):
    """P, or Refused."""
    if blob[:7] != b"SLOTFSB"[: len(blob)]:
        raise Refused("blob NotABlob")
    if len(blob) < HEADER:
        raise Refused("blob CutShort")
    head = blob[:HEADER]
    n, size = head[9], int.from_bytes(head[12:16], "little")
    if head[7] != 1:
        raise Refused("blob UnknownVersion")
    if head[8] not in (OBJECT, OBJECT_UNDER_SMK, SMK):
        raise Refused("blob UnknownKind")
    if head[10:12] != b"\0\0":
        raise Refused("blob Reserved")
    if not 1 <= n <= (1 if head[8] == OBJECT_UNDER_SMK else 3):
        raise Refused("blob Stanzas")
    if not 1 <= size <= MAX_PAYLOAD:
        raise Refused("blob PayloadLength")
    if head[8] != kind:
        raise Refused("blob WrongKind")
    whole = HEADER + STANZA * n + COMMITMENT + size + TAG
    if len(blob) < whole:
        raise Refused("blob CutShort")
    if len(blob) > whole:
        raise Refused("blob TooLong")

    at = HEADER + STANZA * n
    stanzas = [blob[i : i + STANZA] for i in range(HEADER, at, STANZA)]
    if any(a >= b for a, b in pairwise(stanzas)):
        raise Refused("blob StanzaOrder")
    commitment = blob[at : at + COMMITMENT]
    ours = []
    for one in stanzas:
        for root in roots:
            key = xor(one[32:], pad(root, one[:32]))
            if payload_keys(key)[2] == commitment:
                ours.append((root, one[:32], key))
    if not ours:
        raise Refused("blob NoDomain")
    key = ours[0][2]
    aes, nonce, _ = payload_keys(key)
    aad = blob[: at + COMMITMENT]
    try:
        payload = AESGCM(aes).decrypt(nonce, blob[len(aad) :], aad)
    except InvalidTag:
        raise Refused("blob Altered") from None
    if any(stanza_salt(root, head, key, payload) != salt for root, salt, _ in ours):
        raise Refused("blob Altered")
    held = [root for root, _, _ in ours]
    others = [root for root in roots if root not in held]
    # The sets of the slot's domains that the blob can have been sealed under; just one if all of its stanzas opened.
    sets = [held + list(more) for more in combinations(others, n - len(held))]
    known = key in [object_key(one, head, payload) for one in sets]
    if known != (len(held) == n):
        raise Refused("blob NotAsSealed")
    return payload


# --- The payload -----------------------------------------------------------------------------------

CLASS_DATA, CLASS_PRIVATE_KEY, CLASS_SECRET_KEY = 0, 3, 4
TAGS = {"bool": 0, "number": 1, "bytes": 2, "text": 3, "date": 4, "secret": 5}
WIDTHS = {251: 2, 252: 4, 253: 8}  # the byte that announces an integer: bytes that follow


def is_secret(cls, number):
    """PKCS#11 3.1, footnote 7 of the attribute tables, and CKA_VALUE of data objects."""
    if cls in (CLASS_SECRET_KEY, CLASS_DATA):
        return number == 0x11
    return cls == CLASS_PRIVATE_KEY and number in (0x11, *range(0x123, 0x129))


def varint(value, marker=None):
    """bincode's variable-length integer, or, with `marker`, the wider form that it announces."""
    if marker is None:
        if value < 251:
            return bytes([value])
        marker = 251 if value < 1 << 16 else 252 if value < 1 << 32 else 253
    return bytes([marker]) + value.to_bytes({**WIDTHS, 254: 16}[marker], "little")


# CKA_MODIFIABLE. Version 1 stores it as false by habit, and there false means true; an object here has the meaning.
MODIFIABLE = 0x170
MOST_REVISIONS = 1 << 31


def is_described(obj):
    """Whether version 1 cannot say it: it was changed, or it is unmodifiable on purpose."""
    return "revision" in obj or {"cka": MODIFIABLE, "bool": False} in obj["attributes"]


def fields(obj, version=None):
    """P as (name, bytes) in order; the names let a vector replace one field by something wrong.

    `version`: another one than the object's own, for a vector that is wrong."""
    version = version or (2 if is_described(obj) else 1)
    out = [
        ("version", bytes([version])),
        ("ouid", bytes.fromhex(obj["ouid"])),
        ("created", varint(obj["created_secs"])),
        ("class", varint(obj["class"])),
    ]
    if obj["key_type"] is None:
        out.append(("key type option", b"\0"))
    else:
        out += [("key type option", b"\1"), ("key type", varint(obj["key_type"]))]
    if version == 2:
        out += [("revision", varint(obj.get("revision", 0))), ("changed", varint(obj.get("changed_secs", 0)))]
    out.append(("attribute count", varint(len(obj["attributes"]))))
    for attribute in obj["attributes"]:
        if version == 1 and attribute == {"cka": MODIFIABLE, "bool": True}:
            attribute = {"cka": MODIFIABLE, "bool": False}
        out += attribute_fields(attribute)
    return out


def attribute_fields(attribute):
    number = attribute["cka"]
    (form,) = set(attribute) - {"cka"}
    value = attribute[form]
    at = f"0x{number:x} "
    out = [(at + "number", varint(number)), (at + "tag", bytes([TAGS[form]]))]
    if form == "bool":
        out.append((at + "bool", bytes([value])))
    elif form == "number":
        out.append((at + "value", varint(value)))
    elif form == "date":
        year, month, day = value
        out += [(at + "year", varint(year)), (at + "month", bytes([month])), (at + "day", bytes([day]))]
    else:
        raw = value.encode("utf-8") if form == "text" else bytes.fromhex(value)
        out += [(at + "length", varint(len(raw))), (at + form, raw)]
    return out


def join(parts):
    return b"".join(raw for _, raw in parts)


def encode(obj):
    return join(fields(obj))


class Reader:
    """Reads P; remembers whether any integer was longer than it need be."""

    def __init__(self, raw):
        self.raw, self.at, self.minimal = raw, 0, True

    def take(self, size):
        if size > len(self.raw) - self.at:
            raise Refused("payload Malformed")
        self.at += size
        return self.raw[self.at - size : self.at]

    def byte(self):
        return self.take(1)[0]

    def flag(self):
        value = self.byte()
        if value > 1:
            raise Refused("payload Malformed")
        return value == 1

    def integer(self, width):
        first = self.byte()
        if first < 251:
            return first
        if WIDTHS.get(first, 99) > width:
            raise Refused("payload Malformed")
        value = int.from_bytes(self.take(WIDTHS[first]), "little")
        self.minimal &= len(varint(value)) == 1 + WIDTHS[first]
        return value


def decode(raw):
    """The object that `raw` is, or Refused."""
    if not raw:
        raise Refused("payload Malformed")
    if raw[0] not in (1, 2):
        raise Refused("payload Version")
    if len(raw) > MAX_PAYLOAD:
        raise Refused("payload Malformed")
    r = Reader(raw)
    version = r.byte()
    obj = {"ouid": r.take(16).hex(), "created_secs": r.integer(8), "class": r.integer(4)}
    obj["key_type"] = r.integer(4) if r.flag() else None
    if version == 2:
        revision, changed = r.integer(4), r.integer(8)
        if revision > MOST_REVISIONS:
            raise Refused("payload Revision")
        if (revision == 0) != (changed == 0):
            raise Refused("payload Malformed")
        if revision:
            obj |= {"revision": revision, "changed_secs": changed}
    obj["attributes"] = []
    last = -1
    for _ in range(r.integer(8)):
        number = r.integer(4)
        if number <= last or number in (0x0, 0x100):  # CKA_CLASS and CKA_KEY_TYPE stand apart
            raise Refused("payload Malformed")
        last = number
        form = {tag: form for form, tag in TAGS.items()}.get(r.byte())
        if form is None or (form == "secret") != is_secret(obj["class"], number):
            raise Refused("payload Malformed")
        value = decode_value(r, form)
        if version == 1 and (number, form) == (MODIFIABLE, "bool"):
            # Nothing ever wrote true.
            r.minimal &= not value
            value = True
        obj["attributes"].append({"cka": number, form: value})
    if r.at != len(raw):
        raise Refused("payload Malformed")
    if not r.minimal or (version == 2) != is_described(obj):
        raise Refused("payload NotCanonical")
    assert encode(obj) == raw
    return obj


def decode_value(r, form):
    if form == "bool":
        return r.flag()
    if form == "number":
        return r.integer(8)
    if form == "date":
        year, month, day = r.integer(2), r.byte(), r.byte()
        if year > 9999 or not 1 <= month <= 12 or not 1 <= day <= 31:
            raise Refused("payload Malformed")
        return [year, month, day]
    raw = r.take(r.integer(8))
    if form != "text":
        return raw.hex()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("payload Malformed") from None
