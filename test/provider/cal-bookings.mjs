// Bookings as Cal.com keeps them: one row for a uid, a reschedule is a new row, seats share one.

import { randomBytes, randomUUID } from 'node:crypto';
import { CalRefusal, invalid, isZone } from './cal-refusal.mjs';
import { bookingView } from './cal-views.mjs';

const MINUTE = 60000;
const DAY = 86400000;
const LETTERS = '23456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ';
const BUSY = 'User either already has booking at this time or is not available';
const MAX_TAKE = 250;
const GUESTS_A_REQUEST = 10;
const GUESTS_A_BOOKING = 30;

export class CalBookings {
	constructor({ clock, people, catalog, webhooks }) {
		Object.assign(this, { clock, people, catalog, webhooks });
		this.reset();
	}

	reset() {
		this.all = new Map(); // uid -> booking
		this.nextId = 40000;
		this.nextAttendee = 90000;
		this.version = 0; // counts changes, so that sorted lists are made once
		this.sorted = new Map();
		this.byUser = new Map();
		this.counters = { made: 0, cancelled: 0, moved: 0, seats: 0, markers: {} };
	}

	of(userId) {
		const mine = this.byUser.get(userId);
		return mine ? [...mine] : [];
	}

	need(uid) {
		const booking = this.all.get(uid);
		if (!booking) throw new CalRefusal(404, `Booking with uid=${uid} was not found in the database`);
		return booking;
	}

	keep(booking) {
		this.all.set(booking.uid, booking);
		let mine = this.byUser.get(booking.userId);
		if (!mine) this.byUser.set(booking.userId, (mine = new Set()));
		mine.add(booking);
		this.version++;
		return booking;
	}

	/** A change of the row itself; seats and attendees are rows of their own and leave updatedAt alone. */
	touch(booking) {
		booking.updatedAt = Math.max(this.clock(), booking.updatedAt + 1);
		this.version++;
	}

	view(booking, actor, extra) {
		return bookingView(this, booking, actor, extra);
	}

	/** What makes a slot bookable: false, or the seats that are left. */
	room(type, start, end, except) {
		if (start < this.clock() || !this.catalog.isOpen(type.ownerId, start, end)) return false;
		let seats = { seatsBooked: 0, seatsRemaining: type.seats, seatsTotal: type.seats };
		for (const other of this.byUser.get(type.ownerId) ?? []) {
			if (other.uid === except || !isOn(other) || other.start >= end || other.end <= start) continue;
			if (!type.seats || other.eventTypeId !== type.id || other.start !== start) return false;
			const booked = other.attendees.length;
			if (booked >= type.seats) return false;
			seats = {
				seatsBooked: booked,
				seatsRemaining: type.seats - booked,
				seatsTotal: type.seats,
				bookingUid: other.uid,
			};
		}
		return seats;
	}

	attendee(person, seat) {
		return {
			id: this.nextAttendee++,
			name: person.name ?? '',
			email: person.email ?? `${person.phoneNumber?.replace(/\D/g, '')}@sms.cal.com`,
			timeZone: person.timeZone ?? 'UTC',
			language: person.language ?? 'en',
			phoneNumber: person.phoneNumber,
			absent: false,
			seat: seat ? { uid: randomUUID(), responses: seat.responses, metadata: seat.metadata } : undefined,
		};
	}

	row(type, fields) {
		const now = this.clock();
		const uid = newUid();
		return {
			id: this.nextId++,
			uid,
			eventTypeId: type.id,
			userId: type.ownerId,
			description: '',
			status: 'accepted',
			createdAt: now,
			updatedAt: now,
			attendees: [],
			guests: [],
			location: 'integrations:zoom',
			metadata: {},
			responses: {},
			absentHost: false,
			icsUid: `${uid}@Cal.com`,
			sequence: 0,
			...fields,
		};
	}

	// Create

