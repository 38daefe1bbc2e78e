"""``python -m lithops_shm`` is ``lithops-shm``."""

from lithops_shm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
