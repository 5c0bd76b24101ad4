#!/bin/sh
# Fuzzes with libFuzzer under the address and undefined behaviour sanitizers: `run.sh TARGET|all SECONDS`, where target
# X is fuzz_X.c. Starts from corpus/X, where names that are digests are of inputs found so (-merge=1 -use_counters=0);
# what it finds new goes to build/fuzz/corpus/X, and an input that ends the program to build/fuzz/X-*, which the same
# program replays: build/fuzz/fuzz_X FILE. Installs nothing, and says what is missing.
# SPDX-License-Identifier: Apache-2.0
set -eu

native=$(cd "$(dirname "$0")/.." && pwd)
build=$(dirname "$native")/build/fuzz
jobs=${JOBS:-$(nproc)}
CC=${CLANG:-clang}
targets=$(cd "$native/fuzz" && ls fuzz_*.c | sed 's/^fuzz_\(.*\)\.c$/\1/')

usage() {
    echo "usage: $0 all|$(echo $targets | tr ' ' '|') SECONDS" >&2
    exit 2
}

[ $# -eq 2 ] && [ "$2" -gt 0 ] 2>/dev/null || usage
[ "$1" = all ] || { echo "$targets" | grep -qx -e "$1" && targets=$1; } || usage

mkdir -p "$build"
missing=
command -v cmake >/dev/null || missing="$missing cmake"
command -v make >/dev/null || missing="$missing make"
if ! command -v "$CC" >/dev/null; then
    missing="$missing clang libclang-rt-14-dev"
elif ! "$CC" -fsanitize=fuzzer,address,undefined -x c - -o "$build/probe" 2>"$build/probe.log" <<END
int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long);
int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return n > 9 && d[0] == 7; }
END
then
    missing="$missing libclang-rt-$("$CC" -dumpversion | cut -d. -f1)-dev"
fi
if [ -n "$missing" ]; then
    echo "fuzz: not found; install with: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

cmake --log-level=WARNING -S "$native" -B "$build" -DCMAKE_C_COMPILER="$CC" -DERAI_TESTS=ON -DERAI_FUZZ=ON \
    -DERAI_SANITIZE=address,undefined,fuzzer-no-link >/dev/null
for target in $targets; do
    echo "fuzz: $target for $2 s"
    cmake --build "$build" -j "$jobs" --target "fuzz_$target" >"$build/$target.log" 2>&1 || {
        cat "$build/$target.log"
        exit 1
    }
    mkdir -p "$build/corpus/$target"
    "$build/fuzz_$target" -max_total_time="$2" -timeout=10 -print_final_stats=1 -artifact_prefix="$build/$target-" \
        "$build/corpus/$target" "$native/fuzz/corpus/$target" >"$build/$target.log" 2>&1 || {
        tail -n 100 "$build/$target.log"
        exit 1
    }
    grep -E 'cov:|^stat::' "$build/$target.log" | tail -n 6
done
