// Keeps the page for when there is no network. The build puts the hash and the list of its files in the place of the two constants below.
// The page itself is asked of the network first, so that a new version is seen at once; what it loads has the hash of its content in its name.
const CACHE = "lorafold-page-__HASH__";
const FILES = new Set(__FILES__);
const OURS = /^lorafold-page-/;
/** Milliseconds after which a network counts as none. */
const PATIENCE = 4000;
const scope = new URL("./", self.location.href);

self.addEventListener("install", (event) => event.waitUntil(keep()));
// This comes when no tab has the version before open any more, which may still load parts of its own.
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  // Models and adapters are nobody's business here, nor are parts of files.
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname) || request.headers.has("range")) return;
  const name = decodeURIComponent(url.pathname.slice(scope.pathname.length));
  if (request.mode === "navigate" && (name === "" || name === "index.html")) event.respondWith(page(request));
  else if (FILES.has(name)) event.respondWith(kept(name, request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  // Only names with a hash in them mean the same bytes for good.
  await cache.addAll([...FILES].map((name) => new Request(name || "./", { cache: name.startsWith("assets/") ? "default" : "no-cache" })));
}

async function forgetOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => OURS.test(name) && name !== CACHE).map((name) => caches.delete(name)));
}

async function page(request) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PATIENCE);
  try {
    const response = await fetch(request, { signal: stop.signal });
    if (response.ok || response.type === "opaqueredirect") return response;
    return (await kept("", request)) ?? response;
  } catch {
    return kept("", request);
  } finally {
    clearTimeout(timer);
  }
}

async function kept(name, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(new URL(name || "./", scope).href)) ?? fetch(request);
}
