/* How the program fails. SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int bench_fail(char *detail, int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, ERAI_DETAIL_SIZE, format, arguments);
    va_end(arguments);
    return code;
}

int bench_code_of(erai_status status) {
    switch (status) {
    case ERAI_OK: return FINE;
    case ERAI_E_BUNDLE_READ: return ENVIRONMENT;
    case ERAI_E_MEMORY: return ENVIRONMENT;
    case ERAI_E_RUNTIME_MISSING:
    case ERAI_E_RUNTIME_OLD:
    case ERAI_E_PROVIDER: return MISSING;
    default: return UNSOUND;
    }
}

static void *checked(void *memory) {
    if (memory) return memory;
    fputs("erai-bench: out of memory; expected a shorter --duration or fewer models\n", stderr);
    exit(ENVIRONMENT);
}

void *bench_allocate(size_t count, size_t size) {
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *bench_resize(void *memory, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return checked(NULL);
    return checked(realloc(memory, count && size ? count * size : 1));
}
