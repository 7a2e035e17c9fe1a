"""Writes a small file in place of a converted checkpoint."""

import json

from common.conversion import main


def convert(checkpoint, out, job):
    (out / "dummy.json").write_text(json.dumps({"from": sorted(path.name for path in checkpoint.iterdir())}))


if __name__ == "__main__":
    main(convert)
