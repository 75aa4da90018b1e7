#!/usr/bin/env python3
"""Writes the first inputs of each target to fuzz/corpus, from tests/vectors, tests/keys and the grammar.

Names are SHA-1 of the content, as libFuzzer's are. `scripts/fuzz` minimises what comes of them; run this again
when a target reads its input in another way.

    python3 -m venv venv && venv/bin/pip install cryptography argon2-cffi
    venv/bin/python fuzz/seeds.py
"""

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from slotfs_vectors import format as f  # noqa: E402

SECRET_OPTIONS = 10
count = {}


def seed(target, *parts):
    data = b"".join(bytes([p]) if isinstance(p, int) else p for p in parts)
    folder = ROOT / "fuzz" / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    count[target] = count.get(target, 0) + 1


def vectors(name):
    return json.loads((ROOT / "tests" / "vectors" / name).read_text())["vectors"]


def short(data):
    return bytes([len(data)]) + data


def payloads():
    for v in vectors("payload.json"):
        yield bytes.fromhex(v["payload"])


def payload_and_blob():
    good = [p for p in payloads() if len(p) < 2000]
    for p in good:
        seed("payload", p)
        seed("blob", 1, 0, 0b0001, 0, 0, 0, p)
    for path in sorted((ROOT / "tests/vectors/refused").glob("payload-*.json")):
        for v in json.loads(path.read_text())["vectors"]:
            if "payload" in v and len(v["payload"]) < 800:
                seed("payload", bytes.fromhex(v["payload"]))
    some = good[:4]
    for p in some:
        for kind in range(3):
            for members in (0b0001, 0b0011, 0b0111, 0b1110):
                seed("blob", 1, kind, members, 0, 0, 0, p)
                seed("blob", 1, kind, members, 1, 20, 0, 1, 1, 2, p)
        for sets in range(3):
            for signs in range(2):
                if len(p) < 256:
                    seed("blob", 2, 0, sets, signs, short(p), p)
                    seed("blob", 2, 0, sets, signs, short(p), good[-1])
        for members in ([0], [1], [0, 1], [0, 2], [0, 1, 3]):
            roots = [f.domain_root(bytes([0xD0 + n]) * 32) for n in members]
            seed("blob", 0, f.seal(f.OBJECT, roots, p).blob)
        seed("blob", 0, f.seal(f.OBJECT_UNDER_SMK, [f.smk_root(bytes([0xD0]) * 32)], p).blob)
    for path in sorted((ROOT / "tests/vectors/refused").glob("header-*.json")):
        for v in json.loads(path.read_text())["vectors"][:6]:
            if "blob" in v:
                seed("blob", 0, bytes.fromhex(v["blob"]))


def key_files():
    for path in sorted((ROOT / "tests/keys").rglob("*")):
        if path.suffix not in (".der", ".pem", ".p12") or path.stat().st_size > 3000:
            continue
        data = path.read_bytes()
        seed("key_file", 0, data)
        if path.suffix == ".p12":
            at = data.find(bytes.fromhex("2a864886f70d010701a0"))
            if at > 0 and data[at + 10] == 0x82 and data[at + 14] == 0x04 and data[at + 15] == 0x82:
                size = int.from_bytes(data[at + 16 : at + 18], "big")
                seed("key_file", 1, data[at + 18 : at + 18 + size])
    # Stores whose content is in clear.
    def der(tag, content):
        size = len(content)
        head = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        return bytes([tag]) + head + content
    bag = bytes.fromhex("060b2a864886f70d010c0a01")
    data = bytes.fromhex("06092a864886f70d010701")
    def safe(*bags):
        inner = der(0x30, b"".join(bags))
        return der(0x30, der(0x30, data + der(0xA0, der(4, inner))))
    keys, certificates = [], []
    for name in ("ec-p256", "ed25519", "rsa-1024", "x25519"):
        keys.append(der(0x30, bag + b"\x01" + der(0xA0, (ROOT / f"tests/keys/{name}.der").read_bytes())))
    for name in ("certificate-to-2049", "certificate-v1"):
        x509 = bytes.fromhex("060a2a864886f70d01091601")
        content = (ROOT / f"tests/keys/{name}.der").read_bytes()
        content = der(0x30, x509 + der(0xA0, der(4, content)))
        certificates.append(der(0x30, bag + b"\x03" + der(0xA0, content)))
    for bags in ([keys[0]], keys, certificates, [keys[0], certificates[0]], [keys[2], *certificates], []):
        seed("key_file", 1, safe(*bags))
    for size in (0, 1, 16, 24, 32, 33):
        seed("key_file", 2, bytes(range(size)))
    for newline in ("\n", "\r\n"):
        text = f.pem(bytes(range(32)), newline=newline).encode()
        for data in (text, text[:60], text.replace(b"DOMAIN", b"OTHER"), f.pem(bytes(31)).encode()):
            seed("key_file", 3, data)


