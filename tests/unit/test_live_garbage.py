import gc
import weakref

from twin.live.garbage import short_collections


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.me = self


def test_what_was_there_before_is_left_out_of_collections_and_comes_back() -> None:
    before = gc.get_freeze_count()
    kept = [[number] for number in range(1000)]
    with short_collections():
        assert gc.get_freeze_count() > before + len(kept)
        assert not any(entry is kept[0] for entry in gc.get_objects())
        ring = weakref.ref(Ring())
        gc.collect()
        assert ring() is None, "garbage of the run is still collected"
    assert gc.get_freeze_count() == 0
    assert any(entry is kept[0] for entry in gc.get_objects())
