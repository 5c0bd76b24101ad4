/* Loops that are compiled twice where one build serves processors with and without wider registers, and chosen when
 * they are called: on x86-64, with AVX2. NEON is part of aarch64. Both give the same bits: nothing is contracted
 * (-ffp-contract=off), and sums have their order written out. */
#ifndef ER_DISPATCH_H
#define ER_DISPATCH_H

/* A body that becomes part of each version. */
#define ER_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define ER_TWICE(name, parameters, arguments)                            \
    __attribute__((target("avx2"))) static void name##_avx2 parameters { \
        name##_body arguments;                                           \
    }                                                                    \
    static void name##_portable parameters {                             \
        name##_body arguments;                                           \
    }                                                                    \
    static void name parameters {                                        \
        if (__builtin_cpu_supports("avx2"))                              \
            name##_avx2 arguments;                                       \
        else                                                             \
            name##_portable arguments;                                   \
    }
#else
#define ER_TWICE(name, parameters, arguments) \
    static void name parameters {             \
        name##_body arguments;                \
    }
#endif

#endif
