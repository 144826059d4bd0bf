/** What `lorafold --help` prints. */
export const HELP = `lorafold folds LoRA adapters into base model weights.

  lorafold merge --base B --adapter A[@weight] [--adapter …] --out DIR [options]
  lorafold serve --base B --adapter A[@weight] [--adapter …] [--port P] [options]
  lorafold inspect PATH…

B and A are a folder, a .safetensors or .bin file, or a URL: https://…, or hf://org/name@revision (with a weight hf://org/name@revision@0.5).

merge:
  --base B               the base model
  --adapter A[@weight]   an adapter, and a factor on its whole delta (1 by default); may be repeated
  --out DIR              where the merged model goes
  --method M             how several deltas combine: linear (default), the exact weighted sum
  --dtype T              keep (default), float32 (or f32), float16 (f16), bfloat16 (bf16)
  --rounding R           nearest (default), to even
  --tied T               an output layer that is tied to the embedding: auto (default) does what the training did, share changes the one
                         tensor that they are, untie gives the output layer a tensor of its own
  --expert-packing P     how adapters order the columns of lora_B of many experts: rank (default), as PEFT does, or expert, as Unsloth did
                         before September 2026
  --max-shard-size S     new shards of at most S, such as 5GB; by default the base's shards are kept
  --only REGEX           merge only tensors whose name matches REGEX somewhere
  --skip REGEX           do not merge tensors whose name matches REGEX somewhere
  --allow-unmatched      adapter keys that match nothing become findings
  --allow-nonfinite      values may become infinite or NaN in the output's type
  --workers N            worker threads; 0 computes in the main one
  --memory-budget S      memory of each worker beside the adapters' factors (64MiB by default)
  --part I/N             merge only the I-th of N parts of the output: run all of them, on any machines that share DIR …
  --finish               … and then this, with --out: checks every part and completes the model
  --dry-run              show the plan, read no weights, write nothing
  --report FILE          write the report, with statistics of every tensor, to FILE
  --force                replace the model in DIR
  --json                 print one JSON document on stdout: the report, or the plan with --dry-run
  --quiet                no progress

serve: the merged model over HTTP, with ranges, on this machine alone; nothing is written, every byte is computed when it is asked for
  --port P               8417 by default; 0 takes a free one
  --dtype, --tied, --expert-packing, --max-shard-size, --only, --skip, --allow-unmatched, --allow-nonfinite: as for merge
  --json                 print one JSON document when it listens: url, files, findings
  --quiet                print nothing

inspect:
  --json                 print one JSON document, an array of descriptions

  lorafold --help, lorafold --version

Exit status: 0 done, 1 failed, 2 wrong usage, 130 aborted.`;
