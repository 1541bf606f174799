/*
 * test_http.c
 *		The multiplexer against a server that answers well and badly (http_server.mjs); no PostgreSQL.
 *
 * usage: test_http http_server.mjs [requests]
 */
#include "http/multiplexer.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT 64

static int checks;
static int failures;
static int plain_port;
static int tls_port;
static char cert[256];
static DibsMux *mux;

static void
check_at(int line, bool ok, const char *what)
{
	checks++;
	if (!ok)
		failures++;
	printf("%s %d - %s (line %d)\n", ok ? "ok" : "not ok", checks, what, line);
	fflush(stdout);
}
#define check(ok, what) check_at(__LINE__, ok, what)

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static long
private_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size = 0;
	long resident = 0;
	long shared = 0;

	if (f == NULL || fscanf(f, "%ld %ld %ld", &size, &resident, &shared) != 3)
		return -1;
	fclose(f);
	return (resident - shared) * (sysconf(_SC_PAGESIZE) / 1024);
}

static DibsHttpRequest *
request_url(const char *method, const char *url)
{
	DibsHttpRequest *req = dibs_request_new(method, url);

	dibs_mux_attach(mux, req);
	dibs_http_timeouts(req, 2000, 5000);
	req->http2 = true; /* also with a libcurl with which it is not used by itself */
	dibs_request_ca_file(req, cert);
	return req;
}

static DibsHttpRequest *
request(bool tls, const char *method, const char *path)
{
	char url[256];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s", tls ? "https" : "http", tls ? tls_port : plain_port, path);
	return request_url(method, url);
}

/* One turn of a caller's loop; false: the descriptor stayed quiet for so long. */
static bool
turn(int timeout_ms)
{
	struct pollfd p = {.fd = dibs_mux_fd(mux), .events = POLLIN};
	bool ready = poll(&p, 1, timeout_ms) > 0;

	dibs_mux_drive(mux);
	return ready;
}

static DibsHttpRequest *
run(DibsHttpRequest *req)
{
	dibs_mux_start(req);
	while (!dibs_http_is_done(req))
		if (!turn(15000))
			break;
	if (req->state == DIBS_HTTP_DONE)
		dibs_mux_take(req);
	return req;
}

static bool
answers(DibsHttpRequest *req, int status, const char *text)
{
	size_t len;
	const char *answer = dibs_http_answer(req, &len);
	bool ok = dibs_http_failure(req) == DIBS_HTTP_OK && dibs_http_status(req) == status && strlen(answer) == len &&
			  (text == NULL || strcmp(answer, text) == 0);

	if (!ok)
		printf("# failure %d status %d error '%s' answer '%.80s'\n", dibs_http_failure(req), dibs_http_status(req),
			   dibs_http_error(req), answer);
	dibs_mux_free(req);
	return ok;
}

static bool
fails(DibsHttpRequest *req, DibsHttpFailure failure, bool maybe_sent)
{
	bool ok = dibs_http_is_done(req) && dibs_http_failure(req) == failure && dibs_http_error(req)[0] != '\0' &&
			  dibs_http_maybe_sent(req) == maybe_sent;

	printf("# failure %d sent %d: %s\n", dibs_http_failure(req), dibs_http_maybe_sent(req), dibs_http_error(req));
	dibs_mux_free(req);
	return ok;
}

static int
seen(const char *key)
{
	char path[64];
	DibsHttpRequest *req;
	int n;

	snprintf(path, sizeof(path), "/seen?of=%s", key);
	req = run(request(false, "GET", path));
	n = atoi(dibs_http_answer(req, NULL));
	dibs_mux_free(req);
	return n;
}

