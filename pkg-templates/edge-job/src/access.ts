/** Whether the request carries the token. Compared by hashes, so that the time it takes tells nothing of the token. */
export async function bearer(request: Request, token: string): Promise<boolean> {
  const [, given] = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (given === undefined) return false;
  const [a, b] = await Promise.all([given, token].map((text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
  return crypto.subtle.timingSafeEqual(a!, b!);
}
