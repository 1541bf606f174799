/*
 * curl_multi.c
 *		As many POSTs as asked for, so many at once, by libcurl and nothing else: what a drain is held against.
 *
 * usage: curl_multi URL IN_FLIGHT COUNT     prints the seconds that it took
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int started = 0;
static int count = 0;

static size_t
discard(char *data, size_t size, size_t n, void *arg)
{
	(void) data;
	(void) arg;
	return size * n;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A body of the size that dibs sends. */
static void
start(CURLM *multi, CURL *easy)
{
	char body[512];

	snprintf(
		body, sizeof(body),
		"{\"topic\":\"Session %d\",\"type\":2,\"start_time\":\"2030-01-01T10:00:00Z\",\"duration\":30,\"timezone\":\"UTC\","
		"\"agenda\":\"dibs:01J9ZK4M8Q%016d:bench-%d\",\"settings\":{\"use_pmi\":false}}",
		started, started, started);
	curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
	curl_multi_add_handle(multi, easy);
	started++;
}

int
main(int argc, char **argv)
{
	int in_flight = argc > 2 ? atoi(argv[2]) : 64;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURLM *multi = curl_multi_init();
	int running = 1;
	int done = 0;
	double begun;

	count = argc > 3 ? atoi(argv[3]) : 1000;
	headers = curl_slist_append(headers, "Authorization: Bearer none");
	begun = now();
	for (int i = 0; i < in_flight && started < count; i++)
	{
		CURL *easy = curl_easy_init();

		curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		start(multi, easy);
	}
	while (done < count)
	{
		CURLMsg *message;
		int left;

		curl_multi_perform(multi, &running);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL *easy = message->easy_handle;
			long status = 0;

			curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
			if (message->data.result != CURLE_OK || status != 201)
			{
				fprintf(stderr, "%s, status %ld\n", curl_easy_strerror(message->data.result), status);
				return 1;
			}
			done++;
			curl_multi_remove_handle(multi, easy);
			if (started < count)
				start(multi, easy);
			else
				curl_easy_cleanup(easy);
		}
		if (done < count)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	printf("%.6f\n", now() - begun);
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	return 0;
}
