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
import uuid

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


AEADS = {1: AESGCM, 2: ChaCha20Poly1305, 3: AsconAead128, 5: AESGCM}


def subkey(key_t, suite, key_id, publisher, session):
    info = bytes([suite]) + key_id + struct.pack(">I", publisher) + session
    key, iv = {3: (16, 16), 5: (16, 12)}.get(suite, (32, 12))
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
    aead = AEADS[header[1]](key)
    plaintext = aead.decrypt(nonce, body, b"aups/1 message" + header + length + topic)
    if header[2] & 2:
        plaintext = plaintext.rstrip(b"\0")
        assert plaintext[-1] == 0x80
        plaintext = plaintext[:-1]
    assert plaintext.hex() == case["plaintext"]
    spelt = json.loads(case["json"])
    assert (unb64(spelt["keyId"]), unb64(spelt["data"])) == (key_id, header[:32] + message[56:])


class Refused(Exception):
    """A message that a reader does not take; the error's name as in docs/protocol.md."""


SPACE, SKEW = b" \t\n\r", 30_000


def spelt_members(text):
    """Section 2.4, step 2."""
    at, members = 0, {}

    def skip():
        nonlocal at
        while at < len(text) and text[at] in SPACE:
            at += 1

    def expect(byte):
        nonlocal at
        if text[at : at + 1] != byte:
            raise Refused("Json")
        at += 1

    def string():
        nonlocal at
        expect(b'"')
        start = at
        while at < len(text) and text[at] not in b'"\\' and text[at] >= 0x20:
            at += 1
        if text[at : at + 1] == b"\\":
            raise Refused("Escape")
        expect(b'"')
        return text[start : at - 1]

    expect(b"{")
    skip()
    if text[at : at + 1] == b"}":
        at += 1
    else:
        while True:
            name = string()
            if name not in (b"keyId", b"data"):
                raise Refused("UnknownMember")
            if name in members:
                raise Refused("DuplicateMember")
            skip()
            expect(b":")
            skip()
            if text[at : at + 1] != b'"':
                raise Refused("NotText")
            members[name] = string()
            skip()
            if text[at : at + 1] == b"}":
                at += 1
                break
            expect(b",")
            skip()
    skip()
    if at < len(text):
        raise Refused("TrailingBytes")
    if len(members) < 2:
        raise Refused("MissingMember")
    return members[b"keyId"], members[b"data"]


def strict_unb64(text, error):
    try:
        return unb64(text.decode("ascii"))
    except Exception:
        raise Refused(error) from None


def read(payload):
    """Section 2.4: the binary spelling of what can be read."""
    if not payload:
        raise Refused("Empty")
    key_id = b""
    if payload[:1] == b"{":
        name, data = spelt_members(payload)
        if len(name) != 32:
            raise Refused("KeyIdLength")
        key_id = strict_unb64(name, "KeyIdEncoding")
        payload = strict_unb64(data, "DataEncoding")
    if payload[:1] and payload[0] != 1:
        raise Refused("UnknownVersion")
    if len(payload) < 4:
        raise Refused("TooShort")
    if payload[1] not in AEADS:
        raise Refused("UnknownSuite")
    if payload[2] & ~3:
        raise Refused("UnknownFlag")
    if payload[3] > 3:
        raise Refused("UnknownContentType")
    least = 56 + 16 + (64 if payload[2] & 1 else 0) + (1 if payload[2] & 2 else 0)
    if len(payload) + len(key_id) < least:
        raise Refused("TooShort")
    return payload[:32] + key_id + payload[32:] if key_id else payload


