// Event types, free slots and busy times.

import { CalRefusal, invalid } from './cal-refusal.mjs';

const MINUTE = 60000;
const DAY = 86400000;

/** Event types of every user, by what they show: the user's id times ten, plus this. */
const KINDS = [
	{ n: 0, slug: 'intro-call', title: 'Intro call', lengthInMinutes: 30 },
	{ n: 1, slug: 'group-class', title: 'Group class', lengthInMinutes: 60, seats: 4 },
	{ n: 2, slug: 'by-request', title: 'By request', lengthInMinutes: 45, confirmation: true },
	{ n: 3, slug: 'weekly', title: 'Weekly', lengthInMinutes: 30, recurrence: { interval: 1, occurrences: 4, frequency: 'weekly' } },
	{ n: 4, slug: 'paid-hour', title: 'Paid hour', lengthInMinutes: 60, price: 9000, currency: 'eur' },
	{ n: 5, slug: 'retired', title: 'Retired', lengthInMinutes: 15, hidden: true },
	// a team's: all users are its hosts, and this user is who has been picked
	{ n: 6, slug: 'round-robin', title: 'Round robin', lengthInMinutes: 30, roundRobin: true },
];

export class CalCatalog {
	constructor({ clock, people }) {
		Object.assign(this, { clock, people });
		this.reset();
	}

	reset() {
		this.types = new Map();
		this.nextId = 9000;
		this.external = []; // {user, start, end}: what other calendars say
		this.hours = [0, 24]; // of each day, UTC, in which anybody can be booked
		for (const user of this.people.users.values()) this.furnish(user.id);
	}

	furnish(ownerId) {
		for (const { n, ...kind } of KINDS)
			this.types.set(ownerId * 10 + n, this.fill({ id: ownerId * 10 + n, ownerId, ...kind }));
	}

	configure({ calUsers, busy, hours }) {
		if (calUsers) for (const id of this.people.users.keys()) if (!this.types.has(id * 10)) this.furnish(id);
		for (const { user, start, end } of busy ?? [])
			this.external.push({ user: this.people.byEmail(user).id, start: Date.parse(start), end: Date.parse(end) });
		if (hours) this.hours = hours;
	}

	fill(type) {
		return {
			description: '',
			price: 0,
			currency: 'usd',
			hidden: false,
			metadata: {},
			confirmation: false,
			seats: null,
			recurrence: null,
			created: this.clock(),
			...type,
		};
	}

	find(id) {
		return this.types.get(Number(id));
	}

	view(type) {
		const owner = this.people.users.get(type.ownerId);
		return {
			id: type.id,
			lengthInMinutes: type.lengthInMinutes,
			title: type.title,
			slug: type.slug,
			description: type.description,
			locations: [],
			bookingFields: [],
			disableGuests: false,
			recurrence: type.recurrence,
			metadata: type.metadata,
			price: type.price,
			currency: type.currency,
			lockTimeZoneToggleOnBookingPage: false,
			forwardParamsSuccessRedirect: null,
			successRedirectUrl: null,
			isInstantEvent: false,
			scheduleId: null,
			seatsPerTimeSlot: type.seats,
			seats: type.seats
				? { seatsPerTimeSlot: type.seats, showAttendeeInfo: type.showAttendees ?? false, showAvailabilityCount: true }
				: undefined,
			hidden: type.hidden,
			bookingRequiresAuthentication: false,
			ownerId: type.ownerId,
			users: [String(owner.id)],
			bookingUrl: `https://cal.example.com/${owner.username}/${type.slug}`,
		};
	}

	// Event types

	listEventTypes({ query, actor }) {
		const name = query.get('username');
		const owner = name === null ? actor?.user : this.people.byUsername(name);
		if (!owner) {
			if (name === null) throw new CalRefusal(401, 'Unauthorized');
			return [];
		}
		return [...this.types.values()]
			.filter(({ ownerId, roundRobin }) => ownerId === owner.id && !roundRobin) // a team's are listed with the team
			.filter(({ hidden }) => !hidden || actor?.user?.id === owner.id)
			.filter(({ slug }) => query.get('eventSlug') === null || slug === query.get('eventSlug'))
			.map((type) => this.view(type));
	}

	owned(id, actor) {
		const type = this.find(id);
		if (!type) throw new CalRefusal(404, `Event type with id ${id} not found`);
		if (type.ownerId !== actor.user.id) throw new CalRefusal(403, `User with ID=${actor.user.id} does not own event type with ID=${id}`);
		return type;
	}

	getEventType({ params, actor }) {
		return this.view(this.owned(params.eventTypeId, actor));
	}

	createEventType({ body, actor }) {
		for (const name of ['title', 'slug'])
			if (typeof body[name] !== 'string' || body[name] === '') throw invalid(name, body[name], `${name} must be a string`);
		if (!Number.isInteger(body.lengthInMinutes) || body.lengthInMinutes < 1)
			throw invalid('lengthInMinutes', body.lengthInMinutes, 'lengthInMinutes must be a positive number');
		this.requireFreeSlug(actor.user.id, body.slug);
		const type = this.fill({ id: this.nextId++, ownerId: actor.user.id });
		this.types.set(type.id, type);
		this.change(type, body);
		return this.view(type);
	}

	updateEventType({ params, body, actor }) {
		const type = this.owned(params.eventTypeId, actor);
		if (body.slug !== undefined && body.slug !== type.slug) this.requireFreeSlug(type.ownerId, body.slug);
		this.change(type, body);
		return this.view(type);
	}