def control():
    names = ["1", "124", "0", "01", "+1", "-1", "4294967295", "4294967296", "new", "NEW", ".slotfs", ".slotfs2", ".",
             "..", "...", ".a", ".124.Xy7", "a\nb", "1\n", " 1", "\u0661", "password\r\n", "password\n\n", "login",
             "login-cu", "clones", "status", "x" * 255, "." + "x" * 254, "." + "x" * 255]
    for name in names:
        seed("control", 0, name.encode())
    seed("control", 0, b"\xff\xfe")
    for kind in range(10):
        seed("control", 1, (kind << 48 | 1).to_bytes(8, "little"))
    whole, close, sync, good, bad, full = b"\x02", b"\x05\x00\x00", b"\x05\x01\x01", b"\x06\x00", b"\x06\x01", b"\x06\x02"
    half = b"\x00\x00\x00\x40"
    rest = b"\x00\x40\x00\xff"
    cut = b"\x04\x28"
    exact = b"\x04\xfd"
    told, empty, far = b"\x07\x00", b"\x04\x00", b"\x03\x04\x01x"
    runs = [whole + good + close, whole + bad + close + whole, half + rest + good, rest + half + full + sync,
            half + close + rest + good + close, whole + good + empty + whole + good, whole + cut + close,
            far + close, whole + exact + good, half + sync, told + whole + good, whole + bad + told + close + close,
            close, sync, whole + close, whole + good + far, cut + close, b"\x03\x00\x04junk" + close]
    for run in runs:
        for how in (b"\x01", b"\x00\x01", b"\x00\x00"):
            seed("control", 2, how, 10, run)
    make, folder, remove, rmdir = b"\x00\x00\x00", b"\x01\x00\x01", b"\x02\x00\x00", b"\x03\x00\x01"
    inside, move, write = b"\x00\x02\x00", b"\x04\x00\x00\x00\x02\x01", b"\x05\x00\x00\x00\x03abc"
    wide, trim, clear = b"\x05\x00\x00\x05\x03abc", b"\x06\x00\x00\x02", b"\x08\x00\x00\x00"
    for run in [make + write + remove, folder + inside + rmdir, make + move + remove, make + wide + trim,
                folder + rmdir, make + write + trim + write, folder + inside + clear, make + make + folder]:
        seed("control", 3, run)


def command_line():
    lines = ["slot list", "slotfs par in -s 0 -l 'a b' -phunter2222 -d hunter3333", "help role login", "? slot", "exit",
             "role changepw -name co -oldpw hunter2222 -newpw=hunter3333; slot list # c", "mount a -o ro", "a 'x;y' \"z\"",
             " slot list", "# only", "a \\; b\nc", "object import -file f -label l -filepassword hunter2222", "'", "90s"]
    for line in lines:
        seed("command_line", 0, 0, line.encode())
    for which in range(SECRET_OPTIONS):
        for form in range(7):
            for quote in range(4):
                tail = [b"", b"; slot list", b"' -label x", b"-json"][quote]
                seed("command_line", 0, 1, which, quote, form, quote, short([b"", b"'", b" x", b"\\"][quote]), tail)
            seed("command_line", 1, 1, which, form, short(b""), 0, b"")
            seed("command_line", 1, 1, which, form, short(b"x"), 1, short(b"-slot"), b"--help\nstray")
    for words in ["slot\0list", "-c\0slot list", "partition\0clone\0-objects\0all\0-s\01\0-f", "mount\0m\0--login\00:co",
                  "role\0login\0-name\0co\0--password-file\00:co=pw", "help\0role", "-V", "object\0show\0-handle\0x"]:
        seed("command_line", 1, 0, words.encode())
    for value in ["0", "all", "124", "1,2,3", "140, 124", "01", "0=x", "3:po=/a=b", "0:co", "1:cu=", "allow_other,ro",
                  "umask=027", "uid=1,gid=2", "15m", "2h", "extractable=true,label=x", "start_date=2026-01-31", "1,"]:
        seed("command_line", 1, 2, value.encode())


