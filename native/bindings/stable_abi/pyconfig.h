/* Python.h includes this first; the stable ABI has nothing to configure. SPDX-License-Identifier: Apache-2.0 */
