"""Refused: other bytes of an object, made by one who holds all of the blob's domains."""

from . import format as f
from .common import D1, D2, D3, M1, P_SMK, PX, Refusals
from .format import OBJECT, OBJECT_UNDER_SMK, SMK
from .spellings import all_of

SETS = [
    ("an object, 1 domain", OBJECT, ["domain:D1"], [D1], PX),
    ("an object, 2 domains", OBJECT, ["domain:D1", "domain:D2"], [D1, D2], PX),
    ("an object, 3 domains", OBJECT, ["domain:D1", "domain:D2", "domain:D3"], [D1, D2, D3], PX),
    ("an object under an SMK", OBJECT_UNDER_SMK, ["smk:M1"], [M1], PX),
    ("an SMK, 1 domain", SMK, ["domain:D1"], [D1], P_SMK),
    ("an SMK, 2 domains", SMK, ["domain:D1", "domain:D2"], [D1, D2], P_SMK),
]


def make():
    keys = Refusals("key-not-of-its-domains",
                    "Sealed by one who holds all of the blob's domains, with every salt and tag right, under a key K "
                    "that is not computed from domains and payload. The object is the same; a slot of those domains "
                    "accepts only the blob that sealing gives.")
    stanzas = Refusals("stanza-not-as-sealed",
                       "Under the key K that sealing gives, with another stanza in place of one of the right ones. A "
                       "slot that has all of the domains refuses it.")
    for label, kind, names, roots, payload in SETS:
        for name, blob, tellers in all_of(kind, roots, payload):
            file = stanzas if "stanza" in name else keys
            why = "Altered" if "salt" in name else "NotAsSealed"
            file.blob(f"{label}: {name}", " ".join(names), blob, why, kind)
            if len(tellers) < len(roots):
                held = " ".join(names[at] for at in tellers)
                file.blob(f"{label}: {name}, held by it alone", held, blob, why, kind)
            # Held beside a domain that has nothing to do with the blob.
            if why == "NotAsSealed" and kind != OBJECT_UNDER_SMK and len(roots) < 3:
                file.blob(f"{label}: {name}, with D9", " ".join(["domain:D9", *names]), blob, why, kind)
            assert f.seal(kind, roots, payload).blob != blob
    keys.done()
    stanzas.done()
