/*
 * zoom_request.h
 *		What all of Zoom's operations have in common.
 */
#ifndef DIBS_MEETING_ZOOM_REQUEST_H
#define DIBS_MEETING_ZOOM_REQUEST_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "http/http.h"
#include "meeting/zoom_answer.h"
#include "queue/verdict.h"

/* path is below the API's base URL and begins with a slash. */
extern DibsHttpRequest *dibs_zoom_request(DibsHttp *http, const DibsAccess *access, const char *method,
										  const char *path);
extern void dibs_zoom_put_body(DibsHttpRequest *request, Jsonb *body);

/* A meeting's id as paths take it; NULL: it is none. */
extern char *dibs_zoom_number(const char *id);

/* A member of an answer that is a link for people; NULL: it is none. */
extern char *dibs_zoom_link(const JsonbContainer *answer, const char *key);

/* What Zoom says went wrong. */
extern char *dibs_zoom_words(const JsonbContainer *answer, int status);

/*
 * Reads a refusal: code and words, and the verdict that follows whatever was asked (a new token, gone, again later, the
 * account's limit; else it is final). *code is Zoom's own, -1 where it gives none.
 */
extern DibsZoomAnswer dibs_zoom_refusal(DibsHttpRequest *request, const JsonbContainer *object, int64 *code,
										DibsFailure *answer);

/* Not Zoom's answer, whatever its status says. */
extern bool dibs_zoom_is_no_answer(DibsHttpRequest *request, const JsonbContainer *object);

#endif
