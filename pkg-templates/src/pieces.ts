/** The bytes `start` up to `start + bytes` of an input. */
export interface Span {
  input: number;
  start: number;
  bytes: number;
}

/** A run of output bytes, as the plan gives it. */
export type Piece =
  | { kind: "plan"; at: number; bytes: number }
  | { kind: "copy"; at: number; bytes: number; input: number; start: number }
  | { kind: "compute"; at: number; bytes: number; program: number; first: number; count: number; skip: number; reads: Span[] };

/** A run of output bytes that one read of an input serves, as the plan gives it. */
export interface Run {
  end: number;
  source: { input: number; start: number; end: number } | null;
}

/** A job that gathers what a program must know of its whole weight. */
export interface FactJob {
  first: number;
  count: number;
  reads: Span[];
}
