"""A store as docs/format.md has it, read and opened a second time; schema 3 and 4, and before them as far as they differ."""

import contextlib
import os
import re
import sqlite3
from dataclasses import dataclass, field

import crypto
import kem

ROLES = {"po": 1, "co": 2, "cu": 3}
NAMES = {number: name for name, number in ROLES.items()}
PASSWORD, QUORUM = 1, 2
TABLES = {"slots": "slot", "credentials": "id", "quorums": "credential", "pairs": "credential", "domains": "id",
          "smks": "id", "objects": "id", "trash": "id"}
# The label of each key that is derived from the slot key.
LABELS = {
    "object": b"slotfs 1 row",
    "header": b"slotfs 1 header",
    "domain": b"slotfs 1 domain row",
    "smk": b"slotfs 1 smk row",
    "authentication": b"slotfs 2 authentication row",
}
WITHOUT_PAIR, WITH_PAIR, TO_RENEW = 0, 1, 2


class Refused(Exception):
    """Why a login ends."""


# --- The file --------------------------------------------------------------------------------------


def load(path):
    """A copy of the store in memory, with what is still in its write-ahead log."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.row_factory = sqlite3.Row
    # A reader leaves an empty log behind where there was none.
    how = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"file:{path}?{how}", uri=True)) as source:
        source.backup(copy)
    return copy


def save(database, path):
    with contextlib.closing(sqlite3.connect(path)) as target:
        database.backup(target)


def rows_of(database, slot):
    """Every row of a slot, by table; a table that an earlier schema lacks is empty."""
    there = {row["name"] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    read = lambda table, key: [dict(row) for row in
                               database.execute(f"SELECT * FROM {table} WHERE slot = ? ORDER BY {key}", (slot,))]
    rows = {table: read(table, key) if table in there else [] for table, key in TABLES.items()}
    if not rows["slots"]:
        raise Refused(f"there is no slot {slot}")
    return rows


def put(database, slot, rows, tables):
    """Puts these tables of `rows` in the place of the slot's rows in the file."""
    for table in tables:
        if table == "slots":
            (row,) = rows["slots"]
            names = ", ".join(f"{name} = :{name}" for name in row)
            database.execute(f"UPDATE slots SET {names} WHERE slot = :slot", row)
            continue
        database.execute(f"DELETE FROM {table} WHERE slot = ?", (slot,))
        for row in rows[table]:
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            database.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)


# --- Associated data -------------------------------------------------------------------------------


def u64(number):
    return (number & (1 << 64) - 1).to_bytes(8, "little")


def u32(number):
    return number.to_bytes(4, "little")


def _aad(name, *fields):
    out = b"slotfs 1 " + name + b"\0"
    for value in fields:
        out += u64(value) if isinstance(value, int) else u64(len(value)) + value
    return out


def header_aad(row):
    none = (1 << 64) - 1
    optional = lambda value: none if value is None else value
    return _aad(b"header", row["slot"], row["serial"], row["label"].encode(), row["kind"], row["version"],
                row["capacity_objects"], row["capacity_bytes"], row["retention_secs"], row["policies"].encode(),
                optional(row["uid"]), optional(row["gid"]), row["created_secs"], row["generation"])


def object_aad(serial, row):
    fields = (serial, row["handle"], row["ouid"], row["id"], row["payload_bytes"], row["created_secs"])
    changed = row.get("changed_secs")
    return _aad(b"object", *fields) if changed is None else _aad(b"changed object", *fields, changed)


def domain_aad(serial, row):
    return _aad(b"domain", serial, row["kind"], row["id"], row["label"].encode())


def smk_aad(serial, row):
    return _aad(b"smk", serial, row["id"])


def authentication_aad(serial, role, pair):
    return _aad(b"authentication", serial, role, pair["credential"], pair["public_key"])


def credential_aad(serial, credential, quorum, is_pair):
    aad = b"slotfs 2 " if is_pair else b"slotfs 1 "
    aad += b"credential" if quorum is None else b"quorum credential"
    aad += u64(serial) + bytes([credential["role"]]) + u64(credential["id"])
    if quorum is None:
        aad += b"".join(u32(credential[name]) for name in ("memory_kib", "passes", "lanes"))
    else:
        aad += bytes([quorum["m"], quorum["n"]]) + quorum["share_set"] + quorum["shares"]
    return aad + credential["salt"]


def credential_hash(rows, credential):
    """How the header names a credential."""
    quorum, pair = of_credential(rows, "quorums", credential), of_credential(rows, "pairs", credential)
    aad = credential_aad(rows["slots"][0]["serial"], credential, quorum, pair is not None)
    return crypto.sha256(aad + credential["commitment"] + credential["wrapped"])


