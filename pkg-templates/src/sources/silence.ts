/** Milliseconds without a byte after which a server counts as gone: less than after which a turn does. A property, so that tests need not wait. */
export const silence = { most: 20_000 };

/** What comes, unless nothing does for too long: then it is given up. */
export async function unlessSilent<T>(coming: Promise<T>, giveUp: () => void): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`nothing has come for ${silence.most / 1000} s`));
      giveUp();
    }, silence.most);
  });
  try {
    return await Promise.race([coming, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same body, which fails where its server falls silent. */
export function unlessSilentBody(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const cancel = (reason?: unknown) => reader.cancel(reason);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await unlessSilent(reader.read(), () => void cancel().catch(() => undefined));
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel,
    },
    { highWaterMark: 0 },
  );
}
