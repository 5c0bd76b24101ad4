/* The flags this library is compiled with keep NaN and infinity tests alive. -ffast-math and -ffinite-math-only let the
 * compiler assume that neither exists and delete the tests a guard is made of; this program then returns 1. The values
 * are volatile so that nothing is decided at compile time. */
#include <math.h>
#include <stdio.h>

static int failures;

static void expect(int holds, const char *what) {
    if (!holds) {
        printf("deleted by the compiler: %s\n", what);
        failures++;
    }
}

int main(void) {
    volatile float nan_value = NAN;
    volatile float infinite = INFINITY;
    volatile float low = 0.0f;
    volatile float high = 1.0f;
    float value = nan_value;
    float huge = infinite;

    expect(isnan(value), "isnan(NaN)");
    expect(value != value, "NaN != NaN");
    expect(!(value >= low && value <= high), "the range test on NaN");
    expect(isinf(huge), "isinf(infinity)");
    expect(!isfinite(huge), "!isfinite(infinity)");
    expect(!(huge - huge == 0.0f), "infinity - infinity");
#ifdef __FAST_MATH__
    expect(0, "__FAST_MATH__ is defined");
#endif
    return failures != 0;
}
