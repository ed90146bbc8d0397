"""Writes GGUF version 3 files with F32, BF16 and Q8_0 tensors. docs/formats/gguf.md draws the bytes."""
import struct

import numpy as np

from checkpoint import to_bf16

ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_TYPES = {"F32": 0, "Q8_0": 8, "BF16": 30}
# general.file_type of a model that is mostly of that type
FILE_TYPES = {"F32": 0, "Q8_0": 7, "BF16": 32}


def quantize_q8_0(x):
    """Blocks of 32 values: a float16 scale, then 32 int8. Rounds halves away from zero."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
    scaled = blocks * inverse
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
    return np.hstack([scale.astype(np.float16).view(np.uint8), q.view(np.uint8)]).tobytes()


def encode_tensor(x, type_name):
    if type_name == "F32":
        return np.ascontiguousarray(x, np.float32).tobytes()
    if type_name == "BF16":
        return to_bf16(x).tobytes()
    return quantize_q8_0(x)


def encode_string(text):
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def encode_value(value, signed):
    """The type's number and the bytes of a metadata value; integers are 32 bits wide."""
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return (INT32, struct.pack("<i", value)) if signed else (UINT32, struct.pack("<I", value))
    if isinstance(value, float):
        return FLOAT32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, encode_string(value)
    elements = [encode_value(element, signed) for element in value]
    return ARRAY, struct.pack("<IQ", elements[0][0], len(elements)) + b"".join(data for _, data in elements)


class Writer:
    """Collects metadata and tensors, in the order in which they will stand in the file."""

    def __init__(self):
        self.metadata = []
        self.tensors = []

    def add(self, key, value, signed=False):
        kind, data = encode_value(value, signed)
        self.metadata.append(encode_string(key) + struct.pack("<I", kind) + data)

    def add_tensor(self, name, x, type_name):
        self.tensors.append((name, x.shape, TENSOR_TYPES[type_name], encode_tensor(x, type_name)))

    def write(self, path):
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(self.tensors), len(self.metadata)) + b"".join(self.metadata)
        offset = 0
        for name, shape, kind, data in self.tensors:
            # Innermost extent first.
            header += encode_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)
            offset += len(data) + -len(data) % ALIGNMENT
        with open(path, "wb") as f:
            f.write(header + bytes(-len(header) % ALIGNMENT))
            for _, _, _, data in self.tensors:
                f.write(data + bytes(-len(data) % ALIGNMENT))
