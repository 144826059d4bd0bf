/** How many bytes of files may be kept in memory as a whole. */
export class Room {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** How many more bytes there is room for. */
  get left(): number {
    return this.#left;
  }

  /** Takes room for a file, unless there is too little. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }
}
