/* Bit patterns of floats, and the constants; see bits.py and coefficients.py. */
#ifndef AX_BITS_H
#define AX_BITS_H

#include <stdint.h>
#include <string.h>

#include "coefficients.h"

#if defined(__FAST_MATH__) || defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "the exact functions cannot be compiled with -ffast-math"
#endif

#define AX_SIGN 0x80000000u
#define AX_MANTISSA 0x007fffffu

static inline uint32_t ax_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float ax_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline double ax_double(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Whether x is neither infinite nor NaN. */
static inline int ax_finite(float x) { return __builtin_fabsf(x) < __builtin_inff(); }

/* x, every NaN made the one NaN 0x7fc00000. */
static inline float ax_canonical(float x) { return x == x ? x : ax_float(AX_NAN_BITS); }

#endif
