/**
 * A URL as messages name it, without secrets: what it asks for may be a signature, and before the host there may be a password. In what is no URL, a
 * password may hold any character.
 */
export const address = (url: string): string =>
  url.replace(URL.canParse(url) ? /^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i : /^(https?:\/\/).*@/is, "$1").replace(/[?#].*/s, "");
