"""From a job's graph to stages of tasks: what is fused, what is pushed into scans, where rows have to meet."""
