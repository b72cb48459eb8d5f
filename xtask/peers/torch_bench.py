"""torch_bench.py FOLDER THREADS PROMPT,... GENERATE,...: transformers in f32, speeds as a JSON list like llama-bench's.

Each call times every test once, after a short warm-up. Needs torch and transformers.
"""
import json
import os
import sys
import time

folder, threads = sys.argv[1], int(sys.argv[2])
prompts, generations = ([int(n) for n in text.split(",") if int(n)] for text in sys.argv[3:5])
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
count = max([8, *prompts])
ids = torch.tensor([[1000 + i * 7919 % 20000 for i in range(count)]])
tests = []
with torch.inference_mode():
    model(ids[:, :8], use_cache=True)
    for n in prompts:
        start = time.perf_counter()
        model(ids[:, :n], use_cache=True, logits_to_keep=1)
        tests.append({"n_prompt": n, "n_gen": 0, "avg_ts": n / (time.perf_counter() - start)})
    for n in generations:
        output = model(ids[:, :1], use_cache=True)
        start = time.perf_counter()
        for _ in range(n):
            token = output.logits[:, -1:].argmax(-1)
            output = model(token, past_key_values=output.past_key_values, use_cache=True)
        tests.append({"n_prompt": 0, "n_gen": n, "avg_ts": n / (time.perf_counter() - start)})
print(json.dumps(tests))
