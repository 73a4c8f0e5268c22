"""Whom a role trusts: the policies by which hosts, pods and other accounts may assume it."""

from collections.abc import Sequence
from typing import Final

from agent.aws.policy import partition_of
from agent.model.iam import ACTIONS, Condition, Policy, Statement

_ASSUME: Final = (ACTIONS["AssumeRole"],)
_CHINA: Final = "aws-cn"


def instances(region: str | None = None) -> Policy:
    """Return the trust policy of an instance profile's role.

    Source: IAM User Guide, "IAM roles for Amazon EC2"; in China the service has another name.
    """
    suffix = ".cn" if partition_of(region) == _CHINA else ""
    return _service("TrustInstances", f"ec2.amazonaws.com{suffix}")


def ecs_tasks() -> Policy:
    """Return the trust policy of a role for ECS tasks.

    Source: Amazon ECS Developer Guide, "Amazon ECS task IAM role".
    """
    return _service("TrustTasks", "ecs-tasks.amazonaws.com")


def service_account(provider_arn: str, namespace: str, name: str) -> Policy:
    """Return the trust policy of a role for a service account of an EKS cluster (IRSA).

    ``provider_arn``: of the cluster's OIDC provider in IAM. Source: Amazon EKS User Guide, "Assign
    IAM roles to Kubernetes service accounts".
    """
    issuer = provider_arn.partition(":oidc-provider/")[2]
    claims = {
        f"{issuer}:aud": "sts.amazonaws.com",
        f"{issuer}:sub": f"system:serviceaccount:{namespace}:{name}",
    }
    return Policy(
        statements=(
            Statement(
                sid="TrustServiceAccount",
                principal={"Federated": (provider_arn,)},
                actions=("sts:AssumeRoleWithWebIdentity",),
                condition={"StringEquals": claims},
            ),
        )
    )


def pods(namespace: str, name: str) -> Policy:
    """Return the trust policy of a role for a service account by EKS Pod Identity.

    Source: Amazon EKS User Guide, "Create IAM role with trust policy required by EKS Pod Identity".
    """
    tags = {
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": name,
    }
    return _service(
        "TrustPods",
        "pods.eks.amazonaws.com",
        (*_ASSUME, "sts:TagSession"),
        {"StringEquals": tags},
    )


def external(principals: Sequence[str], external_id: str) -> Policy:
    """Return the trust policy of a role for identities of any account that know an external id.

    ``principals``: ARNs of users, roles or accounts. Source: IAM User Guide, "Access to AWS
    accounts owned by third parties".
    """
    return Policy(
        statements=(
            Statement(
                sid="TrustWithExternalId",
                principal={"AWS": tuple(principals)},
                actions=_ASSUME,
                condition={"StringEquals": {"sts:ExternalId": external_id}},
            ),
        )
    )


def _service(
    sid: str, name: str, actions: Sequence[str] = _ASSUME, condition: Condition | None = None
) -> Policy:
    return Policy(
        statements=(
            Statement(
                sid=sid,
                principal={"Service": (name,)},
                actions=tuple(actions),
                condition=condition or {},
            ),
        )
    )
