"""One package for each question that people ask of results or of a folder."""
