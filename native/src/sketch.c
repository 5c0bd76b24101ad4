/* Latency slots and the population stability index.
 *
 * The latency histogram is OpenTelemetry's exponential histogram at scale 3: upper bounds 2^(i/8) ns. A duration's
 * octave is its highest bit; its place within the octave is searched among seven constants. */
#include "sketch.h"

#include <math.h>

unsigned er_latency_slot(uint64_t ns) {
    /* floor(2^(j/8) * 2^63): the durations of an octave, shifted up to bit 63, compare with these. */
    static const uint64_t bounds[7] = {10058158527438640870u, 10968499650544839023u, 11961233684655323370u,
                                       13043817825332782212u, 14224384202002324189u, 15511800964685064948u,
                                       16915738899553466670u};
    if (ns <= 1) return 0;
    if (ns > (uint64_t)1 << 40) return ER_LATENCY_SLOTS - 1;
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns);
    uint64_t leading = ns << (63 - octave);
    if (leading == (uint64_t)1 << 63) return octave * 8; /* a power of two closes its octave */
    unsigned above = leading > bounds[3] ? 4 : 0;        /* how many bounds the duration is above */
    above += leading > bounds[above + 1] ? 2 : 0;
    above += leading > bounds[above];
    return octave * 8 + 1 + above;
}

double erai_psi(const uint64_t *reference, const uint64_t *window, size_t bins) {
    double reference_total = 0, window_total = 0;
    for (size_t i = 0; i < bins; i++) {
        reference_total += (double)reference[i];
        window_total += (double)window[i];
    }
    if (!(reference_total > 0) || !(window_total > 0)) return 0;
    double half = 0.5 * (double)bins, psi = 0;
    for (size_t i = 0; i < bins; i++) {
        double q = ((double)reference[i] + 0.5) / (reference_total + half);
        double p = ((double)window[i] + 0.5) / (window_total + half);
        psi += (p - q) * log(p / q);
    }
    return psi;
}
