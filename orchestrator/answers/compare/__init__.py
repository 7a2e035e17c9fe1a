"""Whether results have become faster or slower."""
