"""Makes src/genai/prices/data/genai-prices.json.zst, the book of prices that Millrace is built with, from the package
genai-prices of PyPI (MIT), which `make test-tools` installs.

    .tools/venv/bin/python tools/prices/make.py            # writes the file (`make prices`)
    .tools/venv/bin/python tools/prices/make.py --print    # prints what is in it, for the test that compares

The package must be the one of genai-prices.lock: its hashes are checked before anything of it is run. The form is described in
docs/prices.md. Names, comments, addresses and how to read responses are left out: no price depends on them.
"""

import hashlib
import importlib.util
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
OUT = HERE.parent.parent / "src/genai/prices/data/genai-prices.json.zst"


def locked():
    lines = (HERE / "genai-prices.lock").read_text().splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def check(lock):
    folder = pathlib.Path(importlib.util.find_spec("genai_prices").submodule_search_locations[0])
    for name in ("data.py", "data_units.py"):
        found = "sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != lock[name]:
            sys.exit(f"{folder / name} has {found}, and the lock file has {lock[name]}")


def match_of(rule):
    """A rule as its one key and value. A look-ahead at the start, which not every engine has, becomes a rule of its own."""
    kind = type(rule).__name__
    if kind == "ClauseOr":
        return {"or": [match_of(one) for one in rule.or_]}
    if kind == "ClauseAnd":
        return {"and": [match_of(one) for one in rule.and_]}
    if kind == "ClauseRegex":
        if not rule.regex.startswith("^(?!"):
            return {"regex": rule.regex}
        end = closing(rule.regex, 1)
        return {"and": [{"not": {"regex": "^" + rule.regex[len("^(?!"):end]}}, {"regex": "^" + rule.regex[end + 1:]}]}
    names = {"ClauseEquals": "equals", "ClauseStartsWith": "starts_with", "ClauseEndsWith": "ends_with",
             "ClauseContains": "contains"}
    return {names[kind]: getattr(rule, names[kind]).lower()}


def closing(regex, at):
    """Where the parenthesis at `at` is closed."""
    depth = 0
    for match in re.finditer(r"\\.|\[[^]]*\]|[()]", regex[at:]):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return at + match.start()
    sys.exit(f"{regex} has a parenthesis without an end")


def number(decimal):
    return format(decimal.normalize(), "f")


def rate_of(price):
    if type(price).__name__ == "TieredPrices":
        return {"base": number(price.base), "above": {str(tier.start): number(tier.price) for tier in price.tiers}}
    return number(price)


def rates_of(prices):
    return {key: rate_of(price) for key, price in prices.__dict__.items() if price is not None}


def when_of(constraint):
    if constraint is None:
        return {}
    if type(constraint).__name__ == "StartDateConstraint":
        return {"from": constraint.start_date.isoformat()}
    return {"daily": [utc(constraint.start_time), utc(constraint.end_time)]}


def utc(time):
    if time.utcoffset():
        sys.exit(f"{time} is not in UTC")
    return time.strftime("%H:%M:%S")


def model_of(model):
    prices = model.prices
    out = {"id": model.id, "match": match_of(model.match)}
    if isinstance(prices, list):
        out["prices"] = [when_of(one.constraint) | {"prices": rates_of(one.prices)} for one in prices]
    else:
        out["prices"] = rates_of(prices)
    if model.price_variants:
        out["variants"] = [{"when": one.when} | when_of(one.constraint) | {"prices": rates_of(one.prices)}
                           for one in model.price_variants]
    return out


def provider_of(provider):
    out = {"id": provider.id}
    if provider.provider_match is not None:
        out["match"] = match_of(provider.provider_match)
    if provider.model_match is not None:
        out["model_match"] = match_of(provider.model_match)
    if provider.fallback_model_providers:
        out["fallback"] = provider.fallback_model_providers
    out["models"] = [model_of(model) for model in provider.models]
    return out


def main():
    lock = locked()
    check(lock)
    from genai_prices.data import providers

    book = {"book": f"genai-prices {lock['version']}", "providers": [provider_of(provider) for provider in providers]}
    text = json.dumps(book, ensure_ascii=False, separators=(",", ":")).encode()
    if "--print" in sys.argv[1:]:
        sys.stdout.buffer.write(text)
        return
    from backports import zstd

    packed = zstd.compress(text, level=19)
    OUT.write_bytes(packed)
    print(f"{OUT.name}: {len(text)} bytes, {len(packed)} compressed")


if __name__ == "__main__":
    main()
