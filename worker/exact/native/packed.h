/* Rows as integers: the layout that pack.c writes and multiply.c reads. Internal.

   A batch is ceil(rows / 16) panels. A panel is its head and an even number of lines; line p holds,
   for each of the sixteen rows, elements 2p and 2p + 1 as 16-bit integers (rows and elements beyond
   the end are zero).

   Above 14 bits a product of two integers leaves no room to add many up, so each integer is cut,
   q = 256 hi + lo, and a panel has the lines of hi, those of hi + lo, and then lo. The three
   products hi hi', (hi + lo)(hi' + lo') and lo lo' give q q' (Karatsuba). Where the processor
   multiplies bytes by fours, lo has a line of bytes for every four elements: half the work of the
   others. Its instruction takes unsigned bytes by signed ones, so lo is in [0, 255] for the lanes
   and in [-128, 127] for the rows; hi and hi + lo go with it.

   Where vectors are added faster than multiplied (ASSAY_SUMS), lines of pairs are multiplied two by
   two (Winograd 1968): with the rows' elements a, a' and the lanes' b, b' at the same places of two
   lines, (a + b')(a' + b) = ab + a'b' + aa' + bb' is one product for two. What a row's own products
   aa' add up to is found when it is packed, modulo 2^32: after the other lines a panel has, of hi or
   of all, a line of zeros and one for every sixteen lines, each the sums of all lines until there;
   and the same again of hi + lo, and of lo where it has lines of pairs. Bytes have no room for such
   sums. */
#ifndef ASSAY_PACKED_H
#define ASSAY_PACKED_H

#include "dot.h"
#include "lanes.h"

/* Sums of squares, of hi where integers are cut, are kept for every run of 32 * 4^level elements. Two
   rows' products over such a run stay below 2^31 if their sums of squares multiply to less than 2^62
   (Cauchy-Schwarz), and so need no wider accumulator. A run of 32 is always short enough:
   32 * 8191^2 < 2^31. */
#define ASSAY_LEVELS 9

#define ASSAY_NARROW_BITS 14
/* At 20 bits hi is in [-2048, 2048], so over this many lines hi lo' + lo hi' and lo lo' stay below 2^31
   whatever the rows; hi hi' does where their squares say so. (hi + lo)(hi' + lo') may wrap: what the
   others leave of it does not. */
#define ASSAY_WIDE_RUN 1024
_Static_assert(ASSAY_WIDE_RUN * 2 * 2048LL * (255 + 128) < 1LL << 31, "a run overflows");
/* Which side of a product a panel is packed for: what is added before its integers are cut. */
#define ASSAY_FOR_ROWS 128
#define ASSAY_FOR_LANES 0
ASSAY_INLINE int assay_wide(int bits) { return bits > ASSAY_NARROW_BITS; }

typedef struct assay_head {
    float scale[ASSAY_LANES]; /* 2^(e-bits+1); NaN for a row that is not finite; 1 for zero rows */
    float squares[ASSAY_LEVELS]; /* the greatest sum of squares over a run, of any row */
    int32_t least, most;         /* bounds of the finite scales' exponents, 2^least <= scale */
    int32_t unused[5];
} assay_head; /* 128 bytes */

/* The innermost loops take this many rows by this many panels of lanes. */
#if ASSAY_VECTOR == 64
#define ASSAY_TILE_ROWS 8
#define ASSAY_TILE_PANELS 2
#elif ASSAY_VECTOR == 32 || defined(__aarch64__)
#define ASSAY_TILE_ROWS 4
#define ASSAY_TILE_PANELS 1
#else
#define ASSAY_TILE_ROWS 2
#define ASSAY_TILE_PANELS 1
#endif

ASSAY_INLINE int64_t assay_lines(int64_t k) { return (k + 3) / 4 * 2; }
ASSAY_INLINE int64_t assay_line_bytes(int64_t k) { return assay_lines(k) * 64; } /* of hi, or of all */
ASSAY_INLINE int64_t assay_low_bytes(int64_t k) { return assay_line_bytes(k) / (ASSAY_QUADS ? 2 : 1); }
ASSAY_INLINE int64_t assay_own_bytes(int64_t k) { /* own products' sums, of one part */
    return ASSAY_SUMS ? ((assay_lines(k) + 15) / 16 + 1) * 64 : 0;
}
/* Where a panel's own products' sums begin: those of hi or of all, then of hi + lo, then of lo. */
ASSAY_INLINE int64_t assay_own_start(int64_t k, int bits) {
    const int64_t wide = assay_wide(bits) ? assay_line_bytes(k) + assay_low_bytes(k) : 0;
    return (int64_t)sizeof(assay_head) + assay_line_bytes(k) + wide;
}
ASSAY_INLINE int64_t assay_panel_bytes(int64_t k, int bits) {
    return assay_own_start(k, bits) + (assay_wide(bits) ? ASSAY_QUADS ? 2 : 3 : 1) * assay_own_bytes(k);
}

ASSAY_INLINE float assay_power(int n) { /* 2^n for n in [-149, 127] */
    uint32_t bits = n >= -126 ? (uint32_t)(n + 127) << 23 : 1u << (n + 149);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A row's scale and what to multiply its elements with, from the bit pattern of its greatest
   magnitude; the scale's exponent. */
ASSAY_INLINE int assay_row_scale(int32_t largest, int bits, float *scale, float *factor) {
    int e = (largest >> 23) - 126;
    *scale = *factor = 1;
    if (e == 255 - 126) {
        memcpy(scale, &(uint32_t){0x7fc00000}, 4);
        *factor = 0;
    } else if (largest) {
        e = (e < -96 ? -96 : e > 128 ? 128 : e) - (bits - 1);
        *scale = assay_power(e);
        *factor = assay_power(-e);
        return e;
    }
    return 0;
}

/* Packs rows [16 * panel0, 16 * (panel0 + panels)) of one batch, or as many of them as there are,
   on this thread; `use` is ASSAY_FOR_ROWS or ASSAY_FOR_LANES. Uses thread memory slot 0. */
void assay_pack_panels(const assay_rows *source, int64_t batch, int64_t rows, int64_t panel0,
                       int64_t panels, int64_t k, int bits, int use, char *packed);

/* Products of `row_panels` panels by `lane_panels` panels, on this thread: c[i * c_row + j] for row i
   of the first and row j of the second if c_lane is 1, else c[i * c_row + j * c_lane]. `rows` and
   `lanes` are how many there really are. */
void assay_multiply_panels(const char *row_panels, int64_t rows, const char *lane_panels,
                           int64_t lanes, int64_t k, int bits, float *c, int64_t c_row,
                           int64_t c_lane);

#endif
