/** One flag of a command, as the parser, the help and the completions of shells know it. */
export interface Flag {
  type: "string" | "boolean";
  /** The letter that may stand for it. */
  short?: string;
  /** Whether it may be given several times. */
  multiple?: true;
  /** What the help calls its value. */
  value?: string;
  /** Its values, where they are few. The crate says which are right. */
  choices?: readonly string[];
  /** What shells complete its value by, where that is a path. */
  completes?: "path" | "folder";
  /** What it does. */
  says: string;
}

/** Flags by their long names. */
export type Flags = Readonly<Record<string, Flag>>;

/** What was given for flags. */
export type Values<F extends Flags> = {
  [name in keyof F]?: F[name] extends { multiple: true } ? string[] : F[name] extends { type: "string" } ? string : boolean;
};

/** A command. */
export interface Command {
  name: string;
  /** What it does, in a line. */
  purpose: string;
  /** Its words, without the program's name. */
  usage: readonly string[];
  /** What its words are beside flags, where it has any. */
  words?: { name: string; choices?: readonly string[] };
  flags: Flags;
  /** What each does, and its words. */
  examples: readonly (readonly [what: string, words: string])[];
  /** What is to know beside the flags. */
  notes?: readonly string[];
}
