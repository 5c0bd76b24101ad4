/* The population stability index. */
#include "edge_rai.h"

#include <math.h>

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
