# The commands of this project. `make serve` and `make check` work on a fresh Debian, Ubuntu or Fedora machine.
#
#   make serve     install what is missing, build, serve the demo model on http://127.0.0.1:8000
#   make check     install what is missing, build, run every test
#   make build     release binaries in build/cpu-release/bin
#   make install   build, then install below PREFIX (default /usr/local; DESTDIR for packagers)
#   make package   build, then .debs or .rpms, or where rpmbuild is there too both, in build/cpu-release/packages
#   make format    rewrite our sources by .clang-format
#   make lint      clang-format and clang-tidy, without changing anything
#   make clean     remove build/

MODEL ?= models/demo-moe-Q8_0.gguf
LISTEN ?= 127.0.0.1:8000
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
# More arguments for every cmake configuration, for example CMAKE_ARGS=-DHALOD_WERROR=ON.
CMAKE_ARGS ?=
# Stages of `make check`; empty for those of every change: release e2e ansible fuzz asan. On request: tsan fleet.
STAGES ?=
BIN := build/cpu-release/bin

.PHONY: serve check build install package format lint clean
.DEFAULT_GOAL := build

serve: build
	$(BIN)/halod --model $(MODEL) --listen $(LISTEN)

check:
	scripts/install-deps check
	JOBS=$(JOBS) CMAKE_ARGS="$(CMAKE_ARGS)" scripts/check $(STAGES)

build:
	scripts/install-deps build
	cmake --preset cpu-release $(CMAKE_ARGS)
	cmake --build build/cpu-release --parallel $(JOBS) --target halod halo-engine haloctl halo-bench haloctl_docs

install: build
	cmake --install build/cpu-release --prefix $(PREFIX)

# Those of an earlier version would be installed beside the new ones by `*.deb`.
package: build
	rm -f build/cpu-release/packages/*.deb build/cpu-release/packages/*.rpm
	if command -v dpkg-shlibdeps >/dev/null; then cpack --config build/cpu-release/CPackConfig.cmake -G DEB; fi
	if command -v rpmbuild >/dev/null; then cpack --config build/cpu-release/CPackConfig.cmake -G RPM; fi
	ls build/cpu-release/packages/*.deb build/cpu-release/packages/*.rpm 2>/dev/null | grep . || \
	  { echo "make package: there is neither dpkg-shlibdeps (Debian: dpkg-dev) nor rpmbuild (Fedora: rpm-build)" >&2; exit 1; }

format:
	scripts/list-sources cpp h | xargs clang-format -i

lint:
	scripts/install-deps lint
	scripts/lint

clean:
	rm -rf build
