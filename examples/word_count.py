"""The words of text files: objects of a storage, cut at line ends into parts, a call for each.

python examples/word_count.py docs/*.md --top 5
"""

import argparse
import re
from collections import Counter
from pathlib import Path
from typing import Any

import lithops


def count(obj: Any) -> Counter[str]:
    """The words of one part of one file."""
    return Counter(re.findall(r"[a-z']+", obj.data_stream.read().decode().lower()))


def add_up(results: list[Counter[str]]) -> Counter[str]:
    return sum(results, Counter[str]())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="UTF-8 texts")
    parser.add_argument("--top", type=int, default=10, help="how many words to print (default: %(default)s)")
    options = parser.parse_args()
    executor = lithops.FunctionExecutor(storage="shm", log_level=None)
    for number, path in enumerate(options.files):
        executor.storage.put_object("texts", f"{number}-{path.name}", path.read_bytes())
    words = executor.get_result(executor.map_reduce(count, "shm://texts/", add_up, obj_chunk_number=4))
    for word, times in words.most_common(options.top):
        print(f"{times:6d}  {word}")


if __name__ == "__main__":
    main()
