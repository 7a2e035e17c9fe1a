"""Code that runs inside every engine's container: the engine contract, the launch, timing, limits and conversion.

Light on purpose: the standard library, with numpy and torch imported only where they are needed. It never imports the
orchestrator; the two exchange files (job.json, samples.jsonl, result.json).
"""
