"""Recurrent models: networks, sequences to train on, the training loop, export."""
