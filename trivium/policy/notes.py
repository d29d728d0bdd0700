"""What an operator may want to know of a policy that is good: nothing here is wrong, some of it may not be meant."""

from pathlib import Path

from trivium.core.admit import AUTO
from trivium.core.forbid import private
from trivium.core.policy import Policy, Prices, Target, Tier
from trivium.core.price import reference


def notes(policy: Policy) -> tuple[str, ...]:
    """One sentence each; empty when there is nothing to say."""
    return tuple(note for note in (*_privacy(policy), *_classifier(policy), *_unused(policy), *_bill(policy), *_budgets(policy)) if note)


def _privacy(policy: Policy) -> list[str]:
    refused = [
        name
        for name, task in policy.tasks.items()
        if all(_cloudy(private(leg.target, policy)) for leg in task.route or policy.default_route)
    ]
    if not refused:
        return []
    return [f"restricted requests of {', '.join(refused)} are refused: every target in the route is in the cloud"]


def _cloudy(target: Target) -> bool:
    return target.tier is Tier.CLOUD or (target.generator is not None and target.generator.tier is Tier.CLOUD)


def _classifier(policy: Policy) -> list[str]:
    asked = any(endpoint.task_type == AUTO for endpoint in policy.endpoints.values())
    path = policy.classifier.path
    if asked and not path:
        return ["there is no classifier, so `auto` always takes the default route"]
    if path and not Path(path).exists():
        return [
            f"the classifier {path} is not there yet (trivium train-classifier); until then `auto` takes the default route"
        ]
    return []


def _unused(policy: Policy) -> list[str]:
    routes = [policy.default_route, policy.novel_route, *(rule.route for rule in policy.rules)]
    routes += [task.route for task in policy.tasks.values()]
    routes += [arm.route for experiment in policy.experiments for arm in experiment.arms]
    used = {leg.target.name for route in routes for leg in route}
    used |= {endpoint.target for endpoint in policy.endpoints.values()}
    used |= {target.generator.name for target in policy.targets.values() if target.generator}
    idle = [name for name in policy.targets if name not in used]
    return [f"nothing routes to {', '.join(idle)}; only a pinned request reaches it"] if idle else []


def _bill(policy: Policy) -> list[str]:
    told = [] if reference(policy) else ["there is no cloud target, so no bill says what all-cloud would have cost"]
    free = [target.name for target in policy.targets.values() if target.tier is not Tier.RETRIEVAL and target.prices == Prices()]
    if free:
        told.append(f"no prices stand for {', '.join(free)}: its calls cost nothing in every bill, and under every budget")
    return told


def _budgets(policy: Policy) -> list[str]:
    """Callers choose all words but the tenant: two tenants may have a team of one name."""
    shared = [b.name for b in policy.budgets.values() if not b.tenant and (b.team or b.application or b.use_case or b.end_user)]
    if not shared or len(policy.tenants) < 2:
        return []
    return [f"{', '.join(shared)} counts calls of every tenant that uses the same word; name a tenant, or tenant: \"*\""]
