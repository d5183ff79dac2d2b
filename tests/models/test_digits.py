"""The main job in small: the digits network learns, and the report and the picture come out."""

import re
from pathlib import Path

import numpy
import pytest

import lampas
from lampas.cli import main
from lampas.data import load_digits
from lampas.demo import digits
from lampas.demo.session import Options, train


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_one_epoch_reads_most_digits(optimizer: str) -> None:
    outcome = train(lampas, Options(epochs=1, optimizer=optimizer, quiet=True))
    assert outcome.accuracy > 85
    assert len(outcome.epochs[0].losses) == 63
    assert outcome.epochs[0].losses[0] == pytest.approx(2.3, abs=0.15)
    assert outcome.images == 4000
    labels = load_digits().test_labels
    assert outcome.accuracy == pytest.approx((outcome.predictions == labels).mean() * 100)


def test_training_is_repeatable() -> None:
    first, second = (
        train(lampas, Options(epochs=1, batch=500, quiet=True)).epochs[0].losses for _ in range(2)
    )
    assert first == second


def test_other_seed_other_losses() -> None:
    first, second = (
        train(lampas, Options(epochs=1, batch=1000, seed=seed, quiet=True)).epochs[0].losses
        for seed in (0, 1)
    )
    assert first != second


def test_command_reports_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "deep" / "digits.png"
    arguments = ["demo", "--epochs", "1", "--batch", "200", "--output", str(output)]
    assert main([*arguments, "--target", "50"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"test accuracy \d\d\.\d %", shown)
    assert "images/s" in shown
    assert str(output) in shown.replace("\n", "")
    assert output.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--target", "99.9", "--quiet"]) == 1
    assert "below the target of 99.9 %" in capsys.readouterr().out


def test_predictions_are_plain_numpy() -> None:
    data = load_digits()
    images, _ = digits.to_tensors(lampas, data.test_images[:7], data.test_labels[:7])
    predictions = digits.predict(lampas, digits.make_model(lampas), images)
    assert predictions.shape == (7,)
    assert predictions.dtype == numpy.int64


def test_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="can be 'adam' or 'sgd'"):
        digits.make_optimizer(lampas, "lion", None)
