"""Writes a small file in place of a converted checkpoint; takes as many seconds as the setting convert_s."""

import json
import time

from common.convert.artefact import main


def convert(checkpoint, out, job):
    (out / "dummy.json").write_text(json.dumps({"from": sorted(path.name for path in checkpoint.iterdir())}))
    time.sleep(job.settings.get("convert_s", 0))


if __name__ == "__main__":
    main(convert)
