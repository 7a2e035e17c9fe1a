"""What the engines' convert.py share: the entry point, calibration text, a stand-in tokenizer, checkpoint headers."""
