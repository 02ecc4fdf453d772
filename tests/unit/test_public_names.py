"""What ``from twin import ...`` offers."""

import twin
import twin.runner  # a submodule that is imported must not hide a public name


def test_every_public_name_is_there_and_none_is_a_module():
    for name in twin.__all__:
        assert not isinstance(getattr(twin, name), type(twin)), name

    assert callable(twin.run)
    assert twin.run is twin.runner.run


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(twin, "walk")
