// People of a meeting: registrants and personal invite links.

import { randomBytes, randomInt } from 'node:crypto';
import { answer } from './http.mjs';
import { page } from './zoom-page.mjs';
import { Refusal, badField } from './zoom-refusal.mjs';
import { utc } from './zoom-time.mjs';

const MAX_REGISTRANTS = 4999;
const STATUS_AFTER = { approve: 'approved', deny: 'denied', cancel: 'cancelled' };

export class Registrants {
	constructor({ clock, meetings, limits }) {
		Object.assign(this, { clock, meetings, limits });
		this.reset();
	}

	reset() {
		this.maximum = MAX_REGISTRANTS;
		this.byMeeting = new Map();
		this.counters = { added: 0, statusChanges: 0, deleted: 0, inviteLinks: 0 };
	}

	configure({ maxRegistrants }) {
		if (maxRegistrants !== undefined) this.maximum = maxRegistrants;
	}

	addRegistrant({ params, body, held, entry }) {
		const meeting = this.registrable(params.meetingId, held, entry, { missing: 1001 });
		const refusal = this.limits.registrant(meeting.id, body.email.toLowerCase());
		if (refusal) throw Object.assign(new Error('registrant quota'), { reply: refusal });
		const all = this.of(meeting);
		// The same address twice: the documents are silent; the one known registrant is given again.
		let registrant = [...all.values()].find(
			({ email, status }) => email === body.email.toLowerCase() && status !== 'cancelled',
		);
		if (!registrant) {
			if (all.size >= this.maximum)
				throw new Refusal(400, 3043, 'Meeting has reached maximum attendee capacity.');
			const manual = meeting.settings.approval_type === 1 && !body.auto_approve;
			const id = randomBytes(16).toString('base64url');
			registrant = {
				...body,
				id,
				email: body.email.toLowerCase(),
				status: manual ? 'pending' : 'approved',
				created: this.clock(),
				join_url: personalUrl(meeting),
				participant_pin_code: randomInt(100000, 1000000),
			};
			all.set(id, registrant);
			this.counters.added++;
		}
		return answer(201, {
			id: meeting.id,
			registrant_id: registrant.id,
			topic: meeting.topic,
			start_time: utc(meeting.start),
			participant_pin_code: registrant.participant_pin_code,
			...(registrant.status === 'approved' ? { join_url: registrant.join_url } : {}),
		});
	}

	listRegistrants({ params, query, held, entry }) {
		const meeting = this.meetings.find(params.meetingId, held, entry);
		const status = query.get('status') ?? 'approved';
		if (!['pending', 'approved', 'denied'].includes(status)) throw badField('status');
		const found = [...this.of(meeting).values()].filter((registrant) => registrant.status === status);
		const scope = `registrants:${meeting.id}:${status}`;
		const { items, ...frame } = page(found, query, { scope, now: this.clock() });
		return answer(200, {
			...frame,
			registrants: items.map(({ auto_approve, language, created, join_url, ...registrant }) => ({
				...registrant,
				create_time: utc(created),
				...(status === 'approved' ? { join_url } : {}),
			})),
		});
	}

	registrantStatus({ params, body, held, entry }) {
		const meeting = this.meetings.find(params.meetingId, held, entry);
		const all = this.of(meeting);
		const chosen = (body.registrants ?? []).map(({ id, email }) => {
			const registrant = id
				? all.get(id)
				: [...all.values()].find((other) => other.email === email?.toLowerCase());
			if (!registrant) throw badField('registrants', `No registrant ${id ?? email}.`);
			return registrant;
		});
		for (const registrant of chosen) {
			const refusal = this.limits.registrantStatus(meeting.id, registrant.id);
			if (refusal) throw Object.assign(new Error('registrant quota'), { reply: refusal });
		}
		for (const registrant of chosen) registrant.status = STATUS_AFTER[body.action];
		this.counters.statusChanges += chosen.length;
		return answer(204);
	}

	deleteRegistrant({ params, held, entry }) {
		const meeting = this.meetings.find(params.meetingId, held, entry);
		if (!this.of(meeting).delete(params.registrantId))
			throw new Refusal(400, 300, `Registrant does not exist: ${params.registrantId}.`);
		this.counters.deleted++;
		return answer(204);
	}

	inviteLinks({ params, body, held, entry }) {
		const meeting = this.meetings.find(params.meetingId, held, entry);
		const attendees = body.attendees ?? [];
		this.counters.inviteLinks += attendees.length;
		return answer(201, {
			attendees: attendees.map(({ name }) => ({
				name,
				join_url: personalUrl(meeting),
			})),
		});
	}

	/** A meeting that takes registrations; `missing` is the code Zoom uses here for one that does not exist. */
	registrable(id, held, entry, { missing }) {
		let meeting;
		try {
			meeting = this.meetings.find(id, held, entry);
		} catch (error) {
			if (error.reply?.status === 404) throw new Refusal(404, missing, `Meeting does not exist: ${id}.`);
			throw error;
		}
		if (meeting.settings.approval_type === 2)
			throw new Refusal(404, 300, `Registration has not been enabled for this meeting: ${id}.`);
		if (meeting.settings.close_registration && meeting.start < this.clock())
			throw new Refusal(400, 3038, 'Meeting is over, you can not register now.');
		return meeting;
	}

	of(meeting) {
		let all = this.byMeeting.get(meeting.id);
		if (!all) this.byMeeting.set(meeting.id, (all = new Map()));
		return all;
	}
}

/** A join link for one person; the fixed word in it lets a test search for leaks. */
function personalUrl(meeting) {
	const secret = randomBytes(16).toString('base64url');
	return `https://us05web.zoom.us/w/${meeting.id}?tk=STANDIN-JOIN-SECRET.${secret}`;
}