	createBooking({ body, actor }) {
		const type = this.typeOf(body);
		const { attendee } = body;
		if (!attendee || typeof attendee.name !== 'string') throw invalid('attendee', attendee, 'attendee.name must be a string');
		if (!isZone(attendee.timeZone)) throw invalid('timeZone', attendee.timeZone, 'attendee.timeZone must be an IANA time-zone');
		if (!attendee.email && !attendee.phoneNumber)
			throw invalid('email', attendee.email, 'either email or phoneNumber must be provided');
		const start = instant('start', body.start);
		checkMetadata(body.metadata);
		const length = (body.lengthInMinutes ?? type.lengthInMinutes) * MINUTE;
		if (body.recurrenceCount !== undefined && !type.recurrence)
			throw new CalRefusal(400, `Event type with id ${type.id} is not recurring`);
		if (type.recurrence) {
			const count = body.recurrenceCount ?? type.recurrence.occurrences;
			if (count > type.recurrence.occurrences)
				throw new CalRefusal(400, `recurrenceCount cannot be higher than ${type.recurrence.occurrences}`);
			const series = randomUUID();
			const step = 7 * DAY * type.recurrence.interval;
			for (let i = 0; i < count; i++) this.requireRoom(type, start + i * step, start + i * step + length);
			const made = [];
			for (let i = 0; i < count; i++)
				made.push(this.make(type, start + i * step, length, body, actor, { recurringBookingUid: series }));
			return made.map((booking) => this.view(booking, actor));
		}
		if (type.seats) return this.takeSeat(type, start, length, body, actor);
		this.requireRoom(type, start, start + length);
		return this.view(this.make(type, start, length, body, actor), actor);
	}

	typeOf(body) {
		let type = body.eventTypeId === undefined ? undefined : this.catalog.find(body.eventTypeId);
		if (body.eventTypeId === undefined) {
			const owner = this.people.byUsername(body.username);
			type = [...this.catalog.types.values()].find(
				({ slug, ownerId }) => slug === body.eventTypeSlug && ownerId === owner?.id,
			);
		}
		if (!type) throw new CalRefusal(404, `Event type with id ${body.eventTypeId} not found.`);
		return type;
	}

	requireRoom(type, start, end, except) {
		if (start < this.clock()) throw new CalRefusal(400, 'Attempting to book a meeting in the past.');
		if (!this.room(type, start, end, except)) throw new CalRefusal(400, BUSY);
	}

	make(type, start, length, body, actor, extra = {}) {
		const owner = this.people.users.get(type.ownerId);
		const first = this.attendee(body.attendee);
		const guests = (body.guests ?? []).filter((email) => email !== first.email);
		const paid = type.price > 0;
		const booking = this.keep(
			this.row(type, {
				...extra,
				title: `${type.title} between ${owner.name} and ${first.name}`,
				start,
				end: start + length,
				status: paid || (type.confirmation && actor?.user?.id !== type.ownerId) ? 'pending' : 'accepted',
				paid: paid ? false : undefined,
				location: chosenLocation(body.location) ?? 'integrations:zoom',
				metadata: { ...body.metadata },
				responses: {
					...body.bookingFieldsResponses,
					name: first.name,
					email: first.email,
					...(guests.length > 0 ? { guests } : {}),
				},
				guests,
			}),
		);
		booking.attendees = [first, ...guests.map((email) => this.attendee({ email, timeZone: first.timeZone }))];
		this.counters.made++;
		for (const [key, value] of Object.entries(booking.metadata))
			if (key === 'dibs') this.counters.markers[value] = (this.counters.markers[value] ?? 0) + 1;
		const trigger = paid ? 'PAYMENT_INITIATED' : booking.status === 'pending' ? 'REQUESTED' : 'CREATED';
		this.webhooks.emit('BOOKING_' + trigger, booking);
		return booking;
	}

