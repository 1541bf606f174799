// What control does at Cal.com: acts of hosts and guests in its own pages, a long random life, bookings by the thousand.

import { bookingView } from './cal-views.mjs';

const MINUTE = 60000;
const DAY = 86400000;

export class CalBackstage {
	constructor({ clock, settings, bookings, webhooks }) {
		Object.assign(this, { clock, settings, bookings, webhooks });
	}

	/** GET cal/bookings?user=E-MAIL: everything, as its host sees it; GET cal/outbox?since=N: webhooks to deliver. */
	look(what, query) {
		if (what === 'outbox') return { deliveries: this.webhooks.take(Number(query.get('since') ?? 0)) };
		if (what === 'booking') {
			const booking = this.bookings.need(query.get('uid'));
			return bookingView(this.bookings, booking, { user: this.host(booking) });
		}
		const user = query.get('user') && this.bookings.people.byEmail(query.get('user'));
		return {
			bookings: [...this.bookings.all.values()]
				.filter(({ userId }) => !user || userId === user.id)
				.map((booking) => bookingView(this.bookings, booking, { user: this.host(booking) })),
		};
	}

	/** POST cal/act, cal/life, cal/plant, cal/edit. */
	act(what, body) {
		switch (what) {
			case 'act':
				return this.one(body);
			case 'life':
				return this.life(body);
			case 'plant':
				return this.plant(body);
			case 'edit': {
				const booking = this.bookings.need(body.uid);
				Object.assign(booking, body.set);
				this.bookings.touch(booking);
				return { ok: true };
			}
			default:
				throw new Error(`no act ${what} at Cal.com`);
		}
	}

	host({ userId }) {
		return this.bookings.people.users.get(userId);
	}

	/** {"do": an operation's name, "as": a user's e-mail (none: a guest), "uid", ...its body} */
	one({ do: name, as, uid, ...body }) {
		const user = as && this.bookings.people.byEmail(as);
		if (name === 'pay') return this.bookings.pay(uid) ?? { ok: true };
		if (name === 'delete') {
			// an account's owner may have everything erased: no webhook, no trace
			const booking = this.bookings.need(uid);
			this.bookings.all.delete(uid);
			this.bookings.byUser.get(booking.userId).delete(booking);
			this.bookings.version++;
			return { ok: true };
		}
		const call = { params: { bookingUid: uid, userId: body.userId }, body, actor: user ? { user } : undefined };
		return this.bookings[name](call);
	}

	/** Many bookings at once, for a backfill: no webhook, no check. Each fifth is a chain of two. */
	plant({ user, count, seed = 1, from = -300, to = 60 }) {
		const { bookings } = this;
		const owner = bookings.people.byEmail(user);
		const random = generator(seed);
		const type = bookings.catalog.find(owner.id * 10);
		const now = this.clock();
		let before;
		for (let i = 0; i < count; i++) {
			const start = Math.floor((now + (from + random() * (to - from)) * DAY) / (30 * MINUTE)) * 30 * MINUTE;
			const created = Math.min(start, now) - DAY - Math.floor(random() * 20 * DAY);
			const name = `Guest ${i}`;
			const booking = bookings.row(type, {
				title: `${type.title} between ${owner.name} and ${name}`,
				start,
				end: start + 30 * MINUTE,
				status: random() < 0.1 ? 'cancelled' : 'accepted',
				createdAt: created,
				updatedAt: created + Math.floor(random() * DAY),
				responses: { name, email: `guest${i}@example.com` },
			});
			booking.attendees = [bookings.attendee({ name, email: `guest${i}@example.com`, timeZone: 'Europe/Paris' })];
			if (i % 5 === 4 && before.status === 'accepted') {
				Object.assign(before, { status: 'cancelled', rescheduled: true, rescheduledToUid: booking.uid });
				booking.rescheduledFromUid = before.uid;
				booking.updatedAt = Math.max(booking.updatedAt, before.updatedAt);
			}
			bookings.keep(booking);
			before = booking;
		}
		const live = [...bookings.all.values()].filter(({ status, rescheduledToUid }) => status !== 'cancelled' || !rescheduledToUid);
		return { bookings: bookings.all.size, live: live.length };
	}

