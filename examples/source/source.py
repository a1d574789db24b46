#!/usr/bin/env python3
"""A source for AUPS: registers, and sends what it reads, plain or sealed (docs/protocol.md, section 15).

    ./source.py http://127.0.0.1:8080 register sensor1 aes-256-gcm > sensor1.json
    echo '{"name":"temperature","value":21.5,"unit":"Cel"}' | ./source.py http://127.0.0.1:8080 send sensor1.json

Plain needs the standard library alone; to seal (aes-128-gcm, aes-256-gcm, chacha20-poly1305) install the package `cryptography`.
Exits with 0 if the data was taken. Keep sensor1.json and sensor1.json.session to yourself.
"""

import base64
import hmac
import http.client
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request

TRIES = 5
AES_256_GCM, CHACHA20_POLY1305, AES_128_GCM = 1, 2, 5


def post(url, body, headers):
    """The status, what was answered, and how long to wait; status 0 if no answer came."""
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), 0
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(), int(refused.headers.get("Retry-After", 1))
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error), 1


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hkdf(salt, key, info, length):
    """HKDF-SHA256 (RFC 5869)."""
    prk, block, out = hmac.digest(salt, key, "sha256"), b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def begin_session(file):
    """A session above all before: the boot counter, on disk before it is used, or the time where that is higher; then 32 random bits."""
    path = file + ".session"
    try:
        with open(path) as kept:
            boot = int(kept.read())
    except FileNotFoundError:
        boot = 0
    boot = max(boot + 1, int(time.time()))
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as kept:
        kept.write(f"{boot}\n")
        kept.flush()
        os.fsync(kept.fileno())
    os.replace(path + ".new", path)
    return boot.to_bytes(4, "big") + secrets.token_bytes(4)


def seal(source, session, seq, text):
    """The binary spelling: header, ciphertext, tag."""
    from cryptography.hazmat.primitives.ciphers import aead

    algorithms = {AES_256_GCM: (aead.AESGCM, 32), CHACHA20_POLY1305: (aead.ChaCha20Poly1305, 32), AES_128_GCM: (aead.AESGCM, 16)}
    suite, key_id = source["suite"], unb64(source["credentialId"])
    algorithm, key_bytes = algorithms[suite]
    publisher, now = bytes(4), int(time.time() * 1000).to_bytes(6, "big")
    subkey = hkdf(b"aups/1 subkey", unb64(source["key"]), bytes([suite]) + key_id + publisher + session, key_bytes + 12)
    number = seq.to_bytes(6, "big")
    header = bytes([1, suite, 0, 1]) + publisher + session + number + now + bytes(4) + key_id
    nonce = bytes(a ^ b for a, b in zip(subkey[key_bytes:], now + number))
    topic = b"src:" + source["NodeId"].encode()
    data = b"aups/1 message" + header + len(topic).to_bytes(2, "big") + topic
    return header + algorithm(subkey[:key_bytes]).encrypt(nonce, text, data)


def register(server, node, scheme="none"):
    new = {"NodeId": node, "NodeType": "sensor", "CommunicationMode": "discrete", "EncryptionScheme": scheme}
    status, answer, _ = post(server + "/registration", json.dumps(new).encode(), {"Content-Type": "application/json"})
    print(answer, file=sys.stdout if status == 201 else sys.stderr)
    return status != 201


def send(server, file):
    with open(file) as kept:
        source = json.load(kept)
    text = sys.stdin.buffer.read()
    # The same for every try: whatever was taken is taken once.
    headers = {"Idempotency-Key": f'"{secrets.token_hex(16)}"'}
    session = seq = None
    for tries in range(TRIES):
        if "key" in source:
            if session is None:
                session, seq = begin_session(file), 0
            body = seal(source, session, seq, text)
            seq += 1
            headers["Content-Type"] = "application/aups"
        else:
            body = text
            headers |= {"Content-Type": "application/json", "Authorization": "Bearer " + source["credential"]}
        status, answer, wait = post(server + "/data", body, headers)
        if status == 202:
            print(answer)
            return 0
        if status == 409:
            session = None  # not above the last one: begin another
        elif status not in (0, 429, 503):
            break
        time.sleep(max(wait, 2**tries))
    print(f"not taken: {answer}", file=sys.stderr)
    return 1


def main(arguments):
    match arguments:
        case [server, "register", node, *scheme]:
            return register(server, node, *scheme)
        case [server, "send", file]:
            return send(server, file)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
