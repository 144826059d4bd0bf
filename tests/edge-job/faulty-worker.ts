// The template behind a bucket and a queue that ask the test, before and after everything they do, what is to go wrong.
import worker from "../../pkg-templates/edge-job/src/index.js";
import type { Env } from "../../pkg-templates/edge-job/src/env.js";
import type { Task } from "../../pkg-templates/edge-job/src/task.js";

interface TestEnv extends Env {
  FAULTS: Fetcher;
}

/** `half`: a part of which half has been read; the others are what they say. */
type Phase = "before" | "half" | "after";
type Ask = (phase: Phase, op: string, key: string, about?: object) => Promise<string>;

export default {
  fetch: (request: Request, env: TestEnv) => worker.fetch(request, faulty(env)),
  queue: (batch: MessageBatch<Task>, env: TestEnv) => worker.queue(batch, faulty(env)),
};

function faulty(env: TestEnv): Env {
  const ask: Ask = async (phase, op, key, about = {}) => {
    const answer = await env.FAULTS.fetch("http://faults/", { method: "POST", body: JSON.stringify({ phase, op, key, ...about }) });
    const verdict = await answer.text();
    if (verdict === "fail") throw new Error(`${op}: We encountered an internal error. Please try again. (10001)`);
    return verdict;
  };
  const { FAULTS: _, ...rest } = env;
  return { ...rest, BUCKET: faultyBucket(env.BUCKET, ask), QUEUE: faultyQueue(env.QUEUE, ask) };
}

function faultyQueue(queue: Queue<Task>, ask: Ask): Queue<Task> {
  return {
    async send(task: Task) {
      if ((await ask("before", "send", task.job, task)) === "twice") await queue.send(task);
      await queue.send(task);
    },
    async sendBatch(messages: { body: Task }[]) {
      const verdict = await ask("before", "sendBatch", messages[0]?.body.job ?? "", { tasks: messages.map(({ body }) => body) });
      if (verdict === "lose") return;
      if (verdict === "twice") await queue.sendBatch(messages);
      await queue.sendBatch(messages);
    },
  } as unknown as Queue<Task>;
}

function faultyBucket(bucket: R2Bucket, ask: Ask): R2Bucket {
  const during = async <T>(op: string, key: string, work: (verdict: string) => Promise<T>, about?: object): Promise<T> => {
    const result = await work(await ask("before", op, key, about));
    await ask("after", op, key, about);
    return result;
  };
  const faultyUpload = (upload: R2MultipartUpload): R2MultipartUpload => {
    const { key, uploadId } = upload;
    return {
      key, uploadId,
      uploadPart: (part: number, body: ReadableStream<Uint8Array>) =>
        during("uploadPart", key, async (verdict) => {
          if (verdict === "half") await readHalf(body, () => ask("half", "uploadPart", key, { part, uploadId }));
          return upload.uploadPart(part, body);
        }, { part, uploadId }),
      complete: (parts: R2UploadedPart[]) => during("complete", key, () => upload.complete(parts), { uploadId }),
      abort: () => during("abort", key, () => upload.abort(), { uploadId }),
    } as R2MultipartUpload;
  };
  return {
    head: (key: string) => during("head", key, () => bucket.head(key)),
    get: (key: string, options: R2GetOptions) => during("get", key, async (verdict) => {
      const object = await bucket.get(key, options);
      return verdict === "cut" && object ? cut(object) : object;
    }),
    put: (key: string, value: string, options: R2PutOptions) => during("put", key, () => bucket.put(key, value, options)),
    delete: (keys: string | string[]) => during("delete", String(keys), () => bucket.delete(keys)),
    list: (options: R2ListOptions) => during("list", options.prefix ?? "", () => bucket.list(options)),
    createMultipartUpload: async (key: string, options: R2MultipartOptions) =>
      faultyUpload(await during("create", key, async () => {
        const upload = await bucket.createMultipartUpload(key, options);
        await ask("after", "created", key, { uploadId: upload.uploadId });
        return upload;
      })),
    resumeMultipartUpload: (key: string, uploadId: string) => faultyUpload(bucket.resumeMultipartUpload(key, uploadId)),
  } as unknown as R2Bucket;
}

/** An upload that breaks down in the middle of its bytes. */
async function readHalf(body: ReadableStream<Uint8Array>, then: () => Promise<unknown>): Promise<never> {
  const reader = body.getReader();
  for (let read = 0; read < 1 << 20; ) read += (await reader.read()).value?.length ?? 1 << 20;
  await then();
  await reader.cancel();
  throw new Error("uploadPart: We encountered an internal error. Please try again. (10001)");
}

/** An object whose body breaks off. */
function cut(object: R2ObjectBody): R2ObjectBody {
  const reader = object.body.getReader();
  let chunks = 0;
  const body = new ReadableStream({
    async pull(controller) {
      const { value } = await reader.read();
      if (chunks++ > 0 || value === undefined) controller.error(new Error("Network connection lost."));
      else controller.enqueue(value);
    },
  });
  return { key: object.key, size: object.size, etag: object.etag, body } as R2ObjectBody;
}