def encapsulation_keys(authentication, shared, slot, credential, pair):
    """Key and nonce of the wrapped slot key. `slot` is the row of the slot."""
    info = (b"slotfs 2 slot key" + u64(slot["serial"]) + u32(slot["slot"]) + bytes([credential["role"]])
            + u64(credential["id"]) + u64(pair["generation"]) + crypto.sha256(pair["public_key"])
            + crypto.sha256(pair["encapsulation"]))
    okm = crypto.hkdf(authentication, shared, info, 44)
    return okm[:32], okm[32:]


def row_key(slot_key, kind):
    return crypto.expand(slot_key, LABELS[kind], 32)


# --- The header ------------------------------------------------------------------------------------


@dataclass
class Header:
    generation: int
    rekey_due: int = 0
    credentials: list = field(default_factory=list)  # (id, kind, hashes of the credential, public key and encapsulation)
    domains: list = field(default_factory=list)
    smks: list = field(default_factory=list)
    deleted: list = field(default_factory=list)


def decode_header(plain):
    at = 0

    def take(size):
        nonlocal at
        at += size
        if at > len(plain):
            raise Refused("the header is cut short")
        return plain[at - size:at]

    number = lambda: int.from_bytes(take(8), "little", signed=True)
    listed = lambda read: [read() for _ in range(take(1)[0])]

    def credential():
        row, kind, credential = number(), take(1)[0], take(32)
        return (row, kind, credential, take(32), take(32)) if kind else (row, kind, credential, None, None)

    version = take(1)[0]
    header = Header(number())
    if version == 3:
        header.rekey_due = take(1)[0]
        header.credentials = listed(credential)
    elif version in (1, 2):
        header.credentials = [(row, WITHOUT_PAIR, None, None, None) for row in listed(number)]
        header.rekey_due = 1
    else:
        raise Refused(f"the header has version {version}")
    header.domains = listed(number)
    header.smks = listed(number) if version > 1 else []
    header.deleted = listed(lambda: take(8)) if version == 3 else []
    if at != len(plain):
        raise Refused("the header is too long")
    return header


def encode_header(header):
    out = bytes([3]) + u64(header.generation) + bytes([header.rekey_due, len(header.credentials)])
    for row, kind, credential, public_key, encapsulation in header.credentials:
        out += u64(row) + bytes([kind]) + credential + (public_key + encapsulation if kind else b"")
    for ids in (header.domains, header.smks):
        out += bytes([len(ids)]) + b"".join(map(u64, ids))
    return out + bytes([len(header.deleted)]) + b"".join(header.deleted)


# --- Secrets ---------------------------------------------------------------------------------------


class Password:
    def __init__(self, text):
        self.text = text

    def wrap_keys(self, credential, quorum):
        """W and its commitment; None where the credential takes key shares."""
        if quorum is not None:
            return None
        cost = (credential["memory_kib"], credential["passes"], credential["lanes"])
        stretched = crypto.argon2id(self.text, credential["salt"], *cost)
        okm = crypto.hkdf(None, stretched, b"slotfs 1 wrap", 64)
        return okm[:32], okm[32:]


class Shares:
    def __init__(self, texts):
        points, sets, self.needed = [], set(), 0
        for text in texts:
            values = dict(re.findall(r"^(\w+): *(.*?) *$", text, re.MULTILINE))
            points.append((int(values["index"]), bytes.fromhex(values["share"])))
            sets.add(values["set"])
            self.needed = int(values["quorum"].split("/")[0])
        if len(sets) != 1 or len(points) != self.needed:
            raise Refused(f"{len(points)} shares of {len(sets)} sets, {self.needed} of one are needed")
        self.secret = crypto.combine(points)

    def wrap_keys(self, credential, quorum):
        if quorum is None:
            return None
        okm = crypto.hkdf(credential["salt"], self.secret, b"slotfs 1 quorum wrap", 64)
        return okm[:32], okm[32:]


# --- A login ---------------------------------------------------------------------------------------


@dataclass
class Login:
    """What a login gives its role, and thereby an attacker."""

    slot_key: bytes
    wrap_key: bytes
    header: Header
    seed: bytes = None
    authentication: bytes = None
    domains: list = field(default_factory=list)
    smks: list = field(default_factory=list)


def of_credential(rows, table, credential):
    """The row in `quorums` or `pairs` that belongs to a credential."""
    return next((row for row in rows[table] if row["credential"] == credential["id"]), None)


def open_wrapped(serial, rows, credential, keys):
    """What the credential wraps; None where the wrap key is not its own."""
    quorum, pair = of_credential(rows, "quorums", credential), of_credential(rows, "pairs", credential)
    aad = credential_aad(serial, credential, quorum, pair is not None)
    return crypto.open_row(keys, aad, credential["wrapped"])


