"""Opens models on CUDA and runs them, where no operator may be left to the CPU. A JSON object.

python tests/cuda_sessions.py MODEL:PRECISION:PIX_FMT ...
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import onnxruntime as ort
from test_tile_plan import moving

from vsrcli.frames import Color, Picture
from vsrcli.media.pixels import layout_of
from vsrcli.models import find_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import onnx

SIZE = (46, 38)
FRAMES = 6


class Session(ort.InferenceSession):
    """One that fails to open if the first provider does not take all of the graph."""

    def __init__(self, graph: bytes, options: ort.SessionOptions, **given: Any) -> None:
        if given["providers"][0][0] == "CUDAExecutionProvider":
            del given["providers"][1:]
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        super().__init__(graph, options, **given)


def main() -> None:
    """Of each: what it ran on, how many frames came back, what was recorded and launched."""
    onnx.ort.InferenceSession = Session
    library = ctypes.CDLL("libcudart.so.13")
    found = {}
    for word in sys.argv[1:]:
        name, precision, pix_fmt = word.split(":")
        model, layout = find_model(name), layout_of(pix_fmt)
        scale = model.scales[-1]
        picture = Picture(layout=layout, color=Color(), width=SIZE[0], height=SIZE[1])
        counts = library.pretend_captures, library.pretend_launches, library.pretend_landings
        before = [count() for count in counts]
        driver = open_driver(
            model, scale, picture=picture, device="cuda", precision=precision, threads=1
        )
        made = [out for frame in moving(layout, SIZE, FRAMES) for out in driver.push(frame)]
        made += driver.flush()
        sizes = {plane.shape for frame in made for plane in frame.planes[:1]}
        driver.close()
        found[word] = {
            "device": driver.device,
            "frames": len(made),
            "sizes": sorted(sizes),
            "captures": library.pretend_captures() - before[0],
            "launches": library.pretend_launches() - before[1],
            "landings": library.pretend_landings() - before[2],
            "stale": library.pretend_stale(),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
