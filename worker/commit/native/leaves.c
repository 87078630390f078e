/* The root of a tensor's elements (see worker/commit/tensors.py), with the processor's own SHA-256.

   A leaf is sha256(0x01 | 512 bytes), a parent sha256(left | right); an odd last node moves up. */
#include "pool.h"

#include <string.h>

enum { RAW, F32, BOOL }; /* what is made canonical: NaNs, and the byte of what is true */

#if defined(__SHA__) && defined(__SSE4_1__)
#include <immintrin.h>

#define LEAF 512
#define BLOCKS ((1 + LEAF + 9 + 63) / 64) /* of a leaf's message and its padding */
#define TASK_LEAVES 512                   /* a power of two: a task's leaves are a subtree's */

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

/* FIPS 180-4: the digests of two messages of whole, padded blocks of 64 bytes. Two at a time, since
   a round takes the processor twice as long to end as to begin. */
static void sha256_pair(const uint8_t *p[2], int blocks, uint8_t *digest[2]) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef[2], cdgh[2];
    for (int m = 0; m < 2; m++) {
        abef[m] = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
        cdgh[m] = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    }
    for (int block = 0; block < blocks; block++) {
        const __m128i abef0[2] = {abef[0], abef[1]}, cdgh0[2] = {cdgh[0], cdgh[1]};
        __m128i w[2][4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) { /* four rounds each */
            const __m128i k = _mm_load_si128((const __m128i *)K + i);
#pragma GCC unroll 2
            for (int m = 0; m < 2; m++) {
                __m128i now;
                if (i < 4) {
                    now = _mm_loadu_si128((const __m128i *)(p[m] + 64 * block) + i);
                    now = _mm_shuffle_epi8(now, swap);
                } else { /* w[i & 3] is sixteen rounds old */
                    const __m128i last = w[m][(i + 3) & 3], before = w[m][(i + 2) & 3];
                    now = _mm_sha256msg1_epu32(w[m][i & 3], w[m][(i + 1) & 3]);
                    now = _mm_add_epi32(now, _mm_alignr_epi8(last, before, 4));
                    now = _mm_sha256msg2_epu32(now, last);
                }
                w[m][i & 3] = now;
                const __m128i sum = _mm_add_epi32(now, k);
                cdgh[m] = _mm_sha256rnds2_epu32(cdgh[m], abef[m], sum);
                abef[m] = _mm_sha256rnds2_epu32(abef[m], cdgh[m], _mm_shuffle_epi32(sum, 0x0e));
            }
        }
        for (int m = 0; m < 2; m++) {
            abef[m] = _mm_add_epi32(abef[m], abef0[m]);
            cdgh[m] = _mm_add_epi32(cdgh[m], cdgh0[m]);
        }
    }
    for (int m = 0; m < 2; m++) { /* lanes 3, 2, 1, 0 are A, B, E, F and C, D, G, H */
        const __m128i abcd = _mm_unpackhi_epi64(cdgh[m], abef[m]);
        const __m128i efgh = _mm_unpacklo_epi64(cdgh[m], abef[m]);
        const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
        _mm_storeu_si128((__m128i *)digest[m], _mm_shuffle_epi8(abcd, reverse));
        _mm_storeu_si128((__m128i *)digest[m] + 1, _mm_shuffle_epi8(efgh, reverse));
    }
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

/* A leaf's message: 0x01, and its bytes with zeros up to 512. The block's padding is there. */
static void fill(const tensor *t, int64_t leaf, uint8_t *message) {
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
}

/* Leaves the ancestor of `width` nodes of one level, in order, in the first one's place. A subtree
   starts at an even place on every level, so a node without a partner is its level's last: it moves up
   in the whole tree as well. */
static void fold(uint8_t *nodes, int64_t width) {
    uint8_t messages[2][2 * 64] = {{0}}, digests[2][32];
    const uint8_t *pair[2] = {messages[0], messages[1]};
    for (int m = 0; m < 2; m++) pad(messages[m] + 64, 0, 8 * 64);
    for (; width > 1; width = (width + 1) / 2) {
        for (int64_t i = 0; i + 1 < width; i += 4) {
            const int two = i + 3 < width;
            for (int m = 0; m <= two; m++) memcpy(messages[m], nodes + 32 * (i + 2 * m), 64);
            sha256_pair(pair, 2, (uint8_t *[2]){digests[0], digests[1]});
            memcpy(nodes + 16 * i, digests, two ? 64 : 32);
        }
        if (width % 2) memmove(nodes + 16 * (width - 1), nodes + 32 * (width - 1), 32);
    }
}

static void task(void *context, int64_t index) {
    const tensor *t = context;
    const int64_t first = index * TASK_LEAVES, left = t->leaves - first;
    const int64_t width = left < TASK_LEAVES ? left : TASK_LEAVES;
    uint8_t messages[2][BLOCKS * 64] = {{0}}, unused[32];
    const uint8_t *pair[2] = {messages[0], messages[1]};
    for (int m = 0; m < 2; m++) {
        messages[m][0] = 1;
        pad(messages[m] + LEAF, 1, 8 * (1 + LEAF));
    }
    uint8_t *nodes = t->nodes + 32 * first;
    for (int64_t leaf = 0; leaf < width; leaf += 2) {
        const int two = leaf + 1 < width;
        for (int m = 0; m <= two; m++) fill(t, first + leaf + m, messages[m]);
        uint8_t *digest = nodes + 32 * leaf;
        sha256_pair(pair, BLOCKS, (uint8_t *[2]){digest, two ? digest + 32 : unused});
    }
    fold(nodes, width);
}

/* Whether this processor has what it takes. */
int assay_can_hash(void) { return 1; }

/* nodes: 32 bytes for each of the leaves, which are at least one; the root is left in the first 32. */
void assay_elements_root(const uint8_t *data, int64_t bytes, int kind, uint8_t *nodes) {
    tensor t = {data, bytes, (bytes + LEAF - 1) / LEAF, kind, nodes};
    const int64_t tasks = (t.leaves + TASK_LEAVES - 1) / TASK_LEAVES;
    assay_parallel(task, &t, tasks);
    for (int64_t i = 1; i < tasks; i++) memcpy(nodes + 32 * i, nodes + 32 * i * TASK_LEAVES, 32);
    fold(nodes, tasks);
}
#else
int assay_can_hash(void) { return 0; }
void assay_elements_root(const uint8_t *data, int64_t bytes, int kind, uint8_t *nodes) {
    (void)data, (void)bytes, (void)kind, (void)nodes;
}
#endif
