// What Zoom's meeting operations accept, field by field, and the scopes, label and success code of each operation.

import { bool, email, int, list, object, oneOf, text } from './validate.mjs';

const any = Infinity;
const START_TIME = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(Z?)$/;
const PASSCODE = /^[\x21-\x7e]*$/;

/** The two documented forms, UTC with Z or local without; no fraction, no offset; and a day that exists. */
const startTime = () => (value, field, errors) => {
	const valid = typeof value === 'string' && START_TIME.test(value);
	const utc = valid ? new Date(value.endsWith('Z') ? value : value + 'Z') : undefined;
	if (!valid || utc.toISOString().slice(0, 19) !== value.slice(0, 19))
		errors.push({ field, message: 'Invalid field.' });
};

/** Known to Zoom's list (when the specs are at hand) or to IANA; 'SST' is Zoom's own. */
const timezone = () => (value, field, errors) => {
	if (value === 'SST') return;
	try {
		if (typeof value !== 'string' || /^[+-]/.test(value)) throw new RangeError(value);
		new Intl.DateTimeFormat('en-US', { timeZone: value });
	} catch {
		errors.push({ field, message: 'Invalid field.' });
	}
};

const recurrence = object(
	{
		type: oneOf(1, 2, 3),
		repeat_interval: int(1, 99),
		weekly_days: text(13, { pattern: /^[1-7](,[1-7])*$/ }),
		monthly_day: int(1, 31),
		monthly_week: oneOf(-1, 1, 2, 3, 4),
		monthly_week_day: int(1, 7),
		end_times: int(0, 60),
		end_date_time: text(20, { pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ }),
	},
	['type'],
);

const settings = {
	additional_data_center_regions: list(text()),
	allow_multiple_devices: bool(),
	alternative_hosts: text(),
	alternative_hosts_email_notification: bool(),
	alternative_host_update_polls: bool(),
	alternative_host_manage_meeting_summary: bool(),
	alternative_host_manage_cloud_recording: bool(),
	approval_type: oneOf(0, 1, 2),
	approved_or_denied_countries_or_regions: object({
		approved_list: list(text()),
		denied_list: list(text()),
		enable: bool(),
		method: oneOf('approve', 'deny'),
	}),
	audio: oneOf('both', 'telephony', 'voip', 'thirdParty'),
	audio_conference_info: text(2048),
	authentication_domains: text(),
	authentication_exception: list(object({ email: email(), name: text() })),
	authentication_option: text(),
	auto_recording: oneOf('local', 'cloud', 'none'),
	auto_add_recording_to_video_management: object(
		{
			enable: bool(),
			channels: list(object({ channel_id: text(), name: text() }, ['channel_id']), { min: 1, max: 5 }),
		},
		['enable'],
	),
	breakout_room: object({ enable: bool(), rooms: list(object({ name: text(), participants: list(text()) })) }),
	calendar_type: oneOf(1, 2),
	close_registration: bool(),
	cn_meeting: bool(),
	contact_email: text(),
	contact_name: text(),
	email_notification: bool(),
	encryption_type: oneOf('enhanced_encryption', 'e2ee'),
	focus_mode: bool(),
	global_dial_in_countries: list(text()),
	host_video: bool(),
	in_meeting: bool(),
	jbh_time: oneOf(0, 5, 10, 15),
	join_before_host: bool(),
	question_and_answer: object({
		enable: bool(),
		allow_submit_questions: bool(),
		allow_anonymous_questions: bool(),
		question_visibility: oneOf('answered', 'all'),
		attendees_can_comment: bool(),
		attendees_can_upvote: bool(),
	}),
	language_interpretation: object({
		enable: bool(),
		interpreters: list(object({ email: email(), languages: text(), interpreter_languages: text() })),
	}),
	sign_language_interpretation: object({
		enable: bool(),
		interpreters: list(object({ email: email(), sign_language: text() }), { max: 20 }),
	}),
	meeting_authentication: bool(),
	meeting_invitees: list(object({ email: email() })),
	mute_upon_entry: bool(),
	participant_video: bool(),
	private_meeting: bool(),
	registrants_confirmation_email: bool(),
	registrants_email_notification: bool(),
	registration_type: oneOf(1, 2, 3),
	show_share_button: bool(),
	show_join_info: bool(),
	use_pmi: bool(),
	waiting_room: bool(),
	waiting_room_options: object(
		{
			mode: oneOf('follow_setting', 'custom'),
			who_goes_to_waiting_room: oneOf(
				'everyone',
				'users_not_in_account',
				'users_not_in_account_or_whitelisted_domains',
				'users_not_on_invite',
			),
		},
		['mode'],
	),
	watermark: bool(),
	host_save_video_order: bool(),
	internal_meeting: bool(),
	continuous_meeting_chat: object({
		enable: bool(),
		auto_add_invited_external_users: bool(),
		auto_add_meeting_participants: bool(),
	}),
	participant_focused_meeting: bool(),
	push_change_to_calendar: bool(),
	resources: list(
		object({
			resource_type: oneOf('whiteboard'),
			resource_id: text(),
			permission_level: oneOf('editor', 'commenter', 'viewer'),
		}),
	),
	auto_start_meeting_summary: bool(),
	who_will_receive_summary: int(1, 4),
	auto_start_ai_companion_questions: bool(),
	who_can_ask_questions: int(1, 5),
	summary_template_id: text(),
	device_testing: bool(),
	request_permission_to_unmute_participants: bool(),
	allow_host_control_participant_mute_state: bool(),
	disable_participant_video: bool(),
	email_in_attendee_report: bool(),
};

