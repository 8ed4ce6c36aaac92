/* Gradient statistics in one pass, in double: what workers/training/native.py calls.

   A tensor is a pointer to float32 values that lie together, and their number. Results go to out[k * tensors + i]: one
   row for each statistic k, one column for each tensor i, as in models/series.py. No Python here: a plain library. */

#include <float.h>
#include <math.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORISED
#endif

/* Both loops below run over a block while it is in the first-level cache. */
#define BLOCK 2048

typedef struct {
    double sum, squares;
    float max_abs;
    int64_t zeros, nonfinite;
} Sums;

VECTORISED static void add_block(const float *g, int n, Sums *sums) {
    double sum = 0, squares = 0;
    float max_abs = 0;
    int zeros = 0, nonfinite = 0;
#pragma omp simd reduction(+ : sum, squares)
    for (int i = 0; i < n; i++) {
        double value = g[i];
        sum += value;
        squares += value * value;
    }
#pragma omp simd reduction(max : max_abs) reduction(+ : zeros, nonfinite)
    for (int i = 0; i < n; i++) {
        float magnitude = fabsf(g[i]);
        max_abs = magnitude > max_abs ? magnitude : max_abs;
        zeros += magnitude == 0;
        nonfinite += !(magnitude <= FLT_MAX);
    }
    sums->sum += sum;
    sums->squares += squares;
    sums->max_abs = max_abs > sums->max_abs ? max_abs : sums->max_abs;
    sums->zeros += zeros;
    sums->nonfinite += nonfinite;
}

VECTORISED static double squared_deviation(const float *g, int64_t n, double mean) {
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; i++) {
        double deviation = g[i] - mean;
        total += deviation * deviation;
    }
    return total;
}

VECTORISED static double sum_of_squares(const float *g, int64_t n) {
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; i++)
        total += (double)g[i] * g[i];
    return total;
}

VECTORISED static void squared_change(const float *before, const float *after, int64_t n, double sums[3]) {
    double old = 0, new = 0, moved = 0;
#pragma omp simd reduction(+ : old, new, moved)
    for (int64_t i = 0; i < n; i++) {
        double b = before[i], a = after[i];
        old += b * b;
        new += a * a;
        moved += (a - b) * (a - b);
    }
    sums[0] = old;
    sums[1] = new;
    sums[2] = moved;
}

/* norm, mean, std, max_abs, zeros (share), nonfinite (count). */
void gradient_statistics(const float *const *tensors, const int64_t *sizes, int64_t count, double *out) {
    for (int64_t i = 0; i < count; i++) {
        const float *g = tensors[i];
        int64_t n = sizes[i];
        Sums sums = {0};
        for (int64_t at = 0; at < n; at += BLOCK)
            add_block(g + at, (int)(n - at < BLOCK ? n - at : BLOCK), &sums);
        double mean = sums.sum / n;
        double deviation = sums.squares - n * mean * mean;
        /* The difference keeps its digits only while it is not much smaller than what it is taken from. */
        if (!(deviation > 0.01 * sums.squares))
            deviation = squared_deviation(g, n, mean);
        out[i] = sqrt(sums.squares);
        out[count + i] = mean;
        out[2 * count + i] = sqrt(deviation / n);
        out[3 * count + i] = isnan(sums.squares) ? NAN : sums.max_abs;
        out[4 * count + i] = (double)sums.zeros / n;
        out[5 * count + i] = (double)sums.nonfinite;
    }
}

/* The L2 norm of each tensor. */
void norms(const float *const *tensors, const int64_t *sizes, int64_t count, double *out) {
    for (int64_t i = 0; i < count; i++)
        out[i] = sqrt(sum_of_squares(tensors[i], sizes[i]));
}

/* weight_norm after the step, and update_ratio: 0 for a tensor at rest, infinite for zeros that moved. */
void update_statistics(const float *const *tensors, const float *const *before, const int64_t *sizes, int64_t count,
                       double *out) {
    for (int64_t i = 0; i < count; i++) {
        double sums[3];
        squared_change(before[i], tensors[i], sizes[i], sums);
        out[i] = sqrt(sums[1]);
        out[count + i] = sums[2] == 0 ? 0 : sqrt(sums[2]) / sqrt(sums[0]);
    }
}
