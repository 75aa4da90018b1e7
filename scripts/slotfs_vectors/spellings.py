"""Other bytes of the same object: what one who holds domains of a blob can make of it without changing the object.

Each spelling has the right header, order, commitment, salts of the domains that are held, and tag.
"""

from hashlib import sha256

from . import format as f


def noise(label, size):
    return b"".join(sha256(f"slotfs spelling: {label} {n}".encode()).digest() for n in range(size // 32))


def under_another_key(kind, roots, payload, key):
    """The blob of a holder of all of `roots`, sealed under K = `key`."""
    head = f.header(kind, len(roots), len(payload))
    return f.assemble(head, sorted(f.stanza(root, head, key, payload) for root in roots), key, payload)


def with_stanza(sealed, at, stanza):
    """The blob with `stanza` in place of that of its root number `at`, under the key of sealing."""
    stanzas = [*sealed.stanzas[:at], stanza, *sealed.stanzas[at + 1 :]]
    return f.assemble(sealed.head, sorted(stanzas), sealed.key, sealed.payload)


def all_of(kind, roots, payload):
    """(name, blob, numbers of the roots that can tell): a slot that has all of those refuses it."""
    sealed = f.seal(kind, roots, payload)
    everyone = list(range(len(roots)))
    subset = f.object_key(roots[:1], sealed.head, payload)
    keys = [("a random key", noise("a key", 32)), ("a key of zeros", bytes(32)),
            ("the key of another payload", f.object_key(roots, sealed.head, payload[::-1]))]
    if len(roots) > 1:
        keys.append(("the key of the first domain alone", subset))
    for name, key in keys:
        assert key != sealed.key
        yield name, under_another_key(kind, roots, payload, key), everyone
    for at in everyone if len(roots) > 1 else []:
        name = f"stanza of domain {at + 1} of {len(roots)}"
        yield f"noise for the {name}", with_stanza(sealed, at, noise("a stanza", 64)), everyone
        other = f.stanza(roots[at], sealed.head, noise("a key", 32), payload)
        yield f"another key in the {name}", with_stanza(sealed, at, other), everyone
        wrong = noise("a salt", 32)
        salt = wrong + f.xor(sealed.key, f.pad(roots[at], wrong))
        yield f"another salt in the {name}", with_stanza(sealed, at, salt), [at]
