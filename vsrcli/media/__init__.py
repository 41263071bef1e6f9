"""All of FFmpeg: probing, decoding, colour description, encoding, muxing. Nothing about models."""
