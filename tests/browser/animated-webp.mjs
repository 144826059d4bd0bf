// @ts-check
// Screenshots as an animated WebP: a browser encodes what changed from one to the next, and the pieces are put into one file (RFC 9649).

/** What the browser encodes of a frame; `over`: what it does not change is transparent. @typedef {{ x: number, y: number, width: number, height: number, webp: string, over: boolean }} Piece */

export class AnimatedWebp {
  /** @type {{ x: number, y: number, width: number, height: number, chunk: Buffer, over: boolean, milliseconds: number }[]} */
  #frames = [];
  #size;
  #page;

  /** @param {{ width: number, height: number }} size @param {import("playwright-core").Page} page an empty one, which encodes */
  constructor(size, page) {
    this.#size = size;
    this.#page = page;
  }

  get frames() {
    return this.#frames.length;
  }

  /** Add a screenshot (PNG), to be seen for so long. @param {Buffer} png @param {number} milliseconds */
  async add(png, milliseconds) {
    const piece = await this.#page.evaluate(encode, png.toString("base64"));
    const last = this.#frames.at(-1);
    if (!piece && last) last.milliseconds += milliseconds;
    else if (piece) this.#frames.push({ ...piece, chunk: imageChunk(Buffer.from(piece.webp, "base64")), milliseconds });
  }

  /** The file. It is played without end. */
  bytes() {
    const { width, height } = this.#size;
    // With an animation, and with transparency.
    const extended = Buffer.concat([Buffer.from([0b10010, 0, 0, 0]), uint24(width - 1), uint24(height - 1)]);
    const animation = Buffer.alloc(6);
    const frames = this.#frames.map(({ x, y, width, height, chunk, over, milliseconds }) => {
      // Left where it is when the next one comes.
      const head = [x / 2, y / 2, width - 1, height - 1, milliseconds].map(uint24);
      return riffChunk("ANMF", Buffer.concat([...head, Buffer.from([over ? 0 : 0b10]), chunk]));
    });
    const body = Buffer.concat([Buffer.from("WEBP"), riffChunk("VP8X", extended), riffChunk("ANIM", animation), ...frames]);
    return riffChunk("RIFF", body);
  }
}

/** @param {number} value */
function uint24(value) {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntLE(value, 0, 3);
  return bytes;
}

/** @param {string} name @param {Buffer} content */
function riffChunk(name, content) {
  const head = Buffer.alloc(8, name, "latin1");
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
}

/** The chunk of a still image that has its pixels, with its head. @param {Buffer} webp */
function imageChunk(webp) {
  for (let at = 12; at + 8 <= webp.length; ) {
    const [name, length] = [webp.toString("latin1", at, at + 4), webp.readUInt32LE(at + 4)];
    const end = at + 8 + length + (length % 2);
    if (name === "VP8 " || name === "VP8L") return webp.subarray(at, end);
    at = end;
  }
  throw new Error("the browser encoded no WebP");
}

/**
 * In the browser: the smallest rectangle that differs from the frame before, as WebP, without loss where that is smaller; nothing where none differs.
 * @param {string} png
 * @returns {Promise<Piece | undefined>}
 */
async function encode(png) {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const { width, height } = image;
  const drawn = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (drawn.getContext("2d", { alpha: false, willReadFrequently: true }));
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const before = /** @type {Uint32Array | undefined} */ (Reflect.get(window, "before"));
  Object.assign(window, { before: pixels });
  let [left, top, right, bottom] = before ? [width, height, 0, 0] : [0, 0, width, height];
  if (before) {
    for (let at = 0; at < pixels.length; at++) {
      if (pixels[at] === before[at]) continue;
      const [x, y] = [at % width, Math.floor(at / width)];
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    }
    if (right === 0) return undefined;
  }
  // Places are told in steps of two.
  [left, top] = [left - (left % 2), top - (top % 2)];
  const part = new OffscreenCanvas(right - left, bottom - top);
  /** @type {OffscreenCanvasRenderingContext2D} */ (part.getContext("2d", { alpha: false })).drawImage(drawn, -left, -top);
  const encoded = [1, 0.72].map(async (quality) => ({ over: false, blob: await part.convertToBlob({ type: "image/webp", quality }) }));
  if (before) {
    // What stays is transparent, which takes next to nothing.
    const changed = context.getImageData(left, top, part.width, part.height);
    const shown = new Uint32Array(changed.data.buffer);
    for (let at = 0; at < shown.length; at++) {
      const whole = (top + Math.floor(at / part.width)) * width + left + (at % part.width);
      if (pixels[whole] === before[whole]) shown[at] = 0;
    }
    const over = new OffscreenCanvas(part.width, part.height);
    /** @type {OffscreenCanvasRenderingContext2D} */ (over.getContext("2d")).putImageData(changed, 0, 0);
    encoded.push(over.convertToBlob({ type: "image/webp", quality: 1 }).then((blob) => ({ over: true, blob })));
  }
  const [{ over, blob }] = (await Promise.all(encoded)).sort((a, b) => a.blob.size - b.blob.size);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return { x: left, y: top, width: part.width, height: part.height, webp: btoa(text), over };
}
