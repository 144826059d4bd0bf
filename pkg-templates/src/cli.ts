#!/usr/bin/env node
import { main } from "./cli/main.js";
import { guard } from "./cli/printable.js";

guard(process.stdout);
guard(process.stderr);
process.exitCode = await main(process.argv.slice(2));
