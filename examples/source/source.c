/*
 * A source for AUPS in one file of C: POSIX sockets, no library. It registers, and sends what it reads, plain or sealed with
 * Ascon-AEAD128 (NIST SP 800-232), whose key HKDF-SHA256 (RFC 5869) derives for each session. docs/protocol.md, section 15.
 *
 *   cc -std=c11 -Wall -Wextra -Werror -o source source.c
 *   ./source 127.0.0.1 8080 register sensor1 ascon-aead128 > sensor1.json
 *   echo '{"name":"temperature","value":21.5,"unit":"Cel"}' | ./source 127.0.0.1 8080 send sensor1.json
 *
 * Exits with 0 if the data was taken, 1 if not. Keep sensor1.json and sensor1.json.session to yourself.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20, HEADER = 56, TAG = 16, TEXT_MAX = 256, NODE_MAX = 64, TRIES = 5, SILENCE_MAX_S = 30 };

static void fail(const char *what) {
    fprintf(stderr, "source: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

/* ---- SHA-256 (FIPS 180-4), HMAC and HKDF ---- */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(uint32_t h[8], const uint8_t p[64]) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t a = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
        uint32_t b = (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += a;
        s[0] = a + b;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

/* Of two parts, so that HMAC needs no buffer for both. */
static void sha256(const uint8_t *one, size_t one_len, const uint8_t *two, size_t two_len, uint8_t out[32]) {
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t block[64];
    size_t fill = 0, length = one_len + two_len;
    for (size_t i = 0; i < length; i++) {
        block[fill++] = i < one_len ? one[i] : two[i - one_len];
        if (fill == 64) sha256_block(h, block), fill = 0;
    }
    block[fill++] = 0x80;
    if (fill > 56) {
        memset(block + fill, 0, 64 - fill);
        sha256_block(h, block);
        fill = 0;
    }
    memset(block + fill, 0, 56 - fill);
    for (int i = 0; i < 8; i++) block[56 + i] = (uint8_t)((uint64_t)length * 8 >> (56 - 8 * i));
    sha256_block(h, block);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* Keys of at most 64 bytes. */
static void hmac(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len, uint8_t out[32]) {
    uint8_t pad[64] = {0}, inner[32];
    memcpy(pad, key, key_len);
    for (int i = 0; i < 64; i++) pad[i] ^= 0x36;
    sha256(pad, 64, data, len, inner);
    for (int i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
    sha256(pad, 64, inner, 32, out);
}

/* The first 32 bytes of the output: its first block. */
static void hkdf32(const char *salt, const uint8_t key[32], const uint8_t *info, size_t info_len, uint8_t out[32]) {
    uint8_t prk[32], input[TEXT_MAX];
    hmac((const uint8_t *)salt, strlen(salt), key, 32, prk);
    memcpy(input, info, info_len);
    input[info_len] = 1;
    hmac(prk, 32, input, info_len + 1, out);
}

/* ---- Ascon-AEAD128 (NIST SP 800-232): words are little-endian ---- */

static uint64_t rotr64(uint64_t x, int n) { return x >> n | x << (64 - n); }

static uint64_t load(const uint8_t *p, size_t len) {
    uint64_t word = 0;
    for (size_t i = 0; i < len && i < 8; i++) word |= (uint64_t)p[i] << (8 * i);
    return word;
}

static void store(uint8_t *p, uint64_t word, size_t len) {
    for (size_t i = 0; i < len && i < 8; i++) p[i] = (uint8_t)(word >> (8 * i));
}

static void permute(uint64_t s[5], int rounds) {
    for (int round = 12 - rounds; round < 12; round++) {
        uint64_t t[5];
        s[2] ^= (uint64_t)(0xf0 - 0x10 * round + round);
        s[0] ^= s[4], s[4] ^= s[3], s[2] ^= s[1];
        for (int i = 0; i < 5; i++) t[i] = ~s[i] & s[(i + 1) % 5];
        for (int i = 0; i < 5; i++) s[i] ^= t[(i + 1) % 5];
        s[1] ^= s[0], s[0] ^= s[4], s[3] ^= s[2], s[2] = ~s[2];
        s[0] ^= rotr64(s[0], 19) ^ rotr64(s[0], 28);
        s[1] ^= rotr64(s[1], 61) ^ rotr64(s[1], 39);
        s[2] ^= rotr64(s[2], 1) ^ rotr64(s[2], 6);
        s[3] ^= rotr64(s[3], 10) ^ rotr64(s[3], 17);
        s[4] ^= rotr64(s[4], 7) ^ rotr64(s[4], 41);
    }
}

/* The rest of a block that is not full, with the 1 behind it. */
static void absorb_rest(uint64_t s[5], const uint8_t *p, size_t len) {
    s[0] ^= load(p, len);
    s[1] ^= len > 8 ? load(p + 8, len - 8) : 0;
    s[len / 8] ^= (uint64_t)1 << (8 * (len % 8));
}

/* Encrypts in place; the tag is written behind. */
static void ascon_seal(const uint8_t key[16], const uint8_t nonce[16], const uint8_t *ad, size_t ad_len, uint8_t *text, size_t len) {
    uint64_t k0 = load(key, 8), k1 = load(key + 8, 8);
    uint64_t s[5] = {0x00001000808c0001, k0, k1, load(nonce, 8), load(nonce + 8, 8)};
    permute(s, 12);
    s[3] ^= k0, s[4] ^= k1;
    for (; ad_len >= 16; ad += 16, ad_len -= 16) {
        s[0] ^= load(ad, 8), s[1] ^= load(ad + 8, 8);
        permute(s, 8);
    }
    absorb_rest(s, ad, ad_len);
    permute(s, 8);
    s[4] ^= (uint64_t)1 << 63;
    for (; len >= 16; text += 16, len -= 16) {
        s[0] ^= load(text, 8), s[1] ^= load(text + 8, 8);
        store(text, s[0], 8), store(text + 8, s[1], 8);
        permute(s, 8);
    }
    absorb_rest(s, text, len);
    store(text, s[0], len);
    if (len > 8) store(text + 8, s[1], len - 8);
    s[2] ^= k0, s[3] ^= k1;
    permute(s, 12);
    store(text + len, s[3] ^ k0, 8), store(text + len + 8, s[4] ^ k1, 8);
}

/* ---- what the registration answered ---- */

struct source {
    char node[TEXT_MAX], credential[TEXT_MAX];
    uint8_t credential_id[24], key[32];
    int suite; /* 0: it does not seal */
};

static int base64url(const char *text, uint8_t *out, size_t bytes) {
    const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    size_t held = 0, done = 0;
    for (; *text; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit) return 0;
        bits = bits << 6 | (uint32_t)(digit - digits), held += 6;
        if (held >= 8) {
            if (done == bytes) return 0;
            held -= 8, out[done++] = (uint8_t)(bits >> held);
        }
    }
    return done == bytes;
}

/* The value of a member of a flat object of ours: nothing in it is escaped. Empty if it is not there. */
static void member(const char *json, const char *name, char out[TEXT_MAX]) {
    char quoted[TEXT_MAX];
    size_t len = 0;
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(json, quoted);
    if (at) {
        for (at += strlen(quoted); *at == ' ' || *at == '"'; at++) {}
        while (at[len] && !strchr("\",} \n", at[len]) && len < TEXT_MAX - 1) out[len] = at[len], len++;
    }
    out[len] = 0;
}

static void read_source(const char *file, struct source *source) {
    char json[4096] = {0}, text[TEXT_MAX];
    FILE *in = fopen(file, "r");
    if (!in || !fread(json, 1, sizeof json - 1, in)) fail(file);
    fclose(in);
    errno = 0;
    member(json, "NodeId", source->node);
    if (!*source->node || strlen(source->node) > NODE_MAX) fail("no NodeId: this is not the answer to a registration");
    member(json, "credential", source->credential);
    member(json, "credentialId", text);
    if (!base64url(text, source->credential_id, 24)) fail("no credentialId: this is not the answer to a registration");
    member(json, "suite", text);
    source->suite = atoi(text);
    if (source->suite == 0) return;
    if (source->suite != 3) fail("this program seals with ascon-aead128 alone");
    member(json, "key", text);
    if (!base64url(text, source->key, 32)) fail("no key in the answer to the registration");
}

/* A session above all before: the boot counter, which is on disk before it is used, or the time where that is higher; then 32 random bits. */
static void begin_session(const char *file, uint8_t session[8]) {
    char path[4096], beside[4112], text[32] = {0};
    snprintf(path, sizeof path, "%s.session", file);
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *in = fopen(path, "r");
    if (in && fread(text, 1, sizeof text - 1, in) == 0) fail(path);
    if (in) fclose(in);
    uint32_t boot = (uint32_t)strtoul(text, NULL, 10) + 1, now = (uint32_t)time(NULL);
    if (now > boot) boot = now;
    int out = open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int len = snprintf(text, sizeof text, "%lu\n", (unsigned long)boot);
    if (out < 0 || write(out, text, (size_t)len) != len || fsync(out) || close(out) || rename(beside, path)) fail(path);
    int random = open("/dev/urandom", O_RDONLY);
    if (random < 0 || read(random, session + 4, 4) != 4) fail("/dev/urandom");
    close(random);
    for (int i = 0; i < 4; i++) session[i] = (uint8_t)(boot >> (24 - 8 * i));
    errno = 0;
}

/* Header, ciphertext, tag. One message in a session, so seq is 0. Gives the length. */
static size_t seal(const struct source *source, const uint8_t session[8], const char *text, size_t len, uint8_t *out) {
    uint8_t info[1 + 24 + 4 + 8] = {3}, okm[32], nonce[16], ad[14 + HEADER + 2 + 4 + NODE_MAX];
    uint64_t ms = (uint64_t)time(NULL) * 1000;
    memset(out, 0, HEADER);
    out[0] = 1, out[1] = 3, out[3] = 1; /* version, suite, JSON */
    memcpy(out + 8, session, 8);
    for (int i = 0; i < 6; i++) out[22 + i] = (uint8_t)(ms >> (40 - 8 * i));
    memcpy(out + 32, source->credential_id, 24);

    memcpy(info + 1, source->credential_id, 24); /* publisher: 0 */
    memcpy(info + 29, session, 8);
    hkdf32("aups/1 subkey", source->key, info, sizeof info, okm);
    memcpy(nonce, okm + 16, 16);
    for (int i = 0; i < 6; i++) nonce[4 + i] ^= out[22 + i];

    size_t topic_len = strlen(source->node) + 4, at = 14;
    memcpy(ad, "aups/1 message", at);
    memcpy(ad + at, out, HEADER), at += HEADER;
    ad[at++] = (uint8_t)(topic_len >> 8), ad[at++] = (uint8_t)topic_len;
    memcpy(ad + at, "src:", 4);
    memcpy(ad + at + 4, source->node, topic_len - 4);
    at += topic_len;

    memcpy(out + HEADER, text, len);
    ascon_seal(okm, nonce, ad, at, out + HEADER, len);
    return HEADER + len + TAG;
}

/* ---- HTTP ---- */

/* Posts a body; the status, or 0 if no answer came. What is answered is written to `answer`. */
static int post(const char *host, const char *port, const char *path, const char *headers, const uint8_t *body, size_t len,
                char *answer, size_t room) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char head[2048];
    size_t have = 0;
    ssize_t got;
    if (getaddrinfo(host, port, &hints, &found)) fail("no such host");
    int to = -1;
    for (struct addrinfo *address = found; address && to < 0; address = address->ai_next) {
        to = socket(address->ai_family, SOCK_STREAM, 0);
        if (to >= 0 && connect(to, address->ai_addr, address->ai_addrlen)) close(to), to = -1;
    }
    freeaddrinfo(found);
    if (to < 0) return 0;
    struct timeval silence = {.tv_sec = SILENCE_MAX_S};
    setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    setsockopt(to, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
    int head_len = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
                            path, host, port, len, headers);
    if (head_len < 0 || (size_t)head_len >= sizeof head) fail("the headers are too long");
    int ok = send(to, head, (size_t)head_len, MSG_NOSIGNAL) == head_len;
    for (size_t sent = 0; ok && sent < len; sent += (size_t)got) {
        got = send(to, body + sent, len - sent, MSG_NOSIGNAL);
        if (got <= 0) break; /* it may have answered already */
    }
    while (have < room - 1 && (got = recv(to, answer + have, room - 1 - have, 0)) > 0) have += (size_t)got;
    answer[have] = 0;
    close(to);
    errno = 0;
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static const char *body_of(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? end + 4 : "";
}

static int send_data(const char *host, const char *port, const char *file) {
    static char text[BODY_MAX + 1], answer[1 << 16];
    static uint8_t body[BODY_MAX + HEADER + TAG];
    struct source source = {0};
    char headers[1024];
    uint8_t key[16], session[8];
    char name[33];
    read_source(file, &source);
    size_t len = fread(text, 1, sizeof text, stdin), body_len = len;
    if (len + HEADER + TAG > BODY_MAX) fail("more than a body may have");
    /* The same for every try: whatever was taken is taken once. */
    int random = open("/dev/urandom", O_RDONLY);
    if (random < 0 || read(random, key, 16) != 16) fail("/dev/urandom");
    close(random);
    for (int i = 0; i < 16; i++) snprintf(name + 2 * i, 3, "%02x", key[i]);
    for (int tries = 0; tries < TRIES; tries++) {
        if (source.suite) {
            begin_session(file, session);
            body_len = seal(&source, session, text, len, body);
            snprintf(headers, sizeof headers, "Content-Type: application/aups\r\nIdempotency-Key: \"%s\"\r\n", name);
        } else {
            memcpy(body, text, len);
            snprintf(headers, sizeof headers, "Content-Type: application/json\r\nAuthorization: Bearer %s\r\nIdempotency-Key: \"%s\"\r\n",
                     source.credential, name);
        }
        int status = post(host, port, "/data", headers, body, body_len, answer, sizeof answer);
        if (status == 202) {
            printf("%s\n", body_of(answer));
            return 0;
        }
        /* 409: our session was not above the last one, or the first try is still under way. */
        if (status != 0 && status != 409 && status != 429 && status != 503) break;
        sleep(1U << tries);
    }
    fprintf(stderr, "source: not taken: %s\n", *answer ? body_of(answer) : "no answer");
    return 1;
}

static int do_register(const char *host, const char *port, const char *node, const char *scheme) {
    static char answer[1 << 16];
    char body[1024];
    int len = snprintf(body, sizeof body,
                       "{\"NodeId\":\"%s\",\"NodeType\":\"sensor\",\"CommunicationMode\":\"discrete\",\"EncryptionScheme\":\"%s\"}", node, scheme);
    if (len < 0 || (size_t)len >= sizeof body) fail("the name is too long");
    int status = post(host, port, "/registration", "Content-Type: application/json\r\n", (uint8_t *)body, (size_t)len, answer, sizeof answer);
    fprintf(status == 201 ? stdout : stderr, "%s\n", *answer ? body_of(answer) : "no answer");
    return status != 201;
}

int main(int argc, char **argv) {
    umask(077);
    if ((argc == 5 || argc == 6) && strcmp(argv[3], "register") == 0)
        return do_register(argv[1], argv[2], argv[4], argc == 6 ? argv[5] : "none");
    if (argc == 5 && strcmp(argv[3], "send") == 0) return send_data(argv[1], argv[2], argv[4]);
    fprintf(stderr, "usage: source HOST PORT register NODE [none|ascon-aead128] | send FILE < JSON\n");
    return 2;
}
