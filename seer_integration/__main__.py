"""``python -m seer_integration``: job files from the command line."""

from seer_integration.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
