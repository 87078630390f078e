/* Rows as f64, for integers of more than 14 bits on processors that multiply f64 faster than the three
   products of what they are cut into (see packed.h). Internal.

   Every value here is an integer below 2^53, and so is every product, sum and partial sum, in any
   order: nothing is ever rounded before a result's one conversion to f32, and a multiply-add gives
   the bits that a product and a sum would.

   A panel is sixteen rows: its head, then a line of sixteen for each element. Or, where Strassen's
   scheme is used ("sevens"), it is 32 rows: two heads, and then seven lists of lines, one line of
   each for two elements, which are the sums and differences that his seven products multiply; A11 is
   the first sixteen rows' even elements, A12 their odd ones, A21 and A22 the others'. The lanes' side
   stands transposed: its odd elements are B21. Such a sum is at most 2^bits, its products over k / 2
   lines at most k * 2^(2 * bits - 1), and four of these at most, of which two are half of that, are
   put together: below 2^53 while 3 * k * 2^(2 * bits - 1) is. */
#ifndef ASSAY_DOUBLES_H
#define ASSAY_DOUBLES_H

#include "packed.h"

/* By counting: where there are two multiply-adds a cycle, f64 takes twice an f32 product's work. Three
   products of pairs take that too at best on AMD's Zen 1 and 2 and Intel's Skylake, more on Haswell,
   and f64 keeps its units fuller: 3.8 multiply-adds of 4 a cycle on Zen 1, where pairs came to 3.2. Zen 3
   multiplies pairs on two units and adds on four, and stays with these, as all do that multiply bytes
   by fours. Tests ask for either anywhere. */
#ifndef ASSAY_DOUBLES
#if ASSAY_VECTOR == 32 && defined(__FMA__) && !ASSAY_QUADS && !defined(__znver3__)
#define ASSAY_DOUBLES 1
#else
#define ASSAY_DOUBLES 0
#endif
#endif

#define ASSAY_SEVEN 7

ASSAY_INLINE int64_t assay_double_rows(int sevens) { return sevens ? 32 : 16; } /* of a panel */

/* Lines of a panel, or of each list: an even number. */
ASSAY_INLINE int64_t assay_double_lines(int64_t k, int sevens) {
    return ((sevens ? (k + 1) / 2 : k) + 1) / 2 * 2;
}

/* From one list to the next, in bytes: an odd number of cache lines, so that not all of them fall on
   the same places of a cache. */
ASSAY_INLINE int64_t assay_list_bytes(int64_t k) { return assay_double_lines(k, 1) * 128 + 64; }

ASSAY_INLINE int64_t assay_double_bytes(int64_t k, int sevens) { /* of a panel */
    if (sevens) return 2 * (int64_t)sizeof(assay_head) + ASSAY_SEVEN * assay_list_bytes(k);
    return (int64_t)sizeof(assay_head) + assay_double_lines(k, 0) * 128;
}

/* Whether m x n results of k terms are worth the sums, and these stay exact. */
int assay_worth_sevens(int64_t m, int64_t n, int64_t k, int bits);

/* As assay_pack_panels and assay_multiply_panels do with integers. */
void assay_pack_doubles(const assay_rows *source, int64_t batch, int64_t rows, int64_t panel0,
                        int64_t panels, int64_t k, int bits, int use, int sevens, char *packed);
void assay_multiply_doubles(const char *row_panels, int64_t rows, const char *lane_panels,
                            int64_t lanes, int64_t k, int sevens, float *c, int64_t c_row,
                            int64_t c_lane);

#endif
