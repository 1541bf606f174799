/*
 * request.c
 *		What is asked and what came back: one libcurl transfer's options, callbacks and result.
 *
 * libcurl sends a request again by itself when a kept connection turns out to be dead and no answer has begun, whatever
 * the method. For a provider without idempotency keys that could make two meetings of one. So a body comes from a
 * callback that cannot be wound back: once any of it has been fetched, libcurl gives up instead, and the outcome is
 * unknown, which is the truth. A POST without a body gets a fresh connection for the same reason.
 */
#include "http/multiplexer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stdio.h>

#ifndef DIBS_VERSION
#define DIBS_VERSION "dev"
#endif

/* Far above any API's answer; libcurl itself bounds only a single line in some versions. */
#define MAX_ANSWER_HEADERS (64 * 1024)

/* Load balancers drop idle connections after 60 s or more; not using one that is about to go saves an unknown outcome.
 */
#define MAX_CONNECTION_IDLE 45L

/* An upper bound for a request's timeout, so that nothing waits forever by mistake. */
#define DEFAULT_TIMEOUT 20000

/* Through a volatile pointer, so that the compiler cannot leave it out before a free(). */
static void *(*const volatile overwrite)(void *, int, size_t) = memset;

static void
free_secret(char *text, size_t len)
{
	if (text != NULL)
		overwrite(text, 0, len);
	free(text);
}

void
dibs_request_fail(DibsHttpRequest *req, DibsHttpFailure failure, const char *error)
{
	if (req->failure != DIBS_HTTP_OK)
		return;
	req->failure = failure;
	snprintf(req->error, sizeof(req->error), "%s", error);
}