	takeSeat(type, start, length, body, actor) {
		const here = this.of(type.ownerId).find(
			(other) => isOn(other) && other.eventTypeId === type.id && other.start === start,
		);
		const email = body.attendee.email?.toLowerCase();
		if (here?.attendees.some((other) => other.email.toLowerCase() === email))
			throw new CalRefusal(409, 'Already signed up for this booking.');
		if (here && here.attendees.length >= type.seats) throw new CalRefusal(409, 'Booking seats are full');
		this.requireRoom(type, start, start + length);
		const person = this.attendee(body.attendee, {
			responses: { ...body.bookingFieldsResponses, name: body.attendee.name, email: body.attendee.email },
			metadata: { ...body.metadata },
		});
		const owner = this.people.users.get(type.ownerId);
		const booking =
			here ??
			this.keep(
				this.row(type, {
					title: `${type.title} with ${owner.name}`,
					start,
					end: start + length,
					location: chosenLocation(body.location) ?? 'integrations:zoom',
					metadata: { ...body.metadata },
					responses: person.seat.responses,
				}),
			);
		booking.attendees.push(person);
		if (here) this.touch(booking);
		else this.counters.made++;
		this.counters.seats++;
		const marker = body.metadata?.dibs;
		if (marker) this.counters.markers[marker] = (this.counters.markers[marker] ?? 0) + 1;
		this.webhooks.emit('BOOKING_CREATED', booking, { people: [person], seat: person });
		return this.view(booking, actor, { seatUid: person.seat.uid });
	}

	pay(uid) {
		const booking = this.need(uid);
		if (booking.paid !== false || booking.status !== 'pending') return;
		booking.paid = true;
		booking.status = 'accepted';
		this.touch(booking);
		this.webhooks.emit('BOOKING_CREATED', booking);
		this.webhooks.emit('BOOKING_PAID', booking);
	}

	// Change

	rescheduleBooking({ params, body, actor }) {
		const old = this.need(params.bookingUid);
		const type = this.catalog.find(old.eventTypeId);
		if (old.rescheduledToUid && old.status === 'cancelled')
			throw new CalRefusal(
				400,
				`Can't reschedule booking with uid=${old.uid} because it has been cancelled and rescheduled already to booking with uid=${old.rescheduledToUid}`,
			);
		if (old.status === 'cancelled')
			throw new CalRefusal(400, `Can't reschedule booking with uid=${old.uid} because it has been cancelled.`);
		if (old.status === 'rejected')
			throw new CalRefusal(400, `Can't reschedule booking with uid=${old.uid} because it has been rejected.`);
		if (old.end < this.clock()) throw new CalRefusal(400, "Can't reschedule a booking in the past.");
		const start = instant('start', body.start);
		if (type.seats) return this.moveSeats(old, type, start, body, actor);
		const owner = this.people.users.get(old.userId);
		const byOwner = body.rescheduledBy?.toLowerCase() === owner.email.toLowerCase() || actor?.user?.id === old.userId;
		this.requireRoom({ ...type, ownerId: old.userId }, start, start + (old.end - old.start), old.uid);
		const booking = this.keep(
			this.row(type, {
				userId: old.userId,
				title: old.title,
				description: old.description,
				start,
				end: start + (old.end - old.start),
				status: type.confirmation && !byOwner ? 'pending' : 'accepted',
				paid: old.paid,
				location: old.location,
				metadata: { ...old.metadata },
				responses: { ...old.responses, ...(body.reschedulingReason ? { rescheduleReason: body.reschedulingReason } : {}) },
				guests: [...old.guests],
				icsUid: old.icsUid,
				sequence: old.sequence + 1,
				recurringBookingUid: old.recurringBookingUid,
				rescheduledFromUid: old.uid,
				reschedulingReason: body.reschedulingReason,
				rescheduledByEmail: body.rescheduledBy,
			}),
		);
		booking.attendees = old.attendees.map((person) => ({ ...person, id: this.nextAttendee++, absent: false }));
		old.status = 'cancelled';
		old.rescheduled = true;
		old.rescheduledToUid = booking.uid;
		old.rescheduledByEmail = body.rescheduledBy;
		this.touch(old);
		this.counters.moved++;
		this.webhooks.emit(booking.status === 'pending' ? 'BOOKING_REQUESTED' : 'BOOKING_RESCHEDULED', booking, { from: old });
		return this.view(booking, actor);
	}

