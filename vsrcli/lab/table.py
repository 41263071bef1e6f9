"""An evaluation as text or as plain data for JSON."""

from dataclasses import asdict
from typing import Any

from vsrcli.lab.evaluate import Evaluation, Row


def as_json(result: Evaluation) -> dict[str, Any]:  # JSON: nested plain values
    """All figures, unrounded."""
    table = asdict(result)
    for entry, row in zip(
        [*table["rows"], table["mean"]], [*result.rows, result.mean], strict=True
    ):
        entry["gain_db"] = row.gain_db
    return table


def as_table(result: Evaluation) -> str:
    """One line a picture and the mean."""
    width = max(len(row.name) for row in (*result.rows, result.mean))
    head = f"{'':{width}}  PSNR-Y    gain    SSIM  bicubic PSNR-Y  SSIM"
    head += "".join(f"  {key:>12}" for key in result.mean.more)
    return "\n".join([head, *(_line(row, width) for row in (*result.rows, result.mean))])


def _line(row: Row, width: int) -> str:
    return (
        f"{row.name:{width}}  {row.psnr_y:6.2f}  {row.gain_db:+6.2f}  {row.ssim:.4f}"
        f"          {row.bicubic_psnr_y:6.2f}  {row.bicubic_ssim:.4f}"
        + "".join(f"  {value:12.4f}" for value in row.more.values())
    )
