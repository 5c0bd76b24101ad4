/* Counts allocations of the program that includes this, once, and has them fail: the allocator's entry points become
 * the program's, which count and pass on to glibc's. A sanitizer brings an allocator of its own, so there the count
 * stays zero, none fails, and a test says nothing. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_TEST_ALLOCATIONS_H
#define ER_TEST_ALLOCATIONS_H

#include <stdlib.h>

static size_t allocations __attribute__((unused));
static int no_memory __attribute__((unused)); /* while it is 1, none succeeds */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ALLOCATIONS_COUNTED 1
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    allocations++;
    return no_memory ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return no_memory ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    allocations++;
    return no_memory ? NULL : __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    allocations++;
    return no_memory ? NULL : __libc_memalign(alignment, size);
}
#else
#define ALLOCATIONS_COUNTED 0
#endif

#endif
