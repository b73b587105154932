"""Lists that are read page by page, by the number of the first item, while others change them."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from connector.trackers.port import Unavailable

PAGE = 100  # items asked for at once
_STEPS_BACK = 20  # so many times a list may shift under one reading before it is given up


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `total` is the length of the whole list as of now, where the tracker tells it."""

    items: Sequence[dict[str, Any]]
    total: int | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any], key: str) -> "Page":
        """A page from an answer that lists objects with ids under `key`. Raises Unavailable if it does not."""
        items, total = answer.get(key), answer.get("total")
        if not isinstance(items, list) or not all(isinstance(each, dict) and "id" in each for each in items):
            raise Unavailable(f"The tracker's answer has not the form that its documentation tells: no {key}.")
        return cls(items, total if isinstance(total, int) else None)


def walk(read: Callable[[int], Page]) -> Iterator[dict[str, Any]]:
    """Every item that stays in the list while it is read, each once; `read` gives the page that starts at a number.

    Each page starts with the last item of the page before. If another item stands there, the list has shifted, and
    what moved to the front may not have been seen: then it goes back by one page. The list's order must be steady: an
    item keeps its place among those that stay.
    """
    seen: set[str] = set()
    start, last, steps_back = 0, None, 0
    while True:
        page = read(start)
        ids = [str(item["id"]) for item in page.items]
        if _has_shifted(ids, start, last, seen):
            steps_back += 1
            if steps_back > _STEPS_BACK:
                raise Unavailable("The tracker's list changes faster than it can be read.")
            start, last = max(start - PAGE, 0), None
            continue
        for item, item_id in zip(page.items, ids, strict=True):
            if item_id not in seen:
                seen.add(item_id)
                yield item
        end = start + len(ids)
        if not ids or ids == [last] or (page.total is not None and end >= page.total):
            return
        start, last = end - 1, ids[-1]


def _has_shifted(ids: Sequence[str], start: int, last: str | None, seen: Set[str]) -> bool:
    if last is not None:
        return ids[:1] != [last]
    # Gone back: not far enough, unless the page starts with something seen before, as then all before it was seen.
    return start > 0 and not (ids and ids[0] in seen)
