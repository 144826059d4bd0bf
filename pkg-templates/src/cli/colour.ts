import type { WriteStream } from "node:tty";
import { CSI } from "./printable.js";

/** Ways to set text off on a terminal, as SGR numbers. */
const STYLES = { bold: [1, 22], dim: [2, 22], red: [31, 39], yellow: [33, 39], green: [32, 39] } as const;

/** Sets text off, or gives it as it is. */
export type Paint = (style: keyof typeof STYLES, text: string) => string;

/** No colours. */
export const plain: Paint = (_, text) => text;

/** The colours of a stream: none where it is no terminal, or the user wants none (`NO_COLOR`, https://no-color.org). */
export function paintFor(stream: Pick<WriteStream, "isTTY">, env: NodeJS.ProcessEnv = process.env): Paint {
  if (!stream.isTTY || env.NO_COLOR || env.TERM === "dumb") return plain;
  return (style, text) => `${CSI}${STYLES[style][0]}m${text}${CSI}${STYLES[style][1]}m`;
}
