/**
 * Let V8 collect unused buffers. It checks how much memory they take when a script allocates one, but not when the platform does (reading a
 * Blob, receiving bytes from a worker). Without this, the memory of a browser grows with the model.
 */
export function collectBuffers(): ArrayBuffer {
  return new ArrayBuffer(1);
}