	/** An attendee's seat moves and the others stay; the owner moves everybody. */
	moveSeats(old, type, start, body, actor) {
		const owner = actor?.user?.id === old.userId && body.seatUid === undefined;
		const person = old.attendees.find(({ seat }) => seat?.uid === body.seatUid);
		if (!owner && !person) throw new CalRefusal(400, `Seat with uid=${body.seatUid} was not found in booking with uid=${old.uid}`);
		const there = this.of(old.userId).find(
			(other) => isOn(other) && other.eventTypeId === type.id && other.start === start && other !== old,
		);
		const length = old.end - old.start;
		if (owner) {
			if (there) throw new CalRefusal(400, BUSY);
			this.requireRoom({ ...type, ownerId: old.userId }, start, start + length, old.uid);
			const from = { ...old };
			old.start = start;
			old.end = start + length;
			old.rescheduledByEmail = body.rescheduledBy;
			this.touch(old);
			this.webhooks.emit('BOOKING_RESCHEDULED', old, { from, people: old.attendees });
			return this.view(old, actor);
		}
		if (there?.attendees.some(({ email }) => email === person.email))
			throw new CalRefusal(409, 'Already signed up for this booking.');
		if (!there) this.requireRoom({ ...type, ownerId: old.userId }, start, start + length, old.uid);
		else if (there.attendees.length >= type.seats) throw new CalRefusal(409, 'Booking seats are full');
		const booking =
			there ??
			this.keep(
				this.row(type, {
					userId: old.userId,
					title: old.title,
					start,
					end: start + length,
					location: old.location,
					metadata: { ...old.metadata },
					responses: person.seat.responses,
					rescheduledFromUid: old.uid,
					rescheduledByEmail: body.rescheduledBy,
				}),
			);
		old.attendees = old.attendees.filter((other) => other !== person);
		booking.attendees.push(person);
		if (there) this.touch(booking);
		this.version++;
		if (old.attendees.length === 0) {
			old.status = 'cancelled';
			this.touch(old);
		}
		this.counters.moved++;
		this.webhooks.emit('BOOKING_RESCHEDULED', booking, { from: old, people: [person], seat: person });
		return this.view(booking, actor, { seatUid: person.seat.uid });
	}

	cancelBooking({ params, body, actor, by }) {
		const booking = this.need(params.bookingUid);
		const type = this.catalog.find(booking.eventTypeId);
		if (booking.status === 'cancelled') throw new CalRefusal(400, `Can't cancel booking with uid=${booking.uid} because it has already been cancelled.`);
		if (booking.end < this.clock()) throw new CalRefusal(400, 'Cannot cancel a booking that has already ended');
		const own = actor?.user?.id === booking.userId;
		if (type?.seats && body.seatUid === undefined && !own) throw new CalRefusal(401, 'User not a host of this event');
		const email = by ?? (own ? this.people.users.get(booking.userId).email : booking.attendees[0]?.email);
		if (body.seatUid !== undefined) {
			const person = booking.attendees.find(({ seat }) => seat?.uid === body.seatUid);
			if (!person) throw new CalRefusal(400, `Seat with uid=${body.seatUid} was not found`);
			booking.attendees = booking.attendees.filter((other) => other !== person);
			this.version++;
			if (booking.attendees.length > 0) {
				this.webhooks.emit('BOOKING_CANCELLED', booking, { people: [person], seat: person, reason: body.cancellationReason });
				return this.view(booking, actor);
			}
			booking.attendees = [person];
		}
		const list = body.cancelSubsequentBookings
			? this.of(booking.userId).filter(
					(other) =>
						booking.recurringBookingUid &&
						other.recurringBookingUid === booking.recurringBookingUid &&
						other.start >= booking.start &&
						isOn(other),
				)
			: [booking];
		for (const one of list) {
			one.status = 'cancelled';
			one.cancellationReason = body.cancellationReason;
			one.cancelledByEmail = email;
			one.sequence++;
			this.touch(one);
			this.counters.cancelled++;
		}
		// Of a series, the one that was clicked speaks for all.
		this.webhooks.emit('BOOKING_CANCELLED', booking, { reason: body.cancellationReason, by: email, people: booking.attendees });
		if (type?.seats) booking.attendees = [];
		return this.view(booking, actor);
	}

