/* Random numbers by counter: Philox-4x32-10; see random.py. */
#ifndef AX_RANDOM_H
#define AX_RANDOM_H

#include "bits.h"

/* The four random words of a group of a node's elements. */
typedef struct {
    uint32_t a, b, c, d;
} ax_words;

static inline ax_words ax_philox(uint64_t seed, uint64_t step, uint32_t node, uint64_t group) {
    uint32_t a = (uint32_t)group, b = (uint32_t)(group >> 32), c = node, d = (uint32_t)step;
    uint32_t low = (uint32_t)seed, high = (uint32_t)(seed >> 32);
    for (int round = 0; round < AX_PHILOX_ROUNDS; round++) {
        uint64_t x = (uint64_t)a * AX_PHILOX_A, y = (uint64_t)c * AX_PHILOX_B;
        a = (uint32_t)(y >> 32) ^ b ^ low;
        c = (uint32_t)(x >> 32) ^ d ^ high;
        b = (uint32_t)y;
        d = (uint32_t)x;
        low += AX_WEYL_A;
        high += AX_WEYL_B;
    }
    return (ax_words){a, b, c, d};
}

/* The upper 24 bits of a word as a float in [0, 1): exact. */
static inline float ax_unit(uint32_t word) { return (float)(int32_t)(word >> 8) * 0x1p-24f; }

/* The number in [0, 1) of one element of a node, in a step of the job with this seed. A loop over
 * it is vector code, but makes each group four times; see ax_uniform_group. */
static inline float ax_uniform(uint64_t seed, uint64_t step, uint32_t node, uint64_t element) {
    ax_words w = ax_philox(seed, step, node, element >> 2);
    uint32_t even = element & 2 ? w.c : w.a, odd = element & 2 ? w.d : w.b;
    return ax_unit(element & 1 ? odd : even);
}

/* The numbers of the four elements from 4 * group on. */
static inline void ax_uniform_group(uint64_t seed, uint64_t step, uint32_t node, uint64_t group,
                                    float out[4]) {
    ax_words w = ax_philox(seed, step, node, group);
    out[0] = ax_unit(w.a);
    out[1] = ax_unit(w.b);
    out[2] = ax_unit(w.c);
    out[3] = ax_unit(w.d);
}

#endif
