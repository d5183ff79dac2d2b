"""A short fuzzing campaign of the checkpoint readers; the long one is run by hand."""

import importlib.util
import pathlib

import pytest

_path = pathlib.Path(__file__).with_name("checkpoint_mutations.py")
_spec = importlib.util.spec_from_file_location("checkpoint_mutations", _path)
mutations = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mutations)


@pytest.fixture(scope="module")
def campaign():
    return mutations.Campaign()


@pytest.mark.parametrize("block", range(8))
def test_mutated_files_do_nothing_but_raise(campaign, block):
    for seed in range(block * 100, block * 100 + 100):
        campaign.run(seed, memory=seed % 10 == 0)


def test_mutated_files_read_as_files(tmp_path):
    campaign = mutations.Campaign(tmp_path / "x.pt")
    for seed in range(5000, 5200):
        campaign.run(seed)


def test_unmutated_files_load(campaign):
    for data in (
        campaign.zip,
        campaign.legacy,
        campaign.tar,
        mutations.rebuilt_zip(campaign.parts),
    ):
        assert len(mutations.load(mutations.io.BytesIO(data))) >= 1
    assert 10 < campaign.loaded < 790
