/** Whether the request carries the token. Compared by hashes, so that the time it takes tells nothing of the token. */
export async function bearer(request: Request, token: string): Promise<boolean> {
  const [, given] = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (given === undefined) return false;
  const [a, b] = await Promise.all([given, token].map((text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));
  const [left, right] = [new Uint8Array(a!), new Uint8Array(b!)];
  return left.every((byte, index) => byte === right[index]);
}

/** Whether the path's last part is a name, or has an ending, of the list. */
export function isAllowed(path: string, list: string): boolean {
  let name: string;
  try {
    name = decodeURIComponent(path.split("/").at(-1) ?? "");
  } catch {
    return false;
  }
  return list.split(/\s+/).some((rule) => rule !== "" && (rule.startsWith("*") ? name.endsWith(rule.slice(1)) : name === rule));
}
