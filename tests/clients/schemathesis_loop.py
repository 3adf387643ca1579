"""What the tests with schemathesis share: requests of one operation, each of whose answers is checked."""

from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


def add_arguments(parser, examples):
    parser.add_argument("--base", required=True)
    parser.add_argument("--examples", type=int, default=examples)
    parser.add_argument("--seed", type=int, default=1)


def checks_of(*names):
    load_all_checks()
    return CHECKS.get_by_names(list(names))


def ask(operation, mode, arguments, checks, shrinks=False, also=None):
    """Asks as often as `arguments.examples` says, and returns how many answers had which status. Raises for the first answer that fails a check;
    `also` is a further one, given the case and its answer."""
    statuses = Counter()

    @seed(arguments.seed)
    @settings(
        max_examples=arguments.examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers_as_documented(case):
        response = case.call(base_url=arguments.base)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)
        if also:
            also(case, response)

    try:
        answers_as_documented()
    except Exception as failure:
        failure.statuses = statuses
        raise
    return statuses
