"""How the threads of a run are shared by its stages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Threads of each stage; 0: one a core."""

    decode: int = 0
    infer: int = 0
    encode: int = 0


def shares(threads: int, *, light: bool) -> Shares:
    """`threads` in all, but one a stage at least; 0: a thread a core for each of them, and the
    slowest gets what the others leave.

    A `light` model, one of single frames, costs about what the encoder does. Beside one that looks
    at several, the encoder has little to do and the decoder next to nothing: where there are too
    few threads to give them some, their one each hardly counts.
    """
    if not threads:
        return Shares()
    encode = threads // (2 if light else 4)
    decode = threads // 8
    return Shares(
        decode=max(1, decode),
        infer=max(1, threads - encode - decode),
        encode=max(1, encode),
    )
