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
