"""vsr: video super-resolution that treats media as FFmpeg does."""

__version__ = "0.1.0"
