/** Have the page kept for when there is no network; `onReady` is told once it is. Not while it is developed, where every file changes. */
export async function keepOffline(onReady: () => void): Promise<void> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("./sw.js", { updateViaCache: "none" });
    // Browsers look for a new one by themselves, some time.
    registration.update().catch(() => undefined);
    await navigator.serviceWorker.ready;
    onReady();
  } catch {
    // Private windows have none, and the page works all the same.
  }
}