static void
basics(void)
{
	char buf[16];
	DibsHttpRequest *req = request(false, "PATCH", "/ok");

	dibs_http_bearer(req, "t0ken");
	dibs_http_body(req, "application/json", "{\"a\":1}", 7);
	run(req);
	check(dibs_http_answer_header(req, "x-length", buf, sizeof(buf)) != NULL && strcmp(buf, "7") == 0,
		  "a header of the answer, trimmed");
	check(dibs_http_answer_header(req, "X-Len", buf, sizeof(buf)) == NULL, "no header by a part of its name");
	check(dibs_http_maybe_sent(req), "what was answered was sent");
	check(answers(req, 200, "{\"method\":\"PATCH\",\"auth\":\"Bearer t0ken\",\"body\":\"{\\\"a\\\":1}\"}"),
		  "method, bearer and body arrive");

	req = request(false, "POST", "/ok");
	dibs_http_basic(req, "Aladdin", "open sesame");
	check(answers(run(req), 200, "{\"method\":\"POST\",\"auth\":\"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\",\"body\":\"\"}"),
		  "basic authentication as in RFC 7617; a POST without a body");
	check(answers(run(request(false, "DELETE", "/status?code=204")), 204, ""), "204 without a body");
	req = run(request(false, "GET", "/status?code=429"));
	check(answers(req, 429, "said"), "an error's body is read");
	check(answers(run(request(false, "GET", "/redirect")), 302, ""), "a redirect is an answer, not followed");

	req = request(false, "GET", "/ok");
	dibs_http_header(req, "X-A", "b\r\nX-C: d");
	check(fails(run(req), DIBS_HTTP_OTHER, false), "a header cannot break its line");
	check(fails(run(request_url("GET", "https://u:p@127.0.0.1/")), DIBS_HTTP_REFUSED_URL, false),
		  "no credentials in a URL");
	check(fails(run(request_url("GET", "file:///etc/passwd")), DIBS_HTTP_REFUSED_URL, false), "no file URL");
	check(fails(run(request_url("GET", "https://a.example/#x")), DIBS_HTTP_REFUSED_URL, false), "no fragment");
	check(fails(run(request_url("GET", "no url")), DIBS_HTTP_REFUSED_URL, false), "no URL at all");

	req = request_url("GET", "HTTPS://Api.Example:443/v2");
	check(req->https && strcasecmp(req->authority, "api.example") == 0 && !req->loopback,
		  "the scheme's port is left out");
	dibs_mux_free(req);
	req = request_url("GET", "http://127.1:80/");
	check(strcmp(req->authority, "127.0.0.1") == 0 && req->loopback, "an address is seen in its usual form");
	dibs_mux_free(req);
	req = request_url("GET", "http://localhost:8080/");
	check(strcmp(req->authority, "localhost:8080") == 0 && !req->loopback, "a name is not a loopback address");
	dibs_mux_free(req);
}

static void
faults(void)
{
	DibsHttpRequest *req;
	double start;

	check(fails(run(request_url("GET", "http://127.0.0.1:1/?secret=1")), DIBS_HTTP_CONNECT, false), "nobody listens");
	req = request(false, "POST", "/reset?key=reset");
	dibs_http_body(req, "text/plain", "x", 1);
	check(fails(run(req), DIBS_HTTP_RESET, true), "reset after the request was read");
	check(seen("reset") == 1, "and it was sent once");
	check(fails(run(request(false, "GET", "/truncated")), DIBS_HTTP_RESET, true), "truncated");
	check(fails(run(request(false, "GET", "/garbage")), DIBS_HTTP_OTHER, true), "garbage");
	check(fails(run(request(false, "GET", "/big?mb=100")), DIBS_HTTP_TOO_LARGE, true), "100 MB without a length");
	check(fails(run(request(false, "GET", "/big?mb=100&length=1")), DIBS_HTTP_TOO_LARGE, true), "100 MB with a length");
	check(fails(run(request(false, "GET", "/headers")), DIBS_HTTP_TOO_LARGE, true), "endless headers");

	req = request(false, "GET", "/drip");
	dibs_http_timeouts(req, 300, 600);
	start = seconds();
	check(fails(run(req), DIBS_HTTP_TIMEOUT, true), "a slow drip ends at the timeout");
	check(seconds() - start > 0.55 && seconds() - start < 1.2, "in time");
	req = request(false, "POST", "/hang");
	dibs_http_body(req, "text/plain", "x", 1);
	dibs_http_timeouts(req, 300, 400);
	check(fails(run(req), DIBS_HTTP_TIMEOUT, true), "no answer at all");

	/* the certificate is not among the system's */
	req = request(true, "GET", "/ok");
	free(req->ca_file);
	req->ca_file = NULL;
	check(fails(run(req), DIBS_HTTP_TLS, false), "an unknown certificate");
	req = request(true, "GET", "/reset");
	check(fails(run(req), DIBS_HTTP_RESET, true), "a stream that is reset");
}

