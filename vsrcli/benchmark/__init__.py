"""How fast models run here, and how near that is to what the machine can do. `vsr bench` shows it.

cases ──► model alone ──► PSNR change ──► end to end, beside ffmpeg ──► table, JSON, plot
          roofline of the same engine and precision, in the same run
"""

from __future__ import annotations

from vsrcli.benchmark.cases import Case, Figures, Outcome, Plan, Scaler, Stages
from vsrcli.benchmark.run import measure

__all__ = ["Case", "Figures", "Outcome", "Plan", "Scaler", "Stages", "measure"]
