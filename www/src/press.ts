let isDown = false;
let waiting: (() => void) | undefined;

/** Lists open when they are pressed, and nobody tells of the end of that. */
const isPressed = (target: EventTarget | null) => target instanceof Element && target.closest("button, a, summary, label") !== null && !target.closest("select");

document.addEventListener("pointerdown", ({ target }) => (isDown = isPressed(target)), { capture: true });
for (const end of ["pointerup", "pointercancel"] as const) document.addEventListener(end, () => window.setTimeout(release), { capture: true });
// A drag ends without either, and so may what a window in front takes over.
document.addEventListener("dragstart", release, { capture: true });
window.addEventListener("blur", release);

/** The click has been told when this runs. */
function release(): void {
  isDown = false;
  const task = waiting;
  waiting = undefined;
  task?.();
}

/**
 * Do something that moves what is on the page: at once, unless a button is just being pressed, which would move away from under the pointer, and
 * the click would be lost; then when it is let go. Of several that wait the last is done.
 */
export function unlessPressed(task: () => void): void {
  if (isDown) waiting = task;
  else task();
}
