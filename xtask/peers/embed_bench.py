"""embed_bench.py FOLDER THREADS FILE: the vectors of a file's lines by sentence-transformers in f32, texts a second.

Loading is not counted. Needs sentence-transformers.
"""
import os
import sys
import time

folder, threads, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch
from sentence_transformers import SentenceTransformer

torch.set_num_threads(threads)
model = SentenceTransformer(folder, device="cpu")
with open(file, encoding="utf-8") as lines:
    texts = lines.read().splitlines()
model.encode(texts[:32], show_progress_bar=False)
start = time.perf_counter()
model.encode(texts, batch_size=32, show_progress_bar=False, normalize_embeddings=True)
print(len(texts) / (time.perf_counter() - start))
