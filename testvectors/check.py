#!/usr/bin/env python3
"""Checks the vectors with another implementation: docs/protocol.md in Python on pyca/cryptography, none of our code.

Needs cryptography >= 48 (for HPKE with X-Wing). Says how many cases it checked; stops at the first that differs.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


def cases(name):
    """The files of testkit/, which hold what the JSON files hold."""
    for file in sorted((pathlib.Path(__file__).parent / "testkit" / name).iterdir()):
        head, _, body = file.read_bytes().decode().partition("\n\n")
        lines = [line.split(": ", 1) for line in head.split("\n") if line]
        case = {member: json.loads(value) for member, value in lines if member not in ("expect", "reason", "body")}
        case |= {member: value for member, value in lines if member in ("expect", "reason")}
        for member, value in lines:
            if member == "body":
                case[value] = body
        case["name"] = case["reason"]
        yield case


def unb64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "not canonical"
    return data


def hkdf(salt, ikm, info, length):
    prk = hmac.digest(salt, ikm, "sha256")
    block, okm = b"", b""
    for number in range(1, 256):
        block = hmac.digest(prk, block + info + bytes([number]), "sha256")
        okm += block
        if len(okm) >= length:
            return okm[:length]


class AsconAead128:
    """NIST SP 800-232 section 4, from its text: words are little-endian, the rate is 16 bytes, 12 and 8 rounds."""

    MASK = (1 << 64) - 1
    IV = 0x00001000808C0001

    def __init__(self, key):
        self.key = struct.unpack("<2Q", key)

    @classmethod
    def permute(cls, s, rounds):
        def rotated(word, *by):
            for n in by:
                yield (word >> n | word << (64 - n)) & cls.MASK

        for number in range(12 - rounds, 12):
            s[2] ^= 0xF0 - 0x10 * number + number
            s[0] ^= s[4]
            s[4] ^= s[3]
            s[2] ^= s[1]
            t = [(s[i] ^ cls.MASK) & s[(i + 1) % 5] for i in range(5)]
            for i in range(5):
                s[i] ^= t[(i + 1) % 5]
            s[1] ^= s[0]
            s[0] ^= s[4]
            s[3] ^= s[2]
            s[2] ^= cls.MASK
            for i, (one, two) in enumerate([(19, 28), (61, 39), (1, 6), (10, 17), (7, 41)]):
                a, b = rotated(s[i], one, two)
                s[i] ^= a ^ b

    def decrypt(self, nonce, sealed, aad):
        body, tag = sealed[:-16], sealed[-16:]
        k0, k1 = self.key
        s = [self.IV, k0, k1, *struct.unpack("<2Q", nonce)]
        self.permute(s, 12)
        s[3] ^= k0
        s[4] ^= k1
        if aad:
            padded = aad + b"\x01" + bytes(-(len(aad) + 1) % 16)
            for at in range(0, len(padded), 16):
                a, b = struct.unpack_from("<2Q", padded, at)
                s[0] ^= a
                s[1] ^= b
                self.permute(s, 8)
        s[4] ^= 1 << 63
        plaintext = b""
        whole = len(body) // 16 * 16
        for at in range(0, whole, 16):
            a, b = struct.unpack_from("<2Q", body, at)
            plaintext += struct.pack("<2Q", s[0] ^ a, s[1] ^ b)
            s[0], s[1] = a, b
            self.permute(s, 8)
        rest = body[whole:]
        rate = bytearray(struct.pack("<2Q", s[0], s[1]))
        plaintext += bytes(a ^ b for a, b in zip(rest, rate))
        rate[: len(rest)] = rest
        rate[len(rest)] ^= 1
        s[0], s[1] = struct.unpack("<2Q", rate)
        s[2] ^= k0
        s[3] ^= k1
        self.permute(s, 12)
        assert struct.pack("<2Q", s[3] ^ k0, s[4] ^ k1) == tag, "the tag does not verify"
        return plaintext


def subkey(key_t, suite, key_id, publisher, session):
    info = bytes([suite]) + key_id + struct.pack(">I", publisher) + session
    key, iv = (16, 16) if suite == 3 else (32, 12)
    okm = hkdf(b"aups/1 subkey", key_t, info, key + iv)
    return okm[:key], okm[key:]


def check_key_schedule(case):
    scope, salt, life = unb64(case["scopeId"]), bytes.fromhex(case["scopeSalt"]), case["lifeMs"]
    phase = int.from_bytes(hkdf(salt, scope, b"aups/1 phase", 8), "big") % life
    epoch = (case["at"] + phase) // life
    nbf = epoch * life - phase
    exp, dec = nbf + life, nbf + life + case["historyMs"]
    assert (phase, epoch, nbf, exp, dec) == tuple(case[m] for m in ("phaseMs", "epoch", "nbf", "exp", "dec"))
    number = struct.pack(">IH", epoch, case["bump"])
    key_t = hkdf(salt, bytes.fromhex(case["root"]), b"aups/1 keyT" + scope + number, 32)
    assert key_t.hex() == case["keyT"]
    terms = bytes([case["suite"], case["flags"]]) + scope + number + struct.pack(">QQQ", nbf, exp, dec)
    commit = hkdf(b"aups/1 commit", key_t, terms, 10)
    key_id = bytes.fromhex(case["scopeTag"]) + number + commit
    assert (commit.hex(), key_id) == (case["commit"], unb64(case["keyId"]))
    key, iv = subkey(key_t, case["suite"], key_id, case["publisher"], bytes.fromhex(case["session"]))
    assert (key.hex(), iv.hex()) == (case["subkeyKey"], case["subkeyIv"])


def obligations_member(case):
    member = struct.pack(">BH", case["sign"], case["padBytes"])
    for kind, texts in ((b"r", case.get("redact", [])), (b"n", case.get("notify", []))):
        for text in sorted(text.encode() for text in texts):
            member += kind + struct.pack(">I", len(text)) + text
    return member


def check_scope_id(case):
    flags = (1 if case["sign"] else 0) | (2 if case["padBytes"] else 0)
    members = [
        b"aups/1 scope", b"\x01", unb64(case["realm"]), case["app"].encode(), case["user"].encode(),
        obligations_member(case), bytes([case["suite"]]), bytes([flags]),
        struct.pack(">Q", case["lifeMs"]),
    ]
    hashed = hashlib.sha256(b"".join(struct.pack(">I", len(member)) + member for member in members))
    assert hashed.digest() == unb64(case["scopeId"])


def check_message(case):
    entry, message = case["key"], bytes.fromhex(case["binary"])
    header, body, topic = message[:56], message[56:], case["topic"].encode()
    length, key_id = struct.pack(">H", len(topic)), unb64(entry["keyId"])
    assert header[32:] == key_id
    key, iv = subkey(unb64(entry["keyT"]), entry["suite"], key_id, case["publisher"], bytes.fromhex(case["session"]))
    if header[2] & 1:
        body, signature = body[:-64], body[-64:]
        public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["signingSeed"])).public_key()
        public.verify(signature, b"aups/1 signature" + length + topic + header + body)
    counters = bytes(len(iv) - 12) + header[22:28] + header[16:22]
    nonce = bytes(a ^ b for a, b in zip(iv, counters))
    aead = {1: AESGCM, 2: ChaCha20Poly1305, 3: AsconAead128}[header[1]](key)
    plaintext = aead.decrypt(nonce, body, b"aups/1 message" + header + length + topic)
    if header[2] & 2:
        plaintext = plaintext.rstrip(b"\0")
        assert plaintext[-1] == 0x80
        plaintext = plaintext[:-1]
    assert plaintext.hex() == case["plaintext"]
    spelt = json.loads(case["json"])
    assert (unb64(spelt["keyId"]), unb64(spelt["data"])) == (key_id, header[:32] + message[56:])


def verify_jws(jws, key):
    signed, _, signature = jws.rpartition(".")
    Ed25519PublicKey.from_public_bytes(unb64(key)).verify(unb64(signature), signed.encode())
    return json.loads(unb64(signed.split(".")[1]))


def check_key_response(case):
    rh = hashlib.sha256(case["request"].encode()).digest()
    claims = json.loads(unb64(case["response"].split(".")[1]))
    certificate = verify_jws(claims["nos"], case["realmKey"])
    assert verify_jws(case["response"], certificate["signingKey"]) == claims
    assert unb64(claims["rh"]) == rh
    secret = bytes.fromhex(case["kemKey"])
    if case["kem"] == "x25519":
        kem, key = hpke.KEM.X25519, X25519PrivateKey.from_private_bytes(secret)
    else:
        seeds = hashlib.shake_256(secret).digest(96)
        halves = MLKEM768PrivateKey.from_seed_bytes(seeds[:64]), X25519PrivateKey.from_private_bytes(seeds[64:])
        kem, key = hpke.KEM.MLKEM768_X25519, hpke.MLKEM768X25519PrivateKey(*halves)
    suite = hpke.Suite(kem, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    grants = json.loads(suite.decrypt(unb64(claims["enc"]) + unb64(claims["ct"]), key, info=b"aups/1 ks" + rh))
    assert set(grants) == {"keys", "next", "publishers", "denied"}


def main():
    checks = [
        ("key-schedule", check_key_schedule, lambda case: True),
        ("scope-id", check_scope_id, lambda case: True),
        ("messages", check_message, lambda case: True),
        ("certificates", lambda case: verify_jws(case["jws"], case["key"]), lambda case: case["expect"] == "success"),
        ("key-requests", lambda case: verify_jws(case["jws"], case["key"]), lambda case: case["expect"] == "success"),
        ("bearer", lambda case: verify_jws(case["jws"], case["key"]), lambda case: case["expect"] == "success"),
        ("key-responses", check_key_response, lambda case: case["expect"] == "success"),
    ]
    for name, check, wanted in checks:
        chosen = [case for case in cases(name) if wanted(case)]
        for case in chosen:
            try:
                check(case)
            except Exception as error:
                raise SystemExit(f"{name}: {case['name']}: {error!r}") from error
        print(f"{name}: {len(chosen)} cases")


if __name__ == "__main__":
    main()
