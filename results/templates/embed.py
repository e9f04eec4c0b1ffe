"""Turns pictures of people into embeddings, or says how alike two people look, from -1 to 1.

    python embed.py A.jpg B.jpg            prints the similarity of two pictures
    python embed.py FOLDER OUT.npy         embeds every picture of a folder; names go into OUT.txt, a line for each row

Needs numpy, pillow and onnxruntime (openvino for a package that holds model.xml, torch for one that holds TorchScript,
executorch and torch for one that holds model.pte), and nothing else.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
SPEC = json.loads((HERE / "input_spec.json").read_text())
KNOWN = {"schema": 1, "channel_order": "RGB", "resize": "bilinear"}
if wrong := [name for name, value in KNOWN.items() if SPEC[name] != value]:
    sys.exit(
        f"input_spec.json: {wrong[0]} {SPEC[wrong[0]]!r} is not {KNOWN[wrong[0]]!r}, which this program honours"
    )
SIZE = (SPEC["height"], SPEC["width"])


def network():
    """A function from (N, 3, height, width) float32, or pixels, to (N, D) float32, and the shape that it takes."""
    if script := next(HERE.glob("model.*.pt"), None):
        import torch

        warnings.filterwarnings("ignore", "`torch.jit.load`")  # torch would rather have another format
        torch.backends.quantized.engine = script.suffixes[0][1:]  # before loading: weights are packed for it
        network = torch.jit.load(script)
        return lambda batch: network(torch.from_numpy(batch)).numpy(), (3, *SIZE)
    if (HERE / "model.pte").exists():
        import torch

        warnings.simplefilter("ignore")  # it warns of parts of its own when it is imported
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(HERE / "model.pte")
        method = program.load_method("forward")  # lives no longer than the program
        return lambda batch: (program, method.execute([torch.from_numpy(batch)])[0].numpy())[1], (3, *SIZE)
    if (HERE / "model.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
        taken = session.get_inputs()[0]
        return lambda batch: session.run(None, {taken.name: batch})[0], taken.shape[1:]
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32"
    }  # bfloat16, its choice on some processors, is another network
    model = openvino.Core().compile_model(HERE / "model.xml", "CPU", settings)
    return lambda batch: model(batch)[0], [
        side.get_length() for side in list(model.input(0).partial_shape)[1:]
    ]


def pixels(path):
    """One picture as (height, width, 3) uint8: upright, in RGB, resized as in training."""
    with Image.open(path, formats=("JPEG", "PNG")) as image:
        if image.mode.startswith(("I", "F")):
            sys.exit(f"{path}: more than 8 bits a channel; convert it to 8")
        image.load()
        try:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        except Exception:  # a damaged tag; the pixels are whole
            upright = image.convert("RGB")
    return np.asarray(upright.resize(SIZE[::-1], Image.Resampling.BILINEAR))


def embed(run, takes_pixels, paths):
    """(N, D) float32, a row of length 1 for each picture."""
    rows = []
    for path in paths:
        image = pixels(path)
        if takes_pixels:  # the file normalises, mirrors and adds by itself
            rows.append(run(image[None])[0])
            continue
        views = np.stack([image, image[:, ::-1]] if SPEC["flip"] else [image])
        batch = ((views / 255 - SPEC["mean"]) / SPEC["std"]).transpose(0, 3, 1, 2).astype(np.float32)
        total = run(np.ascontiguousarray(batch)).sum(axis=0)
        rows.append(total / np.linalg.norm(total))
    return np.array(rows, dtype=np.float32).reshape(len(rows), SPEC["embedding_dim"])


def main(first, second):
    """Do what the head of this file says."""
    run, shape = network()
    takes_pixels = list(shape) == [*SIZE, 3]
    if list(shape) != [3, *SIZE] and not takes_pixels:
        sys.exit(f"the network takes {shape}, input_spec.json says {[3, *SIZE]}")
    if not first.is_dir():
        a, b = embed(run, takes_pixels, [first, second])
        return print(f"similarity {a @ b:.4f}")
    paths = sorted(path for path in first.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths or second.suffix != ".npy":
        sys.exit(f"{first} holds no .jpg or .png" if not paths else f"{second} must end in .npy")
    np.save(second, embed(run, takes_pixels, paths))
    names = "".join(f"{path.name}\n" for path in paths)
    second.with_suffix(".txt").write_text(names, encoding="utf-8", errors="surrogateescape")
    print(f"{len(paths)} embeddings of {SPEC['embedding_dim']} numbers in {second}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:])) if len(sys.argv) == 3 else sys.exit(__doc__)
