import { type Paint, plain } from "./colour.js";
import { COMMANDS } from "./commands.js";
import type { Command, Flag } from "./flag.js";

/** Columns of the help. */
const WIDTH = 100;

const EXIT = "Exit status: 0 done, 1 failed, 2 wrong usage, 130 aborted.";

/** What `lorafold --help` prints. */
export function overview(paint: Paint = plain): string {
  const widest = Math.max(...COMMANDS.map(({ name }) => name.length));
  return [
    "lorafold folds LoRA adapters into base model weights.",
    "",
    paint("bold", "Commands:"),
    ...COMMANDS.flatMap(({ name, purpose }) => inColumns(`  ${name.padEnd(widest)}`, purpose)),
    "",
    paint("bold", "Examples:"),
    ...COMMANDS.flatMap(({ examples }) => examples.slice(0, 1)).map(([, words]) => `  lorafold ${words}`),
    "",
    "lorafold COMMAND --help has the flags of a command and more examples; lorafold --version.",
    EXIT,
  ].join("\n");
}

/** What `lorafold COMMAND --help` prints. */
export function commandHelp({ purpose, usage, flags, examples, notes = [] }: Command, paint: Paint = plain): string {
  const rows = Object.entries<Flag>(flags).map(([name, flag]) => ({ head: headOf(name, flag), says: flag.says }));
  const widest = Math.max(0, ...rows.map(({ head }) => head.length));
  return [
    ...wrapped(`${purpose.charAt(0).toUpperCase()}${purpose.slice(1)}.`, WIDTH),
    "",
    ...usage.map((words) => `  ${paint("bold", `lorafold ${words}`)}`),
    "",
    ...notes.flatMap((note) => [...wrapped(note, WIDTH), ""]),
    ...(rows.length > 0 ? [paint("bold", "Flags:"), ...rows.flatMap(({ head, says }) => inColumns(head.padEnd(widest), says)), ""] : []),
    paint("bold", "Examples:"),
    ...examples.flatMap(([what, words]) => [`  ${paint("dim", `# ${what}`)}`, `  lorafold ${words}`]),
    "",
    EXIT,
  ].join("\n");
}

function headOf(name: string, { short, value }: Flag): string {
  return `  ${short === undefined ? "   " : `-${short},`} --${name}${value === undefined ? "" : ` ${value}`}`;
}

/** A text beside its head, in as many lines as it needs. */
function inColumns(head: string, text: string): string[] {
  return wrapped(text, WIDTH - head.length - 2).map((line, number) => `${number === 0 ? head : " ".repeat(head.length)}  ${line}`);
}

/** A text in lines of at most so many characters, broken between words. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
