"""The primitives of docs/format.md, written a second time, for the attack programs beside this file.

It uses the standard library alone, and libargon2 (Debian: libargon2-1) for Argon2id. It shares no code with the build. It
is not constant-time, so it is for attacks and tests only. `selfcheck.py` tries it against published vectors.
"""

import ctypes
import functools
import hashlib
import hmac
import os

# --- HKDF over SHA-256 (RFC 5869) ------------------------------------------------------------------


def extract(salt, ikm):
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def expand(prk, info, size):
    okm, block, counter = b"", b"", 1
    while len(okm) < size:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        okm += block
        counter += 1
    return okm[:size]


def hkdf(salt, ikm, info, size):
    return expand(extract(salt, ikm), info, size)


def sha256(data):
    return hashlib.sha256(data).digest()


# --- Argon2id (RFC 9106) ---------------------------------------------------------------------------


@functools.cache
def argon2id(password, salt, memory_kib, passes, lanes):
    library = ctypes.CDLL("libargon2.so.1")
    out = ctypes.create_string_buffer(32)
    failed = library.argon2id_hash_raw(
        ctypes.c_uint32(passes), ctypes.c_uint32(memory_kib), ctypes.c_uint32(lanes),
        password, ctypes.c_size_t(len(password)), salt, ctypes.c_size_t(len(salt)), out, ctypes.c_size_t(32))
    if failed:
        raise ValueError(f"Argon2id: error {failed}")
    return out.raw


# --- AES-256-GCM (FIPS 197, NIST SP 800-38D) -------------------------------------------------------


def _double(a):
    return (a << 1 ^ 0x11B) & 0xFF if a & 0x80 else a << 1


def gf_multiply(a, b):
    """In GF(256) of polynomial 0x11b, which AES and the key shares have in common."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = _double(a), b >> 1
    return product


def gf_invert(a):
    inverse = 1
    for _ in range(254):
        inverse = gf_multiply(inverse, a)
    return inverse


def _sbox():
    box = []
    for value in range(256):
        inverse = gf_invert(value) if value else 0
        spread = inverse
        for _ in range(4):
            inverse = (inverse << 1 | inverse >> 7) & 0xFF
            spread ^= inverse
        box.append(spread ^ 0x63)
    return box


SBOX = _sbox()


def _tables():
    first = []
    for value in SBOX:
        first.append(_double(value) << 24 | value << 16 | value << 8 | _double(value) ^ value)
    tables = [first]
    for _ in range(3):
        tables.append([word >> 8 | (word & 0xFF) << 24 for word in tables[-1]])
    return tables


T0, T1, T2, T3 = _tables()


def _substitute(word):
    return (SBOX[word >> 24] << 24 | SBOX[word >> 16 & 0xFF] << 16 | SBOX[word >> 8 & 0xFF] << 8 | SBOX[word & 0xFF])


class Gcm:
    """AES-256-GCM under one key, with nonces of 12 bytes."""

    def __init__(self, key):
        assert len(key) == 32
        words = [int.from_bytes(key[at:at + 4], "big") for at in range(0, 32, 4)]
        constant = 1
        for at in range(8, 60):
            word = words[-1]
            if at % 8 == 0:
                word = _substitute((word << 8 | word >> 24) & 0xFFFFFFFF) ^ constant << 24
                constant = _double(constant)
            elif at % 8 == 4:
                word = _substitute(word)
            words.append(words[-8] ^ word)
        self.rounds = [words[at:at + 4] for at in range(0, 60, 4)]
        h = int.from_bytes(self._block(bytes(16)), "big")
        self.powers = []
        for _ in range(128):
            self.powers.append(h)
            h = h >> 1 ^ (0xE1 << 120 if h & 1 else 0)

    def _block(self, block):
        a, b, c, d = (int.from_bytes(block[at:at + 4], "big") ^ key for at, key in zip((0, 4, 8, 12), self.rounds[0]))
        for keys in self.rounds[1:-1]:
            a, b, c, d = (
                T0[a >> 24] ^ T1[b >> 16 & 0xFF] ^ T2[c >> 8 & 0xFF] ^ T3[d & 0xFF] ^ keys[0],
                T0[b >> 24] ^ T1[c >> 16 & 0xFF] ^ T2[d >> 8 & 0xFF] ^ T3[a & 0xFF] ^ keys[1],
                T0[c >> 24] ^ T1[d >> 16 & 0xFF] ^ T2[a >> 8 & 0xFF] ^ T3[b & 0xFF] ^ keys[2],
                T0[d >> 24] ^ T1[a >> 16 & 0xFF] ^ T2[b >> 8 & 0xFF] ^ T3[c & 0xFF] ^ keys[3])
        last = []
        for key, (p, q, r, s) in zip(self.rounds[-1], ((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c))):
            word = (SBOX[p >> 24] << 24 | SBOX[q >> 16 & 0xFF] << 16 | SBOX[r >> 8 & 0xFF] << 8 | SBOX[s & 0xFF])
            last.append((word ^ key).to_bytes(4, "big"))
        return b"".join(last)

    def _stream(self, nonce, data):
        out = bytearray()
        for number, at in enumerate(range(0, len(data), 16), 2):
            pad = self._block(nonce + number.to_bytes(4, "big"))
            out += bytes(x ^ y for x, y in zip(data[at:at + 16], pad))
        return bytes(out)

    def _tag(self, nonce, aad, sealed):
        pad = lambda part: part + bytes(-len(part) % 16)
        lengths = (len(aad) * 8).to_bytes(8, "big") + (len(sealed) * 8).to_bytes(8, "big")
        all_of_it = pad(aad) + pad(sealed) + lengths
        y = 0
        for at in range(0, len(all_of_it), 16):
            y ^= int.from_bytes(all_of_it[at:at + 16], "big")
            product = 0
            for power in self.powers:
                if y >> 127:
                    product ^= power
                y = y << 1 & (1 << 128) - 1
            y = product
        first = self._block(nonce + b"\0\0\0\1")
        return bytes(x ^ z for x, z in zip(y.to_bytes(16, "big"), first))

    def seal(self, nonce, aad, plain):
        sealed = self._stream(nonce, plain)
        return sealed + self._tag(nonce, aad, sealed)

    def open(self, nonce, aad, sealed):
        """The plaintext; None where it does not verify."""
        if len(nonce) != 12 or len(sealed) < 16:
            return None
        body, tag = sealed[:-16], sealed[-16:]
        return self._stream(nonce, body) if self._tag(nonce, aad, body) == tag else None


@functools.cache
def gcm(key):
    return Gcm(key)


def open_row(key, aad, row):
    """nonce 12 | ciphertext | tag 16."""
    return gcm(key).open(row[:12], aad, row[12:])


def seal_row(key, aad, plain):
    nonce = os.urandom(12)
    return nonce + gcm(key).seal(nonce, aad, plain)


# --- Shamir's scheme over GF(256) ------------------------------------------------------------------


def combine(points):
    """The secret at 0 of [(x, bytes)]."""
    secret = bytearray(len(points[0][1]))
    for x, share in points:
        factor = 1
        for other, _ in points:
            if other != x:
                factor = gf_multiply(factor, gf_multiply(other, gf_invert(other ^ x)))
        for at, byte in enumerate(share):
            secret[at] ^= gf_multiply(byte, factor)
    return bytes(secret)
