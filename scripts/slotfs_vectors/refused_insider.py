"""Refused: what a holder of another of a blob's domains can try."""

from . import format as f
from .common import D1, D2, D9, PX, PY, PZ, Refusals, secret
from .format import OBJECT, SMK


def make():
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
