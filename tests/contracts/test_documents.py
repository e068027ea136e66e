"""What clients and deployments are built from is what the code says."""

import json

from laundry.contracts import FOLDER
from laundry.generated import outdated
from laundry_service.limits.rates import ENDPOINTS


def test_the_committed_files_are_those_of_the_code() -> None:
    assert outdated() == [], "run `make contracts` and look at the difference"


def test_every_error_of_every_endpoint_is_a_problem_document() -> None:
    for path in FOLDER.glob("*.openapi.json"):
        document = json.loads(path.read_text())
        for route, operations in document["paths"].items():
            for method, operation in operations.items():
                assert "4XX" in operation["responses"], f"{path.name}: {method} {route}"


def test_every_endpoint_that_has_a_limit_of_its_own_is_there() -> None:
    documents = [json.loads(path.read_text()) for path in FOLDER.glob("*.openapi.json")]
    there = {
        (method.upper(), route)
        for document in documents
        for route, operations in document["paths"].items()
        for method in operations
    }
    assert set(ENDPOINTS) <= there
