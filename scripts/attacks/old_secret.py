#!/usr/bin/env python3
"""An attacker has an old copy of a store and a secret of then, and tries both on the store of now.

    old_secret.py OLD NOW --slot N --role po|co|cu --password-file FILE [--tampered FOLDER] [--expect-open]
    old_secret.py OLD NOW --slot N --role po|co|cu --share FILE --share FILE ...

First the secret opens the old copy: slot key, key pair, domains, objects. Then everything that the attacker has by now is
tried on every sealed part of the store of now, and old rows are put back in every combination. With --tampered the stores
with old rows are written to a folder, one for each combination, for a login by the program that is attacked; the list on
standard output says of each what this program thinks of it: `refused`, or `rolled back` where the combination is the whole
slot of then, which nothing inside a file can tell (docs/security.md).

Exit status: 0 when nothing of the store of now opened; 1 when something did; 2 when the attack could not be made. With
--expect-open, for a store whose secret was not changed: 0 when everything opened, so that a program that opens nothing is
noticed.
"""

import argparse
import itertools
import sys
from collections import Counter
from pathlib import Path

import crypto
import kem
import store

# Rows that are put back together. A credential of a quorum slot is in two tables.
GROUPS = {"credentials": ["credentials", "quorums"], "pairs": ["pairs"], "header": ["slots"], "domains": ["domains"],
          "smks": ["smks"], "objects": ["objects", "trash"]}
# With these the slot's keys are those of then.
ROLLBACK = {"credentials", "pairs", "header", "domains", "smks"}


class Attack:
    def __init__(self):
        self.tried, self.opened = Counter(), []

    def attempt(self, what, where, opened):
        self.tried[what] += 1
        if opened:
            self.opened.append(f"{what}: {where}")


def known_keys(old, now, found):
    """{name: 32 bytes} of everything that the old copy and the secret give, whatever it was meant for."""
    keys = {"the slot key": found.slot_key, "the wrap key": found.wrap_key}
    for kind in store.LABELS:
        keys[f"the row key {kind}"] = store.row_key(found.slot_key, kind)
    if found.seed:
        keys |= {"the seed": found.seed, "the X25519 key": kem.expand(found.seed)[3], "z": kem.expand(found.seed)[2]}
    for role, authentication in store.authentications(old, found.slot_key).items():
        keys[f"the authentication key of {role}"] = authentication
    for number, domain in enumerate(found.domains):
        keys[f"domain {number}"] = domain
        keys[f"the root of domain {number}"] = crypto.extract(b"slotfs 1 domain", domain)
    for number, smk in enumerate(found.smks):
        keys[f"storage master key {number}"] = smk
        keys[f"the root of storage master key {number}"] = crypto.extract(b"slotfs 1 smk", smk)
    if found.seed:
        for pair in old["pairs"] + now["pairs"]:
            shared = kem.decapsulate(found.seed, pair["encapsulation"])
            keys[f"the shared secret of {crypto.sha256(pair['encapsulation'])[:4].hex()}"] = shared
    return keys


def try_everything(attack, old, now, secret, found):
    (slot,) = now["slots"]
    serial = slot["serial"]
    keys = known_keys(old, now, found)
    cells = list(store.sealed_cells(now))

    # As the formats mean it.
    for opened in store.opened_by(now, found.slot_key)[0]:
        attack.attempt("the old slot key on its rows", opened, True)
    attack.tried["the old slot key on its rows"] += len(cells)
    for credential in now["credentials"]:
        role = store.NAMES[credential["role"]]
        quorum = store.of_credential(now, "quorums", credential)
        wrap_keys = secret.wrap_keys(credential, quorum)
        if wrap_keys:
            attack.attempt("the old secret on a commitment", role, wrap_keys[1] == credential["commitment"])
            attack.attempt("the old secret on a credential", role,
                           store.open_wrapped(serial, now, credential, wrap_keys[0]))
        for is_pair in (False, True):
            aad = store.credential_aad(serial, credential, quorum, is_pair)
            for name, key in keys.items():
                attack.attempt("a known key on a credential", f"{name} on {role}",
                               crypto.open_row(key, aad, credential["wrapped"]))
        pair = store.of_credential(now, "pairs", credential)
        if found.seed and pair:
            attack.attempt("the old seed on a public key", role, kem.public_key(found.seed) == pair["public_key"])
            # The authentication key may be any of those that are known, and whatever else there is.
            attack.attempt("the old seed on an encapsulation, with every known key as authentication key", role,
                           store.decapsulated(slot, credential, pair, found.seed, [*keys.values(), bytes(32)]))
        if pair:
            for name, key in keys.items():
                for at in range(0, len(pair["wrapped"]), 48):
                    part = pair["wrapped"][at:at + 48]
                    for authentication in [*store.authentications(old, found.slot_key).values(), bytes(32)]:
                        # `key` in the place of the shared secret.
                        known, nonce = store.encapsulation_keys(authentication, key, slot, credential, pair)
                        attack.attempt("a known key as the shared secret of an encapsulation", f"{name} on {role}",
                                       crypto.gcm(known).open(nonce, b"", part))

    # And as nobody meant it: each known key, and each row key of it, on each row.
    for name, key in keys.items():
        for candidate in [key, *(store.row_key(key, kind) for kind in store.LABELS)]:
            for cell, _, aad, sealed in cells:
                attack.attempt("a known key on a sealed row", f"{name} on {cell}",
                               crypto.open_row(candidate, aad, sealed))


