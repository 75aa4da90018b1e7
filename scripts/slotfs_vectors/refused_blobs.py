"""Refused: what one who holds none of a blob's domains can do to it."""

from . import format as f
from .common import (
    D1,
    D2,
    D3,
    D9,
    KEYS,
    M1,
    P_SMK,
    PX,
    PY,
    ROOT,
    Refusals,
    flip,
    put,
    secret,
)
from .format import HEADER, OBJECT, OBJECT_UNDER_SMK, SMK, STANZA


def headers():
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


def bits():
    blob = f.seal(OBJECT, [D1, D2], PX)
    first, second = (("domain:D1", "domain:D2") if blob.ordered()[0] == blob.stanzas[0]
                     else ("domain:D2", "domain:D1"))
    at = HEADER + 2 * STANZA
    end = len(blob.blob)

    def region(name, about, regions):
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

    region("bit-in-salt", "A bit of a stanza's salt.", stanza_regions(0))
    region("bit-in-wrapped-key", "A bit of a stanza's wrapped key.", stanza_regions(32))
    region("bit-in-commitment", "A bit of the commitment.",
         [(h, "NoDomain", at, at + 32) for h in ["domain:D1", both]])
    region("bit-in-ciphertext", "A bit of the ciphertext.",
         [(h, "Altered", at + 32, end - 16) for h in ["domain:D1", both]])
    region("bit-in-tag", "A bit of the tag.", [(h, "Altered", end - 16, end) for h in ["domain:D1", both]])

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


def lengths():
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


def stanzas():
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


def kinds():
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


def make():
    headers()
    bits()
    lengths()
    stanzas()
    kinds()
