/** The promise, unless it takes longer than `timeout` milliseconds: then `giveUp` is called, and an error says that nothing has come. */
export async function unlessStalled<T>(coming: Promise<T>, timeout: number, giveUp: () => void): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`nothing has come for ${timeout / 1000} s`));
      giveUp();
    }, timeout);
  });
  try {
    return await Promise.race([coming, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same body, which fails when no bytes come for `timeout` milliseconds. */
export function unlessStalledBody(body: ReadableStream<Uint8Array>, timeout: number): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const cancel = (reason?: unknown) => reader.cancel(reason);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await unlessStalled(reader.read(), timeout, () => void cancel().catch(() => undefined));
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel,
    },
    { highWaterMark: 0 },
  );
}
