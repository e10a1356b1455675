"""The lab's model, its batches and its export; needs the `lab` extra (`make lab-test`)."""

import asyncio
import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the lab extra: make lab-test")

from specreason_lab.agree import agreement
from specreason_lab.batches import CHAIN, Maker, ask, batch, chain, hang, judged_chain, step_ends
from specreason_lab.export import export_gguf, export_hub_folder, read_gguf
from specreason_lab.model import Llama, Shape, continued, deepened, widened
from specreason_lab.plans import VOCABULARY
from specreason_lab.problems import problems
from specreason_lab.tokenizer import encode, make_tokenizer, opened
from specreason_lab.train import Plan, train

from specreason.models import cache
from specreason.reasoning.prompts import INLINE_JUDGE

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("lab") / "tokenizer.json", VOCABULARY)


@pytest.fixture(params=[False, True], ids=["two vectors a token", "tied"])
def model(request):
    torch.manual_seed(3)
    made = Llama(Shape(layers=2, width=64, hidden=96, vocabulary=VOCABULARY, tied=request.param))
    for parameter in made.parameters():  # so that no block is silent
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def straight(length):
    return torch.arange(length)[None], torch.ones(length, length).tril().bool()[None, None]


def test_numbers_blank_lines_and_the_question_are_single_tokens(tokenizer):

    for text in ("7", "42", " 7", " 42", "\n\n", "</think>", INLINE_JUDGE):
        assert len(encode(tokenizer, text)) == 1, text


def test_text_comes_back(tokenizer):
    for made in itertools.islice(problems(1, "train"), 50):
        text = opened(made.text) + "".join(made.steps)
        assert tokenizer.decode(encode(tokenizer, text), skip_special_tokens=False) == text


def test_a_branch_reads_as_if_it_stood_in_the_chain(tokenizer, model):
    made = next(problems(1, "train"))
    prompt = opened(made.text)
    row, at = chain(tokenizer, prompt, made), step_ends(tokenizer, prompt, made)[1]
    extra = list(encode(tokenizer, made.steps[2]))
    before, plain = list(row.ids), row.ids[:at] + extra
    hang(row, at, extra, 5)
    hang(row, at + 3, extra, 6)
    told = batch([row])
    with torch.no_grad():
        branched = model(told.ids, told.positions, told.mask)[0]
        inline = model(torch.tensor([plain]), *straight(len(plain)))[0]
        alone = model(torch.tensor([before]), *straight(len(before)))[0]
    torch.testing.assert_close(branched[len(before) : len(before) + len(extra)], inline[at:])
    torch.testing.assert_close(branched[: len(before)], alone)


def test_a_verdict_in_the_middle_sees_the_branch_up_to_there(tokenizer, model):
    made = next(problems(1, "train"))
    prompt = opened(made.text)
    row, at = chain(tokenizer, prompt, made), step_ends(tokenizer, prompt, made)[1]
    extra = list(encode(tokenizer, made.steps[2]))
    judge = encode(tokenizer, INLINE_JUDGE)[0]
    branch = hang(row, at, [*extra, judge], 5)
    ask(row, branch, at, 4, judge, 6)
    plain = [*row.ids[:at], *extra[:5], judge]
    told = batch([row])
    with torch.no_grad():
        branched = model(told.ids, told.positions, told.mask)[0]
        inline = model(torch.tensor([plain]), *straight(len(plain)))[0]
    torch.testing.assert_close(branched[-1], inline[-1])


def test_deepening_keeps_the_function(model):
    ids = torch.randint(0, VOCABULARY, (1, 20))
    deep = deepened(model, 5).eval()
    with torch.no_grad():
        torch.testing.assert_close(deep(ids, *straight(20)), model(ids, *straight(20)))


def test_widening_keeps_the_function(model):
    ids = torch.randint(0, VOCABULARY, (1, 20))
    shape = replace(model.shape, width=128, hidden=160)
    wide = widened(model, shape).eval()
    with torch.no_grad():  # but for the norms' epsilon, and what is faint in tied tokens
        torch.testing.assert_close(wide(ids, *straight(20)), model(ids, *straight(20)), rtol=2e-2, atol=2e-2)


