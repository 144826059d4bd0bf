/** A URL as messages name it: what it asks for may be a signature, which is a secret. */
export const address = (url: string): string => url.replace(/[?#].*/s, "");
