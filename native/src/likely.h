/* What nearly every call does, and what few do, for the compiler: it then lays out the one in a piece, and the other
 * apart. A run of a model leaves none of a call's code in the nearest cache, so that each line of it, used or in
 * between, is a wait (docs/adr/0009). */
#ifndef ER_LIKELY_H
#define ER_LIKELY_H

#if defined(__GNUC__)
#define ER_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define ER_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define ER_COLD __attribute__((cold))      /* of a function: what leads to a call of it is unlikely */
#define ER_APART __attribute__((noinline)) /* of a function: what few calls need is no part of its caller */
#else
#define ER_LIKELY(condition) (condition)
#define ER_UNLIKELY(condition) (condition)
#define ER_COLD
#define ER_APART
#endif

#endif
