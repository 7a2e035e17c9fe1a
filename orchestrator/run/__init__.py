"""One run: build, convert, measure baselines, launch, journal."""