	confirmBooking({ params, actor }) {
		const booking = this.owned(params.bookingUid, actor);
		if (booking.status === 'accepted') throw new CalRefusal(400, 'Booking already confirmed');
		if (booking.status !== 'pending') throw new CalRefusal(400, `Can't confirm booking with uid=${booking.uid} because it is ${booking.status}`);
		booking.status = 'accepted';
		this.touch(booking);
		this.webhooks.emit('BOOKING_CREATED', booking);
		return this.view(booking, actor);
	}

	declineBooking({ params, body, actor }) {
		const booking = this.owned(params.bookingUid, actor);
		if (booking.status !== 'pending') throw new CalRefusal(400, `Can't decline booking with uid=${booking.uid} because it is ${booking.status}`);
		booking.status = 'rejected';
		booking.cancellationReason = body?.reason;
		booking.rejectionReason = body?.reason;
		this.touch(booking);
		this.webhooks.emit('BOOKING_REJECTED', booking, { reason: body?.reason });
		return this.view(booking, actor);
	}

	markAbsent({ params, body, actor }) {
		const booking = this.owned(params.bookingUid, actor);
		if (booking.start > this.clock()) throw new CalRefusal(403, 'Cannot mark no-show before the meeting has started.');
		const changed = [];
		for (const { email, absent } of body.attendees ?? []) {
			const person = booking.attendees.find((other) => other.email === email);
			if (!person) continue;
			person.absent = absent;
			changed.push(person);
		}
		this.version++;
		if (body.host !== undefined) {
			booking.absentHost = body.host;
			this.touch(booking);
		}
		if (changed.length > 0) this.webhooks.emit('BOOKING_NO_SHOW_UPDATED', booking, { people: changed });
		return this.view(booking, actor);
	}

