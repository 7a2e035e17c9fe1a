"""Ready-made quantised checkpoints, as a model's entry names them."""
