"""What a query of Prometheus selects."""

import json
from typing import Any

import promql_parser


def selectors(query: str) -> list[str]:
    """Return what a query selects, each as a query of its own: without a range or an offset."""
    found: dict[str, None] = {}

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found[_plain(node)] = None
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return list(found)


def _plain(selector: Any) -> str:
    matchers = (
        f"{each.name}{SIGN[str(each.op)]}{json.dumps(each.value)}" for each in selector.matchers.matchers
    )
    return f"{selector.name}{{{','.join(matchers)}}}"


SIGN = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