// show_join_info and data centre regions can be chosen at creation only.
const { show_join_info: createOnly1, additional_data_center_regions: createOnly2, ...patchable } = settings;

const meeting = {
	topic: text(200),
	type: oneOf(1, 2, 3, 8, 10),
	start_time: startTime(),
	timezone: timezone(),
	duration: int(1, 1440),
	password: text(10, { pattern: PASSCODE }),
	agenda: text(2000),
	pre_schedule: bool(),
	schedule_for: text(any, { min: 1 }),
	template_id: text(),
	tracking_fields: list(object({ field: text(), value: text() }, ['field'])),
	recurrence,
};

export const createMeeting = object({ ...meeting, default_password: bool(), settings: object(settings) });

export const updateMeeting = object({
	...meeting,
	settings: object({
		...patchable,
		authentication_exception: list(object({ email: email(), name: text(), join_url: text() })),
		authentication_name: text(),
		custom_keys: list(object({ key: text(64), value: text(256) }), { max: 10 }),
		enforce_login: bool(),
		enforce_login_domains: text(),
		global_dial_in_numbers: list(
			object({
				city: text(),
				country: text(),
				country_name: text(),
				number: text(),
				type: oneOf('toll', 'tollfree'),
			}),
		),
	}),
});

/** All that a PATCH with ?occurrence_id= may carry. */
export const updateOccurrence = object({
	agenda: meeting.agenda,
	start_time: meeting.start_time,
	duration: meeting.duration,
	settings: object(
		Object.fromEntries(
			[
				'host_video',
				'participant_video',
				'join_before_host',
				'mute_upon_entry',
				'waiting_room',
				'watermark',
				'auto_recording',
			].map((name) => [name, settings[name]]),
		),
	),
});

export const meetingStatus = object({ action: oneOf('end', 'recover') }, ['action']);

export const addRegistrant = object(
	{
		email: email(128),
		first_name: text(64, { min: 1 }),
		last_name: text(64),
		address: text(),
		city: text(),
		state: text(),
		zip: text(),
		country: text(),
		phone: text(),
		comments: text(),
		industry: text(),
		job_title: text(),
		org: text(),
		no_of_employees: oneOf(
			'',
			'1-20',
			'21-50',
			'51-100',
			'101-500',
			'500-1,000',
			'1,001-5,000',
			'5,001-10,000',
			'More than 10,000',
		),
		purchasing_time_frame: oneOf(
			'',
			'Within a month',
			'1-3 months',
			'4-6 months',
			'More than 6 months',
			'No timeframe',
		),
		role_in_purchase_process: oneOf('', 'Decision Maker', 'Evaluator/Recommender', 'Influencer', 'Not involved'),
		custom_questions: list(object({ title: text(), value: text(128) })),
		language: oneOf(
			'en-US',
			'de-DE',
			'es-ES',
			'fr-FR',
			'jp-JP',
			'pt-PT',
			'ru-RU',
			'zh-CN',
			'zh-TW',
			'ko-KO',
			'it-IT',
			'vi-VN',
			'pl-PL',
			'Tr-TR',
		),
		auto_approve: bool(),
	},
	['email', 'first_name'],
);

export const registrantStatus = object(
	{
		action: oneOf('approve', 'cancel', 'deny'),
		registrants: list(object({ id: text(), email: text() }), { max: 30 }),
	},
	['action'],
);

export const inviteLinks = object({
	attendees: list(object({ name: text(64, { min: 1 }), disable_video: bool(), disable_audio: bool() }, ['name']), {
		min: 1,
		max: 500,
	}),
	ttl: int(0, 7776000),
});

