// A booking as the API shows it, as the older API version did, and as each generation of webhook sender writes it.

const iso = (ms) => new Date(ms).toISOString();

function host(user) {
	const { id, name, email, username, timeZone } = user;
	return { id, name, email, displayEmail: email, username, timeZone };
}

function person(attendee, seated) {
	const { name, email, timeZone, language, absent, phoneNumber, seat } = attendee;
	const view = { name, email, displayEmail: email, timeZone, language, absent, phoneNumber };
	if (seated && seat)
		Object.assign(view, { seatUid: seat.uid, bookingFieldsResponses: seat.responses, metadata: seat.metadata });
	return view;
}

/** BookingOutput_2024_08_13, or its recurring and seated kin. */
export function bookingView(bookings, booking, actor, extra = {}) {
	const type = bookings.catalog.find(booking.eventTypeId);
	const seated = Boolean(type?.seats) || booking.attendees.some(({ seat }) => seat);
	const own = actor?.user?.id === booking.userId;
	const view = {
		id: booking.id,
		uid: booking.uid,
		title: booking.title,
		description: booking.description,
		hosts: [host(bookings.people.users.get(booking.userId))],
		status: booking.status,
		cancellationReason: booking.cancellationReason,
		cancelledByEmail: booking.cancelledByEmail,
		reschedulingReason: booking.reschedulingReason,
		rescheduledByEmail: booking.rescheduledByEmail,
		rescheduledFromUid: booking.rescheduledFromUid,
		rescheduledToUid: booking.rescheduledToUid,
		start: iso(booking.start),
		end: iso(booking.end),
		duration: Math.round((booking.end - booking.start) / 60000),
		eventTypeId: booking.eventTypeId,
		eventType: { id: booking.eventTypeId, slug: type?.slug ?? '' },
		meetingUrl: booking.location,
		location: booking.location,
		absentHost: booking.absentHost,
		createdAt: iso(booking.createdAt),
		updatedAt: iso(booking.updatedAt),
		metadata: booking.metadata,
		icsUid: booking.icsUid,
		recurringBookingUid: booking.recurringBookingUid,
		...extra,
	};
	if (seated) {
		// A stranger sees nobody where the event type hides who comes: an empty list says nothing.
		view.attendees = own || type?.showAttendees ? booking.attendees.map((one) => person(one, true)) : [];
		return view;
	}
	view.attendees = booking.attendees.map((one) => person(one, false));
	view.guests = booking.guests;
	view.bookingFieldsResponses = booking.responses;
	return view;
}

/** What a request without (or with a wrong) cal-api-version gets: version 2024-04-15. */
export function oldView(name, data) {
	const old = ({ uid, id, title, start, end, status, attendees }) => ({
		id,
		uid,
		title,
		startTime: start,
		endTime: end,
		status: status?.toUpperCase(),
		attendees,
	});
	if (name === 'listBookings') return { bookings: data.data.map(old), recurringInfo: [], nextCursor: null };
	if (name === 'slots') return { slots: data };
	if (name === 'listEventTypes') return { eventTypeGroups: [{ eventTypes: data }], profiles: [] };
	return Array.isArray(data) ? data.map(old) : { bookingInfo: old(data) };
}

/**
 * The body of a webhook. `generation`: 'legacy' (made in the booking's own request, times in three spellings, a seat
 * that goes is not named) or '2026' (read again when sent).
 */
