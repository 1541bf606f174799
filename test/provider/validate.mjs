// A small language for field tables, and the check of a JSON body against one. Knows no provider.
//
// Each constructor returns a check(value, field, errors): it appends {field, message} for what is wrong.

const invalid = (errors, field, message = 'Invalid field.') => errors.push({ field, message });

export const bool = () => (value, field, errors) => {
	if (typeof value !== 'boolean') invalid(errors, field);
};

export const int = (min, max) => (value, field, errors) => {
	if (!Number.isSafeInteger(value) || value < min || value > max) invalid(errors, field);
};

export const oneOf =
	(...allowed) =>
	(value, field, errors) => {
		if (!allowed.includes(value)) invalid(errors, field);
	};

/** `max` counts characters as code points; `min` and `pattern` optional. */
export const text =
	(max = Infinity, { min = 0, pattern } = {}) =>
	(value, field, errors) => {
		if (typeof value !== 'string') invalid(errors, field);
		else if (value.length > max && [...value].length > max)
			invalid(errors, field, `The field exceeds the maximum length of ${max} characters.`);
		else if (value.length < min || (pattern && !pattern.test(value))) invalid(errors, field);
	};

export const email = (max = 128) => text(max, { pattern: /^[^\s@;,]+@[^\s@;,]+\.[^\s@;,]+$/ });

export const list =
	(item, { min = 0, max = Infinity } = {}) =>
	(value, field, errors) => {
		if (!Array.isArray(value) || value.length < min || value.length > max) invalid(errors, field);
		else value.forEach((element, index) => item(element, `${field}[${index}]`, errors));
	};

/** An object with exactly these fields, those in `required` present. Anything not in the table is refused. */
export const object =
	(table, required = []) =>
	(value, field, errors) => {
		if (value === null || typeof value !== 'object' || Array.isArray(value)) {
			invalid(errors, field);
			return;
		}
		const prefix = field ? field + '.' : '';
		for (const name of required) if (!(name in value)) invalid(errors, prefix + name, 'This field is required.');
		for (const [name, element] of Object.entries(value)) {
			const check = Object.hasOwn(table, name) ? table[name] : undefined;
			if (check) check(element, prefix + name, errors);
			else invalid(errors, prefix + name, 'Unknown field.');
		}
	};

/** Errors of a body against a table; an empty array is a pass. */
export function problems(check, value) {
	const errors = [];
	check(value, '', errors);
	return errors;
}
