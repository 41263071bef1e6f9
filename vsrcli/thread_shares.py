"""How the threads of a run are shared by its stages."""

from __future__ import annotations

from dataclasses import dataclass

from vsrcli.cores import allowed_cores, usable_cores


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
        # FFmpeg and its encoders see what cores there are for them, but not for how much time.
        cores = usable_cores()
        limit = cores if cores < allowed_cores() else 0
        return Shares(decode=limit, infer=limit, encode=limit)
    encode = threads // (2 if light else 4)
    decode = threads // 8
    return Shares(
        decode=max(1, decode),
        infer=max(1, threads - encode - decode),
        encode=max(1, encode),
    )
