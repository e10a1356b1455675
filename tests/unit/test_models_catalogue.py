import re

import pytest

from specreason.errors import ConfigError
from specreason.models import cache, catalogue
from specreason.models.catalogue import HubFile, HubModel, RegistryWheels, Weights


def test_weights_are_found_by_name():
    found = catalogue.weights("qwen2.5-coder-1.5b-instruct")
    assert found.bytes == 1_117_320_768
    assert found.licence == "Apache-2.0"


def test_an_unknown_model_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'qwen2.5-coder-1.5b'.*Nearest: qwen2.5-coder-1.5b-instruct"):
        catalogue.weights("qwen2.5-coder-1.5b")


def test_a_name_near_to_nothing_lists_what_is_known():
    with pytest.raises(ConfigError, match=r"Unknown pair 'zzz'\. Known: qwen-coder, pocket, qwq-r1"):
        catalogue.pair("zzz")


def test_the_embedded_pair_runs_from_files_and_the_pairs_of_the_paper_do_not():
    embedded = [pair.name for pair in catalogue.PAIRS.values() if pair.embedded]
    assert embedded == [catalogue.EMBEDDED_PAIR, catalogue.POCKET_PAIR]
    assert catalogue.pair("qwq-zr1").base == HubModel("Qwen/QwQ-32B", "Apache-2.0")
    assert catalogue.pair("r1-70b").small.name == "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"


SHIPPED = [weights for weights in catalogue.WEIGHTS.values() if weights.shipped]
FETCHED = [weights for weights in catalogue.WEIGHTS.values() if not weights.shipped]


@pytest.mark.parametrize("weights", SHIPPED, ids=lambda weights: weights.name)
def test_what_is_shipped_is_what_the_catalogue_says(weights: Weights):
    assert weights.sources == ()
    assert cache.verify(weights) == cache.path_of(weights)


@pytest.mark.parametrize("weights", FETCHED, ids=lambda weights: weights.name)
def test_every_other_entry_can_be_fetched_and_checked(weights: Weights):
    assert re.fullmatch("[0-9a-f]{64}", weights.sha256)
    assert weights.file.endswith(".gguf")
    hub, registry = weights.sources
    assert isinstance(hub, HubFile)
    assert isinstance(registry, RegistryWheels)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package) for package in registry.packages)
    assert len(set(registry.packages)) == len(registry.packages)


def test_the_files_of_a_pair_and_of_its_base_are_two():
    found = catalogue.files_of(["qwen-coder", "qwen2.5-coder-1.5b-instruct"])
    assert [item.name for item in found] == ["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct"]


@pytest.mark.parametrize("name", ["qwq-r1", "Qwen/QwQ-32B"])
def test_what_only_a_gpu_server_loads_has_no_files(name: str):
    with pytest.raises(ConfigError, match=f"'{name}' has no file to fetch: a GPU server"):
        catalogue.files_of([name])


def test_a_misspelt_name_suggests_models_and_pairs():
    with pytest.raises(ConfigError, match="Nearest: qwen-coder"):
        catalogue.files_of(["qwen-codr"])