	addGuests({ params, body, actor }) {
		const booking = this.owned(params.bookingUid, actor);
		if (this.catalog.find(booking.eventTypeId)?.seats) throw new CalRefusal(400, 'Guests cannot be added to a seated booking');
		if (!Array.isArray(body.guests) || body.guests.length === 0 || body.guests.length > GUESTS_A_REQUEST)
			throw invalid('guests', body.guests, `guests must contain between 1 and ${GUESTS_A_REQUEST} elements`);
		for (const guest of body.guests)
			if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(guest?.email ?? '')) throw invalid('email', guest?.email, 'email must be an email');
		if (booking.attendees.length + body.guests.length > GUESTS_A_BOOKING) throw new CalRefusal(400, `Maximum of ${GUESTS_A_BOOKING} guests`);
		const fresh = body.guests.filter(({ email }) => !booking.attendees.some((other) => other.email === email));
		if (fresh.length === 0) throw new CalRefusal(400, 'emails_must_be_unique_valid');
		booking.attendees.push(...fresh.map((guest) => this.attendee(guest)));
		booking.guests.push(...fresh.map(({ email }) => email));
		booking.responses.guests = [...booking.guests];
		this.touch(booking);
		return this.view(booking, actor);
	}

	updateLocation({ params, body, actor }) {
		const booking = this.owned(params.bookingUid, actor);
		const location = chosenLocation(body.location);
		if (location === undefined || body.location.type === 'integration') throw invalid('location', body.location, 'location is not one of the allowed types');
		booking.location = location;
		this.touch(booking);
		return this.view(booking, actor);
	}

	reassign({ params, body, actor }) {
		const booking = this.owned(params.bookingUid, actor);
		if (!this.catalog.find(booking.eventTypeId)?.roundRobin) throw new CalRefusal(400, 'Booking is not a round robin booking');
		if (booking.status === 'cancelled' || booking.status === 'rejected') throw new CalRefusal(400, `Booking with uid=${booking.uid} is ${booking.status}`);
		const to = params.userId === undefined
			? [...this.people.users.values()].find(({ id }) => id !== booking.userId)
			: this.people.users.get(Number(params.userId));
		if (!to) throw new CalRefusal(404, `Reassigned user with id ${params.userId} was not found in the database.`);
		if (to.id === booking.userId) throw new CalRefusal(400, 'User is already the host of this booking');
		this.byUser.get(booking.userId).delete(booking);
		booking.userId = to.id;
		booking.reassignReason = body?.reason;
		this.keep(booking);
		this.touch(booking);
		return { bookingUid: booking.uid, reassignedTo: { id: to.id, name: to.name, email: to.email, displayEmail: to.email } };
	}

	owned(uid, actor) {
		const booking = this.need(uid);
		if (booking.userId !== actor?.user?.id) throw new CalRefusal(403, `User with id=${actor?.user?.id} is not the host of booking with uid=${uid}`);
		return booking;
	}

	// Ask

	getBooking({ params, actor }) {
		const series = [...this.all.values()].filter((other) => other.recurringBookingUid === params.bookingUid);
		if (series.length > 0) return series.map((booking) => this.view(booking, actor));
		return this.view(this.need(params.bookingUid), actor);
	}

	bySeat({ params, actor }) {
		const found = [...this.all.values()].find(({ attendees }) => attendees.some(({ seat }) => seat?.uid === params.seatUid));
		if (!found) throw new CalRefusal(404, `Seat with uid=${params.seatUid} was not found`);
		return this.view(found, actor);
	}

	attendees({ params, actor }) {
		const booking = this.need(params.bookingUid);
		return this.view(booking, actor).attendees.map((person, i) => ({ id: booking.attendees[i].id, bookingId: booking.id, ...person }));
	}

	listBookings({ query, actor }) {
		const take = whole(query, 'take', 100, 1, MAX_TAKE);
		const skip = whole(query, 'skip', 0, 0, Infinity);
		const sort = ['sortUpdatedAt', 'sortStart', 'sortEnd', 'sortCreated'].find((name) => query.get(name) !== null);
		if (sort && !['asc', 'desc'].includes(query.get(sort))) throw invalid(sort, query.get(sort), 'must be asc or desc');
		const key = { sortUpdatedAt: 'updatedAt', sortStart: 'start', sortEnd: 'end', sortCreated: 'createdAt' }[sort] ?? 'id';
		const tests = this.filters(query);
		let found = this.inOrder(actor.user.id, key);
		if (tests.length > 0) found = found.filter((booking) => tests.every((passes) => passes(booking)));
		if (query.get(sort) === 'desc') found = found.toReversed?.() ?? [...found].reverse();
		const page = found.slice(skip, skip + take);
		return {
			data: page.map((booking) => this.view(booking, actor)),
			pagination: {
				totalItems: found.length,
				remainingItems: Math.max(found.length - skip - page.length, 0),
				returnedItems: page.length,
				itemsPerPage: take,
				currentPage: Math.floor(skip / take) + 1,
				totalPages: Math.ceil(found.length / take),
				hasNextPage: skip + page.length < found.length,
				hasPreviousPage: skip > 0,
			},
		};
	}

	/** Sorted once for each state of affairs: a backfill asks for hundreds of pages. */
	inOrder(userId, key) {
		const name = `${userId} ${key}`;
		const held = this.sorted.get(name);
		if (held?.version === this.version) return held.list;
		const list = this.of(userId).sort((one, other) => one[key] - other[key] || one.id - other.id);
		this.sorted.set(name, { version: this.version, list });
		return list;
	}

	filters(query) {
		const tests = [];
		const time = (name, test) => {
			const text = query.get(name);
			if (text === null) return;
			const at = instant(name, text);
			tests.push((booking) => test(booking, at));
		};
		const list = (name) => query.get(name)?.split(',');
		time('afterStart', (booking, at) => booking.start >= at);
		time('beforeEnd', (booking, at) => booking.end <= at);
		time('afterCreatedAt', (booking, at) => booking.createdAt >= at);
		time('beforeCreatedAt', (booking, at) => booking.createdAt <= at);
		time('afterUpdatedAt', (booking, at) => booking.updatedAt >= at);
		time('beforeUpdatedAt', (booking, at) => booking.updatedAt <= at);
		const types = list('eventTypeIds') ?? list('eventTypeId');
		if (types) tests.push((booking) => types.includes(String(booking.eventTypeId)));
		// URLSearchParams has made a space of a plus that was not encoded; so does Cal.com, and undoes it.
		const email = query.get('attendeeEmail')?.replaceAll(' ', '+').toLowerCase();
		if (email) tests.push((booking) => booking.attendees.some((person) => person.email.toLowerCase() === email));
		const name = query.get('attendeeName');
		if (name) tests.push((booking) => booking.attendees.some((person) => person.name === name));
		const uid = query.get('bookingUid');
		if (uid) tests.push((booking) => booking.uid === uid);
		const statuses = list('status');
		if (statuses) {
			const now = this.clock();
			const known = {
				upcoming: ({ status, end }) => status === 'accepted' && end >= now,
				recurring: ({ recurringBookingUid, status, end }) => recurringBookingUid && status === 'accepted' && end >= now,
				past: ({ status, end }) => status === 'accepted' && end < now,
				cancelled: ({ status }) => status === 'cancelled' || status === 'rejected',
				unconfirmed: ({ status, end }) => status === 'pending' && end >= now,
			};
			for (const one of statuses) if (!known[one]) throw invalid('status', one, `status must be one of ${Object.keys(known)}`);
			tests.push((booking) => statuses.some((one) => known[one](booking)));
		}
		return tests;
	}
}