def decapsulated(slot, credential, pair, seed, authentications):
    """The slot key in a pair's row; None where none of these authentication keys is the one of its sender."""
    if len(pair["encapsulation"]) != kem.ENCAPSULATION:
        return None
    shared = kem.decapsulate(seed, pair["encapsulation"])
    for authentication in authentications:
        key, nonce = encapsulation_keys(authentication, shared, slot, credential, pair)
        for at in range(0, len(pair["wrapped"]), 48):
            opened = crypto.gcm(key).open(nonce, b"", pair["wrapped"][at:at + 48])
            if opened is not None:
                return opened
    return None


def login(rows, role, secret):
    """As docs/format.md, "Role key pairs", says."""
    (slot,) = rows["slots"]
    serial = slot["serial"]
    credential = next((row for row in rows["credentials"] if row["role"] == ROLES[role]), None)
    if credential is None:
        raise Refused(f"there is no credential of {role}")
    quorum, pair = of_credential(rows, "quorums", credential), of_credential(rows, "pairs", credential)
    if (slot["kind"] == QUORUM) != (quorum is not None):
        raise Refused("the credential is of another kind than the slot")
    keys = secret.wrap_keys(credential, quorum)
    if keys is None or keys[1] != credential["commitment"]:
        raise Refused("it is not the secret of this credential")
    wrapped = open_wrapped(serial, rows, credential, keys[0])
    if wrapped is None:
        raise Refused("the credential does not open where it is")
    seed = authentication = None
    slot_key = wrapped
    if pair is not None:
        seed, authentication = wrapped[:32], wrapped[32:]
        if kem.public_key(seed) != pair["public_key"]:
            raise Refused("the public key is not that of the seed")
        slot_key = decapsulated(slot, credential, pair, seed, [authentication])
        if slot_key is None:
            raise Refused("the slot key was not encapsulated by a holder of the authentication key")
    header = open_header(slot, slot_key)
    if header is None:
        raise Refused("the header does not open")
    named = next((it for it in header.credentials if it[0] == credential["id"]), None)
    hashes = (None, None) if pair is None else (crypto.sha256(pair["public_key"]), crypto.sha256(pair["encapsulation"]))
    if named is None or named[3:] != hashes or named[2] not in (None, credential_hash(rows, credential)):
        raise Refused("the header names another credential or pair")
    found = Login(slot_key, keys[0], header, seed, authentication)
    for kind, ids, aad_of, opened in (("domain", header.domains, domain_aad, found.domains),
                                      ("smk", header.smks, smk_aad, found.smks)):
        for id in ids:
            row = next((row for row in rows[f"{kind}s"] if row["id"] == id), None)
            plain = row and crypto.open_row(row_key(slot_key, kind), aad_of(serial, row), row["sealed"])
            if not plain:
                raise Refused(f"a {kind} that the header names does not open")
            opened.append(plain)
    return found


def open_header(slot, slot_key):
    plain = crypto.open_row(row_key(slot_key, "header"), header_aad(slot), slot["header"])
    header = plain and decode_header(plain)
    return header if header and header.generation == slot["generation"] else None


def sealed_cells(rows):
    """(name, kind, associated data, sealed row) of everything that is sealed under the slot key."""
    (slot,) = rows["slots"]
    serial = slot["serial"]
    yield "the header", "header", header_aad(slot), slot["header"]
    for row in rows["domains"]:
        yield f"domain {row['label']}", "domain", domain_aad(serial, row), row["sealed"]
    for row in rows["smks"]:
        yield f"storage master key {row['id']}", "smk", smk_aad(serial, row), row["sealed"]
    roles = {row["id"]: row["role"] for row in rows["credentials"]}
    for row in rows["pairs"]:
        role = roles.get(row["credential"], 0)
        yield (f"the authentication key of {NAMES.get(role)}", "authentication", authentication_aad(serial, role, row),
               row["authentication"])
    for table in ("objects", "trash"):
        for row in rows[table]:
            yield f"{table}, handle {row['handle']}", "object", object_aad(serial, row), row["sealed"]


def opened_by(rows, slot_key):
    """The names of everything in the slot that opens with this slot key, and of everything that does not."""
    opens, closed = [], []
    for name, kind, aad, sealed in sealed_cells(rows):
        plain = crypto.open_row(row_key(slot_key, kind), aad, sealed)
        (closed if plain is None else opens).append(name)
    return opens, closed


def authentications(rows, slot_key):
    """{role: A} of every role, which the slot key gives."""
    serial, found = rows["slots"][0]["serial"], {}
    roles = {row["id"]: row["role"] for row in rows["credentials"]}
    for row in rows["pairs"]:
        role = roles.get(row["credential"], 0)
        aad = authentication_aad(serial, role, row)
        plain = crypto.open_row(row_key(slot_key, "authentication"), aad, row["authentication"])
        if plain:
            found[NAMES[role]] = plain
    return found
