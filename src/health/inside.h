/* SPDX-License-Identifier: MIT */
#pragma once

#include "health.h"

#include <sys/uio.h>

/* --- request.c: text -> meaning; pure -------------------------------------------------------- */

enum {
	HTTP_OK = 200, /* RFC 9110, section 15 */
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_REQUEST_TIMEOUT = 408,
	HTTP_HEADERS_TOO_LARGE = 431, /* RFC 6585, section 5 */
	HTTP_UNAVAILABLE = 503,
	HTTP_VERSION_NOT_SUPPORTED = 505,
};

/* Strings point into the text that was parsed and live as long as it does. */
struct request {
	bool head; /* HEAD: the answer goes without its body */
	const char *path;
	char *query; /* behind the "?"; "" without one */
};

/* Is the empty line there that ends a request? */
bool request_complete(const char *text, size_t len);

/* Cuts up the first line of a complete request. HTTP_OK, or the status to refuse it with. */
unsigned request_parse(struct request *request, char *text);

enum probe_mode { PROBE_NONE, PROBE_TCP, PROBE_HTTP };

enum { PROBE_PATH_MAX = 1024 }; /* bytes of path=, decoded */

struct probe {
	enum probe_mode mode;
	uint64_t timeout_ns;
	const char *path; /* PROBE_HTTP; into the query's text */
};

/* Decodes in place. NULL, or what is accepted instead, for whoever wrote the query. */
const char *probe_parse(struct probe *probe, char *query);

/* --- dial.c: the target's side of a prober --------------------------------------------------- */

enum dial_state {
	DIAL_IDLE,
	DIAL_CONNECTING, /* lent to health_ops.dial() */
	DIAL_SENDING,	 /* `op` sends the GET */
	DIAL_RECEIVING,	 /* `op` waits for the status line */
	DIAL_ABANDONED,	 /* nobody waits for the verdict; whatever comes back is closed */
};

enum {
	DIAL_STATUS_LEN = 12,  /* "HTTP/1.1 200", RFC 9112, section 4 */
	DIAL_GET_MAX = 2048,   /* PROBE_PATH_MAX, a host name and the rest */
	DIAL_REASON_MAX = 128, /* why the target is not well */
};

struct health_dial {
	struct prober *prober;
	enum dial_state state;
	enum probe_mode mode;
	void *handle; /* CONNECTING: for health_ops.cancel() */
	int fd;
	struct io_op op;
	struct iovec iov;
	bool returned; /* a completion, noted for health_dial_step() */
	int result;    /* its result */
	char get[DIAL_GET_MAX];
	size_t get_len;
	char status[DIAL_STATUS_LEN + 1]; /* and a final NUL */
	size_t status_len;
	bool answered;		      /* the verdict is there */
	char reason[DIAL_REASON_MAX]; /* "": the target is well */
};

void health_dial_init(struct health_dial *dial, struct prober *prober);
void health_dial_start(struct health_dial *dial, const struct probe *probe);
void health_dial_step(struct health_dial *dial);

/* The verdict is not wanted any more. The state is DIAL_IDLE now or after one more completion. */
void health_dial_abandon(struct health_dial *dial);

/* --- prober.c: the client's side ------------------------------------------------------------- */

enum prober_state {
	PROBER_FREE,
	PROBER_READING,	  /* the request */
	PROBER_ASKING,	  /* the target; nothing is under way with the client */
	PROBER_ANSWERING, /* sends the answer */
	PROBER_DRAINING,  /* our FIN is out; reads on until the client's */
	PROBER_CLOSING,	  /* until all that is under way has come back */
};

enum { PROBER_HEADER_MAX = 512 }; /* bytes of an answer's status line and fields */

struct prober {
	struct health *health;
	enum prober_state state;
	uint64_t deadline_ns; /* of the state; UINT64_MAX: none */
	int fd;		      /* owned; -1: closed */
	struct io_op op;      /* the one operation on fd */
	struct iovec iov[2];  /* ANSWERING: header and body, as far as they have not left */
	bool returned;	      /* a completion, noted for prober_step() */
	int result;	      /* its result */
	bool expired;	      /* READING: the deadline ended it */
	bool reset;	      /* it ends with a RST: what it did not take is dropped at once */
	bool head;	      /* HEAD was asked for */
	size_t received, drained;
	char request[HEALTH_REQUEST_MAX + 1]; /* and a final NUL */
	char header[PROBER_HEADER_MAX];
	struct health_dial dial;
	char body[HEALTH_BODY_MAX];
};

void prober_init(struct prober *prober, struct health *health);

/* A free prober takes over a new connection. */
void prober_admit(struct prober *prober, int fd);
void prober_step(struct prober *prober, uint64_t now_ns);

/* Ends it whatever it does; free now or after further completions. */
void prober_abandon(struct prober *prober);

/* Something has come back: looked at in this or the next turn, at once when only its end is
 * waited for. */
void prober_note(struct prober *prober);

/* With a few words of plain text. */
void prober_answer(struct prober *prober, unsigned status, const char *text, uint64_t now_ns);

/* HTTP_OK, with `len` bytes that are in prober->body. */
void prober_answer_body(struct prober *prober, const char *type, size_t len, uint64_t now_ns);

/* The target's verdict will be the answer. */
void prober_ask(struct prober *prober, const struct probe *probe, uint64_t now_ns);

/* --- listen.c -------------------------------------------------------------------------------- */

/* A listening socket on all addresses, or a negative errno. */
int health_listen(uint16_t port);

/* --- health.c: accepting and the tables ---------------------------------------------------- */

struct health {
	struct io *io;
	struct health_ops ops;
	struct io_pool pool;
	struct io_op accept;
	int fd;
	bool accept_failed;    /* noted for the turn */
	uint64_t accept_at_ns; /* when to listen again after a failure */
	bool dirty;	       /* completions were noted */
	bool closing;
	uint64_t deadline_ns;
	struct prober probers[HEALTH_PROBERS_MAX];
};

/* The table of paths answers, or starts what will answer. */
void health_route(struct prober *prober, const struct request *request, uint64_t now_ns);