export function webhookBody(bookings, booking, trigger, generation, now, extra) {
	const type = bookings.catalog.find(booking.eventTypeId);
	const user = bookings.people.users.get(booking.userId);
	const { people = booking.attendees, seat, from, reason, by } = extra;
	if (trigger === 'BOOKING_NO_SHOW_UPDATED')
		return {
			triggerEvent: trigger,
			createdAt: iso(now),
			payload: {
				message: `${people.map(({ email }) => email).join(', ')} marked as no-show`,
				attendees: people.map(({ email, absent }) => ({ email, noShow: absent })),
				bookingUid: booking.uid,
				bookingId: booking.id,
			},
		};
	const cancelled = trigger === 'BOOKING_CANCELLED';
	const rejected = trigger === 'BOOKING_REJECTED';
	const seatGone = cancelled && seat !== undefined;
	const spell = cancelled
		? (ms) => iso(ms).replace('.000Z', '+00:00')
		: rejected || trigger === 'BOOKING_PAID'
			? iso
			: (ms) => iso(ms).replace('.000Z', 'Z');
	const responses = {};
	for (const [slug, value] of Object.entries(seat ? seat.seat.responses : booking.responses))
		responses[slug] = { label: cancelled || rejected ? slug : `label_of_${slug}`, value, isHidden: false };
	const statuses = { BOOKING_REQUESTED: 'PENDING', BOOKING_REJECTED: 'REJECTED', BOOKING_CANCELLED: 'CANCELLED' };
	const payload = {
		type: type?.slug,
		title: booking.title,
		description: booking.description,
		eventTitle: type?.title,
		eventDescription: type?.description,
		startTime: spell(booking.start),
		endTime: spell(booking.end),
		organizer: {
			id: user.id,
			name: user.name,
			email: user.email,
			username: user.username,
			timeZone: user.timeZone,
			language: { locale: 'en' },
			timeFormat: 'HH:mm',
			utcOffset: 0,
		},
		attendees: people.map(({ name, email, timeZone, language, phoneNumber, id, absent }) => ({
			...(seatGone && generation === 'legacy' ? { id, bookingId: booking.id, noShow: absent, locale: language } : {}),
			name,
			email,
			timeZone,
			language: { locale: language },
			utcOffset: 0,
			...(cancelled || rejected ? { phoneNumber } : {}),
		})),
		responses,
		userFieldsResponses: {},
		customInputs: {},
		location: booking.location,
		uid: booking.uid,
		iCalUID: booking.icsUid,
		iCalSequence: booking.sequence,
		bookingId: booking.id,
		eventTypeId: booking.eventTypeId,
		length: Math.round((booking.end - booking.start) / 60000),
		price: type?.price ?? null,
		currency: generation === 'legacy' ? type?.currency : type?.currency?.toUpperCase(),
		requiresConfirmation: type?.confirmation ?? false,
		seatsPerTimeSlot: type?.seats ?? null,
		seatsShowAttendees: type?.showAttendees ?? false,
		seatsShowAvailabilityCount: true,
		metadata: booking.metadata,
		status: statuses[trigger] ?? 'ACCEPTED',
	};
	if (seat && !(seatGone && generation === 'legacy')) payload.attendeeSeatId = seat.seat.uid;
	if (from) {
		Object.assign(payload, {
			rescheduleId: from.id,
			rescheduleUid: from.uid,
			rescheduleStartTime: spell(from.start),
			rescheduleEndTime: spell(from.end),
			rescheduledBy: booking.rescheduledByEmail,
		});
	}
	if (cancelled) {
		payload.cancellationReason = reason;
		if (!(seatGone && generation === 'legacy')) payload.cancelledBy = by ?? (seatGone ? seat.email : booking.cancelledByEmail);
		payload.requestReschedule = false;
	}
	if (rejected) payload.rejectionReason = reason;
	if (trigger === 'BOOKING_PAID' || trigger === 'BOOKING_PAYMENT_INITIATED') {
		payload.paymentId = booking.id + 7;
		payload.paymentData = { client_secret: 'STANDIN-PAYMENT-SECRET' };
	}
	if (trigger === 'BOOKING_PAID')
		payload.metadata = { identifier: 'cal.com', bookingId: String(booking.id), eventTypeId: String(booking.eventTypeId) };
	return { triggerEvent: trigger, createdAt: iso(now), payload };
}