def test_the_shipped_weights_are_of_this_tokenizer(tokenizer):
    for name in ("base", "small"):
        shipped = read_gguf(cache.require(f"specreason-pocket-{name}"))
        assert shipped.shape.vocabulary == tokenizer.get_vocab_size() == VOCABULARY


def test_writing_with_a_cache_is_writing_without(model):
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12]]
    written = continued(model, prompts, frozenset(), 6, 0.0, 0)
    for prompt, told in zip(prompts, written, strict=True):
        ids = list(prompt)
        for _ in range(6):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids]), *straight(len(ids)))[0, -1].argmax()))
        assert told == ids[len(prompt) :]


def test_batches_depend_on_seed_and_number_only(tokenizer):
    one, two = (Maker(tokenizer, 512, 1, 2).batches((1, 3), 4) for _ in range(2))
    assert all(
        torch.equal(a.ids, b.ids) and torch.equal(a.mask, b.mask) for a, b in zip(one, two, strict=True)
    )
    assert {int(t) for b in one for t in b.targets[b.judged]} <= {encode(tokenizer, d)[0] for d in "09"}


def test_slips_are_told_where_the_right_token_is_another_one(tokenizer):
    told: list[int] = []
    for number, problem in enumerate(itertools.islice(problems(0, "train"), 20)):
        row = judged_chain(tokenizer, random.Random(number), opened(problem.text), problem)
        for place in range(1, row.branch.count(CHAIN)):
            if row.slipped[place] >= 0:
                assert row.slipped[place] == (row.ids[place] != row.targets[place - 1])
                told.append(row.slipped[place])
    assert 20 < sum(told) < len(told) / 5


PLAN = Plan(
    "tiny",
    Shape(layers=2, width=32, hidden=48, vocabulary=VOCABULARY, tied=True),
    tokens=12_000,
    batch=512,
    muon=0.01,
    adam=2e-3,
    shallow=1,
    judge=0.6,
    alarm=1.0,
)


@pytest.fixture(scope="module")
def whole(tokenizer, tmp_path_factory):
    return train(PLAN, tmp_path_factory.mktemp("whole"), tokenizer, measures=False)


def test_training_goes_on_where_it_stopped(whole, tokenizer, tmp_path: Path):
    train(replace(PLAN, until=4_800), tmp_path, tokenizer, measures=False)
    parts = train(PLAN, tmp_path, tokenizer, measures=False)
    assert len(parts.blocks) == 2
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value)


def test_llama_cpp_writes_what_pytorch_writes(whole, tokenizer, tmp_path: Path):
    pytest.importorskip("xllamacpp", reason="needs the embedded extra")
    export_gguf(whole, tokenizer, tmp_path / "tiny.gguf", "tiny")
    same = asyncio.run(agreement(whole, tokenizer, tmp_path / "tiny.gguf", 10))
    assert sum(same) >= 9  # llama.cpp keeps its cache in 16 bits


def test_what_was_exported_can_be_read(model, tokenizer, tmp_path: Path):
    export_gguf(model, tokenizer, tmp_path / "tiny.gguf", "tiny")
    again = read_gguf(tmp_path / "tiny.gguf")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_transformers_reads_the_hub_folder(model, tokenizer, tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="not part of the lab extra")
    export_hub_folder(model, tokenizer, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = opened("Modulo 100, with a 1.")
    assert words(text)["input_ids"] == list(encode(tokenizer, text))
    assert words.apply_chat_template(
        [{"role": "user", "content": "Modulo 100, with a 1."}], add_generation_prompt=True, tokenize=False
    ) == opened("Modulo 100, with a 1.")
    ids = torch.tensor([list(encode(tokenizer, text))])
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(ids).logits, model(ids, *straight(ids.shape[1])), rtol=1e-3, atol=1e-3
        )