def header():
    def ids(*numbers):
        return bytes([len(numbers)]) + b"".join(n.to_bytes(8, "little") for n in numbers)
    plain = b"\x01" + (3).to_bytes(8, "little") + ids(1, 2) + ids(9)
    for data in (plain, plain[:-1], plain + b"\0", b"\x02" + plain[1:], b"\x01" + bytes(10)):
        seed("header", 0, 0, data)
    for text in ("0:1,4:1,20:10", "0:0,4:1,20:3", "0:2,4:1,20:3", "20:3", ""):
        seed("header", 0, 1, text.encode())
    row = bytes([0, 1]) + bytes(8) + short(b"alpha") + bytes(2) + bytes(24) + b"\0" + bytes(8) + (3).to_bytes(8, "little")
    domain = (9).to_bytes(8, "little") + b"\x02" + short(b"d") + b"\0" + b"\x44"
    for domains in (0, 1, 3):
        many = b"".join(bytes([9 + n]) + domain[1:] for n in range(domains))
        seed("header", 0, 2, row, row, domains, many, 0)
        seed("header", 0, 2, row, row, domains, many, 1, plain)
        seed("header", 0, 2, row, row[:-1] + b"\x01", domains, many, 0)
    place = (1).to_bytes(8, "little") + (7).to_bytes(4, "little") + b"\x05" + bytes(12)
    for purpose in range(3):
        seed("header", 0, 3, purpose, bytes(8), place, place, bytes(3), short(b"plain"), bytes(40))
        seed("header", 0, 3, purpose, bytes(8), place, bytes(25), 4, 0, 1, short(b"plain"), bytes(27))
    binding = bytes(8) + b"\x01" + bytes(8)
    cost = b"".join(n.to_bytes(4, "little") for n in (65536, 3, 4))
    for change in (b"", b"\x00" + bytes(12), b"\x01\x01a", b"\x02\x02ab", b"\x03\x03abc", b"\x04" + binding, b"\x05\x07\x01"):
        seed("header", 1, 0, binding, cost, short(bytes(16)), 5, change)


