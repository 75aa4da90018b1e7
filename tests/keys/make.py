#!/usr/bin/env python3
"""Makes the key files of this directory anew, with openssl 3.

The keys are for tests and nothing else: everyone has them. Files are named for what they are, those
under bad/ for what is wrong with them. `expected` holds what openssl, not slotfs, reads in the good
ones: file, attribute, value as slotfs shows it.
"""

import base64
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BAD = os.path.join(HERE, "bad")
EXPECTED = []
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, check=True, capture_output=True).stdout


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(data)
    return data


def tlv(tag, value):
    size = len(value)
    if size < 128:
        return bytes([tag, size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def children(der):
    """The elements, whole, inside the one element that `der` is."""
    def split(data):
        size, start = data[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start], "big")
        return data[start:start + size], start + size
    body, out = split(der)[0], []
    while body:
        end = split(body)[1]
        out.append(body[:end])
        body = body[end:]
    return out


def integer(number):
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def pem(label, der, width=64):
    text = base64.b64encode(der).decode()
    lines = [text[i:i + width] for i in range(0, len(text), width)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def expect(file, name, value):
    EXPECTED.append(f"{file} {name} {value}\n")


def numbers(der):
    """What openssl reads as the INTEGERs of DER, in hexadecimal of whole bytes."""
    text = openssl("asn1parse", "-inform", "DER", stdin=der).decode()
    return [n.lower() for n in re.findall(r"INTEGER\s+:([0-9A-F]+)", text)]


def field(text, name):
    """A run of colon-separated bytes that openssl prints under `name:`."""
    match = re.search(name + r":\s*\n((?:\s+[0-9a-f:]+\n)+)", text)
    return re.sub(r"[\s:]", "", match.group(1))


def pairs():
    """Private keys of each kind in each form, and their public halves."""
    kinds = {
        "rsa-1024": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        "rsa-2048": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "rsa-3072-e3": ["RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-pkeyopt", "rsa_keygen_pubexp:3"],
        "ec-p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "ec-p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "ec-p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        "ec-secp256k1": ["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        "ed25519": ["ED25519"],
        "x25519": ["X25519"],
    }
    for name, (algorithm, *options) in kinds.items():
        key = write(f"{name}.pem", openssl("genpkey", "-algorithm", algorithm, *options))
        # Not pkey, which in DER writes the traditional form.
        write(f"{name}.der", openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", stdin=key))
        write(f"{name}.pub.pem", openssl("pkey", "-pubout", stdin=key))
        spki = write(f"{name}.pub.der", openssl("pkey", "-pubout", "-outform", "DER", stdin=key))
        private = [f"{name}.pem", f"{name}.der"]
        public = [f"{name}.pub.pem", f"{name}.pub.der"]
        if algorithm in ("RSA", "EC"):
            old = write(f"{name}.traditional.pem", openssl("pkey", "-traditional", stdin=key))
            write(f"{name}.traditional.der",
                  openssl("pkey", "-traditional", "-outform", "DER", stdin=key))
            private += [f"{name}.traditional.pem", f"{name}.traditional.der"]
            assert b"BEGIN " + algorithm.encode() + b" PRIVATE KEY" in old
        text = openssl("pkey", "-text", "-noout", stdin=key).decode()
        if algorithm == "RSA":
            old = openssl("pkey", "-traditional", "-outform", "DER", stdin=key)
            values = numbers(old)[1:]
            names = ["MODULUS", "PUBLIC_EXPONENT", "PRIVATE_EXPONENT", "PRIME_1", "PRIME_2",
                     "EXPONENT_1", "EXPONENT_2", "COEFFICIENT"]
            for file in private:
                for attribute, value in zip(names, values, strict=True):
                    expect(file, f"CKA_{attribute}", value)
            for file in public:
                expect(file, "CKA_MODULUS", values[0])
                expect(file, "CKA_PUBLIC_EXPONENT", values[1])
                expect(file, "CKA_MODULUS_BITS", name.split("-")[1])
        else:
            size = {"ec-p384": 48, "ec-p521": 66}.get(name, 32)
            value = field(text, "priv").zfill(2 * size)[-2 * size:]
            point = bytes.fromhex(field(text, "pub"))
            if algorithm == "EC":
                point = tlv(4, point)
                parameters = children(children(spki)[0])[1]
            else:
                parameters = children(children(spki)[0])[0]
            for file in private:
                expect(file, "CKA_VALUE", value)
                expect(file, "CKA_EC_PARAMS", parameters.hex())
            for file in public:
                expect(file, "CKA_EC_POINT", point.hex())
                expect(file, "CKA_EC_PARAMS", parameters.hex())
        for file in private + public:
            # openssl's PKCS#8 of the curves of RFC 8410 has no public key.
            if algorithm in ("RSA", "EC") or file in public:
                expect(file, "CKA_PUBLIC_KEY_INFO", spki.hex())
    # PKCS#8 version 2, with the public key beside the private one (RFC 5958).
    version, *rest = children(read("ed25519.der"))
    bits = children(read("ed25519.pub.der"))[1]
    write("ed25519.v2.der", tlv(0x30, integer(1) + b"".join(rest) + b"\x81" + bits[1:]))
    expect("ed25519.v2.der", "CKA_PUBLIC_KEY_INFO", read("ed25519.pub.der").hex())


def read(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return file.read()


def short_scalar():
    """P-256 private keys: one whose value begins with a zero byte, in full and with the zero dropped."""
    value = b"\0" + bytes(range(1, 32))
    curve = tlv(0xA0, tlv(6, bytes.fromhex("2a8648ce3d030107")))
    for name, scalar in (("ec-p256-value-1", b"\1"), ("ec-p256-zero-dropped", value[1:])):
        write(f"{name}.der", tlv(0x30, integer(1) + tlv(4, scalar) + curve))
    write("ec-p256-zero-kept.der", tlv(0x30, integer(1) + tlv(4, value) + curve))
    expect("ec-p256-value-1.der", "CKA_VALUE", "01".zfill(64))
    for name in ("ec-p256-zero-dropped.der", "ec-p256-zero-kept.der"):
        expect(name, "CKA_VALUE", value.hex())


def certificates():
    with tempfile.TemporaryDirectory() as work:
        def path(name):
            return os.path.join(work, name)
        open(path("index"), "w").close()
        with open(path("serial"), "w") as file:
            file.write("00C0FFEE00000000000000000000000000000001\n")
        with open(path("cnf"), "w") as file:
            file.write(f"""[ca]
default_ca=d
[d]
dir={work}
database={path('index')}
serial={path('serial')}
new_certs_dir={work}
default_md=sha256
policy=p
x509_extensions=v3
[p]
commonName=supplied
organizationName=optional
[v3]
basicConstraints=critical,CA:true
[req]
distinguished_name=n
[n]
""")
        ends = {"certificate-to-2049": "20491231235959Z", "certificate-to-9999": "99991231235959Z"}
        for name, end in ends.items():
            request = openssl("req", "-new", "-utf8", "-config", path("cnf"), "-key",
                              os.path.join(HERE, "ec-p256.pem"), "-subj",
                              "/O=slotfs tests/CN=Schlüssel " + name)
            with open(path("csr"), "wb") as file:
                file.write(request)
            openssl("ca", "-batch", "-notext", "-utf8", "-selfsign", "-config", path("cnf"), "-in",
                    path("csr"), "-keyfile", os.path.join(HERE, "ec-p256.pem"), "-startdate",
                    "20260102030405Z", "-enddate", end, "-out", path("crt"))
            with open(path("crt"), "rb") as file:
                certificate(name, file.read())
    # Version 1: no [0], no extensions.
    request = openssl("req", "-new", "-subj", "/CN=v1", "-key", os.path.join(HERE, "rsa-2048.pem"))
    v1 = openssl("x509", "-req", "-days", "36500", "-key", os.path.join(HERE, "rsa-2048.pem"),
                 stdin=request)
    certificate("certificate-v1", v1)
    write("certificate-with-text.pem", openssl("x509", "-text", stdin=v1))
    write("bad/certificate-request.pem", request)
    write("bad/certificate-trusted.pem", openssl("x509", "-trustout", stdin=v1))
    write("certificate-v1.pkcs7.pem", openssl("crl2pkcs7", "-nocrl", "-certfile",
                                              os.path.join(HERE, "certificate-v1.pem")))


def certificate(name, text):
    write(f"{name}.pem", text)
    der = write(f"{name}.der", openssl("x509", "-outform", "DER", stdin=text))
    dates = openssl("x509", "-noout", "-dates", stdin=text).decode()
    serial = openssl("x509", "-noout", "-serial", stdin=text).decode().strip().split("=")[1]
    # Long ones are folded.
    serial = serial.replace("\\\n", "")
    parsed = openssl("asn1parse", "-inform", "DER", stdin=der).decode().splitlines()
    # Elements of TBSCertificate, by openssl's own offsets.
    elements = [(int(m[1]), int(m[2]) + int(m[3])) for m in
                (re.match(r"\s*(\d+):d=2\s+hl=(\d+)\s+l=\s*(\d+)", line) for line in parsed) if m]
    elements = [der[start:start + size] for start, size in elements]
    if elements[0][0] == 0xA0:
        elements.pop(0)
    for file in (f"{name}.pem", f"{name}.der"):
        expect(file, "CKA_VALUE", der.hex())
        expect(file, "CKA_SERIAL_NUMBER", integer(int(serial, 16)).hex())
        expect(file, "CKA_ISSUER", elements[2].hex())
        expect(file, "CKA_SUBJECT", elements[4].hex())
        expect(file, "CKA_PUBLIC_KEY_INFO", elements[5].hex())
        expect(file, "CKA_CERTIFICATE_TYPE", "CKC_X_509")
        for attribute, row in (("CKA_START_DATE", "notBefore"), ("CKA_END_DATE", "notAfter")):
            month, day, year = re.search(row + r"=(\w+)\s+(\d+) \S+ (\d+) GMT", dates).groups()
            expect(file, attribute, f"{year}-{MONTHS.index(month) + 1:02}-{int(day):02}")


def bad():
    rsa, ec = read("rsa-2048.pem"), read("ec-p256.pem")
    write("several/two-keys.pem", rsa + ec)
    write("bad/pem-begin-after-text.pem", b"key: " + rsa)
    write("bad/pem-end-without-begin.pem", rsa.split(b"\n", 1)[1])
    write("bad/pem-text-on-the-end-line.pem", rsa.rstrip() + b"text\n")
    write("bad/pem-no-end.pem", rsa[:rsa.index(b"-----END")])
    write("bad/pem-cut-in-begin.pem", b"-----BEGIN PRIV")
    write("rsa-2048.text-below.pem", rsa + b"text\n")
    write("bad/pem-end-of-another-label.pem", rsa.replace(b"END PRIVATE", b"END PUBLIC"))
    write("rsa-2048.blank-in-front.pem", b" " + rsa)
    write("bad/pem-unknown-label.pem", pem("SECRET RECIPE", read("rsa-2048.der")))
    write("bad/pem-label-of-another-form.pem", pem("PUBLIC KEY", read("rsa-2048.der")))
    ed = pem("PRIVATE KEY", read("ed25519.der") + b"\0")
    write("bad/pem-trailing-byte-in-der.pem", ed)
    # 49 bytes end in two padding characters; 4 bits of the last character before them must be 0.
    body = ed.splitlines()
    assert body[-2].endswith(b"AA==")
    write("bad/pem-padding-bits-set.pem", b"\n".join([*body[:-2], body[-2][:-4] + b"AB==", body[-1], b""]))
    write("bad/pem-padding-missing.pem", b"\n".join([*body[:-2], body[-2][:-2], body[-1], b""]))
    write("bad/pem-padding-in-the-middle.pem", rsa.replace(b"\n", b"\n====", 1))
    write("bad/pem-empty.pem", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
    write("bad/hexadecimal.txt", b"0123456789abcdef" * 4 + b"\n")
    write("bad/zeros.bin", bytes(64))

    write("bad/encrypted-traditional.pem", openssl("pkey", "-traditional", "-aes256", "-passout",
                                                   "pass:x", stdin=rsa))

    der = read("rsa-2048.traditional.der")
    version, n, e, d, p, q, dp, dq, qinv = children(der)
    other = children(read("rsa-1024.traditional.der"))

    def key(**new):
        parts = dict(version=version, n=n, e=e, d=d, p=p, q=q, dp=dp, dq=dq, qinv=qinv) | new
        return tlv(0x30, b"".join(parts.values()))

    def number(part):
        return int.from_bytes(children(tlv(0x30, part))[0][2 if part[1] < 128 else 4 if part[1] == 0x82 else 3:], "big")

    write("bad/rsa-modulus-negative.der", key(n=n.replace(b"\x02\x82\x01\x01\x00", b"\x02\x82\x01\x00", 1)))
    write("bad/rsa-modulus-zero.der", key(n=integer(0)))
    write("bad/rsa-modulus-even.der", key(n=integer(number(n) - 1)))
    write("rsa-2048-zero-in-front.der", key(n=b"\x02\x82\x01\x02\x00" + n[4:]))
    write("bad/rsa-modulus-of-another-key.der", key(n=integer(number(n) - 2)))
    write("bad/rsa-exponent-1.der", key(e=integer(1)))
    write("bad/rsa-exponent-even.der", key(e=integer(65536)))
    write("bad/rsa-exponent-of-another-key.der", key(e=integer(3)))
    write("bad/rsa-exponent-above-modulus.der", key(e=integer(number(n) + 2)))
    write("bad/rsa-private-exponent-zero.der", key(d=integer(0)))
    write("bad/rsa-private-exponent-changed.der", key(d=integer(number(d) ^ 2)))
    write("bad/rsa-primes-swapped.der", key(p=q, q=p))
    write("bad/rsa-prime-zero.der", key(p=integer(0)))
    write("bad/rsa-prime-one.der", key(p=integer(1), q=n))
    write("bad/rsa-coefficient-changed.der", key(qinv=integer(number(qinv) ^ 1)))
    write("bad/rsa-exponent-1-changed.der", key(dp=integer(number(dp) ^ 1)))
    write("bad/rsa-exponent-2-of-another-key.der", key(dq=other[7]))
    write("bad/rsa-version-1-of-two-primes.der", key(version=integer(1)))
    write("bad/rsa-version-2.der", key(version=integer(2)))
    write("bad/rsa-three-primes.der", openssl(
        "pkey", "-traditional", "-outform", "DER", stdin=openssl(
            "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
            "-pkeyopt", "rsa_keygen_primes:3")))
    small = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1016")
    write("bad/rsa-1016-bits.pem", small)
    write("bad/rsa-1016-bits.pub.pem", openssl("pkey", "-pubout", stdin=small))
    write("bad/rsa-8200-bits.pub.der", public_rsa(integer((1 << 8199) + 1)))
    write("bad/rsa-modulus-zero.pub.der", public_rsa(integer(0)))
    write("rsa-2048-without-parameters.pub.der", public_rsa(n, null=b""))
    write("bad/rsa-pss.pem", openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt",
                                     "rsa_keygen_bits:1024"))
    write("rsa-2048.pkcs1.pub.pem", openssl("rsa", "-RSAPublicKey_out", stdin=rsa))
    write("rsa-2048.pkcs1.pub.der", openssl("rsa", "-RSAPublicKey_out", "-outform", "DER", stdin=rsa))

    write("bad/ec-explicit-curve.pem", openssl("pkey", "-ec_param_enc", "explicit", stdin=ec))
    write("bad/ec-explicit-curve.pub.pem", openssl("pkey", "-ec_param_enc", "explicit", "-pubout", stdin=ec))
    write("bad/ec-explicit-curve-traditional.pem", openssl("pkey", "-ec_param_enc", "explicit", "-traditional", stdin=ec))
    write("ec-p256-compressed-point.pem", openssl("pkey", "-ec_conv_form", "compressed", stdin=ec))
    write("bad/ec-compressed-point.pub.pem", openssl("pkey", "-ec_conv_form", "compressed", "-pubout", stdin=ec))
    write("ec-p256-hybrid-point.pub.pem", openssl("pkey", "-ec_conv_form", "hybrid", "-pubout", stdin=ec))
    write("bad/ec-brainpool.pem", openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                                          "ec_paramgen_curve:brainpoolP256r1"))
    parameters = openssl("ecparam", "-name", "P-256")
    write("ec-p256.parameters-above.pem", parameters + read("ec-p256.traditional.pem"))
    write("bad/ec-parameters-without-a-key.pem", parameters)
    version, value, curve, public = children(read("ec-p256.traditional.der"))
    p384 = children(read("ec-p384.traditional.der"))

    def sec1(*parts):
        return tlv(0x30, b"".join(parts))

    write("bad/ec-no-curve.der", sec1(version, value, public))
    write("bad/ec-no-curve.pem", pem("EC PRIVATE KEY", sec1(version, value, public)))
    write("bad/ec-value-zero.der", sec1(version, tlv(4, bytes(32)), curve))
    write("bad/ec-value-empty.der", sec1(version, tlv(4, b""), curve))
    order = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    write("bad/ec-value-is-the-order.der", sec1(version, tlv(4, order), curve))
    write("ec-p256-zero-too-many.der", sec1(version, tlv(4, b"\0" + value[2:]), curve))
    write("bad/ec-point-of-another-curve.der", sec1(version, value, curve, p384[3]))
    write("bad/ec-version-2.der", sec1(integer(2), value, curve))
    algorithm = children(read("ec-p256.der"))[1]

    def pkcs8(inner, *more, v=0, algorithm=algorithm):
        return tlv(0x30, integer(v) + algorithm + tlv(4, inner) + b"".join(more))

    write("bad/ec-curve-differs-inside.der", pkcs8(sec1(version, value, p384[2])))
    point = children(public)[0]
    flipped = point[:-1] + bytes([point[-1] ^ 1])
    write("bad/ec-public-keys-differ.der",
          pkcs8(sec1(version, value, public), b"\x81" + flipped[1:], v=1))
    write("bad/ec-algorithm-without-curve.der",
          pkcs8(sec1(version, value), algorithm=tlv(0x30, children(algorithm)[0])))
    write("bad/pkcs8-version-2.der", pkcs8(sec1(version, value, curve), v=2))
    write("bad/pkcs8-version-0-with-public-key.der",
          pkcs8(sec1(version, value, curve), b"\x81" + point[1:], v=0))

    # Made by hand, so that the same keys give the same files.
    write("bad/ec-public-key-of-another-key.der", sec1(version, tlv(4, bytes(31) + b"\1"), curve, public))
    spki = read("ec-p256.pub.der")
    write("bad/ec-point-not-on-curve.pub.der", spki[:-1] + bytes([spki[-1] ^ 1]))
    bits = children(read("x25519.pub.der"))[1]
    write("bad/ed25519-public-key-of-another-key.der",
          tlv(0x30, integer(1) + b"".join(children(read("ed25519.der"))[1:]) + b"\x81" + bits[1:]))

    ed_algorithm = children(read("ed25519.der"))[1]
    for size in (31, 33):
        write(f"bad/ed25519-of-{size}-bytes.der",
              pkcs8(tlv(4, bytes(range(size))), algorithm=ed_algorithm))
    write("bad/ed25519-of-31-bytes.pub.der",
          tlv(0x30, ed_algorithm + tlv(3, b"\0" + bytes(range(31)))))
    write("bad/ed25519-with-parameters.der",
          pkcs8(tlv(4, bytes(range(32))), algorithm=tlv(0x30, children(ed_algorithm)[0] + b"\x05\x00")))
    write("bad/ed25519-unused-bits.pub.der",
          tlv(0x30, ed_algorithm + tlv(3, b"\x01" + bytes(32))))
    write("bad/ed448.pem", openssl("genpkey", "-algorithm", "ED448"))
    write("bad/ssh.pem", pem("OPENSSH PRIVATE KEY", b"openssh-key-v1\0", 70))
    write("bad/domain-key.pem", pem("SLOTFS DOMAIN KEY", bytes(range(32))))


def rounds(der, new):
    """DER with its INTEGER of 2048 changed; OCTET STRINGs are left alone."""
    if der == integer(2048):
        return integer(new)
    if not der[0] & 0x20:
        return der
    return tlv(der[0], b"".join(rounds(child, new) for child in children(der)))


def encrypted():
    """Files under the password x. Those under bad/ are refused for what their name says."""
    def path(name):
        return os.path.join(HERE, name)

    def pkcs8(name, *options, key="ec-p256.pem", form="DER"):
        return write(f"encrypted/{name}", openssl("pkcs8", "-topk8", "-outform", form, "-passout", "pass:x",
                                                  *options, stdin=read(key)))

    def store(name, *options, password="x", key="ec-p256", certificate="certificate-to-2049"):
        inputs = ["-inkey", path(f"{key}.pem")] if key else ["-nokeys"]
        inputs += ["-in", path(f"{certificate}.pem")] if certificate else ["-nocerts", "-in", os.devnull]
        return write(f"encrypted/{name}", openssl("pkcs12", "-export", "-passout", f"pass:{password}",
                                                  *inputs, *options))

    pkcs8("pkcs8-aes256.pem", "-v2", "aes256", form="PEM")
    plain = pkcs8("pkcs8-aes256.der", "-v2", "aes256")
    pkcs8("pkcs8-aes192-sha512.der", "-v2", "aes192", "-v2prf", "hmacWithSHA512")
    pkcs8("pkcs8-aes128-sha1.der", "-v2", "aes128", "-v2prf", "hmacWithSHA1")
    pkcs8("pkcs8-rsa.der", "-v2", "aes256", key="rsa-2048.pem")
    store("key-and-certificate.p12")
    store("key-alone.p12", certificate=None)
    store("certificates.p12", key=None)
    store("key-and-chain.p12", "-certfile", path("certificate-v1.pem"))
    store("rsa-of-aes128.p12", "-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC", "-macalg", "SHA1",
          key="rsa-2048", certificate="certificate-v1")
    store("sha512-mac.p12", "-macalg", "SHA512")
    store("certificates-not-encrypted.p12", "-certpbe", "NONE")
    store("key-not-encrypted.p12", "-keypbe", "NONE")

    pkcs8("pkcs8-3des.der", "-v2", "des3")
    pkcs8("pkcs8-sha1-3des.der", "-v1", "PBE-SHA1-3DES")
    pkcs8("bad/pkcs8-scrypt.der", "-scrypt")
    pkcs8("bad/pkcs8-rounds-10000001.der", "-v2", "aes256", "-iter", "10000001")
    for count in (0, 1 << 31, 1 << 40, 1 << 80):
        write(f"encrypted/bad/pkcs8-rounds-{count}.der", rounds(plain, count))
    algorithm, ciphertext = children(plain)
    for name, body in (("empty", b""), ("of-17-bytes", bytes(17)), ("of-zeros", bytes(160))):
        write(f"encrypted/bad/pkcs8-ciphertext-{name}.der", tlv(0x30, algorithm + tlv(4, body)))
    oid, scheme = children(algorithm)
    kdf, cipher = children(scheme)
    name, parameters = children(kdf)
    kdf = tlv(0x30, name + tlv(0x30, b"\4\0" + b"".join(children(parameters)[1:])))
    write("encrypted/bad/pkcs8-salt-empty.der",
          tlv(0x30, tlv(0x30, oid + tlv(0x30, kdf + cipher)) + ciphertext))
    store("bad/legacy.p12", "-legacy")
    store("3des.p12", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES")
    store("bad/no-mac.p12", "-nomac")
    store("bad/password-empty.p12", password="")
    store("bad/rounds-6000000-twice.p12", "-iter", "6000000", "-nomaciter")
    mac = store("bad/mac-rounds-1099511627776.p12")
    write("encrypted/bad/mac-rounds-1099511627776.p12", rounds(mac, 1 << 40))
    whole = read("encrypted/key-and-certificate.p12")
    for at in (60, len(whole) // 2):
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]
        write(f"encrypted/bad/byte-{'first' if at == 60 else 'middle'}-changed.p12", changed)


def padded_and_dated():
    """What is not as RFC 5280 and SEC 1 have it, and read all the same."""
    value = children(read("ec-p256.traditional.der"))[1]
    version, algorithm, inner = children(read("ec-p256.der"))[:3]
    sec1 = children(children(inner)[0] if inner[0] != 4 else inner[2:])
    zeros = tlv(0x30, sec1[0] + tlv(4, bytes(3) + value[2:]) + sec1[2])
    write("ec-p256-three-zeros-too-many.der", tlv(0x30, version + algorithm + tlv(4, zeros)))
    with tempfile.TemporaryDirectory() as work:
        def path(name):
            return os.path.join(work, name)
        key = os.path.join(HERE, "ec-p256.pem")
        for name, start, end, serial in (
                ("certificate-from-1969", "19691231235959Z", "20340101000000Z", "07"),
                ("certificate-from-1950-to-2050", "19500101000000Z", "20500101000000Z", "08"),
                ("certificate-from-1949", "19491231235959Z", "20340101000000Z", "09"),
                ("certificate-serial-of-21-bytes", "20260102030405Z", "20340101000000Z", "7F" * 21),
                ("certificate-serial-of-40-bytes", "20260102030405Z", "20340101000000Z", "AB" * 40)):
            open(path("index"), "w").close()
            with open(path("serial"), "w") as file:
                file.write(serial + "\n")
            with open(path("cnf"), "w") as file:
                file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={path('index')}\nserial={path('serial')}\n"
                           f"new_certs_dir={work}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
                           "[req]\ndistinguished_name=n\n[n]\n")
            with open(path("csr"), "wb") as file:
                file.write(openssl("req", "-new", "-config", path("cnf"), "-key", key, "-subj", "/CN=" + name))
            openssl("ca", "-batch", "-notext", "-selfsign", "-config", path("cnf"), "-in", path("csr"), "-keyfile",
                    key, "-startdate", start, "-enddate", end, "-out", path("crt"))
            with open(path("crt"), "rb") as file:
                certificate(name, file.read())
    # What openssl does not write. The signature is not that of these bytes, and is not looked at.
    whole = children(read("certificate-v1.der"))

    def changed(name, change):
        parts = children(whole[0])
        write(name, tlv(0x30, tlv(0x30, b"".join(change(parts))) + whole[1] + whole[2]))

    changed("certificate-serial-negative.der", lambda parts: [b"\2\1\x85", *parts[1:]])
    changed("certificate-serial-zero.der", lambda parts: [b"\2\1\0", *parts[1:]])
    changed("certificate-without-seconds.der", lambda parts: [
        *parts[:3], tlv(0x30, tlv(0x17, b"2601020304Z") + tlv(0x17, b"3401020304Z")), *parts[4:]])
    changed("bad/certificate-of-another-zone.der", lambda parts: [
        *parts[:3], tlv(0x30, tlv(0x17, b"260102030405+0100") + tlv(0x17, b"340102030405Z")), *parts[4:]])
    changed("bad/certificate-on-february-30.der", lambda parts: [
        *parts[:3], tlv(0x30, tlv(0x17, b"260230030405Z") + tlv(0x17, b"340102030405Z")), *parts[4:]])
    changed("bad/certificate-without-subject.der", lambda parts: [*parts[:4], *parts[5:]])
    write("certificate-v1-of-indefinite-length.der", b"\x30\x80" + b"".join(whole) + b"\0\0")
    # A string type that is never met, in the middle of a name.
    issuer = tlv(0x30, tlv(0x31, tlv(0x30, tlv(6, bytes.fromhex("550403")) + tlv(0x1C, b"\0\0\0v"))))
    changed("certificate-universal-string.der", lambda parts: [*parts[:2], issuer, *parts[3:]])
    expect("certificate-universal-string.der", "CKA_ISSUER", issuer.hex())
    changed("bad/certificate-length-in-name.der", lambda parts: [*parts[:2], issuer[:-5] + b"\5" + issuer[-4:], *parts[3:]])
    write("bad/time-stamp-request.der", tlv(0x30, integer(1) + tlv(0x30, tlv(0x30, b"") + tlv(4, bytes(32)))))
    write("bad/certificate-signed-part-of-indefinite-length.der",
          tlv(0x30, ber(whole[0], strings=False) + whole[1] + whole[2]))
    for attribute, value in (("CKA_START_DATE", "2026-01-02"), ("CKA_END_DATE", "2034-01-02")):
        expect("certificate-without-seconds.der", attribute, value)
    expect("certificate-serial-negative.der", "CKA_SERIAL_NUMBER", "020185")
    expect("certificate-serial-zero.der", "CKA_SERIAL_NUMBER", "020100")
    # BER of keys.
    write("ec-p256-of-indefinite-length.der", ber(read("ec-p256.der")))
    write("rsa-2048-of-indefinite-length.der", ber(read("rsa-2048.traditional.der")))
    write("ec-p256-of-long-lengths.pub.der", long_lengths(read("ec-p256.pub.der")))
    write("rsa-2048-of-indefinite-length.pem", pem("PRIVATE KEY", ber(read("rsa-2048.der"))))


def ber(der, strings=True):
    """DER with indefinite lengths, and its strings in two parts."""
    size = len(der) - 2 if der[1] < 128 else len(der) - 2 - (der[1] & 0x7F)
    if der[0] == 4 and strings and size > 1:
        value = der[-size:]
        return b"\x24\x80" + tlv(4, value[:1]) + tlv(4, value[1:]) + b"\0\0"
    if not der[0] & 0x20:
        return der
    return bytes([der[0], 0x80]) + b"".join(ber(child, strings) for child in children(der)) + b"\0\0"


def long_lengths(der):
    """DER with four bytes for each length."""
    size = len(der) - 2 if der[1] < 128 else len(der) - 2 - (der[1] & 0x7F)
    body = b"".join(map(long_lengths, children(der))) if der[0] & 0x20 else der[len(der) - size:]
    return bytes([der[0], 0x84]) + len(body).to_bytes(4, "big") + body


def texts():
    """PEM as it comes out of mail, editors and other systems."""
    key, certificate = read("rsa-2048.pem"), read("certificate-v1.pem")
    mark = "\ufeff".encode()
    write("rsa-2048.byte-order-mark.pem", mark + key)
    write("certificate-v1.byte-order-mark.pem", mark + certificate)
    write("rsa-2048.utf-16-little.pem", b"\xff\xfe" + key.decode().encode("utf-16-le"))
    write("rsa-2048.utf-16-big.pem", b"\xfe\xff" + key.decode().replace("\n", "\r\n").encode("utf-16-be"))
    write("rsa-2048.blanks-behind.pem", key.replace(b"\n", b" \t \n"))
    write("rsa-2048.blanks-below.pem", key + b" \n\t\n\r\n\x1a")
    write("rsa-2048.indented.pem", b"key: |\n" + b"".join(b"    " + line + b"\n" for line in key.splitlines()))
    write("rsa-2048.carriage-return.pem", key.replace(b"\n", b"\r"))
    write("rsa-2048.lines-between.pem", key.replace(b"\n", b"\n\n"))
    lines = key.splitlines()
    body = b"".join(lines[1:-1])
    write("rsa-2048.uneven-lines.pem", b"\n".join(
        [lines[0], body[:1], body[1:30], body[30:31], body[31:200], body[200:], lines[-1]]))
    write("rsa-2048.headers.pem", key.replace(b"\n", b"\nComment: of RFC 1421,\n  on two lines\n\n", 1))
    write("rsa-2048.blanks-for-lines.pem", key.rstrip().replace(b"\n", b" "))
    write("rsa-2048.blanks-that-do-not-break.pem", b"\xc2\xa0" + key.replace(b"\n", b"\xc2\xa0\n"))
    write("rsa-2048.zeros-behind.pem", key.rstrip() + bytes(7))
    write("several/byte-order-marks.pem", mark + certificate + mark + read("certificate-to-2049.pem"))
    write("bad/pem-label-of-two-lines.pem", key.replace(b"BEGIN PRIVATE", b"BEGIN\nPRIVATE"))
    write("bad/pem-utf-16-cut.pem", b"\xff\xfe" + key.decode().encode("utf-16-le")[:-1])
    write("bad/base64-without-lines.txt", b"\n".join(lines[1:-1]) + b"\n")
    write("bad/json.txt", b'{"kty":"oct","k":"AAAA"}\n')
    write("bad/java.jks", b"\xfe\xed\xfe\xed\0\0\0\2" + bytes(24))
    write("bad/pgp.asc", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ==\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----\n")


def others():
    """What is no key that a slot can have, in DER, which has no label to tell it by."""
    def der(*args, stdin=None):
        return openssl(*args, "-outform", "DER", stdin=stdin)
    parameters = openssl("dsaparam", "1024")
    with tempfile.TemporaryDirectory() as work:
        def path(name):
            return os.path.join(work, name)
        with open(path("dsa"), "wb") as file:
            file.write(parameters)
        key = openssl("gendsa", path("dsa"))
        open(path("index"), "w").close()
        with open(path("cnf"), "w") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={path('index')}\ndefault_md=sha256\n")
        revocations = openssl("ca", "-gencrl", "-crldays", "1", "-config", path("cnf"), "-keyfile",
                              os.path.join(HERE, "ec-p256.pem"), "-cert",
                              os.path.join(HERE, "certificate-to-2049.pem"))
    write("bad/dsa.pem", openssl("pkcs8", "-topk8", "-nocrypt", stdin=key))
    write("bad/dsa-traditional.pem", openssl("pkey", "-traditional", stdin=key))
    write("bad/dsa-traditional.der", der("pkey", "-traditional", stdin=key))
    write("bad/dsa.pub.pem", openssl("pkey", "-pubout", stdin=key))
    write("bad/dsa-parameters.pem", parameters)
    write("bad/dsa-parameters.der", der("dsaparam", stdin=parameters))
    write("bad/dh-parameters.der", der("dhparam", stdin=openssl("genpkey", "-genparam", "-algorithm", "DH",
                                                                "-pkeyopt", "group:modp_2048")))
    write("bad/certificate-request.der", der("req", stdin=read("bad/certificate-request.pem")))
    write("bad/revocations.pem", revocations)
    write("bad/revocations.der", der("crl", stdin=revocations))
    write("bad/pkcs7-data.der", tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d010701")) + tlv(0xA0, tlv(4, b"x"))))
    write("bad/pkcs7-without-certificates.der", tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d010702")) + tlv(
        0xA0, tlv(0x30, integer(1) + b"\x31\0" + tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d010701"))) + b"\x31\0"))))
    write("bad/encrypted-traditional-des.pem", openssl(
        "rsa", "-provider", "legacy", "-provider", "default", "-traditional", "-des", "-passout", "pass:x",
        stdin=read("rsa-2048.pem")))


def keygen(*args):
    subprocess.run(["ssh-keygen", "-q", *args], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def openssh():
    """Keys as ssh-keygen writes them."""
    with tempfile.TemporaryDirectory() as work:
        def path(name):
            return os.path.join(work, name)

        def converted(key, *options, password=""):
            # A key in another form becomes OpenSSH's own when its password is changed.
            with open(path("key"), "wb") as file:
                file.write(read(f"{key}.traditional.pem"))
            os.chmod(path("key"), 0o600)
            keygen("-p", "-P", "", "-N", password, "-C", "somebody", *options, "-f", path("key"))
            with open(path("key"), "rb") as file:
                return file.read()

        for key in ("rsa-2048", "ec-p256", "ec-p384", "ec-p521"):
            write(f"{key}.openssh.pem", converted(key))
            with open(path("public"), "wb") as file:
                file.write(read(f"{key}.pub.pem"))
            line = subprocess.run(["ssh-keygen", "-i", "-m", "PKCS8", "-f", path("public")], check=True,
                                  capture_output=True).stdout
            write(f"{key}.openssh.pub.txt", line.rstrip() + b" somebody@example.org\n")
        keygen("-t", "ed25519", "-N", "", "-C", "somebody", "-f", path("ed25519"))
        for name, file in (("ed25519-of-openssh.pem", "ed25519"), ("ed25519-of-openssh.pub.txt", "ed25519.pub")):
            with open(path(file), "rb") as file:
                write(name, file.read())
        keygen("-t", "dsa", "-N", "", "-f", path("dsa"))
        for name, file in (("bad/openssh-dsa.pem", "dsa"), ("bad/openssh-dsa.pub.txt", "dsa.pub")):
            with open(path(file), "rb") as file:
                write(name, file.read())
        line = read("ed25519-of-openssh.pub.txt")
        write("several/openssh.pub.txt", b"# comment\n\n" + line + read("rsa-2048.openssh.pub.txt"))
        write("bad/openssh-cut.pub.txt", line[:50])
        write("bad/openssh-and-text.pub.txt", line + b"text\n")
        with open(path("line"), "wb") as file:
            file.write(read("ec-p256.openssh.pub.txt"))
        write("bad/ssh2.pub.txt", subprocess.run(["ssh-keygen", "-e", "-m", "RFC4716", "-f", path("line")],
                                                 check=True, capture_output=True).stdout)
        for cipher in ("aes256-ctr", "aes128-cbc", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com",
                       "3des-cbc"):
            name = cipher.split("@")[0]
            write(f"encrypted/openssh-{name}.pem", converted("ec-p256", "-Z", cipher, password="x"))
        write("encrypted/openssh-rsa.pem", converted("rsa-2048", "-a", "4", password="x"))
        write("encrypted/bad/openssh-rounds-1001.pem", converted("ec-p256", "-a", "1001", password="x"))
        subprocess.run(["puttygen", "-q", path("ed25519"), "-o", path("ppk"), "--new-passphrase", "/dev/null"],
                       check=True)
        with open(path("ppk"), "rb") as file:
            write("bad/putty.ppk", file.read())


def several():
    """Files of several PEM blocks, all of them imported. Those under bad/ have one that is not."""
    os.makedirs(os.path.join(HERE, "several", "bad"), exist_ok=True)
    names = ("certificate-to-2049", "certificate-to-9999", "certificate-v1")
    chain = [read(f"{name}.pem") for name in names]
    key, encrypted_key = read("ec-p256.pem"), read("encrypted/pkcs8-aes256.pem")
    write("several/chain.pem", b"".join(chain))
    write("several/chain.crlf.pem", b"".join(chain).replace(b"\n", b"\r\n"))
    write("several/key-and-certificate.pem", key + chain[0])
    write("several/certificate-and-key.pem", chain[0] + key)
    write("several/both-halves.pem", key + read("ec-p256.pub.pem"))
    write("several/parameters-key-and-certificate.pem", read("ec-p256.parameters-above.pem") + chain[0])
    write("several/texts.pem", b"subject=a\n" + chain[0] + b"\n---\nsubject=b:\n" + chain[2] + b"---\nDONE\n")
    write("several/encrypted-key-and-chain.pem", encrypted_key + chain[0] + chain[2])
    bags = openssl("pkcs12", "-in", os.path.join(HERE, "encrypted/key-and-chain.p12"), "-passin", "pass:x", "-noenc")
    write("several/openssl-pkcs12.pem", bags)
    inputs = [part for name in names for part in ("-certfile", os.path.join(HERE, f"{name}.pem"))]
    chain_7 = write("several/chain.p7b", openssl("crl2pkcs7", "-nocrl", *inputs, "-outform", "DER"))
    write("several/chain-of-indefinite-length.p7b", ber(chain_7, strings=False))
    write("several/chain.p7b.pem", openssl("crl2pkcs7", "-nocrl", *inputs))
    write("several/bad/second-cut-short.pem", chain[0] + chain[1][:300])
    write("several/bad/second-without-end.pem", chain[0] + chain[1][:300] + b"\n" + chain[2])
    write("several/bad/second-without-begin.pem", chain[0] + chain[1].split(b"\n", 1)[1])
    write("several/bad/second-of-another-kind.pem", chain[0] + read("bad/certificate-request.pem"))
    write("several/bad/second-damaged.pem", key + read("bad/pem-trailing-byte-in-der.pem"))
    write("several/bad/third-of-unknown-label.pem", chain[0] + chain[1] + read("bad/pem-unknown-label.pem"))
    write("several/bad/second-encrypted-traditional.pem", chain[0] + read("bad/encrypted-traditional.pem"))


def stores():
    """PKCS#12 as NSS, GnuTLS and Java write it, under the password x but for those under empty/. Those under partial/
    hold what is not imported too. Needs libnss3-tools, gnutls-bin and a JDK."""
    for name in ("empty", "partial"):
        os.makedirs(os.path.join(HERE, "encrypted", name), exist_ok=True)

    def run(*args):
        subprocess.run(args, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def path(name):
        return os.path.join(HERE, name)

    with tempfile.TemporaryDirectory() as work:
        key, crt = path("ec-p256.pem"), path("certificate-to-2049.pem")
        out = os.path.join(work, "out")
        database = "sql:" + work
        run("certutil", "-N", "-d", database, "--empty-password")
        run("pk12util", "-i", path("encrypted/key-and-certificate.p12"), "-W", "x", "-d", database)
        listed = subprocess.run(["certutil", "-L", "-d", database], check=True, capture_output=True).stdout.decode()
        nickname = listed.strip().splitlines()[-1].rsplit(None, 1)[0].strip()
        for name, options in (("nss", []), ("nss-aes256", ["-c", "AES-256-CBC", "-C", "AES-256-CBC"]),
                              ("nss-3des", ["-c", "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC", "-C",
                                            "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC"])):
            for folder, password in (("", "x"), ("empty/", "")):
                run("pk12util", "-o", out, "-n", nickname, "-W", password, "-d", database, *options)
                shutil.copy(out, path(f"encrypted/{folder}{name}.p12"))
        for name, options in (("gnutls", []), ("gnutls-3des", ["--pkcs-cipher", "3des-pkcs12"]),
                              ("gnutls-aes128", ["--pkcs-cipher", "aes-128"])):
            for folder, password in (("", ["--password", "x"]), ("empty/null-", ["--null-password"])):
                run("certtool", "--to-p12", "--outder", "--load-privkey", key, "--load-certificate", crt, "--p12-name",
                    "a", "--outfile", out, *options, *password)
                shutil.copy(out, path(f"encrypted/{folder}{name}.p12"))
        java = os.path.join(work, "java.p12")

        def keytool(*args):
            run("keytool", *args, "-keystore", java, "-storetype", "PKCS12", "-storepass", "xxxxxx")

        keytool("-genseckey", "-alias", "aes", "-keyalg", "AES", "-keysize", "256")
        shutil.copy(java, path("encrypted/partial/java-secret.p12"))
        keytool("-genkeypair", "-alias", "ec", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=ec")
        shutil.copy(java, path("encrypted/partial/java-secret-and-ec.p12"))
        keytool("-genkeypair", "-alias", "dsa", "-keyalg", "DSA", "-keysize", "1024", "-dname", "CN=dsa")
        keytool("-genseckey", "-alias", "des", "-keyalg", "DESede")
        shutil.copy(java, path("encrypted/partial/java-secrets-ec-and-dsa.p12"))

    # BER throughout; the MAC covers what is inside its string, whatever that is.
    def store(name, *options, password="x"):
        return openssl("pkcs12", "-export", "-passout", f"pass:{password}", "-inkey", path("ec-p256.pem"), "-in",
                       path("certificate-to-2049.pem"), *options)
    write("encrypted/ber.p12", ber(store("ber")))
    write("encrypted/long-lengths.p12", long_lengths(store("long")))
    write("encrypted/empty/openssl.p12", store("empty", password=""))
    write("encrypted/empty/openssl-3des.p12", store("empty", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES",
                                                    password=""))
    for name, digest, oid, size in (("pbmac1-sha256", "sha256", "09", 32), ("pbmac1-sha512", "sha512", "0b", 64),
                                    ("bad/pbmac1-short-key", "sha256", "09", 8)):
        write(f"encrypted/{name}.p12", pbmac1(store(name), digest, "2a864886f70d02" + oid, size))
    write("encrypted/two-key-3des.p12", store("", "-keypbe", "PBE-SHA1-2DES", "-certpbe", "PBE-SHA1-2DES"))
    write("encrypted/certtool.pem", pem("PKCS12", store("pem")))

    def openssl_8(name, *options):
        write(f"encrypted/{name}", openssl("pkcs8", "-topk8", "-outform", "DER", "-passout", "pass:x", *options,
                                           stdin=read("ec-p256.pem")))
    legacy = ["-provider", "legacy", "-provider", "default"]
    for scheme in ("PBE-MD5-DES", "PBE-SHA1-DES", "PBE-SHA1-RC4-128", "PBE-SHA1-RC2-128"):
        openssl_8(f"bad/pkcs8-{scheme}.der".lower(), *legacy, "-v1", scheme)
    openssl_8("bad/pkcs8-des.der", *legacy, "-v2", "des-cbc")
    openssl_8("bad/pkcs8-rc2.der", *legacy, "-v2", "rc2")
    openssl_8("bad/pkcs8-camellia.der", "-v2", "camellia256")
    openssl_8("pkcs8-sha1-2des.der", "-v1", "PBE-SHA1-2DES")
    write("encrypted/bad/rc4.p12", store("", *legacy, "-keypbe", "PBE-SHA1-RC4-128", "-certpbe", "PBE-SHA1-RC4-128"))
    write("encrypted/bad/rc2.p12", store("", *legacy, "-keypbe", "PBE-SHA1-RC2-128", "-certpbe", "PBE-SHA1-RC2-128"))


def pbmac1(store, digest, oid, size):
    """A store with the MAC of RFC 9579, which openssl has from 3.4 on."""
    version, content = children(store)[:2]
    octets = children(children(content)[1])[0]
    safe = octets[4:] if octets[1] == 0x82 else octets[3:]
    salt = bytes(range(8))
    prf = tlv(0x30, tlv(6, bytes.fromhex(oid)) + b"\5\0")
    kdf = tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d01050c")) + tlv(
        0x30, tlv(4, salt) + integer(2048) + integer(size) + prf))
    algorithm = tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d01050e")) + tlv(0x30, kdf + prf))
    key = hashlib.pbkdf2_hmac(digest, b"x", salt, 2048, size)
    tag = hmac.new(key, safe, digest).digest()
    mac = tlv(0x30, tlv(0x30, algorithm + tlv(4, tag)) + tlv(4, b"NOT USED") + integer(1))
    return tlv(0x30, version + content + mac)


def public_rsa(modulus, null=b"\x05\x00"):
    algorithm = tlv(0x30, tlv(6, bytes.fromhex("2a864886f70d010101")) + null)
    return tlv(0x30, algorithm + tlv(3, b"\0" + tlv(0x30, modulus + integer(65537))))


def main():
    for name in os.listdir(HERE):
        if name.endswith((".pem", ".der", ".txt")):
            os.remove(os.path.join(HERE, name))
    shutil.rmtree(BAD, ignore_errors=True)
    os.mkdir(BAD)
    shutil.rmtree(os.path.join(HERE, "encrypted"), ignore_errors=True)
    os.makedirs(os.path.join(HERE, "encrypted", "bad"))
    shutil.rmtree(os.path.join(HERE, "several"), ignore_errors=True)
    os.makedirs(os.path.join(HERE, "several"))
    pairs()
    short_scalar()
    certificates()
    bad()
    encrypted()
    padded_and_dated()
    texts()
    others()
    openssh()
    several()
    stores()
    # A PEM file as other systems write it: CRLF, one long line, text above, blank lines below.
    ed = read("ed25519.pem")
    write("ed25519.crlf.pem", ed.replace(b"\n", b"\r\n"))
    write("ed25519.text-above.pem", b"Bag Attributes\n  friendlyName: x\n" + ed + b"\n\n")
    write("rsa-2048.one-line.pem", pem("PRIVATE KEY", read("rsa-2048.der"), 1 << 20))
    write("expected", "".join(EXPECTED).encode())


if __name__ == "__main__":
    main()