/* The URL is taken apart once, by libcurl, and what was looked at is what is connected to. */
static void
parse_url(DibsHttpRequest *req, const char *url)
{
	char *scheme = NULL;
	char *host = NULL;
	char *port = NULL;
	char *fragment = NULL;
	size_t size;

	req->url = curl_url();
	if (req->url == NULL || curl_url_set(req->url, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
		curl_url_get(req->url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(req->url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		dibs_request_fail(req, DIBS_HTTP_REFUSED_URL, "the URL is malformed or holds a user name");
	else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
		dibs_request_fail(req, DIBS_HTTP_REFUSED_URL, "the URL is not an https URL");
	else if (curl_url_get(req->url, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
		dibs_request_fail(req, DIBS_HTTP_REFUSED_URL, "the URL has a fragment");
	else
	{
		req->https = strcmp(scheme, "https") == 0;
		req->loopback = strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0;
		if (curl_url_get(req->url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
			port = NULL;
		size = strlen(host) + (port ? strlen(port) : 0) + 2;
		req->authority = malloc(size);
		if (req->authority != NULL)
			snprintf(req->authority, size, port ? "%s:%s" : "%s", host, port);
		else
			dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(fragment);
}

/*
 * libcurl 7.88 and 8.0 reset every HTTP/2 stream after its regular end. Servers that guard against rapid resets (a
 * thousand at once, then 33 a second, is a usual limit) then drop the connection with all that is on it. HTTP/1.1 with
 * kept connections is the better choice there.
 */
static bool
http2_is_sound(void)
{
	unsigned int version = curl_version_info(CURLVERSION_NOW)->version_num;

	return version < 0x075800 || version >= 0x080100;
}

DibsHttpRequest *
dibs_request_new(const char *method, const char *url)
{
	DibsHttpRequest *req = calloc(1, sizeof(DibsHttpRequest));

	if (req == NULL)
		return NULL;
	req->connect_ms = req->total_ms = DEFAULT_TIMEOUT;
	req->max_answer = 1024 * 1024;
	req->http2 = http2_is_sound();
	if (strlen(method) >= sizeof(req->method) || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method))
		dibs_request_fail(req, DIBS_HTTP_OTHER, "not an HTTP method");
	else
		strcpy(req->method, method);
	parse_url(req, url);
	/* a POST would be sent with "Expect: 100-continue" above a certain size, which costs a round trip */
	dibs_http_header(req, "Expect", "");
	return req;
}

void
dibs_request_delete(DibsHttpRequest *req)
{
	if (req->owner != NULL)
		*req->owner = NULL;
	for (struct curl_slist *h = req->headers; h != NULL; h = h->next)
		overwrite(h->data, 0, strlen(h->data));
	curl_slist_free_all(req->headers);
	curl_url_cleanup(req->url);
	free_secret(req->body, req->body_len);
	free_secret(req->answer.data, req->answer.len);
	free_secret(req->answer_headers.data, req->answer_headers.len);
	free(req->authority);
	free(req->ca_file);
	free(req);
}

/* "Name: value" in libcurl's form; an empty value suppresses the header that libcurl would send. */
void
dibs_http_header(DibsHttpRequest *req, const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 3;
	struct curl_slist *list;
	char *line;

	for (const char *p = name; *p; p++)
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 127 || *p == ':')
			dibs_request_fail(req, DIBS_HTTP_OTHER, "a header's name is malformed");
	for (const char *p = value; *p; p++)
		if (((unsigned char) *p < ' ' && *p != '\t') || *p == 127)
			dibs_request_fail(req, DIBS_HTTP_OTHER, "a header's value holds a control character");
	if (req->failure != DIBS_HTTP_OK)
		return;

	line = malloc(size);
	list = NULL;
	if (line != NULL)
	{
		snprintf(line, size, *value ? "%s: %s" : "%s:%s", name, value);
		list = curl_slist_append(req->headers, line);
		free_secret(line, strlen(line));
	}
	if (list == NULL)
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
	else
		req->headers = list;
}

static void
authorization(DibsHttpRequest *req, const char *scheme, const char *value)
{
	size_t size = strlen(scheme) + strlen(value) + 2;
	char *text = malloc(size);

	if (text == NULL)
	{
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
		return;
	}
	snprintf(text, size, "%s %s", scheme, value);
	dibs_http_header(req, "Authorization", text);
	free_secret(text, size);
}

void
dibs_http_bearer(DibsHttpRequest *req, const char *token)
{
	authorization(req, "Bearer", token);
}

/* RFC 7617. A colon in the user would end it early. */
void
dibs_http_basic(DibsHttpRequest *req, const char *user, const char *password)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(user) + 1 + strlen(password);
	unsigned char *plain = malloc(len + 1);
	char *text = malloc(len / 3 * 4 + 5);
	size_t out = 0;

	if (plain == NULL || text == NULL)
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
	else if (strchr(user, ':') != NULL)
		dibs_request_fail(req, DIBS_HTTP_OTHER, "a user name for basic authentication holds a colon");
	else
	{
		snprintf((char *) plain, len + 1, "%s:%s", user, password);
		for (size_t i = 0; i < len; i += 3)
		{
			size_t n = len - i;
			uint32_t bits = (uint32_t) plain[i] << 16;

			if (n > 1)
				bits |= (uint32_t) plain[i + 1] << 8;
			if (n > 2)
				bits |= plain[i + 2];
			text[out++] = digits[bits >> 18];
			text[out++] = digits[bits >> 12 & 63];
			text[out++] = n > 1 ? digits[bits >> 6 & 63] : '=';
			text[out++] = n > 2 ? digits[bits & 63] : '=';
		}
		text[out] = '\0';
		authorization(req, "Basic", text);
	}
	free_secret((char *) plain, plain ? len : 0);
	free_secret(text, out);
}

void
dibs_http_body(DibsHttpRequest *req, const char *content_type, const void *data, size_t len)
{
	free_secret(req->body, req->body_len);
	req->body_len = 0;
	req->body = malloc(len + 1);
	if (req->body == NULL)
	{
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
		return;
	}
	if (len > 0)
		memcpy(req->body, data, len);
	req->body_len = len;
	dibs_http_header(req, "Content-Type", content_type);
}

void
dibs_http_timeouts(DibsHttpRequest *req, int connect_ms, int total_ms)
{
	req->connect_ms = connect_ms;
	req->total_ms = total_ms;
}

void
dibs_request_ca_file(DibsHttpRequest *req, const char *path)
{
	req->ca_file = strdup(path);
	if (req->ca_file == NULL)
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
}

/* Doubling, so that a long answer is copied a few times at most. */
static bool
append(DibsBuffer *buffer, const char *data, size_t len)
{
	if (buffer->len + len + 1 > buffer->size)
	{
		size_t size = buffer->size ? buffer->size : 1024;
		char *bigger;

		while (size < buffer->len + len + 1)
			size *= 2;
		bigger = malloc(size);
		if (bigger == NULL)
			return false;
		if (buffer->len > 0)
			memcpy(bigger, buffer->data, buffer->len);
		free_secret(buffer->data, buffer->len);
		buffer->data = bigger;
		buffer->size = size;
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
	return true;
}

/* Returning less than was given makes libcurl end the transfer; the reason is already kept. */
static size_t
on_answer(char *data, size_t size, size_t count, void *arg)
{
	DibsHttpRequest *req = arg;
	size_t len = size * count;

	if (len > req->max_answer - req->answer.len)
		dibs_request_fail(req, DIBS_HTTP_TOO_LARGE, "the answer is longer than dibs.max_response_size");
	else if (!append(&req->answer, data, len))
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
	return req->failure == DIBS_HTTP_OK ? len : 0;
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	DibsHttpRequest *req = arg;
	size_t len = size * count;

	/* a status line begins the headers anew: those before belong to a 1xx */
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
		req->answer_headers.len = 0;
	if (req->answer_headers.len + len > MAX_ANSWER_HEADERS)
		dibs_request_fail(req, DIBS_HTTP_TOO_LARGE, "the answer's headers are longer than 64 kB");
	else if (!append(&req->answer_headers, data, len))
		dibs_request_fail(req, DIBS_HTTP_OTHER, "out of memory");
	return req->failure == DIBS_HTTP_OK ? len : 0;
}

static size_t
on_body(char *room, size_t size, size_t count, void *arg)
{
	DibsHttpRequest *req = arg;
	size_t len = size * count;

	if (len > req->body_len - req->body_taken)
		len = req->body_len - req->body_taken;
	memcpy(room, req->body + req->body_taken, len);
	req->body_taken += len;
	return len;
}

/* See the head of this file. Going back to the start before anything was fetched is harmless. */
static int
on_rewind(void *arg, curl_off_t offset, int origin)
{
	DibsHttpRequest *req = arg;

	return req->body_taken == 0 && offset == 0 && origin == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/*
 * Options that came, or whose older form went, within the versions of libcurl that dibs runs with are set by name, so
 * that one build runs with each of them.
 */
static bool
set_protocol(CURL *easy, bool https)
{
	const struct curl_easyoption *option = curl_easy_option_by_name("PROTOCOLS_STR");

	if (option != NULL)
		return curl_easy_setopt(easy, option->id, https ? "https" : "http") == CURLE_OK;
	option = curl_easy_option_by_name("PROTOCOLS");
	return option != NULL &&
		   curl_easy_setopt(easy, option->id, (long) (https ? CURLPROTO_HTTPS : CURLPROTO_HTTP)) == CURLE_OK;
}

#define SET(option, value)                                                                                             \
	do                                                                                                                 \
	{                                                                                                                  \
		if (curl_easy_setopt(easy, option, value) != CURLE_OK)                                                         \
			return false;                                                                                              \
	} while (0)

/* easy is new or reset: every option that matters is set here, none is inherited from another request. */
bool
dibs_request_prepare(DibsHttpRequest *req, CURL *easy)
{
	const struct curl_easyoption *quick_exit = curl_easy_option_by_name("QUICK_EXIT");

	SET(CURLOPT_PRIVATE, req);
	SET(CURLOPT_CURLU, req->url);
	if (!set_protocol(easy, req->https))
		return false;
	SET(CURLOPT_NOSIGNAL, 1L);
	/* a name lookup that hangs in its thread is left behind, not waited for; from libcurl 7.87 */
	if (quick_exit != NULL)
		SET(quick_exit->id, 1L);
	SET(CURLOPT_PROXY, ""); /* the environment of the server's start does not decide where secrets go */
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, req->http2 ? (long) CURL_HTTP_VERSION_2TLS : (long) CURL_HTTP_VERSION_1_1);
	/* rather share the connection that is being made than open 64 */
	SET(CURLOPT_PIPEWAIT, req->https && req->http2 ? 1L : 0L);
	SET(CURLOPT_MAXAGE_CONN, MAX_CONNECTION_IDLE);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (req->ca_file != NULL)
	{
		SET(CURLOPT_CAINFO, req->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) req->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, (long) req->total_ms);
	SET(CURLOPT_USERAGENT, "dibs/" DIBS_VERSION);
	SET(CURLOPT_HTTPHEADER, req->headers);
	SET(CURLOPT_WRITEFUNCTION, on_answer);
	SET(CURLOPT_WRITEDATA, req);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, req);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) req->max_answer);
	SET(CURLOPT_ERRORBUFFER, req->curl_error);

	if (req->body != NULL && req->body_len > 0)
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) req->body_len);
		SET(CURLOPT_READFUNCTION, on_body);
		SET(CURLOPT_READDATA, req);
		SET(CURLOPT_SEEKFUNCTION, on_rewind);
		SET(CURLOPT_SEEKDATA, req);
	}
	else if (req->body != NULL || strcmp(req->method, "POST") == 0)
	{
		SET(CURLOPT_POSTFIELDS, "");
		SET(CURLOPT_POSTFIELDSIZE, 0L);
		SET(CURLOPT_FRESH_CONNECT, 1L);
	}
	else if (strcmp(req->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, req->method);
	return true;
}

static DibsHttpFailure
failure_of(CURL *easy, CURLcode code)
{
	long sent = 0;

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			return DIBS_HTTP_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return DIBS_HTTP_TLS;
		case CURLE_OPERATION_TIMEDOUT:
			/* not by the times of the phases: libcurl 8.22 gives one for a connection that never came about */
			curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
			return sent == 0 ? DIBS_HTTP_TIMEOUT_CONNECT : DIBS_HTTP_TIMEOUT;
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
		case CURLE_SEND_FAIL_REWIND:
			return DIBS_HTTP_RESET;
		case CURLE_FILESIZE_EXCEEDED:
			return DIBS_HTTP_TOO_LARGE;
		default:
			return DIBS_HTTP_OTHER;
	}
}

/* Once only, and while the handle still has its numbers. */
void
dibs_request_finish(DibsHttpRequest *req, CURLcode code)
{
	long number = 0;
	curl_off_t time = 0;

	req->finished = true;
	if (req->easy == NULL)
		return;

	if (req->failure == DIBS_HTTP_OK)
	{
		const char *error = req->curl_error[0] ? req->curl_error : curl_easy_strerror(code);

		if (code == CURLE_FILESIZE_EXCEEDED)
			error = "the answer is longer than dibs.max_response_size";
		else if (code == CURLE_SEND_FAIL_REWIND)
			error = "the connection ended before an answer";
		if (code != CURLE_OK)
			dibs_request_fail(req, failure_of(req->easy, code), error);
	}
	for (char *p = req->error; *p; p++)
		if ((unsigned char) *p < ' ' || (unsigned char) *p >= 127)
			*p = '?';

	curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &number);
	req->status = (int) number;
	number = 0;
	curl_easy_getinfo(req->easy, CURLINFO_REQUEST_SIZE, &number);
	req->maybe_sent = req->body_len > 0 ? req->body_taken > 0 : number > 0;
	number = 0;
	curl_easy_getinfo(req->easy, CURLINFO_NUM_CONNECTS, &number);
	req->times.connections = (int) number;

#define TIME(field, info)                                                                                              \
	if (curl_easy_getinfo(req->easy, info, &time) == CURLE_OK)                                                         \
	req->times.field = time
	TIME(lookup, CURLINFO_NAMELOOKUP_TIME_T);
	TIME(connect, CURLINFO_CONNECT_TIME_T);
	TIME(tls, CURLINFO_APPCONNECT_TIME_T);
	TIME(sent, CURLINFO_PRETRANSFER_TIME_T);
	TIME(first_byte, CURLINFO_STARTTRANSFER_TIME_T);
	TIME(total, CURLINFO_TOTAL_TIME_T);
#undef TIME
}

