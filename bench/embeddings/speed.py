"""onnxruntime on one thread.

speed.py check MODEL.onnx TOKENIZER SENTENCES VECTORS   worst difference from the vectors in that file (one a line)
speed.py time MODEL.onnx TOKENIZER SENTENCES BATCH SECONDS   sentences/s, without the time of the tokenizer
"""

import pathlib
import sys
import time

import numpy
import onnxruntime
import tokenizers


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def inputs(tokenizer, texts):
    encodings = tokenizer.encode_batch(texts)
    ids = numpy.array([encoding.ids for encoding in encodings], numpy.int64)
    mask = numpy.array([encoding.attention_mask for encoding in encodings], numpy.int64)
    return {"ids": ids, "mask": mask}


def main():
    task, model, tokenizer, sentences, *rest = sys.argv[1:]
    tokenizer = tokenizers.Tokenizer.from_file(tokenizer)
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    texts = pathlib.Path(sentences).read_text().splitlines()
    encoder = session(model)
    if task == "check":
        ours = numpy.loadtxt(rest[0], numpy.float32)
        (vectors,) = encoder.run(None, inputs(tokenizer, texts))
        assert ours.shape == vectors.shape, (ours.shape, vectors.shape)
        print(f"{numpy.abs(ours - vectors).max():.1e}")
        return
    batch, seconds = int(rest[0]), float(rest[1])
    batches = [inputs(tokenizer, texts[start : start + batch]) for start in range(0, len(texts), batch)]
    encoder.run(None, batches[0])
    started, n = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        encoder.run(None, batches[n % len(batches)])
        n += 1
    print(f"{n * batch / (time.perf_counter() - started):.1f}")


main()
