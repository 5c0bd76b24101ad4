#!/bin/sh
# Builds the C library and its tests for other processors, with warnings as errors, runs the tests and the fuzz corpora
# under qemu-user, and compares the exported symbols with native/abi: `run.sh [aarch64|armhf|all]`. Builds below
# build/cross. For Debian 12; installs nothing, and says what is missing. SPDX-License-Identifier: Apache-2.0
set -eu

native=$(cd "$(dirname "$0")/.." && pwd)
build=$(dirname "$native")/build/cross
jobs=${JOBS:-$(nproc)}
missing=

usage() {
    echo "usage: $0 [aarch64|armhf|all]" >&2
    exit 2
}

# need PACKAGE PROGRAM_OR_FILE
need() {
    command -v "$2" >/dev/null 2>&1 || test -e "$2" || missing="$missing $1"
}

# need_tools MACHINE: and sets its triple
need_tools() {
    case $1 in
    aarch64)
        triple=aarch64-linux-gnu
        need libc6-dev-arm64-cross /usr/$triple/include/stdio.h
        need qemu-user-static qemu-aarch64-static
        ;;
    armhf)
        triple=arm-linux-gnueabihf
        need libc6-dev-armhf-cross /usr/$triple/include/stdio.h
        need qemu-user-static qemu-arm-static
        ;;
    esac
    need gcc-$triple $triple-gcc
}

run() {
    need_tools "$1"
    echo "cross: C tests on $1"
    cmake --log-level=WARNING -S "$native" -B "$build/$1" -DCMAKE_TOOLCHAIN_FILE="$native/cross/$1.cmake" \
        -DERAI_TESTS=ON -DERAI_BENCH=ON -DERAI_WERROR=ON >/dev/null
    cmake --build "$build/$1" -j "$jobs" >"$build/$1.log" 2>&1 || {
        cat "$build/$1.log"
        exit 1
    }
    ctest --test-dir "$build/$1" --output-on-failure --no-tests=error -j "$jobs"
    $triple-nm -D --defined-only "$build/$1/libedge_rai.so" | awk '{ print $3 }' | LC_ALL=C sort |
        diff "$native/abi/symbols.txt" - || {
        echo "cross: the library for $1 exports other symbols than native/abi/symbols.txt" >&2
        exit 1
    }
}

case ${1:-all} in
all) machines="aarch64 armhf" ;;
aarch64 | armhf) machines=$1 ;;
*) usage ;;
esac
[ $# -le 1 ] || usage

need cmake cmake
need make make
for machine in $machines; do need_tools "$machine"; done
if [ -n "$missing" ]; then
    missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
    echo "cross: not found; install with: apt-get install --no-install-recommends $missing" >&2
    exit 1
fi
for machine in $machines; do run "$machine"; done
