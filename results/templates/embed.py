"""Embeds two images of people and prints how alike they are, from -1 to 1.

    python embed.py A.jpg B.jpg

Needs onnxruntime, numpy and pillow; run it in the folder of this package.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
spec = json.loads(session.get_modelmeta().custom_metadata_map["reid_pareto.input_spec"])


def embed(path: str) -> np.ndarray:
    """The embedding of one image, of length 1."""
    image = Image.open(path).convert("RGB").resize((spec["width"], spec["height"]), Image.Resampling.BILINEAR)
    views = [image, ImageOps.mirror(image)] if spec["flip"] else [image]
    pixels = (np.stack([np.asarray(view) for view in views]) / 255 - spec["mean"]) / spec["std"]
    total = session.run(None, {"images": pixels.transpose(0, 3, 1, 2).astype(np.float32)})[0].sum(axis=0)
    return total / np.linalg.norm(total)


print(f"similarity {embed(sys.argv[1]) @ embed(sys.argv[2]):.4f}")
