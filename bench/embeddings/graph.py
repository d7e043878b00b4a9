"""Writes a sentence encoder as an ONNX graph from its safetensors: graph.py FOLDER OUT.onnx

The graph holds the operators that an exporter would write (BERT, mean over the mask, L2 norm) in their largest forms,
so that onnxruntime need not find them again: one product for query, key and value, LayerNormalization, Gelu.
"""

import json
import math
import pathlib
import struct
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


def read_safetensors(path):
    """Name to array; the format is a length, a JSON header, then the numbers."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_bytes])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
            tensors[name] = numpy.frombuffer(data[start:end], "<f4").reshape(entry["shape"])
    return tensors


class Graph:
    """Nodes and constants on their way into a model."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def put(self, operator, inputs, n_outputs=1, **attributes):
        outputs = [f"{operator}{len(self.nodes)}_{index}" for index in range(n_outputs)]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def linear(self, value, weight, bias):
        return self.put("Add", [self.put("MatMul", [value, self.constant(weight.T)]), self.constant(bias)])


def encoder(graph, tensors, shape):
    width, heads = shape["hidden_size"], shape["num_attention_heads"]
    get = tensors.__getitem__

    def norm(value, name):
        scale, bias = graph.constant(get(name + ".weight")), graph.constant(get(name + ".bias"))
        return graph.put("LayerNormalization", [value, scale, bias], axis=-1, epsilon=shape["layer_norm_eps"])

    def ints(*values):
        return graph.constant(numpy.array(values, numpy.int64))

    positions = get("embeddings.position_embeddings.weight") + get("embeddings.token_type_embeddings.weight")[0]
    length = graph.put("Shape", ["ids"], start=1, end=2)
    words = graph.put("Gather", [graph.constant(get("embeddings.word_embeddings.weight")), "ids"])
    positions = graph.put("Slice", [graph.constant(positions), ints(0), length, ints(0)])
    hidden = norm(graph.put("Add", [words, positions]), "embeddings.LayerNorm")
    mask = graph.put("Cast", ["mask"], to=TensorProto.FLOAT)
    absent = graph.put("Sub", [mask, graph.constant(numpy.float32(1))])
    bias = graph.put("Mul", [absent, graph.constant(numpy.float32(1e9))])
    bias = graph.put("Unsqueeze", [bias, ints(1, 2)])
    for index in range(shape["num_hidden_layers"]):
        base = f"encoder.layer.{index}."
        parts = [base + "attention.self." + name for name in ("query", "key", "value")]
        weight = numpy.concatenate([get(part + ".weight") for part in parts])
        offset = numpy.concatenate([get(part + ".bias") for part in parts])
        # The scores' scale goes into the query.
        scale = numpy.float32(1 / math.sqrt(width // heads))
        weight[:width] *= scale
        offset[:width] *= scale
        qkv = graph.put("Split", [graph.linear(hidden, weight, offset)], 3, axis=-1, num_outputs=3)
        split = [graph.put("Reshape", [part, ints(0, 0, heads, width // heads)]) for part in qkv]
        query = graph.put("Transpose", [split[0]], perm=[0, 2, 1, 3])
        key = graph.put("Transpose", [split[1]], perm=[0, 2, 3, 1])
        value = graph.put("Transpose", [split[2]], perm=[0, 2, 1, 3])
        scores = graph.put("Add", [graph.put("MatMul", [query, key]), bias])
        mixed = graph.put("MatMul", [graph.put("Softmax", [scores], axis=-1), value])
        mixed = graph.put("Reshape", [graph.put("Transpose", [mixed], perm=[0, 2, 1, 3]), ints(0, 0, width)])
        name = base + "attention.output."
        mixed = graph.linear(mixed, get(name + "dense.weight"), get(name + "dense.bias"))
        hidden = norm(graph.put("Add", [mixed, hidden]), name + "LayerNorm")
        name = base + "intermediate.dense."
        wide = graph.put("Gelu", [graph.linear(hidden, get(name + "weight"), get(name + "bias"))])
        name = base + "output."
        narrow = graph.linear(wide, get(name + "dense.weight"), get(name + "dense.bias"))
        hidden = norm(graph.put("Add", [narrow, hidden]), name + "LayerNorm")
    masked = graph.put("Mul", [hidden, graph.put("Unsqueeze", [mask, ints(2)])])
    # The mean's divisor cancels in the norm, so the sum is enough.
    total = graph.put("ReduceSum", [masked, ints(1)], keepdims=0)
    return graph.put("LpNormalization", [total], axis=-1, p=2)


def main():
    folder, out = map(pathlib.Path, sys.argv[1:])
    shape = json.loads((folder / "config.json").read_text())
    tensors = read_safetensors(folder / "model.safetensors")
    graph = Graph()
    vectors = encoder(graph, tensors, shape)
    values = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "tokens"]),
        helper.make_tensor_value_info("mask", TensorProto.INT64, ["texts", "tokens"]),
        helper.make_tensor_value_info(vectors, TensorProto.FLOAT, ["texts", shape["hidden_size"]]),
    ]
    made = helper.make_graph(graph.nodes, "encoder", values[:2], values[2:], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, out)


main()