class Reader:
    """Section 5."""

    def __init__(self, holdings, max_age=60_000):
        self.keys = {unb64(key["keyId"]): key for key in holdings["keys"]}
        self.publishers = {listed["publisher"]: listed for listed in holdings["publishers"]}
        self.max_age, self.windows, self.ids, self.newest, self.incarnations = max_age, {}, {}, {}, {}
        self.retained = set()

    def open(self, message, topic, entry):
        header, body = message[:56], message[56:]
        publisher = int.from_bytes(header[4:8], "big")
        signature = b""
        if header[2] & 1:
            body, signature = body[:-64], body[-64:]
        key, iv = subkey(unb64(entry["keyT"]), entry["suite"], header[32:], publisher, header[8:16])
        nonce = bytes(a ^ b for a, b in zip(iv, bytes(len(iv) - 12) + header[22:28] + header[16:22]))
        length = struct.pack(">H", len(topic))
        aead = AEADS[header[1]](key)
        try:
            plaintext = aead.decrypt(nonce, body, b"aups/1 message" + header + length + topic)
        except Exception:
            raise Refused("BadTag") from None
        if signature:
            public = Ed25519PublicKey.from_public_bytes(unb64(self.publishers[publisher]["signingKey"]))
            try:
                public.verify(signature, b"aups/1 signature" + length + topic + header + body)
            except Exception:
                raise Refused("BadSignature") from None
        if header[2] & 2:
            plaintext = plaintext.rstrip(b"\0")
            if plaintext[-1:] != b"\x80":
                raise Refused("BadPadding")
            plaintext = plaintext[:-1]
        return plaintext

    def accept(self, payload, topic, now, retain=False):
        """The outcome and what was missed."""
        message = read(payload)
        header, topic = message[:56], topic.encode()
        number = lambda start, end: int.from_bytes(header[start:end], "big")
        entry = self.keys.get(header[32:])
        if entry is None:
            raise Refused("UnknownKey")
        if header[1] != entry["suite"]:
            raise Refused("SuiteMismatch")
        if entry["flags"] & ~header[2]:
            raise Refused("FlagMissing")
        if now > entry["dec"]:
            raise Refused("TooOld")
        ts = number(22, 28)
        if not entry["nbf"] - SKEW <= ts <= entry["exp"] + SKEW:
            raise Refused("OutsideValidity")
        listed = self.publishers.get(number(4, 8))
        if listed is None or now > listed["exp"] + SKEW:
            raise Refused("UnknownPublisher")
        plaintext = self.open(message, topic, entry)
        for key_id, other in self.keys.items():
            if key_id[:8] == header[32:40] and other["bump"] > entry["bump"] and ts >= other["from"] + SKEW:
                raise Refused("Superseded")
        item = None
        if header[3] == 1:
            try:
                item = uuid.UUID(json.loads(plaintext)["id"])
            except Exception:
                raise Refused("BadItem") from None
        seq, place = number(28, 32), (header[4:16], header[32:40], topic)
        seen = self.windows.get(place, (None, set(), 0))
        highest, marked, untold = seen
        if highest is not None and seq <= highest - 1024:
            raise Refused("Stale")
        if seq in marked:
            raise Refused("Duplicate")
        ids = self.ids.setdefault(topic, [])
        again = item is not None and item in ids
        if retain and not again:
            if topic in self.retained:
                raise Refused("RetainedAgain")
            if ts <= self.newest.get(topic, -1):
                raise Refused("RetainedNotNewer")
        missed = untold + (seq - highest - 1 if highest is not None and seq > highest else 0)
        in_order = highest is None or seq > highest
        top = seq if in_order else highest
        marked = {old for old in marked | {seq} if old > top - 1024}
        self.windows[place] = (top, marked, missed if again else 0)
        if again:
            raise Refused("Duplicate")
        ids.append(item)
        del ids[:-1024]
        self.newest[topic] = max(ts, self.newest.get(topic, -1))
        incarnation = number(8, 12)
        newest = self.incarnations.get(number(4, 8), 0)
        self.incarnations[number(4, 8)] = max(newest, incarnation)
        if retain:
            self.retained.add(topic)
            return "Retained", missed
        fresh = abs(now - ts) <= self.max_age and in_order and incarnation >= newest
        return "Fresh" if fresh else "Late", missed


def payload_bytes(payload):
    return bytes.fromhex(payload["binary"]) if "binary" in payload else payload["text"].encode()


def check_refused(case):
    kind = "binary" if "payload.binary" in case else "text"
    payload = payload_bytes({kind: case["payload." + kind]})
    try:
        outcome, _ = Reader(case["holdings"]).accept(payload, case["topic"], case["now"])
    except Refused as refused:
        outcome = str(refused)
    assert outcome == case["expect"], f"{outcome} where {case['expect']} is expected"


def check_sequence(case):
    reader = Reader(case["holdings"], case["maxAgeMs"])
    for number, step in enumerate(case["steps"]):
        if step.get("subscribes"):
            reader.retained.clear()
        try:
            found = reader.accept(payload_bytes(step["payload"]), step["topic"], step["now"], step["retain"])
        except Refused as refused:
            found = str(refused), 0
        assert found == (step["verdict"], step["missed"]), f"step {number}: {found}"


def check_source(case):
    """Section 15."""
    master, node, key_id = bytes.fromhex(case["master"]), case["node"].encode(), unb64(case["credentialId"])
    suite = bytes([case["suite"]])
    assert hkdf(b"aups/1 source credential", master, key_id + node, 32) == unb64(case["credential"])
    key_t = hkdf(b"aups/1 source key", master, suite + key_id + node, 32)
    assert key_t == unb64(case["key"])
    kind = "binary" if "payload.binary" in case else "text"
    payload = payload_bytes({kind: case["payload." + kind]})
    try:
        plaintext = open_source(read(payload), key_t, case["suite"], key_id, b"src:" + node)
    except Refused as refused:
        assert str(refused) == case["verdict"], f"{refused} is not {case['verdict']}"
    else:
        assert ("Ok", case["plaintext"]) == (case["verdict"], plaintext.hex())


def open_source(message, key_t, suite, key_id, topic):
    header = message[:56]
    if header[32:] != key_id:
        raise Refused("OtherKey")
    if any(header[4:8]) or header[2] or any(header[28:32]):
        raise Refused("NotOfASource")
    if header[1] != suite:
        raise Refused("SuiteMismatch")
    key, iv = subkey(key_t, suite, key_id, 0, header[8:16])
    nonce = bytes(a ^ b for a, b in zip(iv, bytes(len(iv) - 12) + header[22:28] + header[16:22]))
    try:
        return AEADS[suite](key).decrypt(nonce, message[56:], b"aups/1 message" + header + struct.pack(">H", len(topic)) + topic)
    except Exception:
        raise Refused("BadTag") from None


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
        ("messages-refused", check_refused, lambda case: True),
        ("acceptance", check_sequence, lambda case: True),
        ("sources", check_source, lambda case: True),
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