/* A listener whose backlog is full: connecting neither works nor fails. */
static void
connect_timeout(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int fill[8];
	char url[64];
	DibsHttpRequest *req;

	bind(listener, (struct sockaddr *) &address, sizeof(address));
	listen(listener, 0);
	getsockname(listener, (struct sockaddr *) &address, &len);
	for (int i = 0; i < 8; i++)
	{
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fill[i], (struct sockaddr *) &address, sizeof(address));
	}
	usleep(50000);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
	req = request_url("GET", url);
	dibs_http_timeouts(req, 300, 5000);
	check(fails(run(req), DIBS_HTTP_TIMEOUT_CONNECT, false), "no connection in time");
	for (int i = 0; i < 8; i++)
		close(fill[i]);
	close(listener);
}

/* A kept connection that the server drops on the second request: libcurl must not send that a second time by itself. */
static void
never_twice(void)
{
	DibsHttpRequest *req;
	char path[32];

	for (int i = 0; i < 3; i++)
	{
		const char *const methods[] = {"POST", "PATCH", "DELETE"};

		/* a client of its own: the first connection in its cache is the one that the server will drop */
		DibsMux *other = mux;

		mux = dibs_mux_create(1, 1);
		req = request(false, "POST", "/once");
		dibs_http_body(req, "text/plain", "x", 1);
		check(answers(run(req), 200, "first"), "a connection is opened and kept");
		snprintf(path, sizeof(path), "/once?key=once%d", i);
		req = request(false, methods[i], path);
		dibs_http_body(req, "text/plain", "x", 1);
		run(req);
		check(fails(req, DIBS_HTTP_RESET, true), "dropped when it is used again: the outcome is unknown");
		dibs_mux_destroy(mux);
		mux = other;
		snprintf(path, sizeof(path), "once%d", i);
		check(seen(path) == 1, "the request was sent once");
	}
}

/* total requests with IN_FLIGHT at once; gives requests a second */
static double
many(bool tls, int total)
{
	int started = 0;
	int done = 0;
	int good = 0;
	double start = seconds();

	while (done < total)
	{
		DibsHttpRequest *req;

		while (started < total && dibs_mux_in_flight(mux) < IN_FLIGHT)
		{
			req = request(tls, "POST", "/ok");
			dibs_http_body(req, "application/json", "{\"topic\":\"one\"}", 15);
			dibs_mux_start(req);
			started++;
		}
		if (!turn(15000))
			break;
		while ((req = dibs_mux_next_done(mux)) != NULL)
		{
			done++;
			if (dibs_http_failure(req) == DIBS_HTTP_OK && dibs_http_status(req) == 200)
				good++;
			else
				printf("# %d: %s\n", dibs_http_failure(req), dibs_http_error(req));
			dibs_mux_free(req);
		}
	}
	check(good == total, tls ? "every request over HTTP/2 is answered" : "every request is answered");
	return total / (seconds() - start);
}

static void
connections(int *plain, int *tls)
{
	DibsHttpRequest *req = run(request(false, "GET", "/connections"));

	*plain = *tls = -1;
	sscanf(dibs_http_answer(req, NULL), "%d %d", plain, tls);
	dibs_mux_free(req);
}

static void
throughput(int total)
{
	int plain_before, tls_before, plain_after, tls_after, files;
	long memory;
	double rate;

	/* each warmed up on its own: they share one budget of connections */
	many(false, 500);
	files = open_files();
	memory = private_kb();
	connections(&plain_before, &tls_before);
	rate = many(false, total);
	connections(&plain_after, &tls_after);
	plain_after -= plain_before;
	printf("# HTTP/1.1: %d requests, %.0f/s\n", total, rate);

	printf("# %d connections opened; open files %d before, %d after; private memory %ld kB, then %ld kB\n", plain_after,
		   files, open_files(), memory, private_kb());
	check(plain_after == 0, "connections are used again");
	check(open_files() <= files, "descriptors stay the same");
	check(private_kb() - memory < 2048, "memory stays the same");

	/* not more than a server that guards against rapid resets takes from some versions of libcurl */
	connections(&plain_before, &tls_before);
	rate = many(true, 400) + many(true, 400);
	connections(&plain_before, &tls_after);
	printf("# HTTP/2 over TLS: 800 requests, %.0f/s, on %d connections\n", rate / 2, tls_after - tls_before);
	check(tls_after - tls_before <= IN_FLIGHT, "a TLS connection carries many");
}

