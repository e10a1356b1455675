"""Word problems for pairs of language models: generated, the same for the same seed.

python -m benchmarks.word_problems --problems 100 > problems.jsonl
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from specreason.eval.find_task import find_task
from specreason.eval.tasks import Problem, Task, limited

NAMES = ("Mara", "Jonas", "Aisha", "Pavel", "Noor", "Emil", "Rosa", "Kenji", "Ines", "Tomas")


@dataclass(frozen=True, slots=True)
class Story:
    """A text with places for numbers, which are drawn from `ranges`, and what they come to."""

    text: str
    ranges: tuple[range, ...]
    answer: Callable[[Sequence[int]], int]


STORIES = (
    Story(
        "{name} bakes {0} trays of {1} rolls, sells {2} of the rolls, and packs the rest into bags of 2. How "
        "many bags does {name} fill?",
        (range(3, 9), range(8, 21, 2), range(4, 21, 2)),
        lambda n: (n[0] * n[1] - n[2]) // 2,
    ),
    Story(
        "A bus leaves with {0} passengers. At the first stop {1} get off and twice as many get on. At the "
        "second stop {2} get off. How many passengers are on the bus then?",
        (range(20, 40), range(3, 12), range(2, 20)),
        lambda n: n[0] + n[1] - n[2],
    ),
    Story(
        "{name} saves {0} dollars a week for {1} weeks, and then spends {2} dollars on a lamp and half of "
        "that on a rug. How many dollars are left?",
        (range(12, 30), range(5, 10), range(10, 31, 2)),
        lambda n: n[0] * n[1] - n[2] - n[2] // 2,
    ),
    Story(
        "A school orders {0} boxes with {1} pencils each. Each of {2} classes gets 25 pencils. How many "
        "pencils remain?",
        (range(8, 16), range(24, 49, 4), range(3, 7)),
        lambda n: n[0] * n[1] - 25 * n[2],
    ),
    Story(
        "{name} walks {0} km on Monday, {1} km more than that on Tuesday, and on Wednesday as far as on both "
        "days together. How many km does {name} walk in the three days?",
        (range(3, 12), range(1, 7)),
        lambda n: 2 * (2 * n[0] + n[1]),
    ),
    Story(
        "A ticket costs {0} dollars for adults and {1} dollars less for children. What do {2} adults and {3} "
        "children pay together, in dollars?",
        (range(12, 21), range(3, 8), range(2, 5), range(2, 7)),
        lambda n: n[0] * n[2] + (n[0] - n[1]) * n[3],
    ),
    Story(
        "A tank has {0} litres of water. {1} litres run out each hour, and after every two hours {2} litres "
        "are filled in. How many litres are in the tank after 6 hours?",
        (range(200, 320, 10), range(15, 31), range(5, 25)),
        lambda n: n[0] - 6 * n[1] + 3 * n[2],
    ),
    Story(
        "{name} has {0} stickers. A friend has {1} times as many, and gives {name} a third of them. How many "
        "stickers does {name} have then?",
        (range(12, 40), range(3, 10, 3)),
        lambda n: n[0] + n[0] * n[1] // 3,
    ),
)


def word_problems(count: int, seed: int = 0) -> Task:
    """So many problems; their answers are whole numbers."""
    rng = random.Random(seed)
    made: list[Problem] = []
    for number in range(count):
        story = rng.choice(STORIES)
        numbers = [rng.choice(values) for values in story.ranges]
        text = story.text.format(*numbers, name=rng.choice(NAMES))
        made.append(Problem(f"w{number}", text, str(story.answer(numbers))))
    return Task("word-problems", f"benchmarks.word_problems, seed {seed}", tuple(made))


def add_task(parser: argparse.ArgumentParser, problems: int) -> None:
    """The options that choose problems; `problems`: how many by default."""
    parser.add_argument("--problems", type=int, default=problems)
    parser.add_argument("--skip", type=int, default=0, help="problems to pass over first")
    parser.add_argument("--task", help="a name or file as for specreason eval run (default: generated)")


def chosen_task(arguments: argparse.Namespace) -> Task:
    """What these options choose."""
    count, skip = arguments.problems, arguments.skip
    found = find_task(arguments.task, 0) if arguments.task else word_problems(skip + count)
    return limited(found, count, skip)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--problems", type=int, default=100)
    for one in word_problems(options.parse_args().problems).problems:
        print(json.dumps({"id": one.id, "problem": one.text, "answer": one.answer}))
