"""Two tokens of a PKCS#11 module, and keys moved from one to the other by C_WrapKey and C_UnwrapKey."""

import os
import time

import PyKCS11
from PyKCS11 import LowLevel as ck

PIN = "12345678"


class Tokens:
    """Two tokens with one wrapping key each, of the same value, and keys in the first."""

    def __init__(self, module):
        self.lib = PyKCS11.PyKCS11Lib()
        self.lib.load(str(module))
        free = self.lib.getSlotList()
        self.sessions = []
        for number in range(2):
            # Softhsm makes a new slot of a token that was initialised.
            slot = self.lib.getSlotList()[-1] if number >= len(free) else free[number]
            self.lib.initToken(slot, PIN, f"bench{number}")
            slot = next(s for s in self.lib.getSlotList(tokenPresent=True)
                        if self.lib.getTokenInfo(s).label.split("\0")[0].strip() == f"bench{number}")
            session = self.lib.openSession(slot, ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION)
            session.login(PIN, PyKCS11.CKU_SO)
            session.initPin(PIN)
            session.logout()
            session.login(PIN)
            self.sessions.append(session)
        value = os.urandom(32)
        self.wrapping = [session.createObject(self.template("wrapping") + [
            (ck.CKA_VALUE, value), (ck.CKA_WRAP, True), (ck.CKA_UNWRAP, True)]) for session in self.sessions]

    @staticmethod
    def template(label):
        return [(ck.CKA_CLASS, ck.CKO_SECRET_KEY), (ck.CKA_KEY_TYPE, ck.CKK_AES), (ck.CKA_TOKEN, True),
                (ck.CKA_PRIVATE, True), (ck.CKA_SENSITIVE, True), (ck.CKA_EXTRACTABLE, True),
                (ck.CKA_ENCRYPT, True), (ck.CKA_DECRYPT, True), (ck.CKA_LABEL, label)]

    def generate(self, count):
        source = self.sessions[0]
        mechanism = PyKCS11.Mechanism(ck.CKM_AES_KEY_GEN, None)
        return [source.generateKey(self.template(f"key{n}") + [(ck.CKA_VALUE_LEN, 32)], mechanism)
                for n in range(count)]

    def move(self, keys):
        """Seconds that moving `keys` took."""
        source, target = self.sessions
        mechanism = PyKCS11.Mechanism(ck.CKM_AES_KEY_WRAP, None)
        start = time.monotonic()
        for number, key in enumerate(keys):
            wrapped = source.wrapKey(self.wrapping[0], key, mechanism)
            target.unwrapKey(self.wrapping[1], wrapped, self.template(f"key{number}"), mechanism)
        return time.monotonic() - start


if __name__ == "__main__":
    import sys

    tokens = Tokens(sys.argv[1])
    print(tokens.move(tokens.generate(int(sys.argv[2]))))