	deleteEventType({ params, actor }) {
		const type = this.owned(params.eventTypeId, actor);
		this.types.delete(type.id);
		const { id, lengthInMinutes, title, slug } = type;
		return { id, lengthInMinutes, title, slug };
	}

	requireFreeSlug(owner, slug) {
		if ([...this.types.values()].some((type) => type.ownerId === owner && type.slug === slug))
			throw new CalRefusal(400, 'User already has an event type with this slug.');
	}

	change(type, body) {
		for (const name of ['title', 'slug', 'description', 'lengthInMinutes', 'hidden', 'metadata'])
			if (body[name] !== undefined) type[name] = body[name];
		if (body.seats) type.seats = body.seats.disabled ? null : body.seats.seatsPerTimeSlot;
		if (body.seats) type.showAttendees = body.seats.showAttendeeInfo ?? false;
		if (body.confirmationPolicy) type.confirmation = !body.confirmationPolicy.disabled;
		if (body.recurrence) type.recurrence = body.recurrence.disabled ? null : body.recurrence;
	}

	// Time

	/** May this user be booked then, as far as hours and other calendars go? */
	isOpen(user, start, end) {
		const midnight = Math.floor(start / DAY) * DAY;
		if (start < midnight + this.hours[0] * 60 * MINUTE || end > midnight + this.hours[1] * 60 * MINUTE + (this.hours[1] === 24 ? DAY : 0))
			return false;
		return !this.external.some((other) => other.user === user && other.start < end && other.end > start);
	}

	slots({ query }, bookings) {
		const type = query.get('eventTypeId')
			? this.find(query.get('eventTypeId'))
			: [...this.types.values()].find(
					({ slug, ownerId }) =>
						slug === query.get('eventTypeSlug') &&
						this.people.users.get(ownerId).username === query.get('username'),
				);
		if (!type) throw new CalRefusal(404, 'Event type not found');
		const zone = query.get('timeZone') ?? 'UTC';
		const from = bound(query, 'start', 'T00:00:00Z');
		const to = bound(query, 'end', 'T23:59:59Z');
		if (to < from) throw invalid('end', query.get('end'), 'end must be after start');
		const except = query.get('bookingUidToReschedule');
		const length = Number(query.get('duration') ?? type.lengthInMinutes) * MINUTE;
		const first = Math.ceil(Math.max(from, this.clock()) / length) * length;
		const days = {};
		for (let start = first; start <= to; start += length) {
			const room = bookings.room(type, start, start + length, except);
			if (!room) continue;
			const day = local(start, zone).slice(0, 10);
			const slot = { start: local(start, zone) };
			if (query.get('format') === 'range') slot.end = local(start + length, zone);
			if (type.seats) Object.assign(slot, room);
			(days[day] ??= []).push(slot);
		}
		return days;
	}

	busyTimes({ query, actor }, bookings) {
		if (!query.get('timeZone') && !query.get('loggedInUsersTz')) throw invalid('timeZone', null, 'timeZone must be a string');
		if (![...query.keys()].some((key) => /credentialId/.test(key)))
			throw invalid('calendarsToLoad', undefined, 'calendarsToLoad must be an array');
		const from = bound(query, 'dateFrom', 'T00:00:00Z');
		const to = bound(query, 'dateTo', 'T23:59:59Z');
		const own = bookings.of(actor.user.id).filter(({ status }) => status === 'accepted' || status === 'pending');
		return [...this.external.filter(({ user }) => user === actor.user.id), ...own]
			.filter(({ start, end }) => start < to && end > from)
			.sort((one, other) => one.start - other.start)
			.map(({ start, end, uid }) => ({
				start: new Date(start).toISOString(),
				end: new Date(end).toISOString(),
				source: uid ? 'cal' : 'google_calendar',
			}));
	}

	calendars({ actor }) {
		return {
			connectedCalendars: [
				{
					integration: { type: 'google_calendar', title: 'Google Calendar' },
					credentialId: actor.user.id * 100,
					primary: { externalId: actor.user.email, name: actor.user.email, primary: true, readOnly: false },
					calendars: [
						{
							externalId: actor.user.email,
							name: actor.user.email,
							primary: true,
							readOnly: false,
							isSelected: true,
							credentialId: actor.user.id * 100,
						},
						{
							externalId: 'holidays@example.com',
							name: 'Holidays',
							primary: false,
							readOnly: true,
							isSelected: false,
							credentialId: actor.user.id * 100,
						},
					],
				},
			],
			destinationCalendar: null,
		};
	}
}

/** A time of a query: an instant, or a date and what completes it. */
function bound(query, name, completion) {
	const text = query.get(name) ?? '';
	if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text))
		throw invalid(name, text, `${name} must be a valid ISO 8601 date string`);
	if (text.length === 10) return Date.parse(text + completion);
	return Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : text + 'Z');
}

/** 2050-09-05T09:00:00.000+02:00 */
function local(ms, zone) {
	let parts;
	try {
		parts = new Intl.DateTimeFormat('sv-SE', {
			timeZone: zone,
			dateStyle: 'short',
			timeStyle: 'medium',
		}).format(ms);
	} catch {
		throw invalid('timeZone', zone, 'timeZone must be an IANA time zone');
	}
	const wall = Date.parse(parts.replace(' ', 'T') + 'Z');
	const minutes = Math.round((wall - Math.floor(ms / 1000) * 1000) / MINUTE);
	const offset = minutes === 0 ? 'Z' : `${minutes < 0 ? '-' : '+'}${pad(Math.abs(minutes) / 60)}:${pad(Math.abs(minutes) % 60)}`;
	return parts.replace(' ', 'T') + '.000' + offset;
}

const pad = (number) => String(Math.floor(number)).padStart(2, '0');
