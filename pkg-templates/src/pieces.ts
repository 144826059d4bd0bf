/** A run of output bytes, as the plan gives it. */
export type Piece =
  | { kind: "plan"; at: number; bytes: number }
  | { kind: "copy"; at: number; bytes: number; input: number; start: number }
  | { kind: "merge"; at: number; bytes: number; tensor: number; first: number; count: number; skip: number; input: number; start: number; baseBytes: number };
