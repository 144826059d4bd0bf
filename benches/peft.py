"""PEFT's merge_and_unload, files to files, on the benchmark's own model (`npm run bench` leaves it in its folder).

    python benches/peft.py BASE ADAPTER OUT [--shard-size 5GB]

Needs torch, transformers and peft. Prints seconds of each step and the peak of resident memory.
"""

import argparse
import os
import resource
import sys
import time

# This file has the library's name: from its own folder Python would import it instead.
sys.path.pop(0)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("adapter")
    parser.add_argument("out")
    parser.add_argument("--shard-size", default="1GB")
    options = parser.parse_args()
    if os.path.isdir(options.out) and os.listdir(options.out):
        sys.exit(f"{options.out} is not empty")

    clock = time.perf_counter
    times = {}
    start = clock()
    import peft
    import torch
    import transformers

    times["import"] = clock() - start

    start = clock()
    model = transformers.AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16, low_cpu_mem_usage=True)
    model = peft.PeftModel.from_pretrained(model, options.adapter)
    times["load"] = clock() - start

    start = clock()
    model = model.merge_and_unload()
    times["merge"] = clock() - start

    start = clock()
    model.save_pretrained(options.out, max_shard_size=options.shard_size)
    times["save"] = clock() - start

    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"peft {peft.__version__}, torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    print(", ".join(f"{step} {seconds:.2f} s" for step, seconds in times.items()), f"= {sum(times.values()):.2f} s")
    print(f"peak RSS {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
