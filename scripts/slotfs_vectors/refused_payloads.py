"""Refused: payloads that are wrong, all sealed with the right key."""

import copy

from . import format as f
from .common import D1, PX, RICH, Refusals, X, secret
from .format import OBJECT

PARTS = f.fields(RICH)
PART = dict(PARTS)
WHOLE = f.encode(RICH)


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


def integers():
    r = Refusals("payload-integer-not-minimal", "An integer in a longer form than it needs.")
    for name, widest in INTEGERS.items():
        for marker in [251, 252, 253, 254]:
            if len(PART[name]) > 1 and marker == PART[name][0]:
                continue
            why = "NotCanonical" if marker <= widest else "Malformed"
            longer = f.varint(value_of(PART[name]), marker)
            r.payload(f"{name} in the form of {marker}", replaced(**{name: longer}), why)
    big = copy.deepcopy(X)
    for value, marker in [(250, 251), (251, 252), (65535, 252), (65536, 253), (2**32 - 1, 253)]:
        big["created_secs"] = value
        wrong = [(n, f.varint(value, marker) if n == "created" else raw) for n, raw in f.fields(big)]
        r.payload(f"created {value} in the form of {marker}", f.join(wrong), "NotCanonical")
    r.payload("created in the unused form 255", replaced(created=b"\xff" + bytes(16)), "Malformed")
    r.done()


def attributes():
    r = Refusals("payload-not-canonical", "Attributes unsorted or twice, bytes left over.")

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
    for label, more in [("a zero", b"\0"), ("a one", b"\1"), ("itself", WHOLE), ("the version", WHOLE[:1])]:
        r.payload(f"{label} after the end", WHOLE + more, "Malformed")
    r.done()


def values():
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


def objects():
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


def lengths():
    r = Refusals("payload-length-lies", "A length that is not that of what follows.")
    lies = [0, 65536, 65537, 2**31, 2**32, 2**33, 2**63, 2**64 - 1]
    for name in ["0x3 length", "0x11 length", "0x102 length", "attribute count"]:
        true = value_of(PART[name])
        for lie in [true - 1, true + 1, *lies]:
            r.payload(f"{name} {lie} of {true}", replaced(**{name: f.varint(lie)}), "Malformed")
    r.payload("2^64-1 attributes and none there", f.join(PARTS[:5] + [("n", f.varint(2**64 - 1))]), "Malformed")
    only = f.fields({**RICH, "attributes": [{"cka": 0x102, "bytes": ""}]})
    r.payload("2^33 bytes and none there", f.join(only)[:-1] + f.varint(2**33), "Malformed")
    r.done()


def cuts():
    r = Refusals("payload-cut-short", "A payload cut at every boundary, and in the middle of each longer part.")
    at = 0
    for name, raw in PARTS:
        for keep, where in [(at, "before"), (at + len(raw) // 2, "inside")]:
            if keep and (where == "before" or keep > at):
                r.payload(f"{where} {name}", WHOLE[:keep], "Malformed")
        at += len(raw)
    r.done()


def versions():
    r = Refusals("payload-version-unknown", "A payload version that this build does not know: authentic, so not EACCES.")
    for version in [0, 3, 4, 250, 251, 255]:
        r.payload(f"version {version}", bytes([version]) + WHOLE[1:], "Version")
    r.payload("version 3 and nothing else", b"\3", "Version")
    r.payload("version 3 and another body", b"\3" + secret("another body", 40), "Version")
    r.done()


def revisions():
    r = Refusals("payload-revision", "A version that says more than needed, or a revision that no object has.")
    modifiable = {**X, "attributes": X["attributes"] + [{"cka": 0x170, "bool": True}]}
    fixed = {**X, "attributes": X["attributes"] + [{"cka": 0x170, "bool": False}]}
    changed = {**modifiable, "revision": 1, "changed_secs": 7}

    def wrong(obj, **changes):
        changes = {name.replace("_", " "): raw for name, raw in changes.items()}
        return f.join([(name, changes.get(name, raw)) for name, raw in f.fields(obj, 2)])

    r.payload("version 2 at revision 0", wrong(X), "NotCanonical")
    r.payload("version 2 at revision 0, modifiable", wrong(modifiable), "NotCanonical")
    says_true = f.join(f.fields(modifiable)[:-1]) + b"\1"
    r.payload("version 1 that says modifiable", says_true, "NotCanonical")
    r.payload("a time at revision 0", wrong(fixed, changed=b"\7"), "Malformed")
    r.payload("no time at revision 1", wrong(changed, changed=b"\0"), "Malformed")
    r.payload("revision 0 of a changed object", wrong(changed, revision=b"\0"), "Malformed")
    for number in [2**31 + 1, 2**32 - 1]:
        r.payload(f"revision {number}", wrong(changed, revision=f.varint(number)), "Revision")
    for name, value in [("revision", 1), ("changed", 7)]:
        for marker in [251, 252, 253, 254]:
            why = "NotCanonical" if marker <= (252 if name == "revision" else 253) else "Malformed"
            r.payload(f"{name} in the form of {marker}", wrong(changed, **{name: f.varint(value, marker)}), why)
    r.payload("version 2 and the body of version 1", b"\2" + WHOLE[1:], "Malformed")
    r.payload("version 1 and the body of version 2", b"\1" + f.encode(changed)[1:], "Malformed")
    r.payload("version 2 and nothing else", b"\2", "Malformed")
    r.done()


def others():
    r = Refusals("payload-not-an-object", "Authentic bytes that are none.")
    r.payload("a version alone", b"\1", "Malformed")
    r.payload("zeros after the version, too many", b"\1" + bytes(60), "Malformed")
    r.payload("ones after the version", b"\1" + b"\xff" * 60, "Malformed")
    r.payload("a blob", b"\1" + f.seal(OBJECT, [D1], PX).blob, "Malformed")
    r.done()


def make():
    integers()
    attributes()
    values()
    objects()
    lengths()
    cuts()
    versions()
    revisions()
    others()
