// SPDX-License-Identifier: MIT
#include "crypto.h"

#include "vectors.h"
#include "wg_stack.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 2048 };

static void start(void)
{
	cr_assert(crypto_init());
}

TestSuite(crypto, .init = start, .timeout = 60);

static void expect_hex(const uint8_t *got, const char *hex)
{
	uint8_t want[TEXT_MAX];
	size_t len = hex_decode(want, sizeof(want), hex);

	cr_expect_arr_eq(got, want, len, "differs from %s", hex);
}

static void expect_dh(const char *private_hex, const char *public_hex, const char *shared_hex)
{
	uint8_t private_key[32], public_key[32], shared[32];

	hex_decode(private_key, 32, private_hex);
	hex_decode(public_key, 32, public_hex);
	cr_expect(crypto_dh(shared, private_key, public_key));
	expect_hex(shared, shared_hex);
}

/* RFC 7748, section 5.2. */
Test(crypto, dh_rfc7748)
{
	expect_dh("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
		  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
		  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	expect_dh("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
		  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
		  "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

/* The same section: k = u = 9, then (k, u) <- (X25519(k, u), k), one and a thousand times. */
Test(crypto, dh_rfc7748_iterated)
{
	uint8_t k[32] = {9}, u[32] = {9}, shared[32];

	for (int i = 1; i <= 1000; i++) {
		cr_assert(crypto_dh(shared, k, u));
		memcpy(u, k, 32);
		memcpy(k, shared, 32);
		if (i == 1)
			expect_hex(k, "422c8e7a6227d7bca1350b3e2bb7279f"
				      "7897b87bb6854b783c60e80311ae3079");
	}
	expect_hex(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

/* RFC 7748, section 6.1. */
Test(crypto, public_key_rfc7748)
{
	uint8_t alice[32], bob[32], public_key[32];

	hex_decode(alice, 32, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	hex_decode(bob, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	crypto_public_key(public_key, alice);
	expect_hex(public_key, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	crypto_public_key(public_key, bob);
	expect_hex(public_key, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
}

/* All points of low order, in their canonical and other encodings. */
Test(crypto, dh_refuses_zero)
{
	static const char *const low_order[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	};
	uint8_t private_key[32], public_key[32], shared[32];

	crypto_random(private_key, 32);
	for (size_t i = 0; i < sizeof(low_order) / sizeof(low_order[0]); i++) {
		hex_decode(public_key, 32, low_order[i]);
		memset(shared, 0xaa, 32);
		cr_expect_not(crypto_dh(shared, private_key, public_key), "%s", low_order[i]);
		cr_expect(crypto_is_zero(shared, 32));
	}
}

/* Decoded as RFC 7748, section 5 says, and idempotent; the public key does not notice. */
Test(crypto, clamp)
{
	uint8_t key[32], plain_public[32], clamped_public[32];

	memset(key, 0xff, 32);
	crypto_public_key(plain_public, key);
	crypto_clamp(key);
	expect_hex(key, "f8ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
	crypto_public_key(clamped_public, key);
	cr_expect_arr_eq(plain_public, clamped_public, 32);
	memset(key, 0, 32);
	crypto_clamp(key);
	crypto_clamp(key);
	expect_hex(key, "0000000000000000000000000000000000000000000000000000000000000040");
}

/* RFC 7693, appendix B, whichever way the text is cut in two. */
Test(crypto, hash_rfc7693)
{
	static const char text[] = "abc";
	uint8_t hash[32];

	for (size_t cut = 0; cut <= 3; cut++) {
		crypto_hash2(hash, text, cut, text + cut, 3 - cut);
		expect_hex(hash,
			   "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	}
	crypto_hash2(hash, NULL, 0, NULL, 0);
	expect_hex(hash, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
}

/* The core writes H <- HASH(H || x) over H. */
Test(crypto, hash_over_its_input)
{
	uint8_t text[64], apart[32];

	crypto_random(text, sizeof(text));
	crypto_hash2(apart, text, 32, text + 32, 32);
	crypto_hash2(text, text, 32, text + 32, 32);
	cr_expect_arr_eq(text, apart, 32);
}

/* Expected values of this and the next two: Python's hashlib and hmac, an implementation apart. */
Test(crypto, mac)
{
	uint8_t count[200], mac[16];

	for (size_t i = 0; i < sizeof(count); i++)
		count[i] = (uint8_t)i;
	crypto_mac(mac, count, 32, NULL, 0);
	expect_hex(mac, "9536f9b267655743dee97b8a670f9f53");
	crypto_mac(mac, count, 32, "abc", 3);
	expect_hex(mac, "61ba5f165c194692e09d12520cc4c74a");
	crypto_mac(mac, count, 16, count, 200);
	expect_hex(mac, "b8d300fa7937e4d1e67c8468df4c9a43");
}

Test(crypto, hmac)
{
	uint8_t key[32], hmac[32];

	for (size_t i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	crypto_hmac(hmac, key, "abc", 3);
	expect_hex(hmac, "82623be5bc0a391b24dce53e67d028eff92d586de0485ac37822e597d049c74f");
}

Test(crypto, kdf)
{
	uint8_t key[32], input[32], t[3][32], alone[32];

	for (size_t i = 0; i < 32; i++) {
		key[i] = (uint8_t)i;
		input[i] = (uint8_t)(100 + i);
	}
	crypto_kdf(t[0], t[1], t[2], key, input, 32);
	expect_hex(t[0], "e3b7e038799447459d13f6cc03b71555c0b32ee93354ebe4526ec98bc53b20a4");
	expect_hex(t[1], "ca06d8e46b509266c7c0594805ffb9c256348a33c642381348f047e452d239e2");
	expect_hex(t[2], "5ee952936bec1473c13db1cc92b8d8ba5ad2df7c77f07478731d48aa5530a000");
	crypto_kdf(alone, NULL, NULL, key, input, 32);
	cr_expect_arr_eq(alone, t[0], 32);
	crypto_kdf(key, t[1], NULL, key, NULL, 0);
	expect_hex(key, "7a38c34bf2b8738d7374ca77c44ecb309a11d2b2528304fa86052c365e722624");
	expect_hex(t[1], "1a17621f346abdc520746a9fb64d8eb03231d674fc15687537b0780fd9c060fd");
}

/* RFC 8439, appendix A.1, vector 2: key stream of the zero key; the second from Python. */
struct hashing {
	uint8_t key[32], text[100], t[3][32];
};

static void *run_mac(void *ctx)
{
	struct hashing *hashing = ctx;

	/* Of nothing: a text would take the key's place in the hash function's buffer. */
	crypto_mac(hashing->t[0], hashing->key, 32, NULL, 0);
	return NULL;
}

static void *run_hash(void *ctx)
{
	struct hashing *hashing = ctx;

	crypto_hash2(hashing->t[0], hashing->key, 32, hashing->text, sizeof(hashing->text));
	return NULL;
}

static void *run_kdf(void *ctx)
{
	struct hashing *hashing = ctx;

	crypto_kdf(hashing->t[0], hashing->t[1], hashing->t[2], hashing->key, hashing->text,
		   sizeof(hashing->text));
	return NULL;
}

/* Neither of what went in, nor of what came out. */
Test(crypto, hashes_leave_nothing_on_the_stack)
{
	void *(*const runs[])(void *) = {run_mac, run_hash, run_kdf};
	static struct hashing hashing;

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		crypto_random(&hashing, sizeof(hashing));
		runs[i](&hashing);
		cr_expect_not(wg_stack_keeps(hashing.key, 8, runs[i], &hashing), "%zu: key", i);
		for (size_t k = 0; k < 3; k++)
			cr_expect_not(wg_stack_keeps(hashing.t[k], 16, runs[i], &hashing),
				      "%zu: output %zu", i, k);
	}
}

Test(crypto, seal)
{
	uint8_t key[32] = {0}, text[64] = {0}, sealed[80];

	crypto_seal(sealed, key, text, 64, NULL, 0);
	expect_hex(sealed, "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
			   "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
			   "75c5180ef52d6921037a3d0af9f0dac8");
	for (size_t i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	crypto_seal(sealed, key, "wireguard", 9, "associated", 10);
	expect_hex(sealed, "6fd13054ca93c7a377985e272813fccc07110332bc168de76e");
}

/* Each bit of the message, of the associated data and of the key counts; `out` stays as it was. */
Test(crypto, open_refuses_every_flipped_bit)
{
	uint8_t all[32 + 12 + 48], untouched[32], out[32];
	uint8_t *key = all, *ad = all + 32, *sealed = all + 44;

	crypto_random(all, 44);
	crypto_random(untouched, 32);
	crypto_seal(sealed, key, untouched, 32, ad, 12);
	cr_assert(crypto_open(out, key, sealed, 48, ad, 12));
	cr_expect_arr_eq(out, untouched, 32);
	for (size_t bit = 0; bit < sizeof(all) * 8; bit++) {
		all[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 0x55, sizeof(out));
		memset(untouched, 0x55, sizeof(untouched));
		cr_expect_not(crypto_open(out, key, sealed, 48, ad, 12), "bit %zu", bit);
		cr_expect_arr_eq(out, untouched, 32);
		all[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* The handshake's last message is a tag alone; shorter ones are no message at all. */
Test(crypto, open_of_nothing_and_less)
{
	uint8_t key[32], sealed[16];

	crypto_random(key, 32);
	crypto_seal(sealed, key, NULL, 0, "hash", 4);
	cr_expect(crypto_open(NULL, key, sealed, 16, "hash", 4));
	for (size_t len = 0; len < 16; len++)
		cr_expect_not(crypto_open(NULL, key, sealed, len, "hash", 4));
}

Test(crypto, xopen_leaves_the_output_of_a_forged_message)
{
	uint8_t key[32], nonce[24], cookie[16], sealed[32], out[16];

	crypto_random(key, 32);
	crypto_random(nonce, 24);
	memset(cookie, 0x33, 16);
	memset(out, 0x44, 16);
	crypto_xseal(sealed, key, nonce, cookie, 16, "mac1", 4);
	sealed[3] ^= 1;
	cr_expect_not(crypto_xopen(out, key, nonce, sealed, 32, "mac1", 4));
	cr_expect_eq(out[0], 0x44);
	sealed[3] ^= 1;
	cr_expect(crypto_xopen(out, key, nonce, sealed, 32, "mac1", 4));
	cr_expect_arr_eq(out, cookie, 16);
}

Test(crypto, random_wipe_equal)
{
	uint8_t a[64], b[64];

	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	cr_expect_not(crypto_equal(a, b, sizeof(a)));
	cr_expect_not(crypto_is_zero(a, sizeof(a)));
	memcpy(b, a, sizeof(b));
	cr_expect(crypto_equal(a, b, sizeof(a)));
	b[63] ^= 1;
	cr_expect_not(crypto_equal(a, b, sizeof(a)));
	crypto_wipe(a, sizeof(a));
	cr_expect(crypto_is_zero(a, sizeof(a)));
}

/* Reads what the kernel says of the mapping that starts at `address`: the line of its flags. */
static bool mapping_flags(const void *address, char *flags, size_t size)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool inside = false, found = false;
	unsigned long from, to;

	cr_assert(maps);
	while (!found && fgets(flags, (int)size, maps)) {
		if (sscanf(flags, "%lx-%lx ", &from, &to) == 2)
			inside = from == (unsigned long)address;
		found = inside && strncmp(flags, "VmFlags:", 8) == 0;
	}
	fclose(maps);
	return found;
}

Test(crypto, secret_memory)
{
	size_t len = (size_t)sysconf(_SC_PAGESIZE) + 1;
	uint8_t *secret = crypto_secret_alloc(len);
	char flags[512];

	cr_assert(secret);
	cr_expect(crypto_is_zero(secret, len));
	memset(secret, 0x77, len);
	cr_assert(mapping_flags(secret, flags, sizeof(flags)));
	cr_expect(strstr(flags, " dd"), "in core dumps: %s", flags);
	crypto_secret_free(secret, len);
	cr_expect_not(mapping_flags(secret, flags, sizeof(flags)));
	crypto_secret_free(NULL, len);
}

/* --- the files of VECTORS_DIR ---------------------------------------------------------------- */

Test(crypto, vectors_blake2s)
{
	struct vectors v;
	uint8_t text[TEXT_MAX], key[32], out[32];

	if (!vectors_open(&v, "blake2s.tsv", "crypto/vectors_blake2s"))
		return;
	while (vectors_next(&v)) {
		size_t len = hex_decode(text, sizeof(text), v.field[0]);

		if (hex_decode(key, sizeof(key), v.field[1]) != 0)
			continue; /* keyed with a long digest: nothing here computes that */
		crypto_hash2(out, text, len / 3, text + len / 3, len - len / 3);
		expect_hex(out, v.field[2]);
	}
	cr_expect_geq(v.cases, 500);
}

Test(crypto, vectors_x25519)
{
	struct vectors v;
	uint8_t public_key[32], private_key[32], shared[32];

	if (!vectors_open(&v, "x25519.tsv", "crypto/vectors_x25519"))
		return;
	while (vectors_next(&v)) {
		bool zero = strstr(v.field[2], "ZeroSharedSecret");

		hex_decode(public_key, 32, v.field[3]);
		hex_decode(private_key, 32, v.field[4]);
		cr_expect_eq(crypto_dh(shared, private_key, public_key), !zero, "case %s",
			     v.field[0]);
		expect_hex(shared, v.field[5]);
	}
	cr_expect_geq(v.cases, 500);
}

/* One case of either AEAD file, decoded. */
struct aead_case {
	uint8_t key[32], nonce[64], ad[TEXT_MAX], text[TEXT_MAX], sealed[TEXT_MAX], out[TEXT_MAX];
	size_t nonce_len, ad_len, len;
	bool valid;
};

static void decode(struct aead_case *c, const struct vectors *v)
{
	c->valid = strcmp(v->field[1], "valid") == 0;
	hex_decode(c->key, sizeof(c->key), v->field[2]);
	c->nonce_len = hex_decode(c->nonce, sizeof(c->nonce), v->field[3]);
	c->ad_len = hex_decode(c->ad, sizeof(c->ad), v->field[4]);
	c->len = hex_decode(c->text, sizeof(c->text), v->field[5]);
	hex_decode(c->sealed, sizeof(c->sealed), v->field[6]);
	hex_decode(c->sealed + c->len, 16, v->field[7]);
}

Test(crypto, vectors_xchacha20_poly1305)
{
	struct vectors v;
	struct aead_case c;

	if (!vectors_open(&v, "xchacha20_poly1305.tsv", "crypto/vectors_xchacha20_poly1305"))
		return;
	while (vectors_next(&v)) {
		decode(&c, &v);
		if (c.nonce_len != CRYPTO_XNONCE_LEN)
			continue;
		cr_expect_eq(
			crypto_xopen(c.out, c.key, c.nonce, c.sealed, c.len + 16, c.ad, c.ad_len),
			c.valid, "case %s", v.field[0]);
		if (!c.valid)
			continue;
		cr_expect_arr_eq(c.out, c.text, c.len, "case %s", v.field[0]);
		crypto_xseal(c.out, c.key, c.nonce, c.text, c.len, c.ad, c.ad_len);
		cr_expect_arr_eq(c.out, c.sealed, c.len + 16, "case %s", v.field[0]);
	}
	cr_expect_geq(v.cases, 300);
}

/*
 * WireGuard's nonces are not those of the file, so this holds the library to it: the reference of
 * the handshake's AEAD and, in aead.c, of all engines.
 */
Test(crypto, vectors_chacha20_poly1305)
{
	struct vectors v;
	struct aead_case c;

	if (!vectors_open(&v, "chacha20_poly1305.tsv", "crypto/vectors_chacha20_poly1305"))
		return;
	while (vectors_next(&v)) {
		decode(&c, &v);
		if (c.nonce_len != crypto_aead_chacha20poly1305_ietf_NPUBBYTES)
			continue;
		cr_expect_eq(crypto_aead_chacha20poly1305_ietf_decrypt(c.out, NULL, NULL, c.sealed,
								       c.len + 16, c.ad, c.ad_len,
								       c.nonce, c.key) == 0,
			     c.valid, "case %s", v.field[0]);
		if (c.valid)
			cr_expect_arr_eq(c.out, c.text, c.len, "case %s", v.field[0]);
	}
	cr_expect_geq(v.cases, 300);
}