	/**
	 * A random life: {"user", "steps", "seed", "days"}: guests and hosts book, move, cancel, come late, over so many days
	 * that end now. What is refused is part of life.
	 */
	life({ user, steps, seed = 1, days = 20, step = 0 }) {
		const { bookings } = this;
		const host = bookings.people.byEmail(user);
		const random = generator(seed);
		const pick = (list) => list[Math.floor(random() * list.length)];
		const was = this.settings.clockOffsetMs;
		const done = { acts: 0, refused: 0 };
		for (let i = 0; i < steps; i++) {
			this.settings.clockOffsetMs = was - Math.floor(days * DAY * (1 - (i + 1) / steps)) + step;
			const open = bookings.of(host.id).filter(({ status }) => status === 'accepted' || status === 'pending');
			try {
				this.step(host, random, pick, open, i);
				done.acts++;
			} catch (error) {
				if (!error.status) throw error;
				done.refused++;
			}
		}
		this.settings.clockOffsetMs = was;
		return { ...done, bookings: bookings.all.size, sent: this.webhooks.sent };
	}

	step(host, random, pick, open, i) {
		const { bookings } = this;
		const now = this.clock();
		const roll = random();
		const asHost = { user: host };
		const slot = (minutes) => Math.ceil((now + random() * 15 * DAY) / (minutes * MINUTE)) * minutes * MINUTE;
		const guest = () => ({ name: `Guest ${i}`, email: `guest${Math.floor(random() * 400)}@example.com`, timeZone: 'Europe/Paris' });
		const booking = open.length > 0 ? pick(open) : undefined;
		const params = { bookingUid: booking?.uid };
		if (roll < 0.42 || !booking) {
			const kind = pick([0, 0, 0, 1, 1, 1, 2, 2, 4]);
			const type = bookings.catalog.find(host.id * 10 + kind);
			let start = slot(type.lengthInMinutes);
			// seats: often where somebody is already
			const session = kind === 1 && random() < 0.7 && open.find((other) => other.eventTypeId === type.id && other.start > now);
			if (session) start = session.start;
			const guests = kind === 0 && random() < 0.3 ? [`friend${i}@example.com`] : undefined;
			bookings.createBooking({
				body: { eventTypeId: type.id, start: new Date(start).toISOString(), attendee: guest(), guests, metadata: { from: 'life' } },
			});
		} else if (roll < 0.55) {
			const start = new Date(slot(30)).toISOString();
			const seat = booking.attendees.find((person) => person.seat && random() < 0.5)?.seat?.uid;
			const body = seat ? { start, seatUid: seat, rescheduledBy: booking.attendees[0]?.email } : { start, rescheduledBy: host.email, reschedulingReason: 'no time' };
			bookings.rescheduleBooking({ params, body, actor: seat ? undefined : random() < 0.5 ? asHost : undefined });
		} else if (roll < 0.68) {
			const seat = booking.attendees.find((person) => person.seat && random() < 0.7)?.seat?.uid;
			bookings.cancelBooking({ params, body: { cancellationReason: `reason ${i}`, ...(seat ? { seatUid: seat } : {}) }, actor: random() < 0.6 ? asHost : undefined });
		} else if (roll < 0.75) {
			if (booking.paid === false) bookings.pay(booking.uid);
			else if (random() < 0.7) bookings.confirmBooking({ params, actor: asHost });
			else bookings.declineBooking({ params, body: { reason: `not ${i}` }, actor: asHost });
		} else if (roll < 0.82) bookings.addGuests({ params, body: { guests: [{ email: `later${i}@example.com`, name: 'Later' }] }, actor: asHost });
		else if (roll < 0.88) bookings.updateLocation({ params, body: { location: { type: 'address', address: `Room ${i}` } }, actor: asHost });
		else if (roll < 0.96) {
			const over = open.filter(({ start }) => start < now);
			const one = over.length > 0 ? pick(over) : booking;
			const body = random() < 0.8 ? { attendees: [{ email: pick(one.attendees)?.email, absent: random() < 0.8 }] } : { host: true };
			bookings.markAbsent({ params: { bookingUid: one.uid }, body, actor: asHost });
		} else {
			booking.title = `${booking.title} (${i})`;
			bookings.touch(booking);
		}
	}
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
function generator(seed) {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}
