"""report.html: the answers, all rows, the charts and the evidence of a summary in one file that loads nothing else."""
