import type { ErrorFacts, LorafoldError } from "../errors.js";
import type { Paint } from "./colour.js";

/** An error as `--json` prints it. */
export interface SaidError {
  code: string;
  message: string;
  tensor?: string;
  adapter?: string;
  facts?: ErrorFacts;
}

/** An error, for programs. */
export function saidError({ code, message, tensor, adapter, facts }: LorafoldError): SaidError {
  return { code, message, ...(tensor !== undefined && { tensor }), ...(adapter !== undefined && { adapter }), facts };
}

/** An error, for people. */
export const errorLine = ({ code, message }: LorafoldError, paint: Paint): string => `lorafold: ${paint("red", `error [${code}]`)}: ${message}`;