const isOn = ({ status }) => status === 'accepted' || status === 'pending';

export function newUid() {
	return Array.from(randomBytes(22), (byte) => LETTERS[byte % LETTERS.length]).join('');
}

/** Strict ISO 8601; what has no offset is taken as UTC, which is not what a caller who forgets it means. */
function instant(name, text) {
	if (typeof text !== 'string' || !/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text))
		throw invalid(name, text, `${name} must be a valid ISO 8601 date string`);
	const ms = Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) || text.length === 10 ? text : text + 'Z');
	if (Number.isNaN(ms)) throw invalid(name, text, `${name} must be a valid ISO 8601 date string`);
	return ms;
}

function whole(query, name, fallback, min, max) {
	const text = query.get(name);
	if (text === null) return fallback;
	if (!/^\d+$/.test(text) || Number(text) < min || Number(text) > max)
		throw invalid(name, text, `${name} must not be ${Number(text) < min ? 'less' : 'greater'} than ${Number(text) < min ? min : max}`);
	return Number(text);
}

function checkMetadata(metadata) {
	if (metadata === undefined) return;
	const entries = Object.entries(metadata);
	if (entries.length > 50) throw invalid('metadata', metadata, 'metadata may have at most 50 keys');
	for (const [key, value] of entries)
		if (key.length > 40 || typeof value !== 'string' || value.length > 500)
			throw invalid('metadata', metadata, 'keys have at most 40 characters, values are strings of at most 500');
}

/** A location as the booking's row holds it: a code, a link, an address or a number. */
function chosenLocation(location) {
	if (location === undefined) return undefined;
	switch (location.type) {
		case 'link':
			return location.link;
		case 'address':
		case 'attendeeAddress':
			return location.address;
		case 'phone':
		case 'attendeePhone':
			return location.phone;
		case 'attendeeDefined':
			return location.location;
		case 'integration':
			return `integrations:${location.integration}`;
		case 'organizersDefaultApp':
			return 'integrations:zoom';
		default:
			throw invalid('location', location, 'location is not one of the allowed types');
	}
}
