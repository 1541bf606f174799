// Zoom's error answers.

import { answer } from './http.mjs';

/** An error answer on its way out of a handler: HTTP status, Zoom's code, text, and the fields that are wrong. */
export class Refusal extends Error {
	constructor(status, code, message, errors) {
		super(message);
		this.reply = answer(status, errors ? { code, message, errors } : { code, message });
	}
}

/** 400/300 for one field, of the body or the query. */
export function badField(field, message = 'Invalid field.') {
	return new Refusal(400, 300, 'Validation Failed.', [{ field, message }]);
}