def combinations(old, now):
    """(names, rows) of every way to put old rows back."""
    groups = [name for name, tables in GROUPS.items() if any(old[table] or now[table] for table in tables)]
    # Of an empty table nothing has to be put back: schema 3 has no pairs.
    whole = {name for name in ROLLBACK if any(old[table] for table in GROUPS[name])}
    for size in range(1, len(groups) + 1):
        for names in itertools.combinations(groups, size):
            tables = [table for name in names for table in GROUPS[name]]
            yield names, tables, {**now, **{table: old[table] for table in tables}}, whole <= set(names)


def put_back(attack, old, now, role, secret, now_file, slot, folder):
    for names, tables, rows, is_rollback in combinations(old, now):
        try:
            found = store.login(rows, role, secret)
        except store.Refused:
            verdict = "refused"
        else:
            # It may open what was put back, and nothing else.
            new = [name for name, kind, aad, sealed in store.sealed_cells(now)
                   if crypto.open_row(store.row_key(found.slot_key, kind), aad, sealed) is not None]
            verdict = "rolled back" if is_rollback and not new else "OPENED"
        what = "a login with the old secret and old rows put back"
        attack.attempt(what, " and ".join(names), verdict == "OPENED")
        if folder:
            path = folder / ("-".join(names) + ".db")
            database = store.load(now_file)
            store.put(database, slot, rows, tables)
            store.save(database, path)
            print(f"put back\t{path.name}\t{verdict}")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("old")
    parser.add_argument("now")
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--role", choices=store.ROLES, required=True)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--share", type=Path, action="append")
    parser.add_argument("--tampered", type=Path)
    parser.add_argument("--expect-open", action="store_true")
    given = parser.parse_args()
    if (given.password_file is None) == (given.share is None):
        parser.error("either a password file or shares")
    return given


def secret_of(password_file, shares):
    if shares:
        return store.Shares([path.read_text() for path in shares])
    # One line feed at the end is the editor's.
    return store.Password(password_file.read_bytes().removesuffix(b"\n"))


def main():
    given = arguments()
    try:
        secret = secret_of(given.password_file, given.share)
        old = store.rows_of(store.load(given.old), given.slot)
        now = store.rows_of(store.load(given.now), given.slot)
        found = store.login(old, given.role, secret)
    except store.Refused as why:
        print(f"the old copy does not open: {why}", file=sys.stderr)
        return 2
    opens, closed = store.opened_by(old, found.slot_key)
    print(f"the old copy: {len(opens)} sealed rows open, {len(closed)} do not")
    if closed or not any(name.startswith("objects") for name in opens):
        print("the old copy has to have an object, and to open as a whole", file=sys.stderr)
        return 2

    attack = Attack()
    if given.expect_open:
        opens, closed = store.opened_by(now, found.slot_key)
        print(f"the store of now: {len(opens)} sealed rows open, {len(closed)} do not")
        return 0 if opens and not closed else 1
    try_everything(attack, old, now, secret, found)
    put_back(attack, old, now, given.role, secret, given.now, given.slot, given.tampered)
    for what, count in attack.tried.items():
        print(f"tried\t{count}\t{what}")
    for what in attack.opened:
        print(f"OPENED\t{what}")
    print(f"{sum(attack.tried.values())} attempts, {len(attack.opened)} opened something")
    return 1 if attack.opened else 0


if __name__ == "__main__":
    sys.exit(main())
