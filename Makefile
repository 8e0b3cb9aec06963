# SPDX-License-Identifier: MIT
# wg-tinyproxy: `make help` tells what there is to do.

VERSION := 0.1.0
B       ?= build
# lwIP 2.2.1 sources of your own; empty: the pinned ones, fetched.
LWIP_DIR ?=
LWIP    := $(B)/lwip

# --- tools and flags ---------------------------------------------------------------------------

CC      ?= cc
AR      ?= ar
STRIP   ?= strip
# A folder with the libraries of another system, for a cross compiler: see image-arm64.
SYSROOT ?=
LIB_DIR := $(if $(SYSROOT),$(SYSROOT)/usr/lib/$(shell $(CC) -print-multiarch))
# V=1 shows the commands.
Q       := $(if $(V),,@)
say      = @$(if $(V),:,printf '  %-3s %s\n')
WARN    := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	   -Wcast-qual -Wvla -Werror
# Only what this compiler knows.
accepts  = $(shell $(CC) -Werror $(1) -c -x c /dev/null -o /dev/null 2>/dev/null && echo $(1))
HARDEN  := -fstack-protector-strong -D_FORTIFY_SOURCE=2 $(call accepts,-fstack-clash-protection) \
	   $(call accepts,-ftrivial-auto-var-init=zero) $(call accepts,-fcf-protection)
OPT     ?= -O2 -g
# The same sources make the same program, whichever folder they lie in.
ANYWHERE := -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(B)=build
COMMON  := -std=gnu17 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -fPIE -fno-strict-aliasing -MMD -MP \
	   $(ANYWHERE)
INCLUDE := -Iinclude -Ithird_party/lwip/port -isystem $(LWIP)/src/include \
	   $(if $(SYSROOT),-isystem $(SYSROOT)/usr/include)
# STATIC=0 links the libraries dynamically, for systems without their archives.
STATIC  ?= 1
LIBS    := $(LIB_DIR:%=-L%) -luring -lsodium -lb2 -lcares -lseccomp

# intel-ipsec-mb, where it is: its AEAD functions, which only the archive exports.
IPSEC_MB := $(shell echo 'IMB_JOB *aead_chacha20_poly1305_avx512(IMB_MGR *, IMB_JOB *), \
	    *aead_chacha20_poly1305_avx2(IMB_MGR *, IMB_JOB *); \
	    int main(void) { return aead_chacha20_poly1305_avx512(0, 0) == \
	    aead_chacha20_poly1305_avx2(0, 0); }' | $(CC) -include intel-ipsec-mb.h -x c - \
	    -l:libIPSec_MB.a -o /dev/null 2>/dev/null && echo yes)
ifeq ($(IPSEC_MB),yes)
COMMON  += -DHAVE_IPSEC_MB
LIBS    += -l:libIPSec_MB.a
endif

# ld warns of name services in a static glibc, which c-ares refers to and nothing calls: heard only
# when linking fails. (Its --no-warnings would let unresolved symbols pass as well.)
QUIETLY  = 2>$@.log || { cat $@.log >&2; exit 1; }
LDFLAGS_release := $(if $(filter 1,$(STATIC)),-static-pie,-pie) \
		   -Wl,-z,relro,-z,now,-z,noexecstack
FLAGS_release := $(OPT) $(HARDEN)
FLAGS_asan    := -DLWIP_CHECKED -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
		 -fno-omit-frame-pointer
LDFLAGS_asan  := -fsanitize=address,undefined

# --- what is built from what -------------------------------------------------------------------

