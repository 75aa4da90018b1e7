#!/usr/bin/env python3
"""Tries crypto.py and kem.py against published vectors: an attack that computes wrongly would find every store safe.

    python3 scripts/attacks/selfcheck.py
"""

import crypto
import kem

# NIST's GCM test case 16 (McGrew and Viega, "The Galois/Counter Mode of Operation").
GCM = {
    "key": "feffe9928665731c6d6a8f9467308308" * 2,
    "nonce": "cafebabefacedbaddecaf888",
    "aad": "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    "plain": "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
             "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    "sealed": "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
              "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
              "76fc6ece0f4e1768cddf8853bb2d551b",
}
# Appendix C of draft-connolly-cfrg-xwing-kem-06; public key and encapsulation as their SHA-256.
X_WING = [
    {
        "seed": "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        "eseed": "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2"
                 "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
        "public_key": "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb",
        "encapsulation": "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33",
        "shared": "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
    },
    {
        "seed": "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        "eseed": "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef"
                 "aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d",
        "public_key": "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916",
        "encapsulation": "1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154",
        "shared": "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
    },
    {
        "seed": "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
        "eseed": "22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619"
                 "f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b",
        "public_key": "6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95",
        "encapsulation": "d3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6",
        "shared": "953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f",
    },
]
# RFC 5869, A.1.
HKDF = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
# The reference implementation's src/test.c.
ARGON2ID = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
# RFC 7748, 5.2.
X25519 = ("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
          "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
          "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")


def main():
    raw = {name: bytes.fromhex(value) for name, value in GCM.items()}
    gcm = crypto.Gcm(raw["key"])
    assert gcm.seal(raw["nonce"], raw["aad"], raw["plain"]) == raw["sealed"]
    assert gcm.open(raw["nonce"], raw["aad"], raw["sealed"]) == raw["plain"]
    assert gcm.open(raw["nonce"], raw["aad"] + b"\0", raw["sealed"]) is None
    assert crypto.hkdf(bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42).hex() == HKDF
    assert crypto.argon2id(b"password", b"somesalt", 65536, 2, 1).hex() == ARGON2ID
    # crates/seal/src/credential/share.rs has the same three shares.
    shares = [(2, "0c29f0d13b2ebffd498a05595e407a234a8f4db73068cf20af9ae3b2989df15e"),
              (5, "e67f0b79ae7b3414869b4126d9469f4e8f21030be484de4778f125fa30cec38a"),
              (7, "e166aed20a9162e7fc4939dd40eaf45b9e2eeb763bf8283954c30bba" "bf6f5352")]
    secret = crypto.combine([(x, bytes.fromhex(share)) for x, share in shares])
    assert secret == bytes((at * 37 + 11) % 256 for at in range(32))

    scalar, point, product = X25519
    assert kem.x25519(bytes.fromhex(scalar), bytes.fromhex(point)).hex() == product
    for vector in X_WING:
        raw = {name: bytes.fromhex(value) for name, value in vector.items()}
        public = kem.public_key(raw["seed"])
        encapsulation, shared = kem.encapsulate(public, raw["eseed"])
        assert (len(public), len(encapsulation)) == (kem.PUBLIC_KEY, kem.ENCAPSULATION)
        assert crypto.sha256(public) == raw["public_key"]
        assert crypto.sha256(encapsulation) == raw["encapsulation"]
        assert shared == raw["shared"] == kem.decapsulate(raw["seed"], encapsulation)
        # Implicit rejection: another secret, and no error.
        assert kem.decapsulate(raw["seed"], bytes([encapsulation[0] ^ 1]) + encapsulation[1:]) != shared
    print("every vector holds")


if __name__ == "__main__":
    main()
