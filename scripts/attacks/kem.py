"""X-Wing (draft-connolly-cfrg-xwing-kem-06), of ML-KEM-768 (FIPS 203) and X25519 (RFC 7748)."""

import functools
import os
from hashlib import sha3_256, sha3_512, shake_128, shake_256

PUBLIC_KEY, ENCAPSULATION = 1216, 1120

# --- X25519 ----------------------------------------------------------------------------------------

P25519 = 2**255 - 19
BASE = (9).to_bytes(32, "little")


def x25519(scalar, point):
    k = int.from_bytes(scalar, "little") & ~7 & (1 << 254) - 1 | 1 << 254
    u = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swapped = 1, 0, u, 1, 0
    for at in reversed(range(255)):
        bit = k >> at & 1
        if swapped != bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb)**2 % P25519, u * (da - cb)**2 % P25519
        x2, z2 = aa * bb % P25519, e * (aa + 121665 * e) % P25519
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, -1, P25519) % P25519).to_bytes(32, "little") if z2 else bytes(32)


# --- ML-KEM-768 ------------------------------------------------------------------------------------

N, Q, K, DU, DV = 256, 3329, 3, 10, 4
ETA = 2


def _reversed(number):
    return int(f"{number:07b}"[::-1], 2)


ZETAS = [pow(17, _reversed(at), Q) for at in range(128)]
GAMMAS = [pow(17, 2 * _reversed(at) + 1, Q) for at in range(128)]


def ntt(f):
    f, at, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[at]
            at += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
        length //= 2
    return f


def inverse_ntt(f):
    f, at, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[at]
            at -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [value * 3303 % Q for value in f]


def multiply(f, g):
    h = []
    for at in range(128):
        a0, a1, b0, b1 = f[2 * at], f[2 * at + 1], g[2 * at], g[2 * at + 1]
        h += [(a0 * b0 + a1 * b1 * GAMMAS[at]) % Q, (a0 * b1 + a1 * b0) % Q]
    return h


def add(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def subtract(f, g):
    return [(a - b) % Q for a, b in zip(f, g)]


def dot(left, right):
    total = [0] * N
    for f, g in zip(left, right):
        total = add(total, multiply(f, g))
    return total


def encode(f, bits):
    number = 0
    for at, value in enumerate(f):
        number |= value << at * bits
    return number.to_bytes(32 * bits, "little")


def decode(data, bits):
    number, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return [number >> at * bits & mask for at in range(N)]


def compress(f, bits):
    return [((value << bits) + Q // 2) // Q % (1 << bits) for value in f]


def decompress(f, bits):
    return [(value * Q + (1 << bits - 1)) >> bits for value in f]


def sample_ntt(seed):
    data, f = shake_128(seed).digest(168 * 6), []
    for at in range(0, len(data), 3):
        a, b, c = data[at:at + 3]
        for value in (a | (b & 15) << 8, b >> 4 | c << 4):
            if value < Q and len(f) < N:
                f.append(value)
    assert len(f) == N, "as good as impossible"
    return f


def sample_cbd(seed, number):
    bits = int.from_bytes(shake_256(seed + bytes([number])).digest(64 * ETA), "little")
    f = []
    for at in range(N):
        four = bits >> 4 * at & 15
        f.append(((four & 1) + (four >> 1 & 1) - (four >> 2 & 1) - (four >> 3)) % Q)
    return f


@functools.cache
def matrix(rho):
    return [[sample_ntt(rho + bytes([column, row])) for column in range(K)] for row in range(K)]


def pke_key(d):
    both = sha3_512(d + bytes([K])).digest()
    rho, sigma = both[:32], both[32:]
    s = [ntt(sample_cbd(sigma, number)) for number in range(K)]
    e = [ntt(sample_cbd(sigma, K + number)) for number in range(K)]
    t = [add(dot(row, s), error) for row, error in zip(matrix(rho), e)]
    return b"".join(encode(f, 12) for f in t) + rho, b"".join(encode(f, 12) for f in s)


def _decode_all(data, bits):
    return [decode(data[at:at + 32 * bits], bits) for at in range(0, len(data), 32 * bits)]


def pke_encrypt(public, message, coins):
    t, a = _decode_all(public[:-32], 12), matrix(public[-32:])
    y = [ntt(sample_cbd(coins, number)) for number in range(K)]
    e1 = [sample_cbd(coins, K + number) for number in range(K)]
    e2 = sample_cbd(coins, 2 * K)
    u = [add(inverse_ntt(dot([a[row][column] for row in range(K)], y)), e1[column]) for column in range(K)]
    v = add(add(inverse_ntt(dot(t, y)), e2), decompress(decode(message, 1), 1))
    return b"".join(encode(compress(f, DU), DU) for f in u) + encode(compress(v, DV), DV)


def pke_decrypt(secret, sealed):
    u = [decompress(f, DU) for f in _decode_all(sealed[:32 * DU * K], DU)]
    v = decompress(decode(sealed[32 * DU * K:], DV), DV)
    w = subtract(v, inverse_ntt(dot(_decode_all(secret, 12), [ntt(f) for f in u])))
    return encode(compress(w, 1), 1)


def ml_kem_encapsulate(public, message):
    both = sha3_512(message + sha3_256(public).digest()).digest()
    return both[:32], pke_encrypt(public, message, both[32:])


def ml_kem_decapsulate(secret, public, z, sealed):
    message = pke_decrypt(secret, sealed)
    shared, again = ml_kem_encapsulate(public, message)
    return shared if again == sealed else shake_256(z + sealed).digest(32)


# --- X-Wing ----------------------------------------------------------------------------------------

LABEL = rb"\.//^" + b"\\"


def _combine(ss_m, ss_x, ct_x, pk_x):
    return sha3_256(ss_m + ss_x + ct_x + pk_x + LABEL).digest()


@functools.cache
def expand(seed):
    """Secret key, public key and z of ML-KEM, secret and public key of X25519."""
    long = shake_256(seed).digest(96)
    public, secret = pke_key(long[:32])
    return secret, public, long[32:64], long[64:], x25519(long[64:], BASE)


def public_key(seed):
    _, public, _, _, pk_x = expand(seed)
    return public + pk_x


def encapsulate(public, randomness=None):
    """(encapsulation, shared secret)."""
    randomness = randomness or os.urandom(64)
    pk_m, pk_x = public[:-32], public[-32:]
    ss_m, ct_m = ml_kem_encapsulate(pk_m, randomness[:32])
    ct_x = x25519(randomness[32:], BASE)
    return ct_m + ct_x, _combine(ss_m, x25519(randomness[32:], pk_x), ct_x, pk_x)


@functools.cache
def decapsulate(seed, encapsulation):
    secret, public, z, sk_x, pk_x = expand(seed)
    ct_m, ct_x = encapsulation[:-32], encapsulation[-32:]
    ss_m = ml_kem_decapsulate(secret, public, z, ct_m)
    return _combine(ss_m, x25519(sk_x, ct_x), ct_x, pk_x)
