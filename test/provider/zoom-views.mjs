// Meetings as Zoom shows them, and the values that Zoom makes up.

import { randomBytes, randomInt } from 'node:crypto';
import { utc } from './zoom-time.mjs';
import { zak } from './zoom-users.mjs';

/** What a list shows of an agenda. */
const LISTED_AGENDA = 250;
const PASSCODE_LETTERS = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/** A meeting as create and get give it. */
export function shown(meeting, host) {
	const { id, uuid, topic, type, duration, timezone, agenda, password, settings, recurrence, tracking_fields } =
		meeting;
	const room = settings.use_pmi ? host.pmi : id;
	const shown = {
		uuid,
		id,
		host_id: host.id,
		host_email: host.email,
		topic,
		type,
		status: meeting.running ? 'started' : 'waiting',
		...(type === 1 || type === 3 ? {} : { start_time: utc(meeting.start) }),
		duration,
		timezone,
		agenda,
		created_at: utc(meeting.created),
		start_url: `https://us05web.zoom.us/s/${room}?zak=${zak(host)}`,
		join_url: joinUrl(room, password),
		settings,
		creation_source: 'open_api',
		pre_schedule: meeting.pre_schedule ?? false,
	};
	if (password)
		Object.assign(shown, {
			password,
			encrypted_password: encrypted(password),
			h323_password: password,
			pstn_password: digits(password),
		});
	if (settings.use_pmi) shown.pmi = String(host.pmi);
	if (settings.approval_type !== 2)
		shown.registration_url = `https://us05web.zoom.us/meeting/register/${encrypted(String(id)).slice(0, 22)}`;
	if (recurrence) shown.recurrence = recurrence;
	if (meeting.occurrences)
		shown.occurrences = meeting.occurrences.map(({ occurrence_id, start, duration: minutes, status }) => ({
			occurrence_id,
			start_time: utc(start),
			duration: minutes,
			status,
		}));
	if (tracking_fields) shown.tracking_fields = tracking_fields.map((field) => ({ ...field, visible: true }));
	return shown;
}

/** A meeting as the list gives it: no settings, no start_url, no status, the agenda cut. */
export function listed(meeting, host) {
	const { id, uuid, topic, type, duration, timezone, agenda, password, settings } = meeting;
	const room = settings.use_pmi ? host.pmi : id;
	return {
		uuid,
		id,
		host_id: host.id,
		topic,
		type,
		...(type === 3 ? {} : { start_time: utc(meeting.start) }),
		duration,
		timezone,
		created_at: utc(meeting.created),
		join_url: joinUrl(room, password),
		agenda: [...agenda].slice(0, LISTED_AGENDA).join(''),
		...(settings.use_pmi ? { pmi: String(host.pmi) } : {}),
	};
}

export const joinUrl = (room, password) =>
	`https://us05web.zoom.us/j/${room}${password ? `?pwd=${encrypted(password)}.1` : ''}`;
const encrypted = (text) => Buffer.from('pwd:' + text).toString('base64url');
const digits = (text) =>
	[...text]
		.map((letter) => letter.codePointAt(0) % 10)
		.join('')
		.slice(0, 6);
export const freshUuid = () => randomBytes(16).toString('base64');
export const freshPasscode = () =>
	Array.from({ length: 6 }, () => PASSCODE_LETTERS[randomInt(PASSCODE_LETTERS.length)]).join('');