void
dibs_http_set_private(DibsHttpRequest *req, void *pointer)
{
	req->private_pointer = pointer;
}

void *
dibs_http_private(const DibsHttpRequest *req)
{
	return req->private_pointer;
}

const char *
dibs_http_method(const DibsHttpRequest *req)
{
	return req->method;
}

bool
dibs_http_is_done(const DibsHttpRequest *req)
{
	return req->finished;
}

DibsHttpFailure
dibs_http_failure(const DibsHttpRequest *req)
{
	return req->failure;
}

const char *
dibs_http_error(const DibsHttpRequest *req)
{
	return req->error;
}

int
dibs_http_status(const DibsHttpRequest *req)
{
	return req->status;
}

const char *
dibs_http_answer(const DibsHttpRequest *req, size_t *len)
{
	if (len != NULL)
		*len = req->answer.len;
	return req->answer.data ? req->answer.data : "";
}

/* The first of that name, case-insensitively, without the white space around its value. */
const char *
dibs_http_answer_header(const DibsHttpRequest *req, const char *name, char *buf, size_t size)
{
	const char *line = req->answer_headers.data;
	const char *end = line ? line + req->answer_headers.len : NULL;
	size_t name_len = strlen(name);

	while (line != NULL && line < end)
	{
		const char *next = memchr(line, '\n', end - line);
		const char *stop = next ? next : end;

		if ((size_t) (stop - line) > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0)
		{
			const char *value = line + name_len + 1;

			while (value < stop && (*value == ' ' || *value == '\t'))
				value++;
			while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
				stop--;
			if ((size_t) (stop - value) >= size)
				return NULL;
			memcpy(buf, value, stop - value);
			buf[stop - value] = '\0';
			return buf;
		}
		line = next ? next + 1 : end;
	}
	return NULL;
}

DibsHttpTimes
dibs_http_times(const DibsHttpRequest *req)
{
	return req->times;
}

bool
dibs_http_maybe_sent(const DibsHttpRequest *req)
{
	return req->maybe_sent;
}

char *
dibs_http_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *escaped = malloc(strlen(text) * 3 + 1);
	char *out = escaped;

	if (escaped == NULL)
		return NULL;
	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._~", c) != NULL)
			*out++ = (char) c;
		else
		{
			*out++ = '%';
			*out++ = hex[c >> 4];
			*out++ = hex[c & 15];
		}
	}
	*out = '\0';
	return escaped;
}