/**
 * The operations: method, path, rate label, granular scope (also valid with :admin), classic scopes, query, body table.
 * `handler` is looked up in the rooms of zoom.mjs.
 */
const MEETING_WRITE = ['meeting:write', 'meeting:write:admin'];
const MEETING_READ = ['meeting:read', 'meeting:read:admin'];
const USER_READ = ['user:read', 'user:write', 'user:read:admin', 'user:write:admin'];

const operation = (name, method, path, label, scope, classic, query = [], body = undefined) => ({
	name,
	method,
	label,
	classic,
	query,
	body,
	path,
	scopes: scope.endsWith(':admin') ? [scope] : [scope, scope + ':admin'],
	pattern: new RegExp('^/v2' + path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)') + '$'),
});

const PAGE = ['page_size', 'next_page_token', 'page_number'];

// /users/me/zak stands before /users/{userId}/...: the first match wins.
export const OPERATIONS = [
	operation(
		'createMeeting',
		'POST',
		'/users/{userId}/meetings',
		'Light',
		'meeting:write:meeting',
		MEETING_WRITE,
		[],
		createMeeting,
	),
	operation('listMeetings', 'GET', '/users/{userId}/meetings', 'Medium', 'meeting:read:list_meetings', MEETING_READ, [
		'type',
		'from',
		'to',
		'timezone',
		...PAGE,
	]),
	operation('getMeeting', 'GET', '/meetings/{meetingId}', 'Light', 'meeting:read:meeting', MEETING_READ, [
		'occurrence_id',
		'show_previous_occurrences',
	]),
	operation(
		'updateMeeting',
		'PATCH',
		'/meetings/{meetingId}',
		'Light',
		'meeting:update:meeting',
		MEETING_WRITE,
		['occurrence_id'],
		updateMeeting,
	),
	operation('deleteMeeting', 'DELETE', '/meetings/{meetingId}', 'Light', 'meeting:delete:meeting', MEETING_WRITE, [
		'occurrence_id',
		'schedule_for_reminder',
		'cancel_meeting_reminder',
	]),
	operation(
		'meetingStatus',
		'PUT',
		'/meetings/{meetingId}/status',
		'Light',
		'meeting:update:status',
		MEETING_WRITE,
		[],
		meetingStatus,
	),
	operation(
		'addRegistrant',
		'POST',
		'/meetings/{meetingId}/registrants',
		'Light',
		'meeting:write:registrant',
		MEETING_WRITE,
		['occurrence_ids'],
		addRegistrant,
	),
	operation(
		'listRegistrants',
		'GET',
		'/meetings/{meetingId}/registrants',
		'Medium',
		'meeting:read:list_registrants',
		MEETING_READ,
		['occurrence_id', 'status', ...PAGE],
	),
	operation(
		'registrantStatus',
		'PUT',
		'/meetings/{meetingId}/registrants/status',
		'Medium',
		'meeting:update:registrant_status',
		MEETING_WRITE,
		['occurrence_id'],
		registrantStatus,
	),
	operation(
		'deleteRegistrant',
		'DELETE',
		'/meetings/{meetingId}/registrants/{registrantId}',
		'Light',
		'meeting:delete:registrant',
		MEETING_WRITE,
		['occurrence_id'],
	),
	operation(
		'inviteLinks',
		'POST',
		'/meetings/{meetingId}/invite_links',
		'Light',
		'meeting:write:invite_links',
		MEETING_WRITE,
		[],
		inviteLinks,
	),
	operation('getRecordings', 'GET', '/meetings/{meetingId}/recordings', 'Light', 'cloud_recording:read:list_recording_files', ['recording:read', 'recording:read:admin'], [
		'include_fields',
		'ttl',
	]),
	operation('listUsers', 'GET', '/users', 'Medium', 'user:read:list_users:admin', USER_READ, [
		'status',
		'role_id',
		'include_fields',
		'license',
		...PAGE,
	]),
	operation('myZak', 'GET', '/users/me/zak', 'Light', 'user:read:zak', ['user_zak:read']),
	operation(
		'userToken',
		'GET',
		'/users/{userId}/token',
		'Light',
		'user:read:token',
		[...USER_READ, 'user_profile'],
		['type', 'ttl', 'meeting_id'],
	),
	operation(
		'getUser',
		'GET',
		'/users/{userId}',
		'Light',
		'user:read:user',
		[...USER_READ, 'user_profile', 'user_info:read'],
		['login_type', 'encrypted_email', 'search_by_unique_id'],
	),
];
