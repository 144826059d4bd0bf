/**
 * Let the engine collect the buffers that nobody uses any more. V8 looks whether there are many of them when a script makes one, and not when
 * the platform does (a Blob that is read, bytes that a worker sends): without this, a browser's memory grows with the model.
 */
export function collectBuffers(): ArrayBuffer {
  return new ArrayBuffer(1);
}
