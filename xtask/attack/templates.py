"""Chat templates that grow, loop, recurse or are no templates, each as the template of a model of its own."""

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

from server import TINY

# Values to begin with, and steps that make them larger.
STARTS = {"list": "[1, 2]", "dict": "{'a': 1}", "text": "'ab'"}
STEPS = {
    "list": ["ns.x + ns.x", "[ns.x, ns.x]", "ns.x + [ns.x]", "ns.x * 2", "ns.x | list + ns.x", "(ns.x | map('string') | list) + ns.x", "ns.x[:] + ns.x[::-1]"],
    "dict": ["{'a': ns.x, 'b': ns.x}", "dict(a=ns.x, b=ns.x)", "{'a': ns.x.items() | list, 'b': ns.x}"],
    "text": ["ns.x ~ ns.x", "ns.x + ns.x", "ns.x * 2", "ns.x.replace('a', 'aaaa')", "[ns.x, ns.x] | join", "'%s%s' % (ns.x, ns.x)",
             "'{}{}'.format(ns.x, ns.x)", "ns.x | indent(1000)", "ns.x | replace('b', 'bb')", "ns.x | tojson", "ns.x | urlencode", "ns.x.join([ns.x, ns.x])",
             "ns.x | center(ns.x | length * 3)", "ns.x | escape ~ ns.x"],
}
ENDS = ["{{ ns.x }}", "{{ ns.x | length }}", "{{ ns.x | tojson }}", "{{ ns.x | tojson(indent=64) }}", "{{ ns.x | string | length }}", "{{ ns.x == ns.x }}", "{{ ns.x | pprint }}"]
TIMES = [10, 60, 2000]
WHOLE = [
    "{{ 'ab' * 1000000000 }}", "{{ [1] * 1000000000 }}", "{{ '%1000000000d' % 1 }}", "{{ '%.1000000000f' % 1 }}", "{{ '{:>999999999}'.format(1) }}",
    "{{ 'x'.ljust(999999999) }}", "{{ 'x' | center(999999999) }}", "{{ 'x\\ny' | indent(999999999) }}", "{{ range(1000000000) | list | length }}",
    "{% for i in range(1000000000) %}{% endfor %}", "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ m() }}{% endcall %}",
    "{% set x = range(100000) | list %}{% for i in x %}{{ x.index(99999) }}{% endfor %}", "{% set x = 'a' * 1000000 %}{% for i in range(10000) %}{{ x.find('b') }}{% endfor %}",
    "{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% set y = x.replace('b', 'c') %}{% endfor %}", "{% set x = range(100000) | list %}{% for i in range(10000) %}{{ x | sort | length }}{% endfor %}",
    "{% set x = range(100000) | list %}{% for i in range(10000) %}{{ (x | unique | list) | length }}{% endfor %}", "{{ 10 ** 100000000 }}", "{{ 1 / 0 }}", "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775808 // -1 }}",
    "{{ a.1b }}", "{% set 1a = 2 %}", "{{ \u200da }}", "{% for - in x %}{% endfor %}", "{{ 'a'.'b' }}", "{{ a.\u0660 }}", "{{", "{%", "{#", "{% if %}", "{% endfor %}", "{{ '\\u0000' }}", "\0", "",
    "{% include 'default' %}", "{% extends 'default' %}", "{% import 'default' as x %}{{ x }}", "{% block a %}{{ self.a() }}{% endblock %}", "{{ self }}{{ loop }}{{ namespace }}",
    "{{ messages.__class__.__mro__ }}", "{{ ''.__class__ }}", "{{ cycler.__init__.__globals__ }}", "{{ raise_exception('\\x1b[31mred\\n\\n[error] forged') }}", "{{ strftime_now('%Y' * 100000) }}", "{{ lipsum(1000000) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}", "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}{{ ns | tojson }}", "{{ messages | tojson(indent=1000000) }}", "{{ messages[0] | items | list }}", "{{ debug() }}",
]
DEEP = ["{% if 1 %}", "{% for i in [1] %}", "{{ (", "{{ [", "{{ {'a':", "{{ not ", "{{ - ", "{{ x.a", "{{ x[0]", "{% filter upper %}", "{% macro m() %}", "{{ 'a' ~ "]


def texts(count: int, rng: random.Random) -> Iterator[str]:
    """So many templates, each family among them."""
    made = list(WHOLE)
    for kind, start in STARTS.items():
        for step, end, times in itertools.product(STEPS[kind], ENDS, TIMES):
            body = f"{{% for i in range({times}) %}}{{% set ns.x = {step} %}}{{% endfor %}}"
            made.append(f"{{% set ns = namespace(x={start}) %}}{body}{end}")
    made += [start * depth + "x" for start in DEEP for depth in (50, 500, 20_000)]
    made += ["{{ x" + part * 20_000 + " }}" for part in (".a", "[0]", "|upper", "+1", "~'a'", "(1)", " if 1 else 2", " and 1", "==1")]
    rest = made[len(WHOLE):]
    rng.shuffle(rest)
    made[len(WHOLE):] = rest
    while len(made) < count:
        made.append(rng.choice(rest)[: rng.randrange(200)] + rng.choice(WHOLE))
    yield from made[:count]


def models(folder: Path, templates: list[str]) -> list[Path]:
    """A model for each template: the tiny one's files, with another tokenizer_config.json."""
    config = json.loads(Path(TINY, "tokenizer_config.json").read_text())
    made = []
    for number, template in enumerate(templates):
        model = folder / f"m{number}"
        model.mkdir()
        for file in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"):
            os.symlink(Path(TINY, file), model / file)
        (model / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
        made.append(model)
    return made
