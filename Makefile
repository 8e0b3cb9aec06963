# SPDX-License-Identifier: MIT
# wg-tinyproxy: `make help` tells what there is to do.

VERSION := 0.1.0
B       ?= build
# lwIP 2.2.1 sources of your own; empty: the pinned ones, fetched.
LWIP_DIR ?=
LWIP    := $(B)/lwip

# --- tools and flags ---------------------------------------------------------------------------

CC      ?= cc
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
COMMON  := -std=gnu17 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -fPIE -fno-strict-aliasing -MMD -MP
INCLUDE := -Iinclude -Ithird_party/lwip/port -isystem $(LWIP)/src/include
# STATIC=0 links the libraries dynamically, for systems without their archives.
STATIC  ?= 1
LIBS    := -luring -lsodium -lb2 -lcares

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

comma   := ,
LDFLAGS_release := $(if $(filter 1,$(STATIC)),-static-pie -Wl$(comma)--no-warnings,-pie) \
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
HELPER_BIN := $(HELPERS:tests/e2e/%.c=$(B)/e2e/%)

.PHONY: all help deps deps-test deps-dev test unit asan e2e demo bench check format clean
all: $(PROGRAM)

help:
	@echo 'make            build $(PROGRAM)'
	@echo 'make deps       install the Debian packages that the build needs'
	@echo 'make demo       two instances, one tunnel, one page fetched through it (DEMO_KEEP=1: stay up)'
	@echo 'make test       install what is missing, build, run all tests'
	@echo 'make unit asan  unit and simulation tests alone: plain, under ASan+UBSan'
	@echo 'make e2e        end-to-end tests alone (E2E="name name": only these)'
	@echo 'make bench      measure: CPU per gigabyte, requests, memory (bench/README.md)'
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

# settled NAME,VALUE: a file that is touched when a setting has changed since the last build.
define settled
$(B)/$(1): force
	@mkdir -p $(B)
	@echo '$(2)' | cmp -s - $$@ || echo '$(2)' >$$@
endef
$(eval $(call settled,settings,$(CC) $(OPT) static=$(STATIC) ipsec-mb=$(IPSEC_MB)))
$(eval $(call settled,lwip-source,$(or $(LWIP_DIR),pinned)))
.PHONY: force

# The libraries, by the Debian package that has them.
$(B)/have-libs:
	@mkdir -p $(B); missing=; \
	command -v pkg-config >/dev/null || { echo "missing: pkg-config ('make deps' installs what the build needs)" >&2; exit 1; }; \
	for pair in liburing:liburing-dev libsodium:libsodium-dev libb2:libb2-dev \
		libcares:libc-ares-dev; do \
		pkg-config --exists $${pair%:*} || missing="$$missing $${pair#*:}"; done; \
	[ -z "$$missing" ] || { echo "missing package:$$missing ('make deps' installs what the build needs)" >&2; exit 1; }
	@touch $@

# Fetched, or copied, once per change of source, script or patches.
$(B)/have-lwip: third_party/lwip/fetch $(wildcard third_party/lwip/patches/*.patch) $(B)/lwip-source
	third_party/lwip/fetch $(LWIP) $(LWIP_DIR)
	@touch $@

# variant NAME: objects, archive and unit tests of one set of flags.
define variant
$(B)/$(1)/%.o: %.c $(B)/have-libs $(B)/have-lwip $(B)/settings Makefile
	@mkdir -p $$(@D)
	$$(say) CC $$<
	$$(Q)$$(CC) $(COMMON) $(WARN) $$(FLAGS_$(1)) $$(INCLUDE) -c $$< -o $$@

$(B)/$(1)/lwip/%.o: $(B)/have-lwip $(B)/settings third_party/lwip/port/lwipopts.h Makefile
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
	$$(Q)ar crs $$@ $$^

$(B)/$(1)/wg-tinyproxy: $$(MAIN_$(1)) $(B)/$(1)/libwgtp.a
	$$(say) LD $$@
	$$(Q)$$(CC) $$(LDFLAGS_$(1)) $$^ $(LIBS) -o $$@

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

e2e: $(PROGRAM) $(HELPER_BIN)
	@tests/run e2e $(E2E)

test: deps-test
	@$(MAKE) --no-print-directory all $(TEST_release) $(TEST_asan) $(HELPER_BIN)
	@tests/run all $(TEST_release) -- $(TEST_asan)

demo:
	@tools/deps demo
	@$(MAKE) --no-print-directory $(PROGRAM) $(HELPER_BIN)
	@tools/demo

$(B)/release/bench/micro: $(B)/release/bench/micro.o $(B)/release/libwgtp.a
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS_release) $^ $(LIBS) -o $@

bench: $(PROGRAM) $(HELPER_BIN) $(B)/release/bench/micro
	@E2E_BUILD=$(B) bench/run

SHELL_FILES := $(wildcard tools/* bench/run tests/run tests/e2e/*.sh tests/e2e/*.bash third_party/lwip/fetch .ci/run)
FORMATTED   := $(wildcard src/*/*.[ch] include/*.h include/*/*.h tests/*/*.[ch] bench/*.[ch] \
	       third_party/lwip/port/*.[ch] third_party/lwip/port/*/*.h)

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
