/* Products of few rows with many. Internal. */
#ifndef ASSAY_SKINNY_H
#define ASSAY_SKINNY_H

#include "dot.h"

/* c[i * c_few + j * c_many] for one batch of both, or 0 if the common way must be taken. */
int assay_skinny(const assay_rows *few, int64_t few_rows, const assay_rows *many,
                 int64_t many_rows, float *c, int64_t k, int64_t c_few, int64_t c_many, int bits);

#endif
