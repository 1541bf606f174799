// Cal.com's operations: path, version, who may, and the fields that are not dropped.

const BOOKINGS = '2024-08-13';
const EVENT_TYPES = '2024-06-14';
const SLOTS = '2024-09-04';

const LIST_QUERY = [
	'status',
	'attendeeEmail',
	'attendeeName',
	'bookingUid',
	'eventTypeIds',
	'eventTypeId',
	'teamsIds',
	'teamId',
	'afterStart',
	'beforeEnd',
	'afterCreatedAt',
	'beforeCreatedAt',
	'afterUpdatedAt',
	'beforeUpdatedAt',
	'sortStart',
	'sortEnd',
	'sortCreated',
	'sortUpdatedAt',
	'take',
	'skip',
];
const CREATE_BODY = [
	'start',
	'attendee',
	'bookingFieldsResponses',
	'eventTypeId',
	'eventTypeSlug',
	'username',
	'teamSlug',
	'organizationSlug',
	'guests',
	'meetingUrl',
	'location',
	'metadata',
	'lengthInMinutes',
	'routing',
	'emailVerificationCode',
	'recurrenceCount',
	'instant',
];
const EVENT_TYPE_BODY = [
	'title',
	'slug',
	'lengthInMinutes',
	'description',
	'hidden',
	'seats',
	'recurrence',
	'confirmationPolicy',
	'metadata',
	'locations',
	'bookingFields',
	'scheduleId',
	'slotInterval',
	'minimumBookingNotice',
	'beforeEventBuffer',
	'afterEventBuffer',
	'disableGuests',
	'bookingWindow',
];
const WEBHOOK_BODY = ['active', 'subscriberUrl', 'triggers', 'payloadTemplate', 'secret', 'version'];
const SLOT_QUERY = [
	'start',
	'end',
	'eventTypeId',
	'eventTypeSlug',
	'username',
	'usernames',
	'teamSlug',
	'organizationSlug',
	'timeZone',
	'duration',
	'format',
	'bookingUidToReschedule',
];
const BUSY_QUERY = [
	'timeZone',
	'loggedInUsersTz',
	'dateFrom',
	'dateTo',
	'credentialId',
	'externalId',
	'calendarsToLoad[][credentialId]',
	'calendarsToLoad[][externalId]',
];

const op = (method, path, name, more = {}) => ({
	method,
	path,
	name,
	query: [],
	auth: 'required',
	checked: true,
	pattern: new RegExp('^' + path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)') + '$'),
	...more,
});
const booking = (method, path, name, more) => op(method, '/v2/bookings' + path, name, { version: BOOKINGS, ...more });

export const OPERATIONS = [
	booking('GET', '', 'listBookings', { query: LIST_QUERY, older: true }),
	booking('POST', '', 'createBooking', { body: CREATE_BODY, auth: 'optional', older: true, status: 201 }),
	booking('GET', '/by-seat/{seatUid}', 'bySeat', { auth: 'optional' }),
	booking('GET', '/{bookingUid}', 'getBooking', { auth: 'optional', older: true }),
	booking('POST', '/{bookingUid}/reschedule', 'rescheduleBooking', {
		body: ['start', 'rescheduledBy', 'reschedulingReason', 'seatUid', 'emailVerificationCode'],
		auth: 'optional',
		status: 201,
	}),
	booking('POST', '/{bookingUid}/cancel', 'cancelBooking', {
		body: ['cancellationReason', 'cancelSubsequentBookings', 'seatUid'],
		auth: 'optional',
		older: true,
	}),
	booking('POST', '/{bookingUid}/confirm', 'confirmBooking', { body: [] }),
	booking('POST', '/{bookingUid}/decline', 'declineBooking', { body: ['reason'] }),
	booking('POST', '/{bookingUid}/mark-absent', 'markAbsent', { body: ['host', 'attendees'] }),
	booking('POST', '/{bookingUid}/guests', 'addGuests', { body: ['guests'], people: 'Add_guests' }),
	booking('PATCH', '/{bookingUid}/location', 'updateLocation', { body: ['location'], people: 'Update_location' }),
	// the document describes this answer by itself, without end
	booking('POST', '/{bookingUid}/reassign', 'reassign', { body: ['reason'], checked: false }),
	booking('POST', '/{bookingUid}/reassign/{userId}', 'reassign', { body: ['reason'], checked: false }),
	booking('GET', '/{bookingUid}/attendees', 'attendees', { checked: false }),

	op('GET', '/v2/event-types', 'listEventTypes', {
		version: EVENT_TYPES,
		query: ['username', 'eventSlug', 'usernames', 'orgSlug', 'orgId', 'sortCreatedAt'],
		auth: 'optional',
		older: true,
	}),
	op('POST', '/v2/event-types', 'createEventType', { version: EVENT_TYPES, body: EVENT_TYPE_BODY, status: 201 }),
	op('GET', '/v2/event-types/{eventTypeId}', 'getEventType', { version: EVENT_TYPES }),
	op('PATCH', '/v2/event-types/{eventTypeId}', 'updateEventType', { version: EVENT_TYPES, body: EVENT_TYPE_BODY }),
	op('DELETE', '/v2/event-types/{eventTypeId}', 'deleteEventType', { version: EVENT_TYPES }),

	// what the document says of slots describes neither the envelope nor seats
	op('GET', '/v2/slots', 'slots', { version: SLOTS, query: SLOT_QUERY, auth: 'optional', older: true, checked: false }),
	op('GET', '/v2/calendars', 'calendars', { checked: false }),
	op('GET', '/v2/calendars/busy-times', 'busyTimes', { query: BUSY_QUERY }),
	op('GET', '/v2/me', 'me'),

	op('GET', '/v2/webhooks', 'listWebhooks', { query: ['take', 'skip'] }),
	op('POST', '/v2/webhooks', 'createWebhook', { body: WEBHOOK_BODY, status: 201 }),
	op('GET', '/v2/webhooks/{webhookId}', 'getWebhook'),
	op('PATCH', '/v2/webhooks/{webhookId}', 'updateWebhook', { body: WEBHOOK_BODY }),
	op('DELETE', '/v2/webhooks/{webhookId}', 'deleteWebhook'),

	op('POST', '/v2/api-keys/refresh', 'refreshKey', { body: ['apiKeyDaysValid', 'apiKeyNeverExpires'] }),
	op('GET', '/v2/oauth-clients/{clientId}/users', 'listManaged', { query: ['limit', 'offset', 'emails'], auth: 'client' }),
	op('DELETE', '/v2/oauth-clients/{clientId}/users/{userId}', 'deleteManaged', { auth: 'client' }),
	op('POST', '/v2/oauth-clients/{clientId}/users', 'createManaged', {
		body: ['email', 'name', 'timeFormat', 'weekStart', 'timeZone', 'locale', 'avatarUrl', 'bio', 'metadata'],
		auth: 'client',
		status: 201,
		checked: false,
	}),
	op('POST', '/v2/oauth-clients/{clientId}/users/{userId}/force-refresh', 'forceRefreshManaged', { auth: 'client' }),
	op('POST', '/v2/oauth/{clientId}/refresh', 'refreshManaged', { body: ['refreshToken'], auth: 'client' }),
];

/** The operation of a request, and what its path says; none for a path that is not Cal.com's. */
export function recognise(method, path) {
	for (const operation of OPERATIONS) {
		const match = operation.method === method ? operation.pattern.exec(path) : null;
		if (!match) continue;
		try {
			const params = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]);
			return { operation, params: Object.fromEntries(params) };
		} catch {
			break;
		}
	}
	return {};
}