SRC      := $(sort $(wildcard src/*/*.c))
LWIP_SRC := $(addprefix src/core/,init.c def.c inet_chksum.c ip.c mem.c memp.c netif.c pbuf.c \
	    tcp.c tcp_in.c tcp_out.c ipv4/icmp.c ipv4/ip4.c ipv4/ip4_addr.c \
	    ipv6/icmp6.c ipv6/ip6.c ipv6/ip6_addr.c ipv6/nd6.c)
UNIT     := $(sort $(wildcard tests/unit/*.c tests/sim/*.c))
UTIL     := $(sort $(wildcard tests/util/*.c))
# Programs that the end-to-end tests and the demo use: one source each.
HELPERS  := $(sort $(wildcard tests/e2e/*.c))

PROGRAM  := $(B)/wg-tinyproxy
IMPAIR   := $(B)/bench/impair
HELPER_BIN := $(HELPERS:tests/e2e/%.c=$(B)/e2e/%)

.PHONY: all help deps deps-test deps-dev deps-arm64 deps-k8s test unit asan e2e demo install uninstall bench bench-loss check format clean image image-arm64 arm64
all: $(PROGRAM)

help:
	@echo 'make            build $(PROGRAM)'
	@echo 'make deps       install the Debian packages that the build needs'
	@echo 'make demo       two instances, one tunnel, one page fetched through it (DEMO_KEEP=1: stay up)'
	@echo 'make test       install what is missing, build, run all tests'
	@echo 'make unit asan  unit and simulation tests alone: plain, under ASan+UBSan'
	@echo 'make e2e        end-to-end tests alone (E2E="name name": only these)'
	@echo 'make bench      measure: CPU per gigabyte, requests, memory (bench/README.md)'
	@echo 'make bench-loss the same for distance and loss, beside Linux TCP; as root'
	@echo 'make install    into PREFIX (/usr/local) under DESTDIR; make uninstall removes it'
	@echo 'make image      a container image of it, wg-tinyproxy:$(VERSION), with buildah or docker'
	@echo 'make image-arm64  the same for arm64, cross-built (make deps-arm64)'
	@echo 'make check      format, layers, purity, linters, unit tests'
	@echo 'make format     clang-format all sources'
	@echo 'make clean      remove $(B)/'
	@echo
	@echo 'LWIP_DIR=DIR    lwIP 2.2.1 sources of your own (copied, and our patches applied)'
	@echo 'STATIC=0        link dynamically; CC=clang: another compiler; V=1: show the commands'

deps:
	@tools/deps build
deps-test:
	@tools/deps test
deps-dev:
	@tools/deps dev
deps-arm64:
	@tools/deps arm64
# The types of Kubernetes' API for tests/e2e/k8s.sh, which Debian has no package of.
deps-k8s:
	python3 -m venv $(B)/k8s
	$(B)/k8s/bin/pip install -q --disable-pip-version-check kubernetes-validate==1.37.0

# settled NAME,VALUE: a file that is touched when a setting has changed since the last build.
define settled
$(B)/$(1): force
	@mkdir -p $(B)
	@echo '$(2)' | cmp -s - $$@ || echo '$(2)' >$$@
endef
$(eval $(call settled,settings,$(CC) $(OPT) static=$(STATIC) ipsec-mb=$(IPSEC_MB)))
LWIP_PATCHES := $(wildcard third_party/lwip/patches/*.patch)
$(eval $(call settled,lwip-source,$(or $(LWIP_DIR),pinned) $(notdir $(LWIP_PATCHES))))
.PHONY: force

# The libraries, by the Debian package that has them.
$(B)/have-libs:
	@mkdir -p $(B); missing=; $(LIB_DIR:%=export PKG_CONFIG_LIBDIR=%/pkgconfig;) \
	command -v pkg-config >/dev/null || { echo "missing: pkg-config ('make deps' installs what the build needs)" >&2; exit 1; }; \
	for pair in liburing:liburing-dev libsodium:libsodium-dev libb2:libb2-dev \
		libcares:libc-ares-dev libseccomp:libseccomp-dev; do \
		pkg-config --exists $${pair%:*} || missing="$$missing $${pair#*:}"; done; \
	[ -z "$$missing" ] || { echo "missing package:$$missing ('make deps' installs what the build needs)" >&2; exit 1; }
	@touch $@

# Fetched, or copied, once per change of source, script or patches.
$(B)/have-lwip: third_party/lwip/fetch $(LWIP_PATCHES) $(B)/lwip-source
	third_party/lwip/fetch $(LWIP) $(LWIP_DIR)
	@touch $@

# Reached by way of lwIP's headers, which -MMD does not follow.
LWIP_PORT := $(wildcard third_party/lwip/port/*.h)

# variant NAME: objects, archive and unit tests of one set of flags.
define variant
$(B)/$(1)/%.o: %.c $(B)/have-libs $(B)/have-lwip $(B)/settings $(LWIP_PORT) Makefile
	@mkdir -p $$(@D)
	$$(say) CC $$<
	$$(Q)$$(CC) $(COMMON) $(WARN) $$(FLAGS_$(1)) $$(INCLUDE) -c $$< -o $$@

$(B)/$(1)/lwip/%.o: $(B)/have-lwip $(B)/settings $(LWIP_PORT) Makefile
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $(COMMON) -w $$(FLAGS_$(1)) $(INCLUDE) -c $(LWIP)/$$*.c -o $$@

OBJ_$(1) := $(filter-out $(B)/$(1)/src/main/%,$(SRC:%.c=$(B)/$(1)/%.o)) \
	    $(patsubst %.c,$(B)/$(1)/%.o,$(wildcard third_party/lwip/port/*.c)) \
	    $(LWIP_SRC:%.c=$(B)/$(1)/lwip/%.o)
MAIN_$(1) := $(patsubst %.c,$(B)/$(1)/%.o,$(filter src/main/%,$(SRC)))
UTIL_$(1) := $(UTIL:%.c=$(B)/$(1)/%.o)
TEST_$(1) := $(UNIT:%.c=$(B)/$(1)/%)

$(B)/$(1)/libwgtp.a: $$(OBJ_$(1))
	$$(say) AR $$@
	@rm -f $$@
	$$(Q)$(AR) crsD $$@ $$^

$(B)/$(1)/wg-tinyproxy: $$(MAIN_$(1)) $(B)/$(1)/libwgtp.a
	$$(say) LD $$@
	$$(Q)$$(CC) $$(LDFLAGS_$(1)) $$^ $(LIBS) -o $$@ $$(QUIETLY)

$$(TEST_$(1)): $(B)/$(1)/%: $(B)/$(1)/%.o $$(UTIL_$(1)) $(B)/$(1)/libwgtp.a
	$$(say) LD $$@
	$$(Q)$$(CC) $$(filter -fsanitize%,$$(LDFLAGS_$(1))) $$^ $(LIBS) -lcriterion -o $$@
$(B)/$(1)/tests/%.o: INCLUDE += -Itests/util
endef
$(eval $(call variant,release))
$(eval $(call variant,asan))
-include $(shell find $(B) -name '*.d' 2>/dev/null)
$(B)/%.d: ;
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

$(PROGRAM): $(B)/release/wg-tinyproxy
	cp $< $@

$(HELPER_BIN): $(B)/e2e/%: tests/e2e/%.c $(wildcard tests/e2e/*.h) Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) $< -o $@

# --- running it --------------------------------------------------------------------------------

unit: $(TEST_release)
	@tests/run unit $(TEST_release)

asan: $(TEST_asan)
	@tests/run asan $(TEST_asan)

e2e: $(PROGRAM) $(HELPER_BIN) $(B)/bench/load $(IMPAIR)
	@tests/run e2e $(E2E)

test: deps-test
	@$(MAKE) --no-print-directory all $(TEST_release) $(TEST_asan) $(HELPER_BIN) \
		$(B)/bench/load $(IMPAIR)
	@tests/run all $(TEST_release) -- $(TEST_asan)

demo:
	@tools/deps demo
	@$(MAKE) --no-print-directory $(PROGRAM) $(HELPER_BIN)
	@tools/demo

# --- installing it -------------------------------------------------------------------------------

PREFIX    ?= /usr/local
unit      := wg-tinyproxy@.service
INSTALLED := bin/wg-tinyproxy bin/wg_conf_to_env.sh share/man/man8/wg-tinyproxy.8 \
	     lib/systemd/system/$(unit)
installed  = '$(DESTDIR)$(PREFIX)/$(filter %$(1),$(INSTALLED))'

install: $(PROGRAM)
	install -D -m 0755 $(PROGRAM) $(call installed,/wg-tinyproxy)
	install -D -m 0755 tools/wg_conf_to_env.sh $(call installed,.sh)
	install -D -m 0644 dist/wg-tinyproxy.8 $(call installed,.8)
	install -D -m 0644 dist/$(unit).in $(call installed,/$(unit))
	sed -i 's|@bindir@|$(PREFIX)/bin|' $(call installed,/$(unit))

uninstall:
	rm -f $(INSTALLED:%='$(DESTDIR)$(PREFIX)/%')

# --- the image -----------------------------------------------------------------------------------

# The same sources make the same image: its dates are the last commit's.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
machine   = $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
platform  = linux/$(or $(patsubst x86_64,amd64,$(filter x86_64,$(machine))),$(machine:aarch64=arm64))
put_image = SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) tools/image

$(B)/image/wg-tinyproxy: $(PROGRAM)
	@mkdir -p $(@D)
	$(STRIP) -o $@ $<
	@chmod 0755 $@

image: $(B)/image/wg-tinyproxy
	@$(put_image) $(B)/image $(platform) wg-tinyproxy:$(VERSION) $(VERSION)

# Debian's libraries for arm64 in a folder of their own: nothing of this system changes.
ARM64 := $(B)/arm64
$(ARM64)/have-sysroot: tools/sysroot tools/deps
	tools/sysroot arm64 $(ARM64)/sysroot
	@touch $@

# The program for arm64: all of the above in a folder of its own.
arm64: $(ARM64)/have-sysroot $(B)/have-lwip
	@$(MAKE) --no-print-directory B=$(ARM64) LWIP_DIR=$(LWIP) SYSROOT=$(ARM64)/sysroot \
		CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar STRIP=aarch64-linux-gnu-strip \
		$(ARM64)/image/wg-tinyproxy

image-arm64: arm64
	@$(put_image) $(ARM64)/image linux/arm64 wg-tinyproxy:$(VERSION)-arm64 $(VERSION)

# What the benchmark runs beside the program: two that use the product's code, and the generator.
BENCH_BIN := $(addprefix $(B)/release/bench/,micro limit) $(B)/bench/load
bench_objects = $(patsubst %.c,$(B)/release/%.o,$(wildcard bench/$(1)*.c))

$(B)/release/bench/%.o: INCLUDE += -Itests/util
$(B)/release/bench/micro: $(call bench_objects,micro) $(B)/release/tests/util/stack_peer.o
$(B)/release/bench/limit: $(call bench_objects,limit)
$(B)/release/bench/micro $(B)/release/bench/limit: $(B)/release/libwgtp.a
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS_release) $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -o $@ $(QUIETLY)

$(B)/bench/load: $(wildcard bench/load/*.[ch]) tests/e2e/listen.h include/base/time.h Makefile
	@mkdir -p $(@D)
	$(say) CC bench/load
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -Iinclude -Itests/e2e $(filter %.c,$^) -o $@

# A relay that is a bad network; its path is that of the simulations.
$(IMPAIR): $(wildcard bench/impair*.[ch] tests/util/path.[ch]) tests/e2e/listen.h include/base/time.h Makefile
	@mkdir -p $(@D)
	$(say) CC bench/impair
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -Iinclude -Itests/e2e -Itests/util \
		$(filter %.c,$^) -o $@

bench: $(PROGRAM) $(HELPER_BIN) $(BENCH_BIN)
	@E2E_BUILD=$(B) bench/run

# As root. LOSS=--full: all cells, over an hour.
bench-loss: $(PROGRAM) $(HELPER_BIN) $(B)/bench/load $(IMPAIR)
	@tools/deps bench-loss
	@E2E_BUILD=$(B) bench/loss $(LOSS)

SHELL_FILES := $(wildcard tools/* bench/run bench/loss bench/compare bench/*.bash tests/run tests/e2e/*.sh \
	       tests/e2e/*.bash third_party/lwip/fetch .ci/run)
FORMATTED   := $(wildcard src/*/*.[ch] include/*.h include/*/*.h tests/*/*.[ch] bench/*.[ch] \
	       bench/*/*.[ch] third_party/lwip/port/*.[ch] third_party/lwip/port/*/*.h)

check: $(PROGRAM) $(TEST_release)
	@tools/check-layers
	@tools/check-pure $(filter $(B)/release/src/wg/%,$(OBJ_release))
	@tools/check-style
	@clang-format --dry-run -Werror $(FORMATTED) && echo 'clang-format: clean'
	@for f in $(SRC); do clang -fsyntax-only $(filter-out -MMD -MP,$(COMMON)) $(WARN) $(INCLUDE) $$f || exit 1; done; \
		echo 'clang: no warnings'
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --suppress=missingIncludeSystem \
		--enable=warning,performance,portability -Iinclude src && echo 'cppcheck: clean'
	@shellcheck -S warning $(SHELL_FILES) && echo 'shellcheck: clean'
	@tests/run unit $(TEST_release)

format:
	clang-format -i $(FORMATTED)

clean:
	rm -rf $(B)
