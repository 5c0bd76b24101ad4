/* CRC-32 as zip, gzip and Ethernet use it. SPDX-License-Identifier: Apache-2.0 */
#ifndef ER_CRC32_H
#define ER_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of what `crc` is the CRC-32 of, followed by size bytes of data. Begin with 0. */
uint32_t er_crc32(uint32_t crc, const void *data, size_t size);

#endif
