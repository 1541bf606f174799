/*
 * cal_job.h
 *		The worker's jobs at Cal.com: what they share, and their kinds.
 */
#ifndef DIBS_CALENDAR_CAL_JOB_H
#define DIBS_CALENDAR_CAL_JOB_H

#include "postgres.h"

#include "booking/booking.h"
#include "calendar/cal_api.h"
#include "core/jsonbuild.h"
#include "queue/call.h"

/* Keeps an account's bookings in step. Key: the account. */
extern const DibsCallKind dibs_cal_sync_job;
/* Reads one booking again. Key: its uid. */
extern const DibsCallKind dibs_cal_read_job;
/* Keeps an account's event types in step. Key: the account. */
extern const DibsCallKind dibs_cal_event_types_job;

/* Does one thing that is wanted at Cal.com. Key: its row in "CalChange". */
extern const DibsCallKind dibs_cal_change_job;

/* Makes a user at Cal.com for a coach. Key: its row in "CalChange". */
extern const DibsCallKind dibs_cal_managed_job;

/* Renews an API key ahead of its expiry. Key: its row in "CalKey". */
extern const DibsCallKind dibs_cal_key_job;

/* Keeps a webhook registered. Key: its row in "CalWebhook". */
extern const DibsCallKind dibs_cal_webhook_job;

/* A job's step without requests: each account that may be asked has its jobs. */
extern bool dibs_cal_schedule_step(Jsonb *args, Jsonb **progress);

/* The request of a call, to wherever this account's API is. */
extern DibsHttpRequest *dibs_cal_send(DibsCall *call, DibsHttp *http, const DibsAccess *access,
									  const DibsCalCall *request);

/*
 * In prepare: may this account still be asked? Not one that was disconnected, taken back or forgotten; its jobs end.
 */
extern bool dibs_cal_account_stands(const char *account);

/* What an answer means for a job: sets call->answer. REFUSED, CONFLICT and NOT_FOUND are FAILED unless the job knows
 * better. */
extern void dibs_cal_judge(DibsCall *call, const DibsCalAnswer *answer);

/*
 * Settling of a job that never ends: it comes back at `next`, whatever went wrong; an error stays to be seen.
 */
extern void dibs_cal_come_back(DibsCall *call, TimestampTz next);

/*
 * When a job that only reads may go on: a part of each minute's requests is left to what cannot wait.
 */
extern TimestampTz dibs_cal_next_page(const DibsCalAnswer *answer);

/* Applies one booking of the API in a subtransaction. False: it could not be, and should be read again later. */
extern bool dibs_cal_apply(const DibsBookingChange *change, DibsApplied *applied);

/*
 * Our meetings' links become the places of these bookings at Cal.com, where they are Cal.com's and an account may. SPI
 * is connected.
 */
extern void dibs_cal_links_back(const char *const *bookings, const char *const *coaches, int n);

/*
 * After a webhook: a booking with seats is read again, because not every event says who is in; and one whose people did
 * not come, because none says whether the host did.
 */
extern void dibs_cal_applied(const DibsBookingChange *change, const DibsApplied *applied);

/* Has a booking read (again) soon; does nothing where no account may. SPI is connected. */
extern void dibs_cal_read_soon(const char *uid, const char *user_ulid, int delay_ms);

/* A text of a timestamp for progress, and back; 0 and NULL where there is none. */
extern void dibs_cal_put_time(DibsJson *json, const char *key, TimestampTz at);

#endif