static void
line_and_cancel(void)
{
	DibsHttpRequest *reqs[8];
	DibsMux *other = mux;
	double start = seconds();
	int done = 0;

	/* two at once: the rest waits in line, and its timeout does not run there */
	mux = dibs_mux_create(2, 2);
	for (int i = 0; i < 8; i++)
	{
		reqs[i] = request(false, "GET", "/delay?ms=200");
		dibs_http_timeouts(reqs[i], 400, 400);
		dibs_mux_start(reqs[i]);
	}
	while (done < 8 && turn(5000))
		for (DibsHttpRequest *req; (req = dibs_mux_next_done(mux)) != NULL;)
			done += answers(req, 200, "late");
	check(done == 8, "those in line are not timed out before they are sent");
	check(seconds() - start > 0.75, "two at once, not more");

	for (int i = 0; i < 3; i++)
		dibs_mux_start(reqs[i] = request(false, "GET", "/hang"));
	turn(100);
	dibs_mux_free(reqs[0]);
	dibs_mux_free(reqs[1]);
	dibs_mux_free(reqs[2]);
	check(dibs_mux_in_flight(mux) == 0, "freed in flight and in line");
	dibs_mux_start(request(false, "GET", "/hang"));
	turn(100);
	start = seconds();
	dibs_mux_destroy(mux);
	check(seconds() - start < 0.05, "a client goes at once, whatever is in flight");
	mux = other;

	/* one hung request slows nobody */
	reqs[0] = request(false, "GET", "/hang");
	dibs_mux_start(reqs[0]);
	start = seconds();
	many(false, 200);
	check(!dibs_http_is_done(reqs[0]) && seconds() - start < 3.0, "others go on beside a request that hangs");
	dibs_mux_free(reqs[0]);
}

/* With nothing in flight the descriptor falls silent: after the timers that are left over, no wake-ups. */
static void
silence(void)
{
	int wakes = 0;
	double start = seconds();

	while (seconds() - start < 6.0)
		wakes += turn(6000 - (int) ((seconds() - start) * 1000));
	printf("# %d wake-ups in 6 s of nothing to do\n", wakes);
	check(wakes <= 2, "an idle client sleeps");
}

static pid_t
start_server(const char *script, int *in)
{
	int to[2];
	int from[2];
	char line[300] = "";
	size_t len = 0;
	pid_t pid;

	if (pipe(to) != 0 || pipe(from) != 0 || (pid = fork()) < 0)
		exit(2);
	if (pid == 0)
	{
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execlp("node", "node", script, (char *) NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	while (len < sizeof(line) - 1 && read(from[0], line + len, 1) == 1 && line[len] != '\n')
		len++;
	if (sscanf(line, "%d %d %255s", &plain_port, &tls_port, cert) != 3)
		exit(2);
	*in = to[1];
	return pid;
}

int
main(int argc, char **argv)
{
	int total = argc > 2 ? atoi(argv[2]) : 2000;
	int in;
	int files;
	pid_t server;

	if (argc < 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	server = start_server(argv[1], &in);
	files = open_files();
	mux = dibs_mux_create(IN_FLIGHT, IN_FLIGHT);
	if (mux == NULL)
		return 2;
	basics();
	faults();
	connect_timeout();
	never_twice();
	line_and_cancel();
	throughput(total);
	silence();
	dibs_mux_destroy(mux);
	check(open_files() == files, "nothing is left open");
	close(in);
	waitpid(server, NULL, 0);
	printf("1..%d\n", checks);
	return failures > 0;
}