def message():
    def number(n):
        if n < 251:
            return bytes([n])
        for mark, size in ((251, 2), (252, 4), (253, 8)):
            if n < 1 << 8 * size:
                return bytes([mark]) + n.to_bytes(size, "little")
    def data(value):
        return number(len(value)) + value
    def attributes(*pairs):
        return number(len(pairs)) + b"".join(number(kind) + b"\0" + data(value) for kind, value in pairs)
    def none(mechanism):
        return number(mechanism) + b"\0"
    def given(mechanism, value):
        return number(mechanism) + b"\1" + data(value)
    def gcm(iv, aad):
        return number(0x1087) + b"\6" + data(iv) + number(96) + data(aad) + number(128)
    def record(header, text=b"", as_it_is=False):
        return bytes([len(header) | (0x80 if as_it_is else 0), len(text)]) + header + text
    ulong = lambda n: n.to_bytes(8, "little")
    room = b"\1" + number(600)
    start = lambda operation, mechanism, key: record(bytes([27, operation]) + mechanism + number(key))
    whole = lambda operation, text, signature=b"": record(bytes([28, operation]) + room + data(signature), text)
    update = lambda operation, text: record(bytes([30, operation]) + room, text)
    final = lambda operation, text=b"": record(bytes([31, operation]) + room, text)
    session_key = 1 << 32
    aes = record(b"\x23" + none(0x1080) + attributes((0x161, ulong(32)), (0x104, b"\1"), (0x105, b"\1"), (0x103, b"\0")))
    curve = bytes.fromhex("06082a8648ce3d030107")
    pair = record(b"\x24" + none(0x1040) + attributes((0x180, curve)) + attributes((0x108, b"\1")))
    runs = [
        record(b"\2", as_it_is=True), record(b"\3\1", as_it_is=True), record(b"\4\0", as_it_is=True),
        record(b"\5\0", as_it_is=True), record(b"\6\0", as_it_is=True), record(b"\x0e"), record(b"\x2b" + number(40)),
        record(b"\x2a", b"seed"), record(b"\x11"), record(b"\x0c"), record(b"\x0d\0", as_it_is=True),
        record(b"\x18" + attributes((0, ulong(3)))) + record(b"\x19" + number(10)) + record(b"\x1a"),
        record(b"\x12" + attributes((0, ulong(0)), (3, b"label"), (0x11, b"value"))),
        record(b"\x12" + attributes((0, ulong(4)), (0x100, ulong(0x10)), (0x11, bytes(20)))),
        aes + start(0, gcm(bytes(12), b"aad"), session_key) + update(0, b"text") + final(0),
        aes + start(0, given(0x1085, bytes(16)), session_key) + whole(0, b"text"),
        aes + start(1, given(0x1085, bytes(16)), session_key) + update(1, bytes(48)) + final(1),
        aes + start(1, gcm(bytes(12), b""), session_key) + record(b"\x1d\1", bytes(30)) + whole(1, bytes(16)),
        aes + record(b"\x13" + number(session_key) + attributes((3, b"copy"))) + record(b"\x16" + number(session_key + 1) + b"\2\3\x11"),
        aes + record(b"\x17" + number(session_key) + attributes((3, b"other"))) + record(b"\x14" + number(session_key)),
        aes + record(b"\x21" + number(session_key)) + record(b"\x15" + number(session_key)),
        start(2, none(0x250), 0) + update(2, b"abc") + final(2), start(2, none(0x250), 0) + whole(2, b"abc"),
        pair + start(3, none(0x1044), session_key + 1) + whole(3, b"abc"),
        pair + start(5, none(0x1044), session_key) + whole(5, b"abc", bytes(64)),
        pair + start(5, none(0x1041), session_key) + update(5, bytes(32)) + final(5, bytes(64)),
        pair + record(b"\x27" + number(0x1050) + b"\x08" + number(1) + data(b"") + data(b"\4" + bytes(64)) + number(session_key + 1)
                      + attributes((0, ulong(4)), (0x100, ulong(0x1f)), (0x161, ulong(32)))),
        aes + aes + record(b"\x25" + none(0x2109) + number(session_key) + number(session_key + 1) + room),
        aes + record(b"\x26" + none(0x2109) + number(session_key) + attributes((0, ulong(4)), (0x100, ulong(0x1f))), bytes(40)),
        aes + start(7, none(0x1087), session_key)
        + record(b"\x22\7\0\1" + data(bytes(12)) + number(96) + number(0) + data(bytes(16)) + number(128) + number(3) + room + data(b""), b"aadtext"),
        record(b"\x28" + none(0x17) + number(1) + attributes((0, ulong(4)), (0x100, ulong(0x10))) + room),
        record(b"\x0f" + number(0xffff)), record(b"\x20\0" + number(4)),
    ]
    for run in runs:
        seed("message", 2, run)
    frame = lambda header, text: len(header).to_bytes(4, "little") + len(text).to_bytes(4, "little") + header + text
    for stream in (frame(b"\2", b""), frame(b"\2", b"")[:-1], bytes(8), b"\xff" * 8, frame(b"\3\1", b"x" * 30) * 3):
        seed("message", 1, stream)
    for reply in (b"\0\5", b"\1", b"\2" + bytes(16) + b"\1", b"\3\7", b"\4\7", b"\5" + data(b"\1\2"), b"\6\1\2", b"\x0c\7",
                  b"\x0b\1\0\0\1a", b"\x0e\1\2\3", b"slotfs"):
        seed("message", 0, reply)


payload_and_blob()
key_files()
control()
command_line()
header()
message()
print(", ".join(f"{target} {number}" for target, number in sorted(count.items())))
