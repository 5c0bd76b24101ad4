#!/bin/sh
# Builds erai-bench for 64-bit ARM and fetches ONNX Runtime for it, for the test that runs the two under qemu-user:
# `bench.sh DIRECTORY PYTHON`. What is missing is said, and is no error: that test is then skipped. For Debian 12;
# installs nothing. SPDX-License-Identifier: Apache-2.0
set -eu

native=$(cd "$(dirname "$0")/.." && pwd)
directory=$1
python=$2
triple=aarch64-linux-gnu
missing=

skip() {
    echo "cross: no erai-bench for aarch64, its test is skipped: $*"
    rm -rf "$directory"
    exit 0
}

# need PACKAGE PROGRAM_OR_FILE
need() {
    command -v "$2" >/dev/null 2>&1 || test -e "$2" || missing="$missing $1"
}

need gcc-$triple $triple-gcc
need libc6-dev-arm64-cross /usr/$triple/include/stdio.h
need libstdc++6-arm64-cross /usr/$triple/lib/libstdc++.so.6
need qemu-user-static qemu-aarch64-static
[ -z "$missing" ] || skip "apt-get install --no-install-recommends$missing"

mkdir -p "$directory/root/proc"
if ! test -e "$directory/libonnxruntime.so"; then
    rm -rf "$directory/wheel"
    "$python" -m pip --quiet --disable-pip-version-check download --no-deps --only-binary=:all: --retries 1 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --dest "$directory/wheel" \
        -c "$native/../requirements/constraints.txt" onnxruntime || skip "no wheel of onnxruntime could be fetched"
    "$python" -m zipfile -e "$directory"/wheel/onnxruntime-*.whl "$directory/wheel"
    mv "$directory"/wheel/onnxruntime/capi/libonnxruntime.so.* "$directory/libonnxruntime.so"
    rm -rf "$directory/wheel"
fi

# What the emulated program sees in place of the machine's own: libraries, and a processor, which ONNX Runtime asks for.
ln -sfn /usr/$triple/lib "$directory/root/lib"
for processor in 0 1; do
    printf 'processor\t: %d\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n' $processor
    printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd03\nCPU revision\t: 4\n\n' # Cortex-A53
done >"$directory/root/proc/cpuinfo"

cmake -G Ninja --log-level=WARNING -S "$native" -B "$directory/build" \
    -DCMAKE_TOOLCHAIN_FILE="$native/cross/aarch64.cmake" -DERAI_BENCH=ON -DERAI_WERROR=ON >/dev/null
cmake --build "$directory/build" --target erai_bench -j "${JOBS:-$(nproc)}" -- --quiet
