"""Settings: read once from an environment, checked, changed for a while."""

import contextlib

import pytest

from lampas.engine.settings import NAMES, VARIABLES, Settings, parse, read_settings, settings


def test_defaults() -> None:
    assert read_settings({}) == Settings()


def test_every_setting_has_one_variable() -> None:
    assert set(VARIABLES) == NAMES
    assert len(set(VARIABLES.values())) == len(VARIABLES) <= 12


def test_values_are_read_by_the_type_of_their_default() -> None:
    found = read_settings(
        {"LAMPAS_DEBUG": "3", "LAMPAS_TIER": "reference", "LAMPAS_FUSE": "off", "LAMPAS_EAGER": "1"}
    )
    assert (found.debug, found.tier, found.fuse, found.eager) == (3, "reference", False, True)


@pytest.mark.parametrize("word", ["", "0", "false", "No", "OFF"])
def test_words_for_false(word: str) -> None:
    assert parse("LAMPAS_FUSE", word, True) is False


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("LAMPAS_TIER", "fast", "can be one of auto, reference, compiled"),
        ("LAMPAS_DEBUG", "lots", "LAMPAS_DEBUG is 'lots'; it takes a whole number"),
        ("LAMPAS_VECTOR", "48", "can be 0, 16, 32 or 64"),
    ],
)
def test_bad_values_are_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_settings({variable: text})


def test_override_restores_after_an_error() -> None:
    before = settings.debug
    seen = []
    with contextlib.suppress(KeyError), settings.override(debug=5):
        seen.append(settings.debug)
        raise KeyError
    assert (seen, settings.debug) == ([5], before)


def test_override_refuses_unknown_names() -> None:
    with (
        pytest.raises(AttributeError, match="no setting is called 'colour'"),
        settings.override(colour=1),
    ):
        pass
