"""``/model``: which model this replica serves."""

from fastapi import APIRouter, Depends

from ai_consumer.schemas import ServedModel
from ai_consumer.service.champion import Champion
from laundry_service.auth.callers import require
from laundry_service.http.problems import Problem


def router(champion: Champion) -> APIRouter:
    """Make the endpoint; like every one but the probes it wants a token."""
    routes = APIRouter(tags=["model"])

    @routes.get("/model", dependencies=[Depends(require("operator", "owner"))])
    async def model() -> ServedModel:
        """Tell which model this replica reads photos with."""
        served = champion.served
        if served is None:
            raise Problem(503, "no-model", "This replica has no model yet; see /readyz and its log.")
        return ServedModel(
            version=served.model.version,
            sha256=served.manifest.sha256,
            labels=list(served.model.labels),
            threshold=served.model.threshold,
            since=served.since,
        )

    return routes
