"""Prices calls with genai-prices itself: one JSON object a line, with the call and what the package says that it costs.

    python prices_oracle.py SEED COUNT
"""

import datetime
import decimal
import json
import random
import sys

from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ClauseAnd, ClauseContains, ClauseEndsWith, ClauseEquals, ClauseOr, ClauseStartsWith

# exact, whatever the digits
decimal.getcontext().prec = 80
PICO = decimal.Decimal("1e-12")
TIERS = ["", "", "", "default", "batch", "flex", "priority", "fast"]
BY_ID = {provider.id: provider for provider in providers}


def names(rule):
    """Names for which a rule may hold."""
    match rule:
        case ClauseEquals():
            return [rule.equals]
        case ClauseStartsWith():
            return [rule.starts_with, rule.starts_with + "-x", rule.starts_with + "-20250929"]
        case ClauseEndsWith():
            return [rule.ends_with, "x" + rule.ends_with]
        case ClauseContains():
            return [rule.contains, f"a.{rule.contains}.b"]
        case ClauseOr():
            return [name for one in rule.or_ for name in names(one)]
        case ClauseAnd():
            return ["-".join(names(one)[0] for one in rule.and_ if names(one))]
        case _:
            # a regular expression: its digits filled in
            text = rule.regex.strip("^$").replace("\\d{8}", "20250929").replace("\\d{4}", "2025").replace("\\d{2}", "09")
            return [text.replace("\\", "")]


def is_special(model):
    """Whether its price depends on the time or the tier, or has a unit that few have."""
    if isinstance(model.prices, list) or model.price_variants:
        return True
    return any("audio" in key or "1h" in key or "reasoning" in key for key in model.prices.__dict__)


SPECIAL = [(provider, model) for provider in providers for model in provider.models if is_special(model)]


def model_of(rng, model):
    name = rng.choice(names(model.match) or [model.id])
    change = rng.random()
    if change < 0.05:
        return name.upper()
    if change < 0.1:
        return name + rng.choice(["-20250929", ":free", "-2025-09-29", "-latest", "x"])
    return name


def call_of(rng):
    seller, model = rng.choice(SPECIAL)
    if rng.random() < 0.6:
        seller = owner = rng.choice(providers)
        if seller.fallback_model_providers and rng.random() < 0.5:
            owner = BY_ID[rng.choice(seller.fallback_model_providers)]
        model = rng.choice(owner.models)
    model = model_of(rng, model)
    provider = rng.choice([seller.id] * 8 + ["", "litellm", seller.id.upper(), "nobody"])
    if provider == "litellm" and rng.random() < 0.7:
        model = f"{seller.id}/{model}"
    return provider, model


def usage_of(rng):
    size = rng.choice([1, 100, 10_000, 150_000, 250_000, 1_000_000])
    total = rng.randrange(size + 1)
    usage = {"input_tokens": total, "output_tokens": rng.randrange(size + 1)}
    if rng.random() < 0.4:
        usage["cache_read_tokens"] = rng.randrange(total + 1)
    if rng.random() < 0.3:
        usage["cache_write_tokens"] = rng.randrange(total + 1 - usage.get("cache_read_tokens", 0))
        if rng.random() < 0.5:
            usage["cache_write_1h_tokens"] = rng.randrange(usage["cache_write_tokens"] + 1)
    if rng.random() < 0.5:
        usage["input_audio_tokens"] = rng.randrange(total + 1)
    if rng.random() < 0.1:
        usage["output_audio_tokens"] = rng.randrange(usage["output_tokens"] + 1)
    if rng.random() < 0.2:
        usage["output_reasoning_tokens"] = rng.randrange(usage["output_tokens"] + 1)
    if rng.random() < 0.05:
        usage["output_tokens"] = 0
        usage.pop("output_audio_tokens", None)
        usage.pop("output_reasoning_tokens", None)
    return usage


def context_of(tier):
    context = {"service_tier": tier} if tier else {}
    if tier == "batch":
        context["processing"] = "batch"
    if tier == "fast":
        context["speed"] = "fast"
    return context


def text(amount):
    return format(amount.quantize(PICO, decimal.ROUND_HALF_EVEN).normalize(), "f")


def priced(provider, model, usage, at, tier):
    try:
        price = calc_price(
            Usage(**usage),
            model,
            provider_id=provider or None,
            genai_request_timestamp=at,
            price_context=context_of(tier),
        )
    except LookupError:
        return {"error": "lookup"}
    except ValueError:
        return {"error": "value"}
    keys = {key for key, value in price.model_price.__dict__.items() if value is not None}
    # the package leaves out what has no price
    lacks = (usage["input_tokens"] and "input_mtok" not in keys) or (usage["output_tokens"] and "output_mtok" not in keys)
    return {
        "seller": price.provider.id,
        "found": price.model.id,
        "total": text(price.total_price),
        "input": text(price.input_price),
        "output": text(price.output_price),
        "lacks": bool(lacks),
    }


def main():
    rng = random.Random(int(sys.argv[1]))
    first = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    for _ in range(int(sys.argv[2])):
        provider, model = call_of(rng)
        usage, tier = usage_of(rng), rng.choice(TIERS)
        at = first + datetime.timedelta(seconds=rng.randrange(3 * 366 * 86_400))
        call = {"provider": provider, "model": model, "usage": usage, "tier": tier, "at": int(at.timestamp())}
        print(json.dumps(call | priced(provider, model, usage, at, tier)))


if __name__ == "__main__":
    main()
