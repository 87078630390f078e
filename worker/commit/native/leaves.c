/* The root of a tensor's elements (see worker/commit/tensors.py), with the processor's own SHA-256.

   A leaf is sha256(0x01 | 1024 bytes), a parent sha256(left | right); an odd last node moves up. */
#include "pool.h"

#include <string.h>

enum { RAW, F32, BOOL }; /* what is made canonical: NaNs, and the byte of what is true */

#if defined(__SHA__) && defined(__SSE4_1__)
#include <immintrin.h>

#define LEAF 1024
#define TASK_LEAVES 256

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* FIPS 180-4: the digest of whole, padded blocks of 64 bytes. */
static void sha256(const uint8_t *p, int blocks, uint8_t *digest) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    __m128i cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    for (; blocks; blocks--, p += 64) {
        const __m128i abef0 = abef, cdgh0 = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p + i), swap);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) { /* four rounds each */
            __m128i now = w[i & 3];
            if (i >= 4) { /* w[i & 3] is sixteen rounds old */
                const __m128i last = w[(i + 3) & 3], before = w[(i + 2) & 3];
                now = _mm_sha256msg1_epu32(now, w[(i + 1) & 3]);
                now = _mm_add_epi32(now, _mm_alignr_epi8(last, before, 4));
                now = w[i & 3] = _mm_sha256msg2_epu32(now, last);
            }
            const __m128i sum = _mm_add_epi32(now, _mm_load_si128((const __m128i *)K + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    /* lanes 3, 2, 1, 0 are A, B, E, F and C, D, G, H */
    const __m128i abcd = _mm_unpackhi_epi64(cdgh, abef), efgh = _mm_unpacklo_epi64(cdgh, abef);
    const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    _mm_storeu_si128((__m128i *)digest, _mm_shuffle_epi8(abcd, reverse));
    _mm_storeu_si128((__m128i *)digest + 1, _mm_shuffle_epi8(efgh, reverse));
}

/* The end of a message that fills `length` bytes of its last block. */
static void pad(uint8_t *block, int length, uint64_t bits) {
    memset(block + length, 0, (size_t)(64 - length));
    block[length] = 0x80;
    for (int i = 0; i < 8; i++) block[63 - i] = (uint8_t)(bits >> (8 * i));
}

typedef struct tensor {
    const uint8_t *data;
    int64_t bytes, leaves;
    int kind;
    uint8_t *nodes;
} tensor;

static void task(void *context, int64_t index) {
    const tensor *t = context;
    const int64_t first = index * TASK_LEAVES, end = first + TASK_LEAVES;
    uint8_t message[17 * 64];
    message[0] = 1;
    pad(message + 16 * 64, 1, 8 * (1 + LEAF));
    for (int64_t leaf = first; leaf < end && leaf < t->leaves; leaf++) {
        const int64_t left = t->bytes - leaf * LEAF, size = left < LEAF ? left : LEAF;
        uint8_t *body = message + 1;
        memcpy(body, t->data + leaf * LEAF, (size_t)size);
        memset(body + size, 0, (size_t)(LEAF - size));
        if (t->kind == F32)
            for (int i = 0; i < LEAF; i += 4) {
                uint32_t x;
                memcpy(&x, body + i, 4);
                x = (x & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : x;
                memcpy(body + i, &x, 4);
            }
        if (t->kind == BOOL)
            for (int i = 0; i < LEAF; i++) body[i] = body[i] != 0;
        sha256(message, 17, t->nodes + 32 * leaf);
    }
}

/* Whether this processor has what it takes. */
int assay_can_hash(void) { return 1; }

/* nodes: 32 bytes for each of the leaves, which are at least one; the root is left in the first 32. */
void assay_elements_root(const uint8_t *data, int64_t bytes, int kind, uint8_t *nodes) {
    tensor t = {data, bytes, (bytes + LEAF - 1) / LEAF, kind, nodes};
    assay_parallel(task, &t, (t.leaves + TASK_LEAVES - 1) / TASK_LEAVES);
    uint8_t message[2 * 64];
    pad(message + 64, 0, 8 * 64);
    for (int64_t width = t.leaves; width > 1; width = (width + 1) / 2) {
        for (int64_t i = 0; i + 1 < width; i += 2) {
            memcpy(message, nodes + 32 * i, 64);
            sha256(message, 2, nodes + 16 * i);
        }
        if (width % 2) memmove(nodes + 16 * (width - 1), nodes + 32 * (width - 1), 32);
    }
}
#else
int assay_can_hash(void) { return 0; }
void assay_elements_root(const uint8_t *data, int64_t bytes, int kind, uint8_t *nodes) {
    (void)data, (void)bytes, (void)kind, (void)nodes;
}
#endif
